"""Registers at the edges of intervals: looks in the order of records, edges, breaks (rules I1, I2, I4). Pure.

A ``Register`` takes what records say of one counter, one record after the other, and keeps what statements are made of:
the register at each known edge, and the breaks. It needs no memory of what lies between. Times are ms; values are
thousandths of the base unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledger_client.accounting.formats.numbers import half_even, times
from ledger_client.accounting.formats.plan import HOUR_MS, Plan
from ledger_client.accounting.formats.point import Point
from ledger_client.accounting.formats.regimes import Regime
from ledger_client.formats.senml import Number, Quality

_WRAP: Final = int(Quality.ROLLOVER)
_BREAKS: Final = int(Quality.ROLLOVER | Quality.COUNTER_RESET | Quality.METER_EXCHANGED)
_UNSYNC, _STEP = int(Quality.CLOCK_UNSYNC), int(Quality.CLOCK_STEP)
OTHER: Final = int(Quality.METER_EXCHANGED)
"""Of a break that an event tells: a meter exchanged, or read otherwise from here on."""
_SCALE: Final = 10 * HOUR_MS


class Edge(NamedTuple):
    """A register at an edge: its value, the gap between the looks around it (0: a look lies on it), their records, and
    what they show, the later one beyond a wrap as if the register went on."""

    value: int
    gap_ms: int
    looks: tuple[bytes, ...]
    before: int
    after: int


class Break(NamedTuple):
    """A break of the line between two looks; ``wrap``: how far the register goes on behind it (None: it did more)."""

    before_ms: int
    before: int
    time_ms: int
    after: int
    record: bytes
    wrap: int | None


@dataclass(slots=True)
class Register:
    """One counter of a plan under one profile.

    ``edges``: the known ones, by the number of the interval that begins there. ``wraps_unsaid``: how often it went over
    its largest number, and the plan does not say which that is. ``milli``: numerator and denominator of what one of the
    point's unit is in thousandths of the base unit.
    """

    point: Point
    regime: Regime
    interval_ms: int
    longest_gap_ms: int
    milli: tuple[int, int]
    edges: dict[int, Edge] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    wraps_unsaid: int = 0
    _ever_timed: bool = False
    _time_ms: int = -1
    _value: int = 0
    _record: bytes = b""
    _timed: bool = False
    _pending: int = 0

    @classmethod
    def of(cls, plan: Plan, point: Point, regime: Regime) -> Register:
        """An empty one."""
        assert point.unit is not None
        milli = (1000 * point.unit.factor).as_integer_ratio()
        return cls(point, regime, plan.interval_ms, int(plan.edge_gap_ms(point, regime)), milli)

    @property
    def never_timed(self) -> bool:
        """Whether it has looks, and none of them with a synchronised clock."""
        return self._time_ms >= 0 and not self._ever_timed

    def broken(self) -> None:
        """What comes next is not to be compared with what came before (an event says so)."""
        self._pending |= OTHER

    def forget(self, before: int) -> None:
        """The edges in front of an interval's number are asked for no more."""
        self.edges = {number: edge for number, edge in self.edges.items() if number >= before}

    def observe(
        self,
        time_ms: int,
        number: Number | str | bool | None,
        quality: int,
        unit: str | None,
        sync: bool,
        record: bytes,
    ) -> None:
        """What a record says of the counter, of records in their order; ``sync``: the clock was synchronised (S)."""
        self._pending |= quality & _BREAKS
        if number is None or isinstance(number, (str, bool)) or unit != self.point.unit_name:
            return
        if time_ms <= self._time_ms or (quality and not self.regime.accepts(quality)):
            return
        value = times(number, *self.milli)
        self.look(time_ms, value, sync and not quality & _UNSYNC, bool(quality & _STEP), record)

    def look(self, time_ms: int, value: int, timed: bool, stepped: bool, record: bytes) -> None:
        """The next look. ``timed``: it may be an edge; ``stepped``: the clock was set since the look before."""
        before_ms, before, interval_ms = self._time_ms, self._value, self.interval_ms
        last, on_edge = divmod(time_ms, interval_ms)
        if before_ms >= 0:
            broken, end = self._pending or value < before, value
            if broken:
                wrap = self._wrap(before_ms, before, time_ms, value)
                self.breaks.append(Break(before_ms, before, time_ms, value, record, wrap))
                end = value + wrap if wrap is not None else value
            first = before_ms // interval_ms + 1
            inside = last if on_edge else last - 1
            if first <= inside and self._tells(time_ms, timed, stepped) and not (broken and wrap is None):
                gap_ms, looks = time_ms - before_ms, (self._record, record)
                for number in range(first, inside + 1):
                    part = (end - before) * (number * interval_ms - before_ms)
                    self.edges[number] = Edge(half_even(before * gap_ms + part, gap_ms), gap_ms, looks, before, end)
        if not on_edge and timed:
            self.edges[last] = Edge(value, 0, (record,), value, value)
        self._time_ms, self._value, self._record, self._timed, self._pending = time_ms, value, record, timed, 0
        self._ever_timed = self._ever_timed or timed

    def _tells(self, time_ms: int, timed: bool, stepped: bool) -> bool:
        """Whether the two looks around an edge tell the register there (I1, I2)."""
        return timed and self._timed and not stepped and time_ms - self._time_ms <= self.longest_gap_ms

    def _wrap(self, before_ms: int, before: int, time_ms: int, value: int) -> int | None:
        """How far a register goes on behind its largest number, if going round is all that it did (I4)."""
        wraps_at = self.point.wraps_milli
        if self._pending != _WRAP or wraps_at is None:
            self.wraps_unsaid += self._pending == _WRAP
            return None
        within = within_most(self.point, before_ms, time_ms, value + wraps_at - before)
        return wraps_at if within and not within_most(self.point, before_ms, time_ms, wraps_at) else None


def within_most(point: Point, from_ms: int, to_ms: int, rise: int) -> bool:
    """Whether a register can have risen so far between two looks: 1.1 × max × time, an hour at least (I4)."""
    return rise * _SCALE <= 11 * point.max_milli * max(to_ms - from_ms, HOUR_MS)


def above_most(point: Point, from_ms: int, to_ms: int, rise: int) -> bool:
    """Whether it is more than a register counts in a time: 1.1 × max × time (I6)."""
    return rise * _SCALE > 11 * point.max_milli * (to_ms - from_ms)
