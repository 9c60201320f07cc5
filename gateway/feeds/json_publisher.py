"""Plain JSON publisher: status, readings and alarms, and the retained messages of an earlier run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gateway.feeds import json_messages as messages
from gateway.feeds.discovery import Discovery
from gateway.feeds.home_assistant import Device
from gateway.feeds.mqtt_link import LONGEST, Link
from gateway.feeds.publisher import Sent
from gateway.feeds.reading_message import FeedReading
from gateway.messages import message as sentences
from gateway.storage.alarm_tables import AlarmRow
from ledger_client.transport.mqtt_options import Message, Will

MOST_RETAINED = 10_000
"""Topics with retained messages of an earlier run that are looked at, at most."""


class MessageForm(Protocol):
    """How readings are written."""

    together: int
    """Readings of one meter in one message, at most."""

    def reloaded(self) -> None:
        """Take note that the site has other meters."""
        ...

    def message(self, items: Sequence[FeedReading]) -> bytes:
        """Some readings of one meter, oldest first."""
        ...


class PlainPublisher:
    """One gateway's plain feed."""

    leaves_by_will = False
    longest = LONGEST  # its own messages come back, where they are retained
    rate = 0.0

    def __init__(
        self,
        gateway: str,
        meters: Callable[[], Iterable[str]],
        active_alarms: Callable[[], Sequence[AlarmRow]],
        now_ms: Callable[[], int],
        form: MessageForm | None = None,
        devices: Callable[[], Mapping[str, Device]] = dict,
        up: Callable[[], Mapping[str, bool | None]] = dict,
    ) -> None:
        """``devices``: the meters to announce to Home Assistant; ``up``: whether each meter answers."""
        self._topics = messages.Topics(gateway)
        self._discovery = Discovery(gateway, devices, up)
        self._form = form or messages.FullMessages()
        self.together = self._form.together
        self._meters, self._active_alarms, self._now_ms = meters, active_alarms, now_ms
        self.mark = f"{self._topics.base}/mark"
        self._alarms: dict[str, bytes] = {}
        self._turn = asyncio.Lock()
        """Held while alarms are published: what an older look has found must not follow a newer one."""
        self._retained: set[str] = set()
        self._changed = asyncio.Event()

    def will(self) -> Will:
        return Will(self._topics.status, messages.status(online=False))

    @property
    def remark(self) -> sentences.Message | None:
        """That the broker takes no device messages."""
        why = self._discovery.refused
        return None if why is None else sentences.Message("feed-connected-unannounced", why=why)

    def hear(self, message: Message) -> None:
        """What is retained there from before."""
        if not message.retained or self._discovery.hear(message.topic, message.data):
            return
        if len(self._retained) < MOST_RETAINED:
            self._retained.add(message.topic)

    def reloaded(self) -> None:
        self._form.reloaded()
        self._discovery.reloaded()
        self._changed.set()

    async def begin(self, link: Link) -> Sent:
        self._discovery.forget()
        await self._clear(link, self._discovery.filters())
        await self._discovery.publish_states(link)
        await link.send(self._topics.status, messages.status(online=True, since_ms=self._now_ms()), retain=True)
        return []

    async def _clear(self, link: Link, further: Sequence[str] = ()) -> None:
        """Empty what is retained of meters that are no more; alarms that are over are emptied with the next ones.
        ``further``: topics to read back besides."""
        self._changed.clear()
        self._retained = set()
        filters = [self._topics.meter("+"), f"{self._topics.base}/alarms/+/+", *further]
        for topic in filters:
            link.subscribe(topic)
        for topic in filters:
            link.unsubscribe(topic)
        await link.round_trip()
        meters = {self._topics.meter(name) for name in self._meters()}
        alarms = {topic for topic in self._retained if topic.startswith(f"{self._topics.base}/alarms/")}
        self._alarms = dict.fromkeys(alarms, b"unknown")
        for topic in self._retained - alarms - meters:
            await link.send(topic, b"", retain=True)

    async def live(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        return await link.send(self._topics.meter(readings[0].meter), self._form.message(readings), retain=True)

    async def history(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        return await link.send(self._topics.history(readings[0].meter), self._form.message(readings))

    async def alarms(self, link: Link) -> None:
        async with self._turn:
            await self._publish_alarms(link)

    async def _publish_alarms(self, link: Link) -> None:
        by_topic: dict[str, list[AlarmRow]] = defaultdict(list)
        for alarm in self._active_alarms():
            by_topic[self._topics.alarm(alarm.source, alarm.code)].append(alarm)
        now = {topic: messages.alarm(alarms) for topic, alarms in by_topic.items()}
        for topic in self._alarms.keys() - now.keys():
            await link.send(topic, b"", retain=True)
        for topic, data in now.items():
            if self._alarms.get(topic) != data:
                await link.send(topic, data, retain=True)
        self._alarms = now

    async def watch(self, link: Link) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._discovery.run(link), name="discovery")
            group.create_task(self._follow_reloads(link), name="reloads")

    async def _follow_reloads(self, link: Link) -> None:
        while True:
            await self._changed.wait()
            async with self._turn:
                await self._clear(link)
                await self._publish_alarms(link)

    async def leave(self, link: Link) -> None:
        await link.send(self._topics.status, messages.status(online=False, since_ms=self._now_ms()), retain=True)
