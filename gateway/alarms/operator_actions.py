"""Operator actions on alarms: acknowledge, shelve, unshelve; each a signed event with the user's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.alarms.events import ACKNOWLEDGED, SHELVED, UNSHELVED, AlarmEvents
from gateway.alarms.state import AlarmState
from gateway.alarms.store import AlarmStore
from gateway.clock import Clock
from gateway.errors import Declined
from gateway.messages.message import Message
from gateway.records import sentence_fields
from gateway.storage.alarm_tables import AlarmRow

LONGEST_NAME, LONGEST_REASON = 64, 500  # characters
LONGEST_SHELVING_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The alarms that are acknowledged now, and how many of those meant are not: they were raised, or got another text,
    behind the moment that the operator had seen."""

    rows: list[AlarmRow]
    changed: int


class OperatorActions:
    """Actions of the users on one gateway's alarms. Event loop only.

    Each returns the row when it is durable, or at once while the database cannot be written.
    """

    def __init__(self, store: AlarmStore, events: AlarmEvents, clock: Clock) -> None:
        self._store, self._events, self._clock = store, events, clock

    async def acknowledge(self, number: int, user: str, note: str = "") -> AlarmRow:
        """Acknowledge an alarm; nothing if it is. Raises Declined without a user or such an alarm."""
        _check_user(user)
        state, row = self._store.find(number)
        if not row.acknowledged:
            row = self._acknowledge(state, row, user, note)
        await self._store.saved()
        return row

    async def acknowledge_shown(
        self, shown_ms: int, user: str, note: str = "", *, code: str | None = None, numbers: Collection[int] = ()
    ) -> Acknowledged:
        """Acknowledge all listed alarms of a code, or those of these numbers, as they stood at the moment ``shown_ms``
        (``AlarmStore.moment``), each by an event of its own. Nothing that was raised anew since, or got another text,
        is: nobody has seen it. Those that somebody has acknowledged, shelved, or that are over, are left alone.

        Raises:
            Declined: without a user.
        """
        _check_user(user)
        chosen = frozenset(numbers)
        rows, changed = [], 0
        for state in list(self._store.states.values()):
            row = state.row
            if row is None or row.acknowledged or row.shelved:
                continue
            if row.id not in chosen if code is None else row.code != code:
                continue
            if state.changed_ms <= shown_ms:
                rows.append(self._acknowledge(state, row, user, note))
            else:
                changed += 1
        await self._store.saved()
        return Acknowledged(rows, changed)

    def _acknowledge(self, state: AlarmState, row: AlarmRow, user: str, note: str) -> AlarmRow:
        if not isinstance(note, str):  # of an order over the socket
            raise TypeError("the note is no text")
        note = note[:LONGEST_REASON]
        self._events.acted(state, ACKNOWLEDGED, {"user": user} | ({"note": note} if note else {}))
        acked = replace(row, acked_ms=self._clock.now_ms(), acked_by=user, acked_note=note or None)
        return self._store.update(state, acked)

    async def shelve(self, number: int, user: str, for_ms: int, reason: str) -> AlarmRow:
        """Shelve an alarm for a time, after which it is unshelved by itself.

        Raises:
            Declined: without a user or such an alarm, or for longer than 30 days.
        """
        _check_user(user)
        state, row = self._store.find(number)
        if not 0 < for_ms <= LONGEST_SHELVING_MS:
            raise Declined(Message("alarm-shelf-too-long", alarm=number, for_ms=for_ms))
        until_ms, reason = self._clock.now_ms() + for_ms, reason[:LONGEST_REASON]
        self._events.acted(state, SHELVED, {"user": user, "until": until_ms} | ({"reason": reason} if reason else {}))
        shelved = replace(row, shelved_until_ms=until_ms, shelved_by=user, shelved_why=reason or None)
        row = self._store.update(state, shelved)
        await self._store.saved()
        return row

    async def unshelve(self, number: int, user: str) -> AlarmRow:
        """Unshelve an alarm before its time. Raises Declined without a user or such a shelved alarm."""
        _check_user(user)
        state, row = self._store.find(number)
        if not row.shelved:
            raise Declined(Message("alarm-not-shelved", alarm=number))
        row = self._unshelve(state, row, {"user": user})
        await self._store.saved()
        return row

    def unshelve_expired(self, state: AlarmState) -> None:
        """Unshelve an alarm whose time is up."""
        row, now_ms = state.row, self._clock.now_ms()
        if row is not None and row.shelved_until_ms is not None and now_ms >= row.shelved_until_ms:
            self._unshelve(state, row, sentence_fields(Message("shelf-ended"), "reason"))

    def _unshelve(self, state: AlarmState, row: AlarmRow, why: Mapping[str, Any]) -> AlarmRow:
        """An active alarm becomes unacknowledged; one that has cleared counts as acknowledged by who shelved it."""
        self._events.acted(state, UNSHELVED, why)
        acked_ms, acked_by = None, None
        if not row.active:
            acked_ms, acked_by = row.acked_ms or self._clock.now_ms(), row.acked_by or row.shelved_by
        back = replace(row, shelved_until_ms=None, shelved_by=None, shelved_why=None)
        note = row.acked_note if acked_by is not None else None
        return self._store.update(state, replace(back, acked_ms=acked_ms, acked_by=acked_by, acked_note=note))


def _check_user(user: object) -> None:
    """Operator actions require a user name."""
    if not isinstance(user, str) or not 0 < len(user) <= LONGEST_NAME or not user.isprintable():
        raise Declined(Message("alarm-no-user", limit=LONGEST_NAME))
