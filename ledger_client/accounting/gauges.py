"""Gauges over reference periods: how many values were possible and valid, and their mean (rules H1–H3, H5). Pure.

A ``Gauge`` takes the values of one point, one record after the other, and keeps sums by reference period. Means are
exact; times are ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.point import Point
from ledger_client.accounting.formats.regimes import Regime
from ledger_client.formats.senml import Number, Quality

MINUTE_MS: Final = 60_000
MINUTES: Final = "minutes"
MINUTE_SHARE: Final = Fraction(3, 4)
"""A minute is valid from this share of its possible values on (H2)."""
_UNSYNC, _FAILED = int(Quality.CLOCK_UNSYNC), int(Quality.OUT_OF_CONTROL)


class Calibration(NamedTuple):
    """y = a + b·x, from a moment to a moment (ms); ``checked``: the gauge was checked at the first one (S4)."""

    from_ms: int
    to_ms: int
    a: Fraction
    b: Fraction
    checked: bool = True

    @classmethod
    def of(cls, from_ms: int, to_ms: int, entry: Entry) -> Calibration:
        """An entry ``calibration`` in the time in which it counts; the check is where the entry itself begins."""
        return cls(from_ms, to_ms, Fraction(entry.values["a"]), Fraction(entry.values["b"]), from_ms == entry.from_ms)


@dataclass(slots=True)
class Sum:
    """An exact sum of numbers, by denominator: adding costs no common denominator."""

    count: int = 0
    parts: dict[int, int] = field(default_factory=dict)

    def add(self, number: Number | Fraction) -> None:
        """Add a number as the rational that it is (N1)."""
        numerator, denominator = number.as_integer_ratio()
        self.parts[denominator] = self.parts.get(denominator, 0) + numerator
        self.count += 1

    @property
    def mean(self) -> Fraction:
        """Of at least one number."""
        return sum((Fraction(n, d) for d, n in self.parts.items()), Fraction(0)) / self.count


@dataclass(slots=True)
class Cell:
    """One reference period: its sum, how many values are counted, when the last of them was, and the highest value.
    ``minutes``: likewise by minute, under a profile that counts in minutes."""

    sum: Sum = field(default_factory=Sum)
    counted: int = 0
    counted_ms: int = -1
    highest: Number | Fraction | None = None
    minutes: dict[int, Cell] = field(default_factory=dict)

    def add(self, time_ms: int, number: Number | Fraction, least_ms: int) -> None:
        """One accepted value; it is counted if it comes at least ``least_ms`` behind the last one that was (H1)."""
        self.sum.add(number)
        if self.counted_ms < 0 or time_ms - self.counted_ms >= least_ms:
            self.counted, self.counted_ms = self.counted + 1, time_ms


class Mean(NamedTuple):
    """What a reference period gives: possible and valid values (or minutes), and the mean; None: it is not valid."""

    possible: int
    valid: int
    mean: Fraction | None
    highest: Fraction | None


@dataclass(slots=True)
class Gauge:
    """One gauge of a plan under one profile.

    ``cells``: by number of the reference period. ``above``: likewise how many values were above its range.
    ``failed_ms``: when it was out of control, for a profile by which that reaches back to the last good check.
    """

    point: Point
    regime: Regime
    reference_ms: int
    calibrations: Sequence[Calibration] = ()
    cells: dict[int, Cell] = field(default_factory=dict)
    failed_ms: list[int] = field(default_factory=list)
    above: dict[int, int] = field(default_factory=dict)
    _time_ms: int = -1
    _low: int | Fraction | None = field(init=False)
    _high: int | Fraction | None = field(init=False)

    def __post_init__(self) -> None:
        self._low, self._high = _bound(self.point.lowest), _bound(self.point.highest)

    @classmethod
    def of(cls, plan: Plan, point: Point, regime: Regime, calibrations: Sequence[Calibration] = ()) -> Gauge:
        """An empty one."""
        return cls(point, regime, plan.reference_ms(regime), calibrations)

    def observe(
        self, time_ms: int, number: Number | str | bool | None, quality: int, unit: str | None, sync: bool, _: bytes
    ) -> None:
        """What a record says of the gauge, of records in their order; ``sync``: the clock was synchronised (S)."""
        if quality & _FAILED and self.regime.substitution == "CN-HJ75":
            self.failed_ms.append(time_ms)
        if not isinstance(number, int | float | Decimal) or isinstance(number, bool) or unit != self.point.unit_name:
            return
        if time_ms <= self._time_ms or not self.regime.accepts(quality):
            return
        self._time_ms = time_ms
        if not sync or quality & _UNSYNC or not self._in_range(number):
            if self._high is not None and number > self._high:
                self.above[time_ms // self.reference_ms] = self.above.get(time_ms // self.reference_ms, 0) + 1
            return
        value = self._calibrated(time_ms, number)
        cell = self.cells.setdefault(time_ms // self.reference_ms, Cell())
        least_ms = -(-self.point.sample_ms // 2)
        cell.add(time_ms, value, least_ms)
        if cell.highest is None or value > cell.highest:
            cell.highest = value  # as it is: Fractions are slow to compare
        if self.regime.validity == MINUTES:
            cell.minutes.setdefault(time_ms // MINUTE_MS, Cell()).add(time_ms, value, least_ms)

    def _in_range(self, number: Number) -> bool:
        return (self._low is None or number >= self._low) and (self._high is None or number <= self._high)

    def _calibrated(self, time_ms: int, number: Number) -> Number | Fraction:
        """By the calibration in force, the last one that began (H5)."""
        for calibration in reversed(self.calibrations):
            if calibration.from_ms <= time_ms < calibration.to_ms:
                return calibration.a + calibration.b * Fraction(number)
        return number

    def forget(self, before: int) -> None:
        """The reference periods in front of this number are asked for no more."""
        self.cells = {number: cell for number, cell in self.cells.items() if number >= before}

    def mean(self, number: int) -> Mean:
        """Of a reference period, by the profile's rule of validity (H2, H3)."""
        cell = Cell() if self._failed(number) else self.cells.get(number, Cell())
        if self.regime.validity == MINUTES:
            return self._by_minutes(cell)
        possible = self.reference_ms // self.point.sample_ms
        valid = cell.counted >= self.regime.share * possible and cell.sum.count > 0
        return Mean(possible, cell.counted, cell.sum.mean if valid else None, _exact(cell.highest))

    def _failed(self, number: int) -> bool:
        """Whether a period lies between a good check and a failed one (S4)."""
        begins_ms, ends_ms = number * self.reference_ms, (number + 1) * self.reference_ms
        for failed_ms in self.failed_ms:
            good_ms = max((c.from_ms for c in self.calibrations if c.checked and c.from_ms <= failed_ms), default=0)
            if begins_ms <= failed_ms and good_ms < ends_ms:
                return True
        return False

    def _by_minutes(self, cell: Cell) -> Mean:
        needed = MINUTE_SHARE * (MINUTE_MS // self.point.sample_ms)
        valid = [minute.sum.mean for minute in cell.minutes.values() if minute.counted >= needed]
        mean = sum(valid, Fraction(0)) / len(valid) if valid and len(valid) >= self.regime.minutes else None
        return Mean(self.reference_ms // MINUTE_MS, len(valid), mean, _exact(cell.highest))


def _exact(number: Number | Fraction | None) -> Fraction | None:
    return None if number is None else Fraction(number)


def _bound(number: Fraction | None) -> int | Fraction | None:
    """The same number, as an integer where it is one: that is compared fast."""
    return number.numerator if number is not None and number.denominator == 1 else number
