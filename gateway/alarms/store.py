"""Alarm store: the states of all alarms, their rows and how these reach the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol, TypeVar

from gateway.alarms.state import AlarmKey, AlarmState
from gateway.clock import Clock
from gateway.errors import Declined, StoreError
from gateway.messages.message import Message
from gateway.recording.statement_key import Away
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.alarms")
T = TypeVar("T")

SAVE_AGAIN_MS = 5_000


class EventSink(Protocol):
    """Where signed events and rows go: the writer of the epoch."""

    @property
    def trouble(self) -> StoreError | None:
        """Why nothing is recorded for the time being."""
        ...

    @property
    def key_away(self) -> Away | None:
        """Since when the statement key has been away, and why; None: it is at hand."""
        ...

    def happened(self, meter: str, event: Event) -> None:
        """Hand over an event. Returns at once."""
        ...

    def call(self, function: Callable[[Database], T]) -> Future[T]:
        """Run ``function(store)`` in the writer thread, in its turn."""
        ...


class AlarmStore:
    """Every alarm whose condition is true, or that is not back to normal. Event loop only.

    A changed row is in memory and with the listeners at once, and in the database as soon as that can be written; rows
    that changed meanwhile are written together.
    """

    def __init__(self, database: Database, sink: EventSink, clock: Clock) -> None:
        """``database`` is read here and not kept."""
        self.states: dict[AlarmKey, AlarmState] = {}
        self.listeners: list[Callable[[AlarmRow], None]] = []
        """Called at each change of a row: raised, cleared, acknowledged, shelved, unshelved."""
        self._sink, self._clock = sink, clock
        self._last_id = database.alarms.last_id()
        self._unsaved: dict[int, AlarmRow] = {}
        self._saving: tuple[Future[None], dict[int, AlarmRow]] | None = None
        """Rows on their way. The writer thread has its own list of them, and completes the future."""
        self._save_at_ms = 0
        self._moment_ms = 0

    def moment(self) -> int:
        """A moment of this list, by record time, ms: behind every change so far, and before each that follows."""
        self._moment_ms = max(self._moment_ms + 1, self._clock.now_ms())
        return self._moment_ms

    def listed(self) -> list[AlarmRow]:
        """Active or unacknowledged alarms that are not shelved, in the order of ``AlarmRow.rank``."""
        return self._rows(lambda row: not row.shelved)

    def shelved(self) -> list[AlarmRow]:
        """Shelved alarms, in the same order."""
        return self._rows(lambda row: row.shelved)

    def _rows(self, wanted: Callable[[AlarmRow], bool]) -> list[AlarmRow]:
        rows = (state.row for state in self.states.values())
        return sorted((row for row in rows if row is not None and wanted(row)), key=lambda row: row.rank)

    def unchanged(self, since_ms: int) -> frozenset[int]:
        """The numbers of the listed alarms that nobody has acknowledged, and that stood at a moment as they stand."""
        states = [(state, state.row) for state in self.states.values() if state.changed_ms <= since_ms]
        rows = (row for _, row in states if row is not None)
        return frozenset(row.id for row in rows if not (row.acknowledged or row.shelved))

    def find(self, number: int) -> tuple[AlarmState, AlarmRow]:
        """The listed or shelved alarm of this number. Raises Declined where there is none."""
        for state in self.states.values():
            if state.row is not None and state.row.id == number:
                return state, state.row
        raise Declined(Message("alarm-not-active", alarm=number))

    def next_id(self) -> int:
        """A number that no alarm has had."""
        self._last_id += 1
        return self._last_id

    def update(self, state: AlarmState, row: AlarmRow) -> AlarmRow:
        """Give an alarm this row, or none if with it the alarm is back to normal. Returns the row."""
        before = state.row
        if before is None or (before.times, before.text) != (row.times, row.text):
            state.changed_ms = self.moment()
        state.row = row if row.open else None
        self._unsaved[row.id] = row
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                log.exception("whoever is told of alarms has failed")
        return row

    def save(self) -> bool:
        """Write changed rows, unless the database cannot be written; True while that goes on."""
        now = self._clock.schedule_ms()
        if self._saving is not None:
            future, rows = self._saving
            if not future.done():
                return True
            self._saving = None
            if future.cancelled() or future.exception() is not None:
                self._unsaved = rows | self._unsaved
                self._save_at_ms = now + SAVE_AGAIN_MS
        if not self._unsaved or now < self._save_at_ms or self._sink.trouble is not None:
            return False
        rows, self._unsaved = self._unsaved, {}
        self._saving = self._sink.call(partial(_write, list(rows.values()))), rows
        return True

    async def saved(self) -> None:
        """Wait until the rows are durable; not while the database cannot be written, for then they are saved later."""
        while self.save() and self._saving is not None:
            await asyncio.gather(asyncio.wrap_future(self._saving[0]), return_exceptions=True)


def _write(rows: Sequence[AlarmRow], store: Database) -> None:
    with store.transaction():
        store.alarms.keep(rows)
