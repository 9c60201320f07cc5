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
