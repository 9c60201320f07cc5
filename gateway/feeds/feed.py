"""MQTT feed: one task that publishes readings to one broker, and never delays polling or recording.

Live readings come from the hub and wait in a bounded outbox. When the broker is away, or slow, only each meter's newest
is kept; all the others that were recorded are published later as history, read from the database, while nothing live
waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gateway.errors import StoreError, first_error
from gateway.feeds.backlog import History, Portion
from gateway.feeds.mqtt_link import Down, Link, LinkOptions
from gateway.feeds.outbox import Outbox
from gateway.feeds.progress import Gap, Progress
from gateway.feeds.publisher import Publisher, Sent
from gateway.feeds.reading_message import FeedReading, reading_of_news
from gateway.messages.message import Message
from gateway.records import MissedPoll, News, sentence_fields
from ledger_client.messages import Sentence, sentence_of
from ledger_client.transport.access import Access, AccessError

log = logging.getLogger("meterseal.feed")

PAUSES_S = (1.0, 2.0, 5.0)
"""Seconds between attempts to connect: behind the first failure, the second, all further ones."""
MARK_EVERY_S = 10.0
"""Seconds between two writes of the cursor while all goes well; after a kill the readings of this time may be published
once more, as history."""
PORTION = 500
"""Readings of history that are read at once, at most."""
CONNECTING, CONNECTED = Message("feed-connecting"), Message("feed-connected")
AGAIN_S = 5.0
LEAVE_WITHIN_S = 1.0


class Feed:
    """One feed, for one epoch."""

    def __init__(
        self,
        name: str,
        url: str,
        access: Callable[[], Access],
        publisher: Publisher,
        history: History,
        *,
        gateway: str,
        rate: Callable[[], float],
        backfill_rate: int,
    ) -> None:
        """``access`` gives the credentials, and raises AccessError; ``rate``: readings a second of the whole site,
        asked again after a reload; ``backfill_rate``: readings a second that are published as history at most."""
        self.name = f"feed {name}"
        self._url, self._access, self._publisher, self._history = url, access, publisher, history
        self._client_id = f"meterseal-{gateway}-{name}"
        self._rate, self._backfill_rate = rate, backfill_rate
        self._outbox = Outbox()
        self._fit()
        self._progress = Progress()
        self._alarmed, self._owes, self._gapped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._unwritten: Gap | None = None
        self._born: Sent = []
        """Readings that the beginning of this connection has published."""
        self._sent: dict[str, FeedReading] = {}
        """By meter: the newest that was handed over and is not acknowledged."""
        self._failures = 0
        self._marked: str | None = None
        self.connected = False
        self.state: Sentence = CONNECTING
        self.live_count = self.history_count = 0

    def _fit(self) -> None:
        """How many readings may wait, at the site's rate."""
        self._outbox.room = min(5000, max(500, int(3 * self._rate())))

    def hear(self, news: Sequence[News]) -> None:
        """A listener of the hub."""
        for item in news:
            reading = None if isinstance(item, MissedPoll) else reading_of_news(item)
            if reading is not None:
                if reading.record is not None:
                    self._progress.heard(reading.record)
                self._outbox.put(reading)

    def alarms_changed(self, *_: object) -> None:
        """A listener of the alarm board."""
        self._alarmed.set()

    def reloaded(self) -> None:
        """Another configuration: other meters, at another rate."""
        self._fit()
        self._publisher.reloaded()

    def facts(self) -> dict[str, Any]:
        """State for the status: in words, live readings that wait, readings published since it was made."""
        state = self.state
        if state == CONNECTED:
            state = self._publisher.remark or state
        return {
            "connected": self.connected,
            **sentence_fields(state, "state"),
            "waiting": len(self._outbox),
            "live": self.live_count,
            "history": self.history_count,
        }

    async def run(self) -> None:
        """Connect, publish, and connect again, until cancelled."""
        try:
            await self._history.begin()
            while True:
                try:
                    await self._session()
                except* (Down, AccessError) as group:
                    self._lost(sentence_of(first_error(group)))
                await asyncio.sleep(PAUSES_S[min(self._failures, len(PAUSES_S)) - 1])
        finally:
            self._history.write_last(self._progress.catch_up())

    def _lost(self, why: Sentence) -> None:
        self._failures += 1
        if self.state != why:
            log.warning("%s: %s", self.name, why)
        self.state = why

    async def _session(self) -> None:
        """One connection, from its beginning to its end."""
        of = self._publisher
        options = LinkOptions(of.will(), of.mark, of.leaves_by_will, of.longest, of.rate)
        link = Link(self._url, self._access(), self._client_id, options, of.hear)
        try:
            await link.open()
            log.info("%s: connected to %s%s", self.name, self._url, " again" if self._failures else "")
            self.state = CONNECTED
            self._born = await self._publisher.begin(link)
            self._failures = 0
            self._alarmed.set()
            async with asyncio.TaskGroup() as group:
                works = (
                    self._live,
                    self._note_gaps,
                    self._backfill,
                    self._publish_alarms,
                    self._keep_mark,
                    self._publisher.watch,
                )
                for work in (*(work(link) for work in works), link.ended()):
                    group.create_task(work, name=self.name)
        except asyncio.CancelledError:
            with suppress(Down, TimeoutError):
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await self._publisher.leave(link)
                    await link.flush()
            raise
        finally:
            self.connected = False
            self._progress.fall_behind()
            self._outbox.thin()
            for reading in self._sent.values():
                self._outbox.put_back(reading)
            self._sent = {}
            await link.close()

    # — live —

    async def _live(self, link: Link) -> None:
        await self._catch_up(link)
        while True:
            await self._outbox.filled.wait()
            if self._outbox.overflowed:
                await self._catch_up(link)
                continue
            readings = self._outbox.take(self._publisher.together)
            self._sent[readings[-1].meter] = readings[-1]
            future = await self._publisher.live(link, readings)
            future.add_done_callback(partial(self._acknowledged, readings))
            await asyncio.sleep(0)  # the lines come first: what a commit has brought is published message by message

    async def _catch_up(self, link: Link) -> None:
        """Publish each meter's newest, and note that of what came before it the rest is a gap."""
        await link.flush()
        gap = self._progress.catch_up()
        newest = self._outbox.take_newest()
        self.connected = True
        sent, self._born = self._born, []
        try:
            self._sent.update((reading.meter, reading) for reading in newest)
            for reading in newest:
                sent.append((reading, await self._publisher.live(link, [reading])))
            await link.flush()
        finally:
            for reading in [reading for reading, future in sent if _taken(future)]:
                self._arrived(reading)
                self.live_count += reading.record is None or reading.record not in gap.published
                gap.published.update(() if reading.record is None else (reading.record,))
        self._unwritten = gap
        self._gapped.set()

    async def _note_gaps(self, link: Link) -> None:
        """Write down what an outage has left; live goes on meanwhile, also while the disk takes nothing."""
        while True:
            await self._gapped.wait()
            gap = self._unwritten
            if gap is not None and self._progress.gap is gap:
                try:
                    await self._history.write_gap(gap)
                except StoreError as error:
                    log.warning("%s: what was not told cannot be noted yet: %s", self.name, error.problem)
                    await asyncio.sleep(AGAIN_S)
                    continue
                self._progress.written(gap)
            if self._unwritten is gap:
                self._gapped.clear()
            self._owes.set()

    def _acknowledged(self, readings: Sequence[FeedReading], future: asyncio.Future[None]) -> None:
        if _taken(future):
            self.live_count += len(readings)
            self._arrived(readings[-1])
            for reading in readings:
                if reading.record is not None:
                    self._progress.acknowledged(reading.record)

    def _arrived(self, reading: FeedReading) -> None:
        if self._sent.get(reading.meter) is reading:
            del self._sent[reading.meter]

    async def _keep_mark(self, link: Link) -> None:
        """Write the cursor down, now and then."""
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            mark = self._progress.mark
            if mark is not None and mark != self._marked and self._progress.gap is None:
                with suppress(StoreError):  # the next time
                    await self._history.write_mark(mark)
                    self._marked = mark

    # — history —

    async def _backfill(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._owes.wait()
            began = loop.time()
            try:
                portion = await self._history.next(min(self._backfill_rate, PORTION))
                if portion is None:
                    self._owes.clear()
                    continue
                await self._publish_history(link, portion)
                await self._history.write_published(portion)
                pause_s = len(portion.readings) / self._backfill_rate
            except StoreError as error:
                log.warning("%s: history cannot be told now: %s", self.name, error.problem)
                pause_s = AGAIN_S
            await asyncio.sleep(max(0.0, began + pause_s - loop.time()))

    async def _publish_history(self, link: Link, portion: Portion) -> None:
        futures = []
        for readings in _messages(portion.readings, self._publisher.together):
            await self._outbox.empty.wait()
            futures.append(await self._publisher.history(link, readings))
        for future in futures:
            await future
        self.history_count += len(portion.readings)

    # — alarms —

    async def _publish_alarms(self, link: Link) -> None:
        while True:
            await self._alarmed.wait()
            self._alarmed.clear()
            await self._publisher.alarms(link)


def _messages(readings: Sequence[FeedReading], most: int) -> list[list[FeedReading]]:
    """Readings of several meters as messages of one meter each, the order of each meter kept, with at most so many."""
    messages: list[list[FeedReading]] = []
    open_for: dict[str, list[FeedReading]] = {}
    for one in readings:
        mine = open_for.get(one.meter)
        if mine is None or len(mine) >= most:
            mine = open_for[one.meter] = []
            messages.append(mine)
        mine.append(one)
    return messages


def _taken(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
