"""Recording grids: the number of polls due between two moments. Pure.

A grid is (begins, period), both in ms of record times: polls fall due at ``begins + k · period``; one of period 0 has
none. The gateway counts its coverage by them and an audit counts again: one arithmetic on both sides.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

Grid = tuple[int, int]
"""Of the polls of a meter that are recorded: from which record time on they are due, and how far apart, in ms (0: none,
until the next grid begins)."""


def due_between(begins_ms: int, period_ms: int, from_ms: int, to_ms: int) -> int:
    """How many polls of one grid fall due in [from, to), none before it begins; a grid of period 0 has none."""
    low = max(from_ms, begins_ms)
    if to_ms <= low or period_ms == 0:
        return 0
    return -((begins_ms - to_ms) // period_ms) - -((begins_ms - low) // period_ms)


def due_by(grids: Sequence[Grid], from_ms: int, to_ms: int) -> int:
    """How many polls fall due in [from, to) by grids in the order in which they were noted, each of which counts until
    any later one begins: an epoch may be killed before a grid that it had noted has begun."""
    due, end_ms = 0, to_ms
    for begins_ms, period_ms in reversed(grids):
        due += due_between(begins_ms, period_ms, from_ms, end_ms)
        end_ms = min(end_ms, begins_ms)
    return due


class GridsInForce:
    """Grids in the order in which they were announced, each counting until any later one begins, as in ``due_by``.

    However many there are, a question costs the logarithm of their number: a history may announce thousands.
    """

    def __init__(self, grids: Iterable[Grid] = ()) -> None:
        self.first: Grid | None = None
        """That which was announced first."""
        self._announced = 0
        self._begins_ms: list[int] = []
        self._grids: list[Grid] = []
        self._places: list[int] = []
        self._due: list[int] = []
        """How many polls fall due before each of them begins."""
        self._with_polls: list[int] = []
        """The last one up to each of them that has polls; -1: none has."""
        for grid in grids:
            self.add(grid)

    def add(self, grid: Grid) -> None:
        """It is announced behind all others: those that begin with it, or later, never count."""
        while self._begins_ms and self._begins_ms[-1] >= grid[0]:
            for column in (self._begins_ms, self._grids, self._places, self._due, self._with_polls):
                column.pop()
        before = self._due[-1] + due_between(*self._grids[-1], self._begins_ms[-1], grid[0]) if self._grids else 0
        polls = self._with_polls[-1] if self._with_polls else -1
        self._with_polls.append(len(self._grids) if grid[1] else polls)
        self._due.append(before)
        self._begins_ms.append(grid[0])
        self._grids.append(grid)
        self._places.append(self._announced)
        self._announced += 1
        self.first = self.first or grid

    def due(self, from_ms: int, to_ms: int) -> int:
        """How many polls fall due in [from, to)."""
        return max(0, self._due_before(to_ms) - self._due_before(from_ms))

    def _due_before(self, time_ms: int) -> int:
        at = bisect_left(self._begins_ms, time_ms) - 1
        return self._due[at] + due_between(*self._grids[at], self._begins_ms[at], time_ms) if at >= 0 else 0

    def last_due(self, before_ms: int) -> tuple[int, int] | None:
        """Which grid, by its place in the order of announcement, the last poll before a moment was due by, and when;
        None: none was."""
        at = bisect_left(self._begins_ms, before_ms) - 1
        by = self._with_polls[at] if at >= 0 else -1
        if by < 0:
            return None
        begins_ms, period_ms = self._grids[by]
        end_ms = before_ms if by == at else self._begins_ms[by + 1]
        return self._places[by], begins_ms + (end_ms - 1 - begins_ms) // period_ms * period_ms

    def next_due(self, from_ms: int) -> int | None:
        """When the first poll from a moment on falls due, by the grids that are known; None: none does."""
        for at in range(max(0, bisect_right(self._begins_ms, from_ms) - 1), len(self._grids)):
            begins_ms, period_ms = self._grids[at]
            due_ms = begins_ms + max(0, -((begins_ms - from_ms) // period_ms)) * period_ms if period_ms else None
            if due_ms is not None and (at + 1 == len(self._grids) or due_ms < self._begins_ms[at + 1]):
                return due_ms
        return None

    def place_at(self, time_ms: int) -> int | None:
        """Which grid is in force at a moment, by its place in the order of announcement; None: none is."""
        at = bisect_right(self._begins_ms, time_ms) - 1
        return self._places[at] if at >= 0 else None

    def over(self, from_ms: int, to_ms: int) -> list[Grid]:
        """Those in force from one moment to another, and the next behind it."""
        first = bisect_right(self._begins_ms, from_ms) - 1
        return self._grids[max(0, first) : bisect_right(self._begins_ms, to_ms) + 1]
