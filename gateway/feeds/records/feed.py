"""Feed of records: the evidence itself, published to one broker in the order in which it became durable.

There is one path, live or late. Whatever is behind the cursor is read from the database as it was signed and published;
a commit wakes the reader. The broker's acknowledgements move the cursor, which is written along with the next commit of
records: a kill costs what was in flight and what was acknowledged since that commit a second time, and loses none.

An acknowledgement does not say that anybody gets a message: NATS acknowledges what it drops, and so do brokers of what
a login may not publish. So each connection begins with a status that must come back on a subscription of this feed,
and each later status must, too. What the control room asks for again is answered beside the records, at a rate of its
own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gateway.errors import StoreError, first_error
from gateway.feeds.feed import AGAIN_S, CONNECTED, CONNECTING, LEAVE_WITHIN_S, MARK_EVERY_S, PAUSES_S
from gateway.feeds.mqtt_link import Down, Link, LinkOptions
from gateway.feeds.records.source import Answer, Outgoing, Source
from gateway.feeds.records.status import offline
from gateway.feeds.records.waiting import Waiting, Wanted
from gateway.messages.message import Message as Words
from gateway.process.threads import in_thread
from gateway.records import News, SignedRecord, sentence_fields
from gateway.storage.database import Database
from gateway.storage.feed_tables import batches_cursor
from gateway.storage.writer import Writer
from ledger_client.errors import Malformed
from ledger_client.formats.feed_messages import AGAIN, BATCHES, MAX_STATUS, PREFIX, RECORDS, STATUS, parse_again, topic
from ledger_client.messages import Sentence, sentence_of
from ledger_client.transport.access import Access, AccessError
from ledger_client.transport.mqtt_options import Message, Will

log = logging.getLogger("meterseal.feed")

STATUS_EVERY_S = 60.0
BACK_WITHIN_S = 10.0
"""Within this time a status comes back that the broker passes on."""
LOOK_EVERY_S = 1.0
"""Seconds between two looks for batches: receipts come without a commit of records."""
IN_FLIGHT_BYTES = 1024 * 1024
"""Of messages that are handed over and not acknowledged, or one message more."""
MESSAGES_A_S = 2.0
"""Messages a second that are listened to, of one topic, and ten times as many at once."""
_NO_RIGHT = ("feed-records-silent", "feed-topic-refused")
"""Codes of what ends a connection and does not go over by itself."""
MOST_AT_ONCE = 500
"""Records that are sent again in one go, at most."""


class Track:
    """Messages of one kind that are on their way, and up to where they have arrived without a gap."""

    def __init__(self) -> None:
        self.at = 0
        """Where the cursor may be."""
        self.sent = 0
        """Up to where everything has been handed over."""
        self.count = 0
        """Records that have arrived."""
        self._flight: deque[tuple[Outgoing, asyncio.Future[None] | None]] = deque()
        self.bytes = 0

    def begin(self, at: int) -> None:
        """Go on from here; what was on its way counts as lost."""
        self.at = self.sent = at
        self._flight.clear()
        self.bytes = 0

    def add(self, message: Outgoing, future: asyncio.Future[None] | None) -> None:
        """A message has been handed over; None: there was nothing to send."""
        self._flight.append((message, future))
        self.sent = message.to
        self.bytes += len(message.data or b"")

    def advance(self) -> None:
        """Pass over all that has arrived, in order."""
        while self._flight and _arrived(self._flight[0][1]):
            message, _ = self._flight.popleft()
            self.at, self.count = message.to, self.count + message.count
            self.bytes -= len(message.data or b"")


class RecordsFeed:
    """One feed of records, for one epoch. Event loop only, but for ``note``, which the writer thread calls."""

    def __init__(
        self,
        name: str,
        url: str,
        access: Callable[[], Access],
        writer: Writer,
        path: Path,
        status: Callable[[], bytes],
        now_ms: Callable[[], int],
        *,
        gateway: str,
        since: Literal["now", "oldest"],
        again_rate: int,
    ) -> None:
        """``access`` gives the credentials, and raises AccessError; ``path``: of the database; ``status``: what the
        gateway says of itself now, called in a thread; ``since``: where a feed begins that this database does not know;
        ``again_rate``: records a second that are sent again at most."""
        self.name = f"feed {name}"
        self._url, self._access, self._writer = url, access, writer
        self._status, self._now_ms = status, now_ms
        self._gateway, self._client_id = gateway, f"meterseal-{gateway}-{name}"
        self._cursors = {RECORDS: name, BATCHES: batches_cursor(name)}
        self._since, self._again_rate = since, again_rate
        self._source = Source(path)
        self._tracks = {RECORDS: Track(), BATCHES: Track()}
        self._woken, self._arrived_some = asyncio.Event(), asyncio.Event()
        self._status_due, self._back = asyncio.Event(), asyncio.Event()
        self._expected = b""
        """The status that must come back."""
        self._waiting, self._malformed = Waiting(), False
        self._noted: dict[str, int] = {}
        """Up to where each cursor has been written, by its name; of a commit that failed not even that, and the next
        acknowledgement writes it again."""
        self._begun = self._begin()
        self._failures = 0
        self.back_within_s = BACK_WITHIN_S
        self.connected = self._silent = False
        self.state: Sentence = CONNECTING
        self.again_count = 0

    # — from outside —

    def hear(self, news: Sequence[News]) -> None:
        """A listener of the hub: something has become durable."""
        if any(isinstance(item, SignedRecord) for item in news):
            self._woken.set()

    def reloaded(self) -> None:
        """Another configuration is in force."""
        self._status_due.set()

    def note(self, store: Database) -> None:
        """Within a commit of records: write where the cursors may be. Writer thread."""
        for cursor, at in self._marks().items():
            if at > self._noted.get(cursor, 0):
                store.feeds.move(cursor, at)
                self._noted[cursor] = at

    def facts(self) -> dict[str, Any]:
        """State for the status: in words, ranges that wait to be sent again, records published and sent again; and
        whether it is ``silent``: the broker takes nothing of it, or drops it, until somebody acts."""
        return {
            "connected": self.connected,
            **sentence_fields(self.state, "state"),
            "waiting": len(self._waiting),
            "live": self._tracks[RECORDS].count,
            "history": self.again_count,
            "silent": self._silent,
        }

    async def run(self) -> None:
        """Connect, publish, and connect again, until cancelled."""
        try:
            await self._wait_begun()
            while True:
                try:
                    await self._session()
                except* (Down, AccessError) as group:
                    self._lost(sentence_of(first_error(group)))
                await asyncio.sleep(PAUSES_S[min(self._failures, len(PAUSES_S)) - 1])
        finally:
            self._writer.call(self._write_cursors)

    # — the cursors —

    def _begin(self) -> Future[dict[str, int]]:
        return self._writer.call(self._begin_cursors)

    def _begin_cursors(self, store: Database) -> dict[str, int]:
        lasts = {RECORDS: store.records.last_place(), BATCHES: store.feeds.last_change()}
        with store.transaction():
            return {
                kind: store.feeds.begin(self._cursors[kind], 0 if self._since == "oldest" else last, last)
                for kind, last in lasts.items()
            }

    async def _wait_begun(self) -> None:
        if self._begun.done() and self._begun.exception() is not None:
            self._begun = self._begin()
        begun = await asyncio.shield(asyncio.wrap_future(self._begun))
        for kind, at in begun.items():
            self._tracks[kind].begin(max(at, self._tracks[kind].at))
            self._noted.setdefault(self._cursors[kind], at)

    def _marks(self) -> dict[str, int]:
        return {self._cursors[kind]: track.at for kind, track in self._tracks.items()}

    def _write_cursors(self, store: Database) -> None:
        with store.transaction():
            for cursor, at in self._marks().items():
                store.feeds.move(cursor, at)

    async def _keep_cursors(self, link: Link) -> None:
        """Write the cursors down where no commit of records has taken them along for a while."""
        before = self._marks()
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            if any(self._noted.get(cursor, 0) < at for cursor, at in before.items()):
                before = self._marks()
                with suppress(StoreError):  # the next time
                    await asyncio.wrap_future(self._writer.call(self._write_cursors))
                    self._noted |= {cursor: max(at, self._noted.get(cursor, 0)) for cursor, at in before.items()}
            before = self._marks()

    # — one connection —

    def _lost(self, why: Sentence) -> None:
        self._failures += 1
        self._silent = isinstance(why, Words) and why.code in _NO_RIGHT
        if self.state != why:
            log.warning("%s: %s", self.name, why)
        self.state = why

    async def _session(self) -> None:
        """One connection, from its beginning to its end."""
        will = Will(self._topic(STATUS), offline())
        options = LinkOptions(will, self._topic("-"), longest=MAX_STATUS, rate=MESSAGES_A_S)
        link = Link(self._url, self._access(), self._client_id, options, self._take)
        try:
            await link.open()
            link.subscribe(self._topic(STATUS))
            link.subscribe(self._topic(AGAIN))
            await self._publish_status(link)
            log.info("%s: connected to %s%s", self.name, self._url, " again" if self._failures else "")
            self.state, self.connected, self._silent, self._failures = CONNECTED, True, False, 0
            for track in self._tracks.values():
                track.begin(track.at)
            self._woken.set()
            works = (self._send_records, self._send_batches, self._send_again, self._keep_status, self._keep_cursors)
            async with asyncio.TaskGroup() as group:
                for work in (*(work(link) for work in works), link.ended()):
                    group.create_task(work, name=self.name)
        except asyncio.CancelledError:
            with suppress(Down, TimeoutError):
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await link.send(self._topic(STATUS), offline(self._now_ms()), retain=True)
                    await link.flush()
            raise
        finally:
            self.connected = False
            for track in self._tracks.values():
                track.advance()
            await link.close()

    def _topic(self, kind: str) -> str:
        return topic(self._gateway, kind)

    def _take(self, message: Message) -> None:
        """A message of the broker."""
        if message.topic == self._topic(STATUS) and message.data == self._expected:
            self._back.set()
        elif message.topic == self._topic(AGAIN):
            try:
                self._waiting.ask(parse_again(message.data))
                self._malformed = False
            except Malformed as error:
                log.log(
                    logging.DEBUG if self._malformed else logging.WARNING, "%s: %s: %s", self.name, message.topic, error
                )
                self._malformed = True

    # — status —

    async def _publish_status(self, link: Link) -> None:
        """Publish how the gateway is, and wait until the broker passes it on. Raises Down where it does not."""
        self._expected = await in_thread(self._status, "feed status")
        self._back.clear()
        await link.send(self._topic(STATUS), self._expected, retain=True)
        try:
            async with asyncio.timeout(self.back_within_s):
                await link.unless_down(self._back.wait())
        except TimeoutError:
            base = f"{PREFIX}/{self._gateway}"
            at = self._topic(STATUS)
            raise Down(Words("feed-records-silent", topic=at, within_s=round(self.back_within_s), base=base)) from None

    async def _keep_status(self, link: Link) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(STATUS_EVERY_S):
                    await self._status_due.wait()
            self._status_due.clear()
            await self._publish_status(link)

    # — records and batches —

    async def _send_records(self, link: Link) -> None:
        track = self._tracks[RECORDS]
        while True:
            self._woken.clear()
            found = await self._read(partial(self._source.records, track.sent))
            for message in found or ():
                await self._send(link, track, message)
            if not found:
                await self._woken.wait()

    async def _send_batches(self, link: Link) -> None:
        track = self._tracks[BATCHES]
        while True:
            found = await self._read(partial(self._source.batches, track.sent, self._tracks[RECORDS].at))
            for message in found or ():
                await self._send(link, track, message)
            if not found:
                await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self, read: Callable[[], list[Outgoing]]) -> list[Outgoing]:
        while True:
            try:
                return await in_thread(read, "feed reads")
            except StoreError as error:
                log.warning("%s: what is to be published cannot be read now: %s", self.name, error.problem)
                await asyncio.sleep(AGAIN_S)

    async def _send(self, link: Link, track: Track, message: Outgoing) -> None:
        """Hand over a message, once there is room for its bytes."""
        while sum(one.bytes for one in self._tracks.values()) >= IN_FLIGHT_BYTES:
            self._arrived_some.clear()
            await self._arrived_some.wait()
        future = None if message.data is None else await link.send(self._topic(message.kind), message.data)
        track.add(message, future)
        if future is None:
            track.advance()
        else:
            future.add_done_callback(lambda _: self._advance(track))

    def _advance(self, track: Track) -> None:
        track.advance()
        self._arrived_some.set()

    # — again —

    async def _send_again(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._waiting.filled.wait()
            began = loop.time()
            wanted = self._waiting.take(MOST_AT_ONCE)
            try:
                answer = await self._answer(wanted)
                for future in [await link.send(self._topic(one.kind), one.data or b"") for one in answer.messages]:
                    await future
                wanted = answer.rest
                self.again_count += sum(one.count for one in answer.messages)
            finally:
                self._waiting.put(wanted)  # all of it, where the connection has gone
            await asyncio.sleep(max(0.0, began + answer.units / self._again_rate - loop.time()))

    async def _answer(self, wanted: Sequence[Wanted]) -> Answer:
        most, published = min(self._again_rate, MOST_AT_ONCE), self._tracks[RECORDS].at
        while True:
            try:
                return await in_thread(lambda: self._source.answer(wanted, most, published), "feed reads")
            except StoreError as error:
                log.warning("%s: what is asked for again cannot be read now: %s", self.name, error.problem)
                await asyncio.sleep(AGAIN_S)


def _arrived(future: asyncio.Future[None] | None) -> bool:
    return future is None or (future.done() and not future.cancelled() and future.exception() is None)
