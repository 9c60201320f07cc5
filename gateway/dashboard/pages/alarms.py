"""Facts of the alarms page: active, shelved and past alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.runtime.context import GatewayContext
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database

PAST = 60


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """Active or unacknowledged alarms, shelved ones, and those of before."""

    listed: tuple[AlarmRow, ...]
    shelved: tuple[AlarmRow, ...]
    past: tuple[AlarmRow, ...] = ()


def listed(site: GatewayContext) -> tuple[AlarmRow, ...]:
    """Active or unacknowledged alarms that are not shelved, the most serious first. In the event loop."""
    return tuple(site.board.listed())


def look(site: GatewayContext) -> AlarmFacts:
    """The alarms of now. In the event loop."""
    return AlarmFacts(listed(site), tuple(site.board.shelved()))


def complete(facts: AlarmFacts, store: Database) -> AlarmFacts:
    """The same with past alarms. Raises StoreError."""
    open_ = {alarm.id for alarm in (*facts.listed, *facts.shelved)}
    return replace(facts, past=tuple(alarm for alarm in store.alarms.past(PAST) if alarm.id not in open_))
