"""Facts of the alarms page: active, shelved and past alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.runtime.context import GatewayContext
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database

PAST = 60


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """What stands, what is put aside, and what was before."""

    standing: tuple[AlarmRow, ...]
    shelved: tuple[AlarmRow, ...]
    past: tuple[AlarmRow, ...] = ()


def standing(site: GatewayContext) -> tuple[AlarmRow, ...]:
    """Every alarm that is true or not acknowledged, and not shelved, the most serious first. In the event loop."""
    return tuple(site.board.listed())


def look(site: GatewayContext) -> AlarmFacts:
    """What stands now. In the event loop."""
    return AlarmFacts(standing(site), tuple(site.board.shelved()))


def complete(facts: AlarmFacts, store: Database) -> AlarmFacts:
    """The same with what was before. Raises StoreError."""
    open_ = {alarm.id for alarm in (*facts.standing, *facts.shelved)}
    return replace(facts, past=tuple(alarm for alarm in store.alarms.past(PAST) if alarm.id not in open_))
