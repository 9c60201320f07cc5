"""Recording series: the messages due of a meter that sends unasked, counted from record times and grids. Pure.

Every message that is recorded was due, by arriving. Besides, one is expected a period after the last moment, which is
the time of a record that is not LATE, of a miss, or the beginning of a grid. Where none has come one and a half periods
after the last moment, one was missed a period after it, and that is a moment. So due = records + misses, and drift, or
jitter of less than half a period, costs nothing.

Coverage of a series ends right behind its last moment, or where a grid begins: an interval therefore says by itself
which moment was the last before it. The gateway counts with these lines, and so does an audit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger_client.recording_grid import Grid


def misses(every_ms: int, last_ms: int, now_ms: int) -> int:
    """How many messages were expected behind the last moment and are missed by now; a period of 0 expects none."""
    return max(0, (2 * (now_ms - last_ms) - every_ms) // (2 * every_ms)) if every_ms else 0


@dataclass(slots=True)
class SeriesCount:
    """Goes along one interval of a series: what was missed so far, which moment was the last, and in which period."""

    missed: int
    last_ms: int
    every_ms: int
    _coming: list[Grid]

    @classmethod
    def from_the(cls, from_ms: int, grids: Sequence[Grid]) -> SeriesCount:
        """The interval that begins at ``from_ms``, by the grids in the order in which they were announced: each counts
        until any later one begins."""
        ahead: list[Grid] = []
        last_ms, every_ms = from_ms - 1, 0
        for begins_ms, period_ms in reversed(grids):
            if begins_ms > from_ms:
                if not ahead or begins_ms < ahead[-1][0]:
                    ahead.append((begins_ms, period_ms))
                continue
            every_ms = period_ms
            last_ms += begins_ms == from_ms
            break
        return cls(0, last_ms, every_ms, ahead)

    def recorded(self, time_ms: int) -> None:
        """A record that is not LATE has this time (ms); it is called in the order of the records."""
        self._reach(time_ms - 1)
        self._miss(misses(self.every_ms, self.last_ms, time_ms))
        self.last_ms = max(self.last_ms, time_ms)

    def waited(self, now_ms: int) -> None:
        """Nothing more was recorded until now: what is certain to be missed."""
        self._reach(now_ms)
        self._miss(misses(self.every_ms, self.last_ms, now_ms))

    def ends(self, to_ms: int) -> bool:
        """The interval ends: every moment in it counts. Whether it may end there."""
        self._reach(to_ms - 1)
        self._miss(self._moments(to_ms))
        following = self._coming[-1][0] if self._coming else None
        return self.every_ms == 0 or to_ms in (self.last_ms, self.last_ms + 1, following)

    def _reach(self, until_ms: int) -> None:
        """Grids that begin by then are in force."""
        while self._coming and self._coming[-1][0] <= until_ms:
            begins_ms, period_ms = self._coming.pop()
            self._miss(self._moments(begins_ms + (period_ms > 0)))
            self.last_ms, self.every_ms = begins_ms, period_ms

    def _moments(self, before_ms: int) -> int:
        """How many moments lie behind the last one and before another time."""
        return max(0, (before_ms - 1 - self.last_ms) // self.every_ms) if self.every_ms else 0

    def _miss(self, count: int) -> None:
        self.missed += count
        self.last_ms += count * self.every_ms


def series_count(grids: Sequence[Grid], from_ms: int, times_ms: Iterable[int]) -> SeriesCount:
    """An interval with these records that are not LATE, in order, up to the last of them."""
    count = SeriesCount.from_the(from_ms, grids)
    for time_ms in times_ms:
        count.recorded(time_ms)
    return count
