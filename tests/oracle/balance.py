"""The part of the second implementation about balances, made from docs/claims.md alone (B1–B4, F3, N2).

Wh and kg are fractions; what is written is rounded by Python's own ``round``, half to even.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


class Load(NamedTuple):
    """A row of a load: Wh in [from, to) ms; ``known``: its hour is."""

    from_ms: int
    to_ms: int
    wh: Fraction
    known: bool


class Retired(NamedTuple):
    """Units [a, b) of a certificate that began at ``from_ms``, of a zone, with kg for a Wh."""

    cert: bytes
    a: int
    b: int
    from_ms: int
    zone: str | None
    kg: Fraction


class Asked(NamedTuple):
    """From, to, civil minutes, zones that count, kg for a Wh by both methods; scope 1 and offsets in kg."""

    from_ms: int
    to_ms: int
    civil_min: int
    zones: frozenset[str]
    average: Fraction
    residual: Fraction
    scope_1: Fraction
    offsets: Fraction


class Matched(NamedTuple):
    covered: Fraction
    kg: Fraction
    """Market-based, not rounded."""


Line = tuple[int, str, Decimal, Decimal, Decimal, Decimal, Decimal, Decimal]
"""begin, kind, load, retired, covered, uncovered, location, market: the columns of hours.csv."""


def written(value: Fraction) -> Decimal:
    """With three places."""
    return Decimal(round(value * 1000)).scaleb(-3)


def matched(load: Fraction, retired: Sequence[Retired], residual: Fraction) -> Matched:
    covered, kg = Fraction(0), Fraction(0)
    for one in sorted(retired, key=lambda r: (-r.kg, r.cert, r.a)):
        taken = min(Fraction(one.b - one.a), load - covered)
        covered, kg = covered + taken, kg + taken * one.kg
    return Matched(covered, kg + (load - covered) * residual)


def month_of(asked: Asked, ms: int) -> tuple[int, int]:
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, minutes=asked.civil_min)
    return now.year, now.month


def balance(
    asked: Asked, loads: Sequence[Load], slices: Sequence[Retired]
) -> tuple[list[Line], dict[str, Decimal], bool]:
    """The lines of hours.csv, the totals of the claim, and whether nothing is left before rounding."""
    counting = [one for one in slices if one.zone in asked.zones]
    shift = asked.civil_min * MINUTE_MS
    lines, exact = list[Line](), Fraction(0)
    by_month: dict[tuple[int, int], Fraction] = {}
    for one in loads:
        month = month_of(asked, one.to_ms - 1)
        by_month[month] = by_month.get(month, Fraction(0)) + one.wh
    times = [*(part.from_ms for part in counting), *(load.from_ms for load in loads if load.known)]
    begins = {(ms + shift) // HOUR_MS for ms in times}
    for number in sorted(begins):
        at = number * HOUR_MS - shift
        wh = sum((x.wh for x in loads if x.known and at <= x.from_ms < at + HOUR_MS), Fraction(0))
        parts = [part for part in counting if at <= part.from_ms < at + HOUR_MS]
        found = matched(wh, parts, asked.residual)
        exact += found.kg
        retired = Fraction(sum(part.b - part.a for part in parts))
        figures = (wh, retired, found.covered, wh - found.covered, wh * asked.average, found.kg)
        lines.append((at, "hour", *map(written, figures)))  # type: ignore[arg-type]
    for one in loads:
        if not one.known:
            exact += one.wh * asked.residual
            figures = (one.wh, Fraction(0), Fraction(0), one.wh, one.wh * asked.average, one.wh * asked.residual)
            lines.append((one.from_ms, "unallocated", *map(written, figures)))  # type: ignore[arg-type]
    months = {*by_month, *(month_of(asked, one.from_ms) for one in counting)}
    by_the_month = [
        matched(
            by_month.get(month, Fraction(0)),
            [one for one in counting if month_of(asked, one.from_ms) == month],
            asked.residual,
        )
        for month in months
    ]
    whole = matched(sum(by_month.values(), Fraction(0)), counting, asked.residual)
    loose = [line for line in lines if line[1] == "unallocated"]
    market = sum((line[7] for line in lines), Decimal(0))
    left = market + written(asked.scope_1) - written(asked.offsets)
    totals = {
        "load_wh": written(sum(by_month.values(), Fraction(0))),
        "unallocated_wh": sum((line[2] for line in loose), Decimal(0)),
        "retired_wh": sum((line[3] for line in lines), Decimal(0)),
        "covered_wh": sum((line[4] for line in lines), Decimal(0)),
        "uncovered_wh": sum((line[5] for line in lines), Decimal(0)),
        "covered_monthly_wh": written(sum((one.covered for one in by_the_month), Fraction(0))),
        "covered_yearly_wh": written(whole.covered),
        "location_kg": sum((line[6] for line in lines), Decimal(0)),
        "market_kg": market,
        "market_monthly_kg": sum((written(one.kg) for one in by_the_month), Decimal(0)),
        "market_yearly_kg": written(whole.kg),
        "scope_1_kg": written(asked.scope_1),
        "offsets_kg": written(asked.offsets),
        "residual_kg": max(Decimal(0), left),
    }
    return lines, totals, left <= 0 and exact + asked.scope_1 <= asked.offsets


class Stated(NamedTuple):
    """A node of a statement: what B6 asks of it. ``measures``: its terms, concentration and flow."""

    name: str
    role: str
    measures: object
    zone: str | None
    compare: str | None
    amount: Fraction


def left_out(zone: str, nodes: Sequence[Stated], named: frozenset[str], excluded: frozenset[str]) -> set[str]:
    """Loads and sources that B6 asks for: neither named nor excluded nor counted already."""
    found = set[str]()
    settled = [node for node in nodes if node.name in named | excluded]
    named_loads = [node for node in settled if node.name in named and node.role != "emission"]
    energy = sum((node.amount for node in named_loads), Fraction(0))
    made = sum((node.amount for node in nodes if node.role in ("production", "discharge")), Fraction(0))
    roles = {node.role for node in named_loads}
    inner = {"consumption", "auxiliary", "charge"} if "import" in roles else set()
    inner |= {"charge"} if "consumption" in roles else set()
    here = (None, zone)

    def open_(node: Stated) -> bool:
        """Not named, not excluded, and not (a)."""
        return not any(node.name == one.name or node.measures == one.measures for one in settled)

    def together(those: set[str]) -> Fraction:
        several = (node for node in nodes if node.role in those and node.zone in here and open_(node))
        return sum((max(Fraction(0), node.amount) for node in several), Fraction(0))

    few_inside = together(inner) <= Fraction(11, 10) * (energy + made)
    few_imports = "import" not in roles and together({"import"}) <= energy
    for node in nodes:
        if node.role not in ("consumption", "import", "auxiliary", "charge") or not open_(node):
            continue
        counted = (node.role in inner and few_inside) or (node.role == "import" and few_imports)
        if node.zone not in here or not counted:
            found.add(node.name)
    sources = [node for node in nodes if node.role == "emission"]

    def is_named(node: Stated) -> bool:
        return any(one.measures == node.measures for one in sources if one.name in named)

    for node in sources:
        if not open_(node):
            continue
        fuels = [one for one in sources if one.compare == node.name]
        if fuels and not any(map(open_, fuels)):
            continue
        above = [one for one in sources if one.name == node.compare]
        beside = [one for one in sources if node.compare is not None and one.compare == node.compare]
        if any(is_named(one) or (not open_(one) and not any(map(is_named, beside))) for one in above):
            continue
        found.add(node.name)
    return found


def neutralised(
    nothing_left: bool, closed: bool, chosen: Sequence[bool], verdicts: Sequence[tuple[str, int, str]], policy: int
) -> bool:
    """B4 and B7. ``closed``: all that no verifier may judge is in order; ``chosen``: for each thing that one may judge
    whether it is there; ``verdicts``: (verifier, when, verdict) of the balance."""
    last = {name: verdict for name, _, verdict in sorted(verdicts, key=lambda one: one[1])}
    enough = sum(verdict == "unmodified" for verdict in last.values()) >= max(1, policy)
    return nothing_left and closed and (enough or not any(chosen))
