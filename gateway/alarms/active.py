"""Active, unacknowledged and shelved alarms: operator actions, signed events, stored rows. Event loop only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.alarms.state import Key, State
from gateway.clock import Clock
from gateway.config.field_types import duration_text
from gateway.errors import Declined, StoreError
from gateway.recording.live_state import Live
from gateway.records import ALARM, GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.alarms")
T = TypeVar("T")

ACKNOWLEDGED, SHELVED, UNSHELVED = "alarm-acknowledged", "alarm-shelved", "alarm-unshelved"  # events
LONGEST_NAME, LONGEST_REASON = 64, 500  # characters
LONGEST_SHELF_MS = 30 * 86_400_000
WRITE_AGAIN_MS = 5_000


class EventSink(Protocol):
    """Where events and states go: the recorder."""

    @property
    def trouble(self) -> StoreError | None:
        """Why nothing is recorded for the time being."""
        ...

    def happened(self, meter: str, event: Event) -> None:
        """Hand over an event."""
        ...

    def call(self, function: Callable[[Database], T]) -> Future[T]:
        """Run ``function(store)`` in its turn."""
        ...


class AlarmStore:
    """Every alarm that is true, unacknowledged or shelved. To be used in the event loop only."""

    def __init__(self, store: Database, books: EventSink, clock: Clock, live: Live) -> None:
        """``store`` is read here and not kept."""
        self._books, self._clock, self._live = books, clock, live
        self._states: dict[Key, State] = {}
        self._last = store.alarms.last_id()
        self._unkept: dict[int, AlarmRow] = {}
        self._keeping: tuple[Future[None], dict[int, AlarmRow]] | None = None
        self._keep_ms = 0
        self._wake = asyncio.Event()
        self.listeners: list[Callable[[AlarmRow], None]] = []
        """Told of every change of an alarm: raised, cleared, acknowledged, shelved, back."""

    # — what stands —

    def standing(self) -> list[AlarmRow]:
        """What is true or not acknowledged, and not shelved, in the order of ``Standing.rank``."""
        return self._rows(lambda row: not row.shelved)

    def shelved(self) -> list[AlarmRow]:
        """What somebody wants to hear nothing of for a time."""
        return self._rows(lambda row: row.shelved)

    def _rows(self, wanted: Callable[[AlarmRow], bool]) -> list[AlarmRow]:
        rows = (state.row for state in self._states.values())
        return sorted((row for row in rows if row is not None and wanted(row)), key=lambda row: row.rank)

    def _sign(self, state: State, *, raised: bool) -> None:
        if not state.kind.own:
            fields: dict[str, Any] = {"code": state.key.code, "line": state.key.line, "text": state.text}
            fields |= {"raised": raised} | ({"since": state.since_ms} if raised else {})
            self._happened(state, ALARM, fields)

    def _change(self, state: State, row: AlarmRow) -> None:
        state.row = row if row.open else None
        self._unkept[row.id] = row
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                log.exception("whoever is told of alarms has failed")
        self._wake.set()

    # — what people do —

    async def acknowledge(self, number: int, user: str) -> AlarmRow:
        """Somebody has seen it. Raises Declined where no such alarm stands."""
        self._demand(user)
        state, row = self._find(number)
        if row.acked_ms is None:
            self._tell(state, ACKNOWLEDGED, {"user": user})
            self._change(state, replace(row, acked_ms=self._clock.now_ms(), acked_by=user))
        return await self._done(number, row)

    async def shelve(self, number: int, user: str, for_ms: int, reason: str) -> AlarmRow:
        """Somebody wants to hear nothing of it for a time; after that it comes back by itself. Raises Declined."""
        self._demand(user)
        state, row = self._find(number)
        if not 0 < for_ms <= LONGEST_SHELF_MS:
            raise Declined(
                f"alarm {number} cannot be shelved for {duration_text(for_ms)}", "give a time of up to 30 days"
            )
        until_ms, reason = self._clock.now_ms() + for_ms, reason[:LONGEST_REASON]
        self._tell(state, SHELVED, {"user": user, "until": until_ms} | ({"reason": reason} if reason else {}))
        self._change(state, replace(row, shelved_until_ms=until_ms, shelved_by=user, shelved_why=reason or None))
        return await self._done(number, row)

    async def unshelve(self, number: int, user: str) -> AlarmRow:
        """Take it back before its time. Raises Declined where no such alarm is shelved."""
        self._demand(user)
        state, row = self._find(number)
        if not row.shelved:
            raise Declined(f"alarm {number} is not shelved", "look at the list of what is")
        self._take_back(state, {"user": user})
        return await self._done(number, row)

    def _take_back(self, state: State, why: Mapping[str, str]) -> None:
        """What is still true has to be seen anew; what is over is done with."""
        row = state.row
        assert row is not None
        self._tell(state, UNSHELVED, why)
        acked = (None, None) if row.active else (row.acked_ms or self._clock.now_ms(), row.acked_by or row.shelved_by)
        back = replace(row, shelved_until_ms=None, shelved_by=None, shelved_why=None)
        self._change(state, replace(back, acked_ms=acked[0], acked_by=acked[1]))

    def _demand(self, user: object) -> None:
        """An act without a name is nobody's."""
        if not isinstance(user, str) or not 0 < len(user) <= LONGEST_NAME or not user.isprintable():
            raise Declined("it is not said who does it", f"give a name of up to {LONGEST_NAME} letters")

    def _find(self, number: int) -> tuple[State, AlarmRow]:
        for state in self._states.values():
            if state.row is not None and state.row.id == number:
                return state, state.row
        raise Declined(f"there is no alarm {number} that stands", "look at the list of those that do")

    def _tell(self, state: State, name: str, facts: Mapping[str, Any]) -> None:
        self._happened(state, name, {"code": state.key.code, "line": state.key.line, **facts})

    def _happened(self, state: State, name: str, fields: Mapping[str, Any]) -> None:
        """An event of the meter, or of the gateway: also where the meter is no more, for then it signs nothing."""
        source = state.key.source
        if source == GATEWAY or source in self._live.meters:
            self._books.happened(source, Event(name, fields))
        else:
            self._books.happened(GATEWAY, Event(name, {**fields, "meter": source}))

    async def _done(self, number: int, before: AlarmRow) -> AlarmRow:
        """What has become of it; durable, unless the disk takes nothing just now: then it is written when it does."""
        after = self._unkept.get(number, before)
        while self._keep() and self._keeping is not None:
            await asyncio.gather(asyncio.wrap_future(self._keeping[0]), return_exceptions=True)
        return after

    # — what is kept —

    def _keep(self) -> bool:
        """Write what has changed, if the disk takes it; True while that goes on."""
        now = self._clock.schedule_ms()
        if self._keeping is not None:
            future, rows = self._keeping
            if not future.done():
                return True
            self._keeping = None
            if future.cancelled() or future.exception() is not None:
                self._unkept = rows | self._unkept
                self._keep_ms = now + WRITE_AGAIN_MS
        if not self._unkept or now < self._keep_ms or self._books.trouble is not None:
            return False
        rows, self._unkept = self._unkept, {}
        self._keeping = self._books.call(partial(_write, list(rows.values()))), rows
        return True


def _write(rows: Sequence[AlarmRow], store: Database) -> None:
    with store.transaction():
        store.alarms.keep(rows)
