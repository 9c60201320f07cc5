"""State of a meter's values between its readings: which of them are outside their limits, and which are bad. Pure.

Bad is what the verdict on its flags calls so, and a value whose registers were not answered while others of the meter
were. What has an alarm of its own is not: points that are not asked for, or that the device does not have. A point that
was never good and is empty counts only if it is a power or a counter, for devices leave other points empty, or while no
number of the meter is any good; of the phases of one that the meter has as a whole neither does, for a single-phase
device leaves two of them empty.

Values that come late say nothing of now. Times are record times in ms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from gateway.config.limits import Limit, phase_stem
from gateway.devices.points import FIRST, SECOND, Point
from gateway.verdicts import verdict
from ledger_client.formats.senml import Columns, Number, Quality, Reading, Value

EMPTY: Final = int(Quality.DECODE_ERR)
_LATE: Final = int(Quality.LATE)
_RANGES: Final = int(Quality.RANGE_HIGH | Quality.RANGE_LOW)
_POWERS: Final = ("W", "kW")


@dataclass(slots=True)
class Outside:
    """A value outside its limits: since when, the ``value`` at that time, above the upper limit (``high``) or below the
    lower one; ``read_ms``: the newest reading that says so."""

    since_ms: int
    value: Number
    high: bool
    read_ms: int


@dataclass(slots=True)
class Bad:
    """A bad value: since when, its flags now, and the newest reading that says so."""

    since_ms: int
    flags: int
    read_ms: int


@lru_cache(4096)  # as of verdicts: of thousands of values a second
def is_bad(flags: int) -> bool:
    """A value with these flags is a bad one."""
    found = verdict(flags)
    return found == "bad" or (found == "missing" and bool(flags & Quality.COMM_FAIL))


@lru_cache(4096)
def is_usable(flags: int) -> bool:
    """A value with these flags is neither bad nor missing."""
    return verdict(flags) in ("good", "uncertain", "substituted")


def expected(points: Mapping[str, Point]) -> frozenset[str]:
    """Those of a meter's recorded numbers that no device leaves empty: powers and counters; not the phases of one that
    is there as a whole."""
    found = {name for name, point in points.items() if point.kind == "counter" or point.unit in _POWERS}
    stems = {name: phase_stem(name) for name in found}
    return frozenset(n for n, stem in stems.items() if stem is None or not {stem, f"{stem}_total"} & points.keys())


@dataclass(slots=True)
class MeterValues:
    """The values of one meter. Owned by the event loop.

    ``limits`` by point; ``expected``: points that count as bad also if they never were good, of the recorded
    ``numbers``. ``outside`` and ``bad``: what is so by the newest readings; ``good``: points that were good once.
    """

    limits: Mapping[str, Limit]
    expected: frozenset[str]
    numbers: frozenset[str]
    outside: dict[str, Outside] = field(default_factory=dict)
    bad: dict[str, Bad] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    recalled: dict[str, int] = field(default_factory=dict)
    """Points that were bad before a restart, and since when; each until its first value."""
    _names: tuple[str, ...] = ()
    _limited: list[tuple[int, Limit]] = field(default_factory=list)
    """Of the newest form of a reading whose values all have one quality: its points, and which of them have limits."""

    def recall(self, points: Iterable[str], since_ms: int) -> None:
        """Points that were bad when the process before ended: they were good once, and are bad since then."""
        self.recalled = dict.fromkeys(points, since_ms)
        self.good |= self.recalled.keys()

    def reconfigure(
        self, limits: Mapping[str, Limit], expected: frozenset[str], numbers: frozenset[str], recorded: Collection[str]
    ) -> None:
        """Other limits, other points: what is known of those that stay is kept."""
        self.outside = {n: one for n, one in self.outside.items() if limits.get(n) == self.limits.get(n)}
        self.limits, self.expected, self.numbers, self._names = limits, expected, numbers, ()
        self.bad = {name: one for name, one in self.bad.items() if name in recorded}

    def forget(self) -> None:
        """The meter gives no values: none is outside its limits or bad."""
        self.outside.clear()
        self.bad.clear()

    def forget_unread(self, before_ms: int) -> None:
        """Forget points that no reading since then has."""
        for entries in (self.outside, self.bad):
            for name in [name for name, one in entries.items() if one.read_ms < before_ms]:
                del entries[name]

    def take(self, reading: Reading) -> None:
        """The newest reading."""
        values = reading.values
        if isinstance(values, Columns) and not (self.outside or self.bad or self.recalled) and self._usual(values):
            return
        limits, good, bad, recalled = self.limits, self.good, self.bad, self.recalled
        for value in values:
            name, flags = value.name, value.quality
            if flags & _LATE:
                continue
            if name in limits:
                self._limit(value, reading.time_ms)
            if name in good and name not in bad and name not in recalled and not is_bad(flags):
                continue  # as nearly always
            if not name.endswith((FIRST, SECOND)):
                self._quality(value, reading.time_ms)

    def _usual(self, values: Columns) -> bool:
        """No value is bad, and none outside: most readings of most meters."""
        if not is_usable(values.quality):
            return False
        if values.names is not self._names:
            self._names = values.names
            self._limited = [(n, self.limits[name]) for n, name in enumerate(values.names) if name in self.limits]
            self.good.update(values.names)
        contents = values.contents
        return not any(_breaks(limit, contents[n]) for n, limit in self._limited)

    def _limit(self, value: Value, time_ms: int) -> None:
        limit, number, before = self.limits[value.name], numeric(value.value), self.outside.get(value.name)
        if number is None:
            self.outside.pop(value.name, None)
        elif limit.breaks(float(number)):
            high = float(number) > limit.high
            if before is None or before.high is not high:
                before = self.outside[value.name] = Outside(time_ms, number, high, time_ms)
            before.read_ms = time_ms
        elif before is not None and not limit.holds(float(number)):
            before.read_ms = time_ms
        else:
            self.outside.pop(value.name, None)

    def _quality(self, value: Value, time_ms: int) -> None:
        name, flags = value.name, value.quality
        since_ms = self.recalled.pop(name, time_ms)
        if name in self.outside:
            flags &= ~_RANGES  # its limits say so already
        if is_bad(flags):
            before = self.bad.get(name)
            self.bad[name] = Bad(before.since_ms if before else since_ms, flags, time_ms)
            return
        self.bad.pop(name, None)
        if value.value is not None and is_usable(flags):
            self.good.add(name)

    def bad_since(self, before_ms: int) -> dict[str, Bad]:
        """The points that are bad since then or longer; of those that are empty and never were good, as above."""
        every = not (self.good & self.numbers) - self.bad.keys()
        return {n: one for n, one in self.bad.items() if one.since_ms <= before_ms and (every or self._counts(n, one))}

    def _counts(self, name: str, one: Bad) -> bool:
        return name in self.good or name in self.expected or is_bad(one.flags & ~EMPTY)

    def unknown_since(self, before_ms: int) -> set[str]:
        """The points that are bad since then or longer, and may have been good in the past."""
        return {n for n, one in self.bad.items() if one.since_ms <= before_ms and not self._counts(n, one)}


def numeric(content: object) -> Number | None:
    """The content if it is a number."""
    return content if isinstance(content, Number) and not isinstance(content, bool) else None


def _breaks(limit: Limit, content: object) -> bool:
    number = numeric(content)
    return number is not None and limit.breaks(float(number))
