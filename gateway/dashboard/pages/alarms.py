"""Facts of the alarms page: active, shelved and past alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.alarms.board import AlarmBoard
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database

PAST = 60


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """Active or unacknowledged alarms, shelved ones, and those of before."""

    listed: tuple[AlarmRow, ...]
    shelved: tuple[AlarmRow, ...]
    past: tuple[AlarmRow, ...] = ()


def listed(board: AlarmBoard) -> tuple[AlarmRow, ...]:
    """Every alarm that is active or not acknowledged, and not shelved, in the order of ``AlarmRow.rank``. In the event
    loop."""
    return tuple(board.listed())


def unacknowledged(board: AlarmBoard) -> int:
    """How many of these nobody has acknowledged: the number beside the word Alarms. In the event loop."""
    return sum(not alarm.acknowledged for alarm in board.listed())


def look(board: AlarmBoard) -> AlarmFacts:
    """What stands now. In the event loop."""
    return AlarmFacts(listed(board), tuple(board.shelved()))


def complete(facts: AlarmFacts, store: Database) -> AlarmFacts:
    """The same with past alarms. Raises StoreError."""
    open_ = {alarm.id for alarm in (*facts.listed, *facts.shelved)}
    return replace(facts, past=tuple(alarm for alarm in store.alarms.past(PAST) if alarm.id not in open_))
