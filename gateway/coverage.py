"""What was due and what became of it: the counting behind coverage records. Pure.

Polls of a meter fall due at ``anchor_ms + k · period_ms``; the anchor of an epoch is the ``to`` of its first coverage
record, so that anyone who holds the records and the period can count the due polls again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.store import Tail
from ledger_client.record import Coverage


def due_between(anchor_ms: int, period_ms: int, from_ms: int, to_ms: int) -> int:
    """How many polls of the grid fall due in [from, to), none before the anchor; a grid of period 0 has none."""
    low = max(from_ms, anchor_ms)
    if to_ms <= low or period_ms == 0:
        return 0
    return -((anchor_ms - to_ms) // period_ms) - -((anchor_ms - low) // period_ms)


def first_coverage(tail: Tail | None, anchor_ms: int, *, clock_usable: bool) -> Coverage:
    """The first record of an epoch: from the last known ``to`` to the anchor, the downtime counted as stopped.

    A meter without a past gets an empty interval. With an unusable clock the downtime counts 0 (EVIDENCE §2).
    """
    if tail is None or tail.covered_to_ms is None:
        return Coverage(anchor_ms, anchor_ms, 0, 0, {})
    stopped = stopped_polls(tail, anchor_ms) if clock_usable else 0
    due = tail.recorded_since + stopped
    return Coverage(tail.covered_to_ms, anchor_ms, due, tail.recorded_since, {"stopped": stopped} if stopped else {})


def stopped_polls(tail: Tail, anchor_ms: int) -> int:
    """How many polls fell due and are not records between the last known ``to`` and the anchor of the next epoch."""
    if tail.covered_to_ms is None or tail.anchor_ms is None or tail.period_ms is None:
        return 0
    due = due_between(tail.anchor_ms, tail.period_ms, tail.covered_to_ms, anchor_ms)
    return max(0, due - tail.recorded_since)


@dataclass(slots=True)
class Tally:
    """The polls of one meter since its last coverage record, counted as each is finished, in due order.

    Of the polls, which are due every ``period_ms``, those of the grid in force are counted: every ``factor``-th from
    ``grid_ms`` on. Due times are those of the schedule; the interval is one of record times.
    """

    from_ms: int
    to_ms: int
    period_ms: int
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    factor: int = 1
    grid_ms: int = field(init=False)
    next_due_ms: int = field(init=False)
    """The due time of the oldest poll that has not finished."""

    def __post_init__(self) -> None:
        self.grid_ms = self.next_due_ms = self.to_ms

    @classmethod
    def begin(cls, record_ms: int, schedule_ms: int, period_ms: int, factor: int) -> Tally:
        """A meter whose polls are due from a moment on, of which both times are given; under thinning by ``factor``."""
        tally = cls(record_ms, record_ms, period_ms, factor=factor)
        tally.grid_ms = tally.next_due_ms = schedule_ms
        return tally

    def wanted(self, due_ms: int) -> bool:
        """Whether the poll that was due then is to be recorded."""
        return self.factor == 1 or (due_ms - self.grid_ms) % (self.period_ms * self.factor) == 0

    def passed_by(self, due_ms: int) -> None:
        """A poll that is not wanted has finished."""
        self.next_due_ms = due_ms + self.period_ms

    @property
    def next_wanted_ms(self) -> int:
        """The due time of the oldest poll that is to be recorded and has not finished."""
        every_ms = self.period_ms * self.factor
        return self.next_due_ms + (self.grid_ms - self.next_due_ms) % every_ms

    def finished(self, due_ms: int, reason: str | None, record_ms: int | None = None) -> None:
        """Count a poll as recorded, or as missed for ``reason``; the interval now holds its due time, which is
        ``record_ms`` among record times (None: the same)."""
        if reason is None:
            self.recorded += 1
        else:
            self.missed[reason] += 1
        self.to_ms = max(self.to_ms, (due_ms if record_ms is None else record_ms) + 1)
        self.next_due_ms = due_ms + self.period_ms

    def skip(self, until_ms: int, record_ms: Callable[[int], int]) -> None:
        """Count every poll that is due before ``until_ms`` and has not finished as stopped."""
        while self.next_due_ms < until_ms:
            if self.wanted(self.next_due_ms):
                self.finished(self.next_due_ms, "stopped", record_ms(self.next_due_ms))
            else:
                self.passed_by(self.next_due_ms)

    def end(self, at_ms: int, record_ms: Callable[[int], int]) -> None:
        """The same, and the interval ends there: no poll of this schedule is due any more."""
        self.skip(at_ms, record_ms)
        self.to_ms = max(self.to_ms, record_ms(at_ms))

    def lost_after_all(self, reason: str) -> None:
        """A poll counted as recorded could not be committed."""
        self.recorded -= 1
        self.missed[reason] += 1

    def coverage(self) -> Coverage:
        """What to sign now; call ``start_over`` once it is committed."""
        missed = {reason: n for reason, n in sorted(self.missed.items()) if n}
        return Coverage(self.from_ms, self.to_ms, self.recorded + sum(missed.values()), self.recorded, missed)

    def start_over(self) -> None:
        """Begin the next interval where this one ended."""
        self.from_ms, self.recorded, self.missed = self.to_ms, 0, Counter()

    def record_every(self, factor: int) -> None:
        """From the next poll on, every ``factor``-th poll is wanted."""
        self.factor, self.grid_ms = factor, self.next_due_ms
