"""Notice book of one receiver: what it is to be notified of and has been, in memory and in the database. Event loop.

While the database cannot be written the book goes on in memory; a process that ends meanwhile may then notify again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from gateway.alarms.notification.pacing import HOUR_MS
from gateway.alarms.store import EventSink
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.process.threads import in_thread
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from gateway.storage.notice_table import Key, Notice

log = logging.getLogger("meterseal.notify")

SAVE_AGAIN_MS: Final = 5_000


class NoticeBook:
    """``sink``: the writer of the epoch; ``path``: its database, to read."""

    def __init__(self, receiver: str, sink: EventSink, path: Path, clock: Clock) -> None:
        self._receiver, self._sink, self._path, self._clock = receiver, sink, path, clock
        self._notices: dict[Key, Notice] = {}
        self._unsaved: dict[Key, Notice] = {}
        self._save_at_ms = 0

    async def load(self) -> Sequence[AlarmRow]:
        """Take over what the database has; gives the alarms of it as they are there. A database that cannot be read is
        as an empty one: rather twice than never."""
        try:
            notices, rows = await in_thread(self._read, "read notices")
        except StoreError as error:
            log.warning("notify %s: what has been notified cannot be read: %s", self._receiver, error)
            return ()
        self._notices = {one.key: one for one in notices} | self._notices
        return rows

    def _read(self) -> tuple[list[Notice], Sequence[AlarmRow]]:
        store = Database(self._path, read_only=True)
        try:
            notices = store.notices.of(self._receiver, self._clock.now_ms() - HOUR_MS)
            return notices, store.notices.alarms_of(notices)
        finally:
            store.close()

    def has(self, key: Key) -> bool:
        """Whether there is a notice of this."""
        return key in self._notices

    def put(self, notices: Iterable[Notice]) -> None:
        """Add or replace some."""
        new = {one.key: one for one in notices}
        self._notices |= new
        self._unsaved |= new

    def refresh(self, row: AlarmRow) -> None:
        """A change of an alarm: what is in no message yet states it as it is."""
        self.put(
            Notice(one.receiver, one.change, row)
            for one in self.pending()
            if (one.row.id, one.row.raised_ms) == (row.id, row.raised_ms) and one.row != row
        )

    def pending(self) -> list[Notice]:
        """Those that are in no message yet."""
        return [one for one in self._notices.values() if one.message is None]

    def messages(self) -> dict[str, list[Notice]]:
        """By id, the oldest first: the messages that have neither been delivered nor given up."""
        found: dict[str, list[Notice]] = {}
        for one in sorted(self._notices.values(), key=lambda one: one.made_ms or 0):
            if one.message is not None and one.done_ms is None:
                found.setdefault(one.message, []).append(one)
        return found

    def undelivered_since_ms(self) -> int | None:
        """Since when nothing is delivered: when the oldest message was made that waits, or the last one that was
        given up if that is newer than any that was sent; None where neither is."""
        waiting = min((ones[0].made_ms or 0 for ones in self.messages().values()), default=None)
        done = [one for one in self._notices.values() if one.done_ms is not None]
        last = max(done, key=lambda one: one.done_ms or 0, default=None)
        return last.made_ms if waiting is None and last is not None and last.outcome == "given-up" else waiting

    def made_ms(self) -> list[int]:
        """When each of the messages was made that are still known."""
        made = {one.message: one.made_ms for one in self._notices.values() if one.message and one.made_ms is not None}
        return list(made.values())

    def forget(self, open_alarms: Collection[int]) -> None:
        """Forget here, not in the database, what is done and can matter no more."""
        before_ms = self._clock.now_ms() - HOUR_MS
        self._notices = {
            key: one
            for key, one in self._notices.items()
            if one.done_ms is None or one.row.id in open_alarms or (one.made_ms or 0) > before_ms
        }

    async def save(self, within_s: float) -> None:
        """Have what has changed written; waits no longer than so many seconds, and not at all while the database cannot
        be written."""
        now = self._clock.schedule_ms()
        if not self._unsaved or now < self._save_at_ms or self._sink.trouble is not None:
            return
        writing = dict(self._unsaved)
        future = asyncio.wrap_future(self._sink.call(partial(_write, list(writing.values()), self._clock.now_ms())))
        done, _ = await asyncio.wait({future}, timeout=within_s)
        if done and not future.cancelled() and future.exception() is None:
            self._unsaved = {key: one for key, one in self._unsaved.items() if writing.get(key) is not one}
        else:
            self._save_at_ms = now + SAVE_AGAIN_MS
            future.add_done_callback(lambda late: late.cancelled() or late.exception())

    def write_last(self) -> None:
        """The same at the end, without waiting for it."""
        if self._unsaved:
            self._sink.call(partial(_write, list(self._unsaved.values()), self._clock.now_ms()))


def _write(notices: Sequence[Notice], now_ms: int, store: Database) -> None:
    with store.transaction():
        store.notices.keep(notices, now_ms)
