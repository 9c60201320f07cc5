"""Facts of the alarms page: active, shelved and past alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.alarms.board import AlarmBoard
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database

PAST = 60


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """What stands, what is put aside, and what was before."""

    standing: tuple[AlarmRow, ...]
    shelved: tuple[AlarmRow, ...]
    past: tuple[AlarmRow, ...] = ()


def standing(board: AlarmBoard) -> tuple[AlarmRow, ...]:
    """Every alarm that is true or not acknowledged, and not shelved, the most serious first. In the event loop."""
    return tuple(board.listed())


def look(board: AlarmBoard) -> AlarmFacts:
    """What stands now. In the event loop."""
    return AlarmFacts(standing(board), tuple(board.shelved()))


def complete(facts: AlarmFacts, store: Database) -> AlarmFacts:
    """The same with what was before. Raises StoreError."""
    open_ = {alarm.id for alarm in (*facts.standing, *facts.shelved)}
    return replace(facts, past=tuple(alarm for alarm in store.alarms.past(PAST) if alarm.id not in open_))
