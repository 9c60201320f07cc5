"""A small party for balances: a plan with a load and a stack, statements of rows that a test says, retired slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from ledger_client.accounting import profiles
from ledger_client.accounting.formats.factor import Factor, parse_factor
from ledger_client.accounting.formats.plan import HOUR_MS, parse_plan
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.stated import StatedRows
from ledger_client.balance.given import Chosen, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.result import Result, Review, StatedOffset
from ledger_client.claims.claim import Offset
from tests.support.accounted import POINT, plan_fields

PARTY, ZONE = "works", "CN-ZJ"
CIVIL_MIN = 480
BEGIN_MS = int(datetime(2026, 9, 30, 16, tzinfo=UTC).timestamp() * 1000)
"""The first of October at +08:00."""
MONTH_MS = 31 * 24 * HOUR_MS
GAUGES = {"c": "mg/l", "Q": "m3/s", "t": "Cel", "p": "Pa", "w": "/"}
STACK = {
    "role": "emission", "method": "cems", "profile": "EU-MRR", "inputs": {key: f"stack/{key}" for key in GAUGES},
}  # fmt: skip
COAL = {
    "role": "emission", "method": "fuel", "terms": [[1, "scale/mass"]], "profile": "own-test",
    "defaults": {"NCV": 26, "CC": Decimal(25)},
}  # fmt: skip


def factor(kind: str, value: str, region: str = "CN", vintage: int = 2026, unit: str = "kg/kWh", **also: Any) -> Factor:
    """A factor as a plan has it."""
    series = f"{region}-{kind}"
    fields = {
        "series": series, "id": f"{series}-{vintage}-{value}", "kind": kind,
        "value": value, "unit": unit, "region": region,
        "vintage": vintage, "published": "2027-01-01", "document": "a test's own", "confirmed": True,
    }  # fmt: skip
    return parse_factor(0, fields | also)


def terms(**changed: Any) -> Terms:
    """A month in one zone."""
    fields: dict[str, Any] = {
        "party": PARTY, "from_ms": BEGIN_MS, "to_ms": BEGIN_MS + MONTH_MS, "civil_min": CIVIL_MIN, "zone": ZONE,
        "deliverable": (), "boundary": "the works", "exclusions": (),
        "average": Chosen(factor("average", "0.5"), False), "residual": Chosen(factor("residual", "0.6"), False),
    }  # fmt: skip
    return Terms(**(fields | changed))


def source(
    rows: Iterable[Row], from_ms: int = BEGIN_MS, to_ms: int = BEGIN_MS + MONTH_MS, *, complete: bool = True,
    gateway: str = "gw", loads: Sequence[str] = ("load",), emissions: Sequence[str] = (), interval: int = 3600,
    nodes: dict[str, Any] | None = None,
) -> Source:  # fmt: skip
    """A statement of a plan with the node ``load``, and with ``coal`` where it is named."""
    fields = plan_fields(BEGIN_MS, interval=interval)
    weighed = {"kind": "counter", "unit": "kg", "sample": 10_000, "max": 100_000}
    energy = dict(fields["points"][POINT])
    fields["points"] |= {"scale/mass": weighed, "scale/oil": weighed, "other/energy": energy, "scale/energy": energy}
    fields["points"] |= {f"m{n}/energy": energy for n in range(4)} | {f"scale-{n}/mass": weighed for n in range(3)}
    fields["points"] |= {
        f"stack/{key}": {"kind": "gauge", "unit": unit, "sample": 10_000, "basis": "dry"}
        for key, unit in GAUGES.items()
    }
    fields["profiles"] |= {"EU-MRR": dict(profiles.load("EU-MRR"))}
    fields["nodes"] = (
        {
            "load": {"role": "import", "terms": [[1, next(iter(fields["points"]))]], "profile": "own-test"},
        }
        | ({"coal": COAL} if "coal" in (*loads, *emissions) else {})
        | (nodes or {})
    )
    record = sha256(f"{gateway} {from_ms} {to_ms}".encode()).digest()
    period = {"from": from_ms, "to": to_ms, "version": 1, "complete": complete, "entries": [], "plan": bytes(32)}
    return Source(gateway, StatedRows(record, period, parse_plan(fields), tuple(rows), ()), loads, emissions)


def reviewed(found: Result, *attested: str, needed: int = 1) -> Result:
    """A balance whose statements are recomputed, and which so many verifiers attest."""
    return found.reviewed(Review(tuple((name, "reasonable") for name in attested), (), needed))


def hour(number: int, milli: int, status: str = "measured", hours: int = 1) -> Row:
    """A row of the load: so many thousandths of a Wh in the hour with this number."""
    return Row("load", BEGIN_MS + number * HOUR_MS, BEGIN_MS + (number + hours) * HOUR_MS, status, milli, {})


def retired(number: int, units: int, begin: int = 0, **changed: Any) -> RetiredSlice:
    """Units that the party retired of a certificate of the hour with this number."""
    from_ms = BEGIN_MS + number * HOUR_MS
    fields: dict[str, Any] = {
        "cert": sha256(f"cert {number}".encode()).digest(), "part": (begin, begin + units), "from_ms": from_ms,
        "to_ms": from_ms + HOUR_MS, "zone": ZONE, "device": sha256(b"dev").digest(), "party": PARTY,
        "use_from_ms": BEGIN_MS, "use_to_ms": BEGIN_MS + MONTH_MS, "source": "water",
    }  # fmt: skip
    return RetiredSlice(**(fields | changed))


def offset(first: int, last: int, each_kg: int = 1, **changed: Any) -> GivenOffset:
    """Serials of one project."""
    fields: dict[str, Any] = {
        "registry": "their-registry", "project": "P-1", "vintage": 2025, "first": first, "last": last,
        "document": bytes(32),
    }  # fmt: skip
    device = changed.pop("device", None)
    return GivenOffset(StatedOffset(Offset(**(fields | changed)), each_kg), device)
