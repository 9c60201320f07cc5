"""Audit of due slots: each reading of a meter with grids takes one due time, so it shows *which* polls were recorded.

The count of coverage (due_polls.py) says how many polls were recorded, not which: two hundred readings in the first
hundred seconds would stand for four hundred seconds. So in the order of their times (``bt``) each reading takes the
earliest free slot d, a due time of the announced grids, with

    d - 1 s ≤ bt ≤ d + step + min(60 s, step + 10 s), by either as much more as ``clock`` events jump between,

where ``step`` is that of d's grid, thinned or slowed. A gateway gives a poll up a period after it was due, and behind
that time-outs last a minute at most; a poll that was given up meanwhile leaves its slot free. A reading that finds no
slot, or whose time does not rise, is found. Slots run on over coverage records, batches and epochs, and go by: one
pointer a meter. Series have none.

Due times that no reading answers are shown: the longest run of them, with the reasons that coverage gives. There a
reading answers the latest due time that is no later than it; the earliest free slot would hide the first polls of a
hole. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledger_client.audit.notes import Kind
from ledger_client.audit.result import Audit, FreeRun
from ledger_client.audit.times import Jumps
from ledger_client.formats.record import Coverage
from ledger_client.recording_grid import Grid

EARLY_MS: Final = 1000
"""A due time may be a little off the clock that a reading is dated by."""
TIMEOUTS_MS: Final = 60_000
GIVEN_UP_MS: Final = 10_000
ASLEEP: Final = "asleep"
LONG_MS: Final = 86_400_000
"""A device that sleeps at night answers by day."""


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


class Gap(NamedTuple):
    """Due times in a row that no reading answers: their number, the first, and the next one that a reading answers, or
    the end of what is known (Unix ms)."""

    slots: int
    from_ms: int
    to_ms: int
    free_ms: int
    """The time that they stand for: their steps together, without what lies between two grids."""


@dataclass(slots=True)
class Slots:
    """The free slots of one meter, the oldest first. One object as long as its grids follow each other."""

    begins_ms: int = 0
    """Of the time before nothing is known."""
    _stretches: list[_Stretch] = field(default_factory=list)
    _grids: int = 0
    _latest_ms: int = -1
    _answered_ms: int = field(init=False)
    _place: int = 0
    """In which stretch that is, or a later one."""

    def __post_init__(self) -> None:
        self._answered_ms = self.begins_ms - 1

    def learn(self, grids: Sequence[Grid]) -> None:
        """The meter's grids so far, in the order in which they were announced: each counts until any later begins."""
        for begins_ms, step_ms in grids[self._grids :]:
            while self._stretches and self._stretches[-1].begins_ms >= begins_ms:
                self._stretches.pop()
                self._place = min(self._place, max(0, len(self._stretches) - 1))
            if self._stretches:
                last = self._stretches[-1]
                last.end_ms = begins_ms if last.end_ms is None else min(last.end_ms, begins_ms)
            if step_ms:
                self._stretches.append(_Stretch(begins_ms, begins_ms, step_ms))
        self._grids = len(grids)

    def gap(self, until_ms: int, *, answered: bool) -> Gap | None:
        """The due times behind the one that the latest reading answers and before a moment, by arithmetic.

        ``answered``: a reading is of that moment, and answers the last of them. Asked for before it takes its slot.
        """
        behind_ms = self._answered_ms
        count, free_ms, first_ms, last_ms, step_ms = 0, 0, 0, behind_ms, 0
        for place in range(self._place, len(self._stretches)):
            stretch = self._stretches[place]
            begins_ms, every_ms = stretch.begins_ms, stretch.step_ms
            if begins_ms > until_ms + EARLY_MS:
                break
            end_ms = until_ms + min(EARLY_MS, every_ms // 10) + 1 if answered else until_ms
            if stretch.end_ms is not None and stretch.end_ms < end_ms:
                end_ms = stretch.end_ms
            low = max(0, -((begins_ms - behind_ms - 1) // every_ms))
            high = (end_ms - 1 - begins_ms) // every_ms
            if high >= low:
                self._place = place if answered else self._place
                first_ms = first_ms if count else begins_ms + low * every_ms
                count, free_ms = count + high - low + 1, free_ms + (high - low + 1) * every_ms
                last_ms, step_ms = begins_ms + high * every_ms, every_ms
        if not answered:
            return Gap(count, first_ms, min(last_ms + step_ms, until_ms), free_ms) if count else None
        self._answered_ms = last_ms
        return Gap(count - 1, first_ms, last_ms, free_ms - step_ms) if count > 1 else None

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
        self._place = max(0, self._place - gone)
        if not self._stretches:
            return False
        next_ms = self._stretches[0].next_ms
        if next_ms - EARLY_MS > time_ms and next_ms - EARLY_MS > time_ms + jumps.between(time_ms, next_ms):
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


@dataclass(slots=True)
class FreeSlots:
    """The due times of one meter that no reading answers, among its coverage records, in order.

    The reasons of a gap are those of all coverage records that it touches, whatever else these count; and it has no
    more due times than these say were missed, for a reading may answer a due time before the latest.
    """

    result: Audit
    meter: str
    _held: tuple[int, Counter[str]] = field(default_factory=lambda: (0, Counter()))
    _since: Counter[str] = field(default_factory=Counter)
    _to_ms: int = 0

    def place(self, body: Coverage, times_ms: Sequence[int], slots: Slots, jumps: Jumps) -> list[int]:
        """The readings that a coverage record counts take their slots; the times of those that find none."""
        without, missed, first = [], body.missed, True
        for time_ms in times_ms:
            gap = slots.gap(time_ms, answered=True)
            if gap is not None and self._counts(gap):
                self._keep(gap, missed if gap.to_ms > body.from_ms else {})
            if first:
                self._held, self._since, first = (0, Counter()), Counter(), False
            if not slots.take(time_ms, jumps):
                without.append(time_ms)
        if times_ms:
            self._held = body.to_ms, Counter(missed)
        else:
            self._since.update(missed)
        self._to_ms = max(self._to_ms, body.to_ms)
        return without

    def dated(self, from_ms: int, began_ms: int, stopped: int) -> None:
        """Polls that were due while the gateway was off, by the ``clock`` event that dates the next epoch."""
        self._run(FreeRun(stopped, from_ms, began_ms, began_ms - from_ms, Counter(stopped=stopped)))

    def end(self, slots: Slots) -> None:
        """There are no more readings: the rest is free until the end of coverage."""
        gap = slots.gap(self._to_ms, answered=False)
        if gap is not None and self._counts(gap):
            self._keep(gap, {})

    def _counts(self, gap: Gap) -> bool:
        longest = self.result.account(self.meter).longest_free
        return longest is None or gap.free_ms > longest.free_ms or gap.free_ms >= LONG_MS

    def _keep(self, gap: Gap, missed: Mapping[str, int]) -> None:
        reasons = Counter(missed) + self._since
        if gap.from_ms < self._held[0]:
            reasons += self._held[1]
        slots = min(gap.slots, reasons.total())
        if slots:
            self._run(FreeRun(slots, gap.from_ms, gap.to_ms, gap.free_ms * slots // gap.slots, reasons))

    def _run(self, run: FreeRun) -> None:
        account, reasons = self.result.account(self.meter), run.missed
        if account.longest_free is None or run.free_ms > account.longest_free.free_ms:
            account.longest_free = run
        if reasons[ASLEEP] and run.free_ms >= LONG_MS:
            text = f"{self.meter} was asleep for a day or longer: {run}"
            self.result.noted(text, Kind.ASLEEP, self.meter, run.free_ms)
