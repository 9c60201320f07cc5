"""Receiver of notifications: one task that has messages made when they are due, delivers them, and tries again.

Whatever waits for a network does so in a thread of the receiver: polling, the writer and the event loop wait for none
of it, and no receiver for another. While its server is away the receiver makes no further message: what is due
meanwhile leaves together when it is back. A message that is refused lets others pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from gateway.alarms.notification import pacing
from gateway.alarms.notification.delivery import deliver, prepare
from gateway.alarms.notification.notice_book import NoticeBook
from gateway.alarms.notification.notification import Notification, in_order, notification_id
from gateway.alarms.notification.outcome import Delivered, NotDelivered
from gateway.alarms.notification.selection import Selection
from gateway.config.notify import NotifyEntry
from gateway.messages.message import Message
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.records import sentence_fields
from gateway.runtime.context import GatewayContext
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.notice_table import Notice, Outcome
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.notify")

SAVED_WITHIN_S: Final = 1.0
"""How long a message waits to be noted before it leaves."""
LEAVE_WITHIN_S: Final = 1.0
"""At the end: how long the answer to a message is waited for that is under way."""
LOOK_MS: Final = 60_000
"""Longest time between two looks, for what cannot be written yet."""


class Receiver(BackgroundTask):
    """One ``[[notify]]`` of one epoch. Event loop only."""

    def __init__(self, site: GatewayContext, entry: NotifyEntry) -> None:
        self._site, self._entry, self._clock = site, entry, site.clock
        self._book = NoticeBook(entry.name, site.recorder, site.config.database, site.clock)
        self._open: Sequence[AlarmRow] = (*site.board.listed(), *site.board.shelved())
        self._heard: list[AlarmRow] = []
        """Changes that came before what has been notified was read."""
        self._selection: Selection | None = None
        self._wake = asyncio.Event()
        self._failures: dict[str, int] = {}
        """By message: failed attempts of this process."""
        self._not_before_ms: dict[str, int] = {}
        """By message: when it is tried again, by the schedule's clock."""
        self._refused: set[str] = set()
        """Messages that the server did not want, which keep their pauses when it takes another."""
        self._away = False
        """At the last attempt the server was not to be had, or not for us."""
        self._failing: tuple[Sentence, int] | None = None
        """Why the last message was not delivered, or not to all, and since when none is."""
        self._delivered = 0
        site.board.listeners.append(self._hear)
        site.receivers.join(entry.name, self.facts)

    def close(self) -> None:
        """Hear no more."""
        self._site.board.listeners.remove(self._hear)
        self._site.receivers.leave(self._entry.name)

    def facts(self) -> dict[str, Any]:
        """State for the doctor and the board: whether it fails, in words, since when; changes that wait in messages or
        for one, and messages that were delivered since the start."""
        waiting = len(self._book.pending()) + sum(map(len, self._book.messages().values()))
        why, since_ms = self._failing or (Message("notify-idle", n=self._delivered), None)
        state = sentence_fields(why, "state")
        counts = {"waiting": waiting, "delivered": self._delivered}
        return {"failing": self._failing is not None, **state, "since": since_ms, **counts}

    def _hear(self, row: AlarmRow) -> None:
        """A listener of the board."""
        if self._selection is None:
            self._heard.append(row)
            return
        self._book.refresh(row)
        self._book.put(self._selection.hear(row))
        self._wake.set()

    async def run(self) -> None:
        """Notify until cancelled."""
        await self.begin()
        try:
            while True:
                self._wake.clear()
                wait_ms = await self.turn()
                try:
                    async with asyncio.timeout(max(0, min(wait_ms, LOOK_MS)) / 1000):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._book.write_last()

    async def begin(self) -> None:
        """Take over what has been notified, and the alarms that are open."""
        rows = await self._book.load()
        await in_thread(partial(prepare, self._entry), f"notify {self._entry.name}")
        if self._selection is None:
            self._selection = selection = Selection(self._entry, self._book.has)
            now_ms, known = self._clock.now_ms(), {row.id for row in self._open}
            closed = [row for row in rows if row.id not in known]
            for row in (*closed, *self._open):
                self._book.put(selection.begin([row], now_ms))
            if (since_ms := self._book.undelivered_since_ms()) is not None:
                self._failing = Message("notify-undelivered"), since_ms
            heard, self._heard, self._open = self._heard, [], ()
            for row in heard:
                self._hear(row)

    async def turn(self) -> int:
        """Collect what is due, have it written, and try one message. Returns how long until there is more to do, in
        ms."""
        selection, now_ms = self._selection, self._clock.now_ms()
        assert selection is not None
        while due := selection.due(now_ms):
            self._book.put(due)
        leave_ms = self._compose(now_ms)
        await self._book.save(SAVED_WITHIN_S)
        tries = {name: self._not_before_ms.get(name, 0) - self._clock.schedule_ms() for name in self._book.messages()}
        ready = [name for name, wait_ms in tries.items() if wait_ms <= 0]
        if ready:
            await self._try(ready[0], self._book.messages()[ready[0]])
            return 0
        waits = [*tries.values()]
        waits += [at_ms - now_ms for at_ms in (leave_ms, selection.next_ms) if at_ms is not None]
        return min(waits, default=LOOK_MS)

    def _compose(self, now_ms: int) -> int | None:
        """Make a message of what is due if it may leave; gives when it may, None while nothing waits for that."""
        pending = [one for one in self._book.pending() if not one.row.shelved]
        if not pending or (self._away and self._book.messages()):
            return None
        made_ms = self._book.made_ms()
        leave_ms = pacing.may_leave_ms(made_ms, now_ms)
        if all(one.change == "cleared" for one in pending):
            first_ms = min(one.row.cleared_ms or now_ms for one in pending)
            leave_ms = max(leave_ms, first_ms + pacing.CLEARED_WAITS_MS)
        if leave_ms > now_ms:
            return leave_ms
        items = [(one.change, one.row) for one in pending]
        name = notification_id(self._site.config.gateway_id, self._entry.name, items)
        digest = pacing.is_digest(made_ms, now_ms)
        self._book.put(replace(one, message=name, made_ms=now_ms, digest=digest) for one in pending)
        return None

    def _notification(self, name: str, notices: Sequence[Notice]) -> Notification:
        config = self._site.config
        return Notification(
            gateway=config.gateway_id,
            receiver=self._entry.name,
            language=self._entry.language,
            zone=config.zone,
            made_ms=notices[0].made_ms or 0,
            items=in_order([(one.change, one.row) for one in notices]),
            id=name,
            digest=notices[0].digest,
        )

    async def _try(self, name: str, notices: Sequence[Notice]) -> None:
        """One attempt to deliver a message."""
        work = partial(deliver, self._entry, self._site.config.path.parent, self._notification(name, notices))
        sending = asyncio.ensure_future(in_thread(work, f"notify {self._entry.name}"))
        try:
            delivered = await asyncio.shield(sending)
        except NotDelivered as error:
            self._failed(name, notices, error)
        except asyncio.CancelledError:
            await asyncio.wait({sending}, timeout=LEAVE_WITHIN_S)
            if sending.done() and not sending.cancelled() and sending.exception() is None:
                self._sent(name, notices, sending.result())
            raise
        else:
            self._sent(name, notices, delivered)
            await self._book.save(SAVED_WITHIN_S)

    def _sent(self, name: str, notices: Sequence[Notice], delivered: Delivered) -> None:
        log.info("notify %s: message %s, %d alarms: %s", self._entry.name, name, len(notices), delivered.status)
        self._away, self._failing = False, None
        self._delivered += 1
        if delivered.missed:
            self._fails(Message("notify-recipients", server=self._entry.server, names=delivered.missed))
        self._not_before_ms = {other: at for other, at in self._not_before_ms.items() if other in self._refused}
        self._done(name, notices, "sent")

    def _failed(self, name: str, notices: Sequence[Notice], error: NotDelivered) -> None:
        self._fails(error.sentence)
        self._away = not error.refused
        (self._refused.add if error.refused else self._refused.discard)(name)
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        again_ms = self._clock.schedule_ms() + pacing.pause_ms(failures, error.retry_after_s)
        for other in [name] if error.refused else self._book.messages():
            self._not_before_ms[other] = max(again_ms, self._not_before_ms.get(other, 0))
        if self._clock.now_ms() - (notices[0].made_ms or 0) >= pacing.GIVE_UP_MS:
            log.error("notify %s: message %s is given up after 24 h: %s", self._entry.name, name, error.sentence)
            self._done(name, notices, "given-up")

    def _fails(self, why: Sentence) -> None:
        if self._failing is None or self._failing[0] != why:
            log.warning("notify %s: %s", self._entry.name, why)
        self._failing = why, self._failing[1] if self._failing is not None else self._clock.now_ms()

    def _done(self, name: str, notices: Sequence[Notice], outcome: Outcome) -> None:
        self._failures.pop(name, None)
        self._refused.discard(name)
        self._not_before_ms.pop(name, None)
        done_ms, board = self._clock.now_ms(), self._site.board
        self._book.put(replace(one, done_ms=done_ms, outcome=outcome) for one in notices)
        self._book.forget({row.id for row in (*board.listed(), *board.shelved())})


def make_receiver(site: GatewayContext, entry: NotifyEntry) -> Receiver:
    """Make one, which begins to listen."""
    return Receiver(site, entry)
