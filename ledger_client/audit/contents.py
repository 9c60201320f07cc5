"""Audit of contents: what the readings of each meter hold, by point. No I/O.

A gateway that polls a meter has each point of its configuration in every reading, with a value or with the reason why
there is none; that other readings have a point that one of them lacks is no gateway's doing. So a lacking point is
noted, by meter with how many readings lack it, from when until when: also one that is in no reading any more behind
another configuration, for a configuration can be changed for an hour. It does not count

- before a point is in the first reading behind a configuration that is another one,
- of readings that are LATE, and of series (HJ 212), whose messages come in parts,
- of ``.first`` and ``.second``: the other look at a counter, where it was read twice.

A reading without any value is noted, too. Work is done where two readings differ: of all others one number grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ledger_client.audit.notes import Kind
from ledger_client.audit.records import Shape
from ledger_client.audit.result import Audit, MeterAccount, PointAccount
from ledger_client.times import rfc3339_ms

SECOND_LOOKS: Final = ".first", ".second"
"""Ends of the names under which a reading has the look at a counter that was not booked (docs/formats.md)."""
MOST_POINTS: Final = 4096
"""Points of a meter whose values are counted apart; those of all others are counted together."""
MOST_NAMES: Final = 20
"""Points that one note names: a name has up to 64 characters, and no note is cut short."""
_MOST_SHAPES: Final = 64


@dataclass(slots=True)
class _Meter:
    """One meter's readings so far. ``points``: those of the latest one, ``known``: all that any has had.

    ``out``: since which reading, by number and time, a point is in none.
    """

    account: MeterAccount
    changes: int
    counts: dict[Shape, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    points: frozenset[str] = frozenset()
    out: dict[str, tuple[int, int]] = field(default_factory=dict)
    readings: int = 0
    since: tuple[int, int] = 0, 0
    """The first reading behind the last configuration that is another one: its number and time."""
    latest_ms: int = 0
    empty_ms: tuple[int, int] | None = None

    def count(self) -> None:
        """Add what was counted by shape to the points."""
        points = self.account.points
        for shape, count in self.counts.items():
            empty = Counter(shape.empty)
            for name, times in Counter(shape.names).items():
                values = count if times > empty[name] else 0
                point = points.get(name)
                if point is None:
                    if len(points) >= MOST_POINTS:
                        self.account.values_beyond += values
                        continue
                    point = points[name] = PointAccount()
                point.readings += count
                point.values += values
        self.counts.clear()

    def turn(self, shape: Shape, time_ms: int, changes: int) -> None:
        """A reading has other points than the one before, or is the first one behind another configuration."""
        self.count()
        fresh = changes != self.changes or not self.readings
        if fresh:
            self.changes, self.since = changes, (self.readings, time_ms)
        there = frozenset(name for name in shape.names if not _is_second_look(name, shape.names))
        for name in self.points - there:
            if name in self.account.points:
                self.out[name] = self.readings, time_ms
        for name in there - self.points:
            if name in self.out:
                self._lacked(name, *self.out.pop(name))
            elif not fresh and self.readings > self.since[0]:
                self._lacked(name, *self.since)
        self.names, self.points = shape.names, there

    def _lacked(self, name: str, number: int, since_ms: int) -> None:
        """A point is in none of the readings from that one to the latest."""
        points = self.account.points
        if name in points or len(points) < MOST_POINTS:
            points.setdefault(name, PointAccount()).lack(self.readings - number, since_ms, self.latest_ms)

    def end(self) -> None:
        self.count()
        for name, place in self.out.items():
            self._lacked(name, *place)
        self.out.clear()


@dataclass(slots=True)
class Contents:
    """The contents of one gateway's readings, in the order of records. ``is_polled``: whether a meter is configured,
    and no series."""

    result: Audit
    is_polled: Callable[[str], bool]
    _meters: dict[str, _Meter] = field(default_factory=dict)
    _config: bytes | None = None
    _changes: int = 0

    def begin_anew(self) -> None:
        """Batches are missing, and configurations with them."""
        self._config = None
        self._changes += 1

    def configured(self, config: bytes) -> None:
        """A configuration, by its fingerprint."""
        if config != self._config:
            self._config = config
            self._changes += 1

    def reading(self, name: str, time_ms: int, shape: Shape, *, late: bool) -> None:
        """The next reading of a meter."""
        meter = self._meters.get(name)
        if meter is None:
            meter = self._meters[name] = _Meter(self.result.account(name), self._changes)
        counts = meter.counts
        counts[shape] = counts.get(shape, 0) + 1
        if len(counts) > _MOST_SHAPES:
            meter.count()
        if len(shape.empty) == len(shape.names):
            meter.account.empty += 1
            meter.empty_ms = (meter.empty_ms or (time_ms, 0))[0], time_ms
        if late:
            meter.account.late += 1
            return
        if (meter.changes != self._changes or shape.names != meter.names) and self.is_polled(name):
            meter.turn(shape, time_ms, self._changes)
        meter.readings += 1
        meter.latest_ms = time_ms

    def end(self) -> None:
        """All readings were seen."""
        for name, meter in sorted(self._meters.items()):
            meter.end()
            account = meter.account
            if meter.empty_ms is not None:
                span = _span(*meter.empty_ms)
                text = f"{account.empty} of {account.readings} readings of {name} are without any value, {span}"
                self.result.noted(text, Kind.CONTENTS, f"{name} empty")
            alike: dict[tuple[int, int, int], list[str]] = {}
            for point, held in account.points.items():
                if held.lacking_ms is not None:
                    alike.setdefault((held.lacking, *held.lacking_ms), []).append(point)
            for (count, from_ms, to_ms), points in alike.items():
                for place in range(0, len(points), MOST_NAMES):
                    names = ", ".join(points[place : place + MOST_NAMES])
                    text = (
                        f"{count} of {account.readings} readings of {name} do not have {names}, {_span(from_ms, to_ms)}"
                    )
                    self.result.noted(text, Kind.CONTENTS)
            if account.values_beyond:
                count = account.values_beyond
                text = f"{count} values of {name} are of more points than {MOST_POINTS}: not counted by point"
                self.result.noted(text, Kind.CONTENTS, f"{name} beyond")


def _is_second_look(name: str, names: tuple[str, ...]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in names for end in SECOND_LOOKS)


def _span(from_ms: int, to_ms: int) -> str:
    if from_ms == to_ms:
        return f"at {rfc3339_ms(from_ms)}"
    return f"the first at {rfc3339_ms(from_ms)}, the last at {rfc3339_ms(to_ms)}"
