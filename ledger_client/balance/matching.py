"""Matching of load and certificates by the hour, the month and the year, and the emissions of both methods. Pure.

An exact mass is an integer of 1/``below`` grams: every factor of a balance gets that one denominator, and a row is
rounded once, when it is written (N2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from ledger_client.accounting.formats.civil_time import months, utc_text
from ledger_client.accounting.formats.factor import kg_per_wh
from ledger_client.accounting.formats.numbers import half_even
from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance.given import RetiredSlice, Terms, factors_of
from ledger_client.balance.loads import Loads, hour_of
from ledger_client.balance.result import Covering, Hour, Matched, Month, RowRef, Stretch


@dataclass(frozen=True, slots=True)
class Rates:
    """Factors in 1/``below`` grams for a thousandth of a Wh."""

    below: int
    average: int
    residual: int
    devices: dict[str, int]

    @classmethod
    def of(cls, terms: Terms, slices: Sequence[RetiredSlice]) -> Rates:
        """Refuses factors that are not of electricity (F1)."""
        exact = {"average": kg_per_wh(terms.average.factor, "factors.average")}
        exact["residual"] = kg_per_wh(terms.residual.factor, "factors.residual")
        devices = {key: kg_per_wh(used.factor, f"factor {key}") for key, used in factors_of(slices).items()}
        below = lcm(*(rate.denominator for rate in (*exact.values(), *devices.values())))
        return cls(
            below, _over(exact["average"], below), _over(exact["residual"], below),
            {key: _over(rate, below) for key, rate in devices.items()},
        )  # fmt: skip

    def device(self, one: RetiredSlice) -> int:
        """Of a certificate's energy: 0 unless its device has a factor (B3)."""
        return 0 if one.factor is None else self.devices[one.factor.factor.id]

    def grams(self, exact: int) -> int:
        """A mass as it is written."""
        return half_even(exact, self.below)


def _over(rate: Fraction, below: int) -> int:
    return rate.numerator * (below // rate.denominator)


class Matching(NamedTuple):
    """Everything that follows from load and certificates; ``exact_market``: the market-based scope 2 in 1/below grams,
    not rounded."""

    hours: tuple[Hour, ...]
    stretches: tuple[Stretch, ...]
    months: tuple[Month, ...]
    yearly: Matched
    uncertified_g: int
    exact_market: int
    surplus_hours: int


def match(terms: Terms, loads: Loads, slices: Sequence[RetiredSlice], rates: Rates) -> Matching:
    """Match load with slices that can be delivered (B1–B3); each lies within one hour of civil time."""
    by_hour = defaultdict[int, list[RetiredSlice]](list)
    for one in sorted(slices, key=lambda one: (-rates.device(one), one.cert, one.part)):
        hour_ms = hour_of(terms, one.from_ms)
        if one.to_ms > hour_ms + HOUR_MS:
            problem = f"certificate {one.cert.hex()} of {utc_text(one.from_ms)} lies in two hours of civil time"
            refuse(
                "N6",
                "certificates",
                problem,
                "have quarters of an hour certified, or give a civil offset of whole hours",
            )
        by_hour[hour_ms].append(one)
    hours, exact_market = list[Hour](), 0
    for hour_ms in sorted({*by_hour, *loads.hours}):
        load, retired = loads.hours.get(hour_ms, 0), by_hour.get(hour_ms, [])
        coverings = tuple(_cover(load, retired))
        covered = sum(one.covered_milli for one in coverings)
        exact = (load - covered) * rates.residual
        exact += sum(c.covered_milli * rates.device(one) for c, one in zip(coverings, retired, strict=True))
        exact_market += exact
        rows, location = tuple(loads.rows.get(hour_ms, ())), rates.grams(load * rates.average)
        hours.append(Hour(hour_ms, load, _units(retired), covered, location, rates.grams(exact), rows, coverings))
    stretches = tuple(_stretch(row, ref, rates) for row, ref in loads.stretches)
    exact_market += sum(stretch.load_milli * rates.residual for stretch in stretches)
    months = tuple(_months(terms, hours, stretches, by_hour, rates))
    load = sum(month.load_milli for month in months)
    yearly = _matched(load, slices, rates)
    uncertified = sum(rates.grams(hour.load_milli * rates.residual) for hour in hours)
    uncertified += sum(stretch.market_g for stretch in stretches)
    surplus = sum(hour.retired_milli > hour.load_milli for hour in hours)
    return Matching(tuple(hours), stretches, months, yearly, uncertified, exact_market, surplus)


def _cover(load: int, retired: Sequence[RetiredSlice]) -> Iterable[Covering]:
    """What each of some slices covers of an hour's load, in their order."""
    for one in retired:
        taken = min(load, one.milli)
        load -= taken
        yield Covering(one.cert, one.part, taken, None if one.factor is None else one.factor.factor.id)


def _stretch(row: Row, ref: RowRef, rates: Rates) -> Stretch:
    load = row.amount or 0
    location, market = rates.grams(load * rates.average), rates.grams(load * rates.residual)
    return Stretch(row.from_ms, row.to_ms, load, location, market, ref)


def _months(
    terms: Terms, hours: Sequence[Hour], stretches: Sequence[Stretch], by_hour: dict[int, list[RetiredSlice]],
    rates: Rates,
) -> Iterable[Month]:  # fmt: skip
    for from_ms, to_ms in months(terms.from_ms, terms.to_ms, terms.civil_min):
        of_month = [hour for hour in hours if from_ms <= hour.from_ms < to_ms]
        loose = [stretch for stretch in stretches if from_ms < stretch.to_ms <= to_ms]
        retired = [one for hour in of_month for one in by_hour.get(hour.from_ms, ())]
        unallocated = sum(stretch.load_milli for stretch in loose)
        load = sum(hour.load_milli for hour in of_month) + unallocated
        covered = sum(hour.covered_milli for hour in of_month)
        market = sum(hour.market_g for hour in of_month) + sum(stretch.market_g for stretch in loose)
        location = sum(hour.location_g for hour in of_month) + sum(stretch.location_g for stretch in loose)
        yield Month(
            from_ms, to_ms, load, unallocated, _units(retired), location,
            Matched(covered, load - covered, market), _matched(load, retired, rates),
        )  # fmt: skip


def _matched(load: int, retired: Iterable[RetiredSlice], rates: Rates) -> Matched:
    """A longer time as a whole: energy of the highest factor first."""
    by_rate = Counter[int]()
    for one in retired:
        by_rate[rates.device(one)] += one.milli
    left, exact = load, 0
    for rate in sorted(by_rate, reverse=True):
        taken = min(left, by_rate[rate])
        left, exact = left - taken, exact + taken * rate
    return Matched(load - left, left, rates.grams(exact + left * rates.residual))


def _units(retired: Iterable[RetiredSlice]) -> int:
    """What they are of, in thousandths of a Wh."""
    return sum(one.milli for one in retired)
