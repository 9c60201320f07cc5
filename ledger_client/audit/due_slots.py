"""Audit of due slots: each reading of a meter with grids takes one due time, so it shows *which* polls were recorded.

The count of coverage (due_polls.py) says how many polls were recorded, not which: two hundred readings in the first
hundred seconds would stand for four hundred seconds. So in the order of their times (``bt``) each reading takes the
earliest free slot d, a due time of the announced grids, with

    d - 1 s ≤ bt ≤ d + step + min(60 s, step + 10 s) + what ``clock`` events jump between,

where ``step`` is that of d's grid, thinned or slowed. A gateway gives a poll up a period after it was due, and behind
that time-outs last a minute at most; a poll that was given up meanwhile leaves its slot free. A reading that finds no
slot, or whose time does not rise, is found. Slots run on over coverage records, batches and epochs, and go by: one
pointer a meter. Series have none. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger_client.audit.jumps import Jumps
from ledger_client.recording_grid import Grid

EARLY_MS: Final = 1000
"""A due time may be a little off the clock that a reading is dated by."""
TIMEOUTS_MS: Final = 60_000
GIVEN_UP_MS: Final = 10_000


def room_ms(step_ms: int) -> int:
    """How long after its due time a poll of a grid may be answered."""
    return step_ms + min(TIMEOUTS_MS, step_ms + GIVEN_UP_MS)


@dataclass(slots=True)
class _Stretch:
    """Due times from ``next_ms`` on, ``step_ms`` apart, before ``end_ms`` (None: no end yet)."""

    begins_ms: int
    next_ms: int
    step_ms: int
    end_ms: int | None = None

    @property
    def over(self) -> bool:
        return self.end_ms is not None and self.next_ms >= self.end_ms

    def pass_by(self, before_ms: int) -> None:
        """Its slots before a moment are gone."""
        if before_ms > self.next_ms:
            self.next_ms += -((self.next_ms - before_ms) // self.step_ms) * self.step_ms


@dataclass(slots=True)
class Slots:
    """The free slots of one meter, the oldest first. One object as long as its grids follow each other."""

    _stretches: list[_Stretch] = field(default_factory=list)
    _grids: int = 0
    _latest_ms: int = -1

    def learn(self, grids: Sequence[Grid]) -> None:
        """The meter's grids so far, in the order in which they were announced: each counts until any later begins."""
        for begins_ms, step_ms in grids[self._grids :]:
            while self._stretches and self._stretches[-1].begins_ms >= begins_ms:
                self._stretches.pop()
            if self._stretches:
                last = self._stretches[-1]
                last.end_ms = begins_ms if last.end_ms is None else min(last.end_ms, begins_ms)
            if step_ms:
                self._stretches.append(_Stretch(begins_ms, begins_ms, step_ms))
        self._grids = len(grids)

    def take(self, time_ms: int, jumps: Jumps) -> bool:
        """Whether a reading of this time takes a slot. Readings come in the order of their times."""
        if time_ms <= self._latest_ms:
            return False
        self._latest_ms = time_ms
        gone = 0
        for stretch in self._stretches:
            self._expire(stretch, time_ms, jumps)
            if not stretch.over:
                break
            gone += 1
        del self._stretches[:gone]
        if not self._stretches or self._stretches[0].next_ms - EARLY_MS > time_ms:
            return False
        self._stretches[0].next_ms += self._stretches[0].step_ms
        return True

    def _expire(self, stretch: _Stretch, time_ms: int, jumps: Jumps) -> None:
        """Slots that are too old for a reading of this time are too old for any later one."""
        while True:
            oldest_ms = time_ms - room_ms(stretch.step_ms) - jumps.between(stretch.next_ms, time_ms)
            if stretch.over or stretch.next_ms >= oldest_ms:
                return
            same_ms = jumps.same_until(stretch.next_ms)
            stretch.pass_by(oldest_ms if same_ms is None else min(oldest_ms, same_ms + 1))
