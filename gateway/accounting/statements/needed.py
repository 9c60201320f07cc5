"""Needed batches: which ones the next statement of a plan reads, so that they have to stay until it is made (T6).

It follows from times, without reading a record: a statement whose nodes all knew the edge at its end is followed by one
that looks back no further than to that edge, its gap, and the configuration of the day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.accounting.plans.history import History, longest_gap_ms
from gateway.clock import HOUR_MS

_BACK_MS = 25 * HOUR_MS
"""A batch is sealed up to an hour behind its readings, and the configuration in force is recorded once a day."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a plan's name needs of the database, in ms: batches up to the newest that was sealed by ``begin_ms`` have no
    record of it; by ``sealed_ms`` none that its next statement reads. ``unstated_ms``: from then on nothing is stated.
    ``first``: where that is known, the first batch that its next statement may read, in place of ``sealed_ms``.
    """

    plan: str
    begin_ms: int
    unstated_ms: int | None
    sealed_ms: int
    first: int | None

    def is_of_plan(self, next_sealed_ms: int) -> bool:
        """Whether a batch may have records of the plan; ``next_sealed_ms``: when the batch behind it was sealed."""
        return next_sealed_ms > self.begin_ms

    def is_read(self, number: int, next_sealed_ms: int) -> bool:
        """Whether the next statement may read this batch."""
        if self.unstated_ms is None or not self.is_of_plan(next_sealed_ms):
            return False
        return number >= self.first if self.first is not None else next_sealed_ms > self.sealed_ms


def needs_of(history: History) -> Iterator[Need]:
    """The need of each plan's name."""
    for name in history.names:
        plans, stated = [signed.plan for signed in history.of_plan(name)], history.stated(name)
        back_ms = max(map(longest_gap_ms, plans)) + plans[-1].interval_ms + _BACK_MS
        unstated_ms = history.unstated_ms(name)
        sealed_ms = (plans[0].from_ms if unstated_ms is None else unstated_ms) - back_ms
        is_open = bool(stated) and bool(stated[-1].fields["findings"].get("open"))
        first = int(stated[-1].fields["batches"][0][0]) if is_open else None
        yield Need(name, plans[0].from_ms - back_ms, unstated_ms, sealed_ms, first)
