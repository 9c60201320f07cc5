"""Aggregates: the readings of a minute or an hour → a few statistics of each point. Pure; no object per value.

A record belongs to the span of the greatest time that its meter's records have had so far, in the order of commits, so
that the spans of a meter are stretches of that order: a reading's time is its own, a coverage record's is the last
moment that it covers. Minutes and hours are those of Unix time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gateway.devices.points import FIRST, SECOND
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Columns, Number, Reading

FOLD_AT = 8  # readings that wait before they are folded into the figures: many at once cost less

Content = Number | str | bool
Body = Reading | Coverage


class PointStats:
    """What is kept of one point in one span.

    ``count`` values, the ``first`` and the ``last`` exactly as recorded, with the times of their readings; of numbers
    ``low``, ``high`` and ``total`` (None where one of the values was text). ``bits`` are all quality bits together,
    ``value_bits`` those of entries that have a value.
    """

    __slots__ = ("bits", "count", "first", "first_ms", "high", "last", "last_ms", "low", "total", "unit", "value_bits")

    def __init__(self, unit: str | None) -> None:
        self.unit = unit
        self.count = self.bits = self.value_bits = self.first_ms = self.last_ms = 0
        self.first: Content | None = None
        self.last: Content | None = None
        self.low: Number | None = None
        self.high: Number | None = None
        self.total: float | None = None

    @property
    def mean(self) -> float | None:
        """The mean of the values, if they are numbers and their sum is one."""
        if self.total is None or not self.count or not isfinite(self.total):
            return None
        return self.total / self.count

    def copy(self) -> PointStats:
        """Another one that can be added to."""
        other = PointStats(self.unit)
        other.count, other.bits, other.value_bits = self.count, self.bits, self.value_bits
        other.first, other.last, other.low, other.high = self.first, self.last, self.low, self.high
        other.first_ms, other.last_ms = self.first_ms, self.last_ms
        other.total = self.total
        return other

    def take(self, values: Sequence[Content], first_ms: int, last_ms: int) -> None:
        """Add values in order; the times are those of the first and the last of them."""
        if not self.count:
            self.first_ms = first_ms
        self.last_ms = last_ms
        kinds = set(map(type, values))
        if bool in kinds:
            values = [int(value) if isinstance(value, bool) else value for value in values]
            kinds = set(map(type, values))
        if str in kinds:
            self._add(len(values), values[0], values[-1], None, None, None)
            return
        numbers: Sequence[Any] = values
        total = float(sum(numbers)) if len(kinds) == 1 else float(sum(map(float, numbers)))
        self._add(len(numbers), numbers[0], numbers[-1], min(numbers), max(numbers), total)

    def merge(self, later: PointStats) -> None:
        """Add what came later."""
        self.bits |= later.bits
        self.value_bits |= later.value_bits
        if later.count:
            if not self.count:
                self.first_ms = later.first_ms
            self.unit, self.last_ms = later.unit, later.last_ms
            self._add(later.count, later.first, later.last, later.low, later.high, later.total)

    def _add(
        self,
        count: int,
        first: Content | None,
        last: Content | None,
        low: Number | None,
        high: Number | None,
        total: float | None,
    ) -> None:
        if not self.count:
            self.first, self.low, self.high, self.total = first, low, high, total
        elif self.low is None or self.high is None or low is None or high is None:  # one of them is text
            self.low = self.high = self.total = None
        else:
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.total = (self.total or 0.0) + (total or 0.0)
        self.last = last
        self.count += count


class Aggregate:
    """One minute or hour of one meter: how many polls are readings, how many were missed and why, and each point.

    Missed polls are those of the coverage records in the span. ``first_ms`` and ``last_ms`` are the times of its first
    and last reading. What waits is folded in by ``fold``.
    """

    __slots__ = ("first_ms", "last_ms", "missed", "points", "readings", "start_ms", "waiting")

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.first_ms = self.last_ms = self.readings = 0
        self.missed: Counter[str] = Counter()
        self.points: dict[str, PointStats] = {}
        self.waiting: list[Body] = []

    def copy(self) -> Aggregate:
        """Another one that can be added to."""
        other = Aggregate(self.start_ms)
        other.first_ms, other.last_ms, other.readings = self.first_ms, self.last_ms, self.readings
        other.missed = Counter(self.missed)
        other.points = {name: figures.copy() for name, figures in self.points.items()}
        other.waiting = list(self.waiting)
        return other

    def fold(self) -> Aggregate:
        """Take in what waits."""
        waiting, self.waiting = self.waiting, []
        readings = [body for body in waiting if isinstance(body, Reading)]
        for body in waiting:
            if isinstance(body, Coverage):
                self.missed.update(body.missed)
        if readings:
            if not self.readings:
                self.first_ms = readings[0].time_ms
            self.last_ms = readings[-1].time_ms
            self.readings += len(readings)
            for table in _tables(readings):
                self._fold_table(table)
        return self

    def _fold_table(self, table: _Table) -> None:
        points, times = self.points, table.times
        for name, unit, column, quality in zip(table.names, table.units, table.columns, table.qualities, strict=True):
            figures = points.get(name)
            if figures is None:
                if name.endswith((FIRST, SECOND)):  # the look at a counter that was not booked
                    continue
                figures = points[name] = PointStats(unit)
            if quality and (isinstance(quality, int) or any(quality)):
                each = [quality] * len(column) if isinstance(quality, int) else quality
                column = [None if value == "" and bits else value for bits, value in zip(each, column, strict=True)]
                for bits, value in zip(each, column, strict=True):
                    figures.bits |= bits
                    figures.value_bits |= bits if value is not None else 0
            if None not in column:
                figures.unit = unit
                figures.take(column, times[0], times[-1])  # type: ignore[arg-type]
                continue
            there = [n for n, value in enumerate(column) if value is not None]
            if there:
                figures.unit = unit
                values: Sequence[Any] = [column[n] for n in there]
                figures.take(values, times[there[0]], times[there[-1]])

    def merge(self, later: Aggregate) -> None:
        """Add a later, folded span, for example the next minute of the hour."""
        if later.readings:
            if not self.readings:
                self.first_ms = later.first_ms
            self.last_ms = later.last_ms
            self.readings += later.readings
        self.missed.update(later.missed)
        for name, figures in later.points.items():
            if name in self.points:
                self.points[name].merge(figures)
            else:
                self.points[name] = figures.copy()


@dataclass(slots=True)
class _Table:
    """Readings in a row that hold the same points, by column; ``qualities``: one for the column, or one a value."""

    times: Sequence[int]
    names: Sequence[str]
    units: Sequence[str | None]
    columns: Sequence[Sequence[Content | None]]
    qualities: Sequence[int | Sequence[int]]


def _tables(readings: Iterable[Reading]) -> Iterator[_Table]:
    head: tuple[Any, ...] = ()
    rows: list[Any] = []
    qualities: list[Any] = []
    times: list[int] = []
    for reading in readings:
        values = reading.values
        if not values:
            continue
        if isinstance(values, Columns):
            shape: tuple[Any, ...] = (values.names, values.units, values.quality)
            contents: Any = values.contents
            bits: Any = None
        else:
            names, contents, units, bits, _ = zip(*values, strict=True)
            shape = (names, units, None)
        if rows and shape != head:
            yield _table(times, head, rows, qualities)
            times, rows, qualities = [], [], []
        head = shape
        times.append(reading.time_ms)
        rows.append(contents)
        qualities.append(bits)
    if rows:
        yield _table(times, head, rows, qualities)


def _table(times: Sequence[int], head: tuple[Any, ...], rows: list[Any], qualities: list[Any]) -> _Table:
    names, units, quality = head
    by_value = [quality] * len(names) if quality is not None else list(zip(*qualities, strict=True))
    return _Table(times, names, units, list(zip(*rows, strict=True)), by_value)


def time_of(body: Body) -> int | None:
    """The moment by which a record finds its span; None for a coverage record that covers nothing."""
    if isinstance(body, Reading):
        return body.time_ms
    return body.to_ms - 1 if body.due else None
