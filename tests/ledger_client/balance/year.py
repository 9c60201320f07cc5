"""A year of a works by the hour: day and night, sun for what it uses, a boiler, offsets; made by the balance itself."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance.given import Chosen, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.reckoning import balance
from ledger_client.balance.result import Base, Result
from tests.support.certificates import balanced as b

YEAR_MS = (
    int(datetime(2025, 12, 31, 16, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2026, 12, 31, 16, tzinfo=UTC).timestamp() * 1000),
)
FIRST = (YEAR_MS[0] - b.BEGIN_MS) // HOUR_MS
HOURS = (YEAR_MS[1] - YEAR_MS[0]) // HOUR_MS


Given = tuple[Terms, list[Source], list[RetiredSlice], list[GivenOffset]]


@cache
def year(certificates: int = 1, gateways: int = 1) -> Result:
    """The balance of ``given``."""
    return b.reviewed(balance(*given(certificates, gateways)))


def given(certificates: int = 1, gateways: int = 1) -> Given:
    """``certificates``: so many cover each hour of the sun and one in three of the others; ``gateways``: so many have
    a load."""
    waste = Chosen(b.factor("device", "0.1", vintage=2025), False)
    sources = [
        b.source(
            [*(_load(n, gateway) for n in range(HOURS)), *([_boiler()] if gateway == 0 else [])], *YEAR_MS,
            gateway=f"gw-{gateway}", emissions=["coal"] if gateway == 0 else [],
        )
        for gateway in range(gateways)
    ]  # fmt: skip
    slices = [
        b.retired(
            FIRST + n, 40_000 + 1000 * (n % 24), cert=sha256(f"{n} {one}".encode()).digest(), use_from_ms=YEAR_MS[0],
            use_to_ms=YEAR_MS[1], factor=waste if one else None,
        )
        for n in range(HOURS) if 7 <= n % 24 < 17 or n % 3 == 0
        for one in range(certificates)
    ]  # fmt: skip
    base = Base(YEAR_MS[0] - 1000 * HOUR_MS, YEAR_MS[0], 900_000_000, bytes(32))
    terms = b.terms(
        from_ms=YEAR_MS[0], to_ms=YEAR_MS[1], deliverable=("CN-JS",), boundary="<works> & yard", base=base,
        exclusions=("lorries", "café"),
    )  # fmt: skip
    return terms, sources, slices, [b.offset(1, 40_000)]


def _load(number: int, gateway: int) -> Row:
    of_day = number % 24
    return b.hour(FIRST + number, 1000 * (30_000 + 5000 * min(of_day, 24 - of_day) + 7 * (number % 101) + gateway))


def _boiler() -> Row:
    return Row("coal", *YEAR_MS, "measured", 70_000_000, {"method": "fuel"})
