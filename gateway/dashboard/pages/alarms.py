"""Facts of the alarms page: active, shelved and past alarms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

from gateway.alarms.board import AlarmBoard
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database

PAST = 60
MOST_TICKS = 1_000
"""Alarms that one page lets be ticked, the first ones of its list: what a form of 16 KB holds. A code has no limit."""


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """Active or unacknowledged alarms, shelved ones, and those of before.

    ``shown_ms``: the moment of the list, which its forms name (``AlarmStore.moment``). ``ticked``: the numbers of those
    that are ticked already.
    """

    listed: tuple[AlarmRow, ...]
    shelved: tuple[AlarmRow, ...]
    shown_ms: int
    ticked: frozenset[int] = frozenset()
    past: tuple[AlarmRow, ...] = ()

    @property
    def to_acknowledge(self) -> dict[str, int]:
        """How many of each code nobody has acknowledged, in the order of the list."""
        return dict(Counter(alarm.code for alarm in self.listed if not alarm.acknowledged))

    @property
    def can_tick(self) -> frozenset[int]:
        """The numbers of those that can be ticked."""
        waiting = (alarm.id for alarm in self.listed if not alarm.acknowledged)
        return frozenset(islice(waiting, MOST_TICKS))


def listed(board: AlarmBoard) -> tuple[AlarmRow, ...]:
    """Every alarm that is active or not acknowledged, and not shelved, in the order of ``AlarmRow.rank``. In the event
    loop."""
    return tuple(board.listed())


def unacknowledged(board: AlarmBoard) -> int:
    """How many of these nobody has acknowledged: the number beside the word Alarms. In the event loop."""
    return sum(not alarm.acknowledged for alarm in board.listed())


def look(board: AlarmBoard, ticked_ms: int | None = None) -> AlarmFacts:
    """What stands now; ``ticked_ms``: with those ticked that stood so at that moment. In the event loop."""
    ticked = board.unchanged(ticked_ms) if ticked_ms is not None else frozenset[int]()
    return AlarmFacts(listed(board), tuple(board.shelved()), board.moment(), ticked)


def complete(facts: AlarmFacts, store: Database) -> AlarmFacts:
    """The same with past alarms. Raises StoreError."""
    open_ = {alarm.id for alarm in (*facts.listed, *facts.shelved)}
    return replace(facts, past=tuple(alarm for alarm in store.alarms.past(PAST) if alarm.id not in open_))
