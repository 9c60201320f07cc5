"""Sparkplug B publisher: births, data, deaths, rebirth on command, and the primary host's state.

Data goes with QoS 0, as the specification wants it. One message at a time is made and handed over, so that sequence
numbers are in order whoever sends; a birth sequence is not interrupted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from gateway.devices.points import Point
from gateway.feeds.mqtt_link import Down, Link
from gateway.feeds.publisher import TOGETHER, Sent
from gateway.feeds.reading_message import FeedReading, reading_of_news
from gateway.feeds.sparkplug.node import Device, Node, asks_for_rebirth
from gateway.feeds.sparkplug.payload import LONGEST
from gateway.feeds.sparkplug.primary_host import PrimaryHost
from gateway.messages import message as messages
from gateway.recording.live_state import MeterNow
from gateway.records import GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from ledger_client.transport.mqtt_options import Message, Will

LOOK_EVERY_S = 0.5
REBIRTH_EVERY_S = 1.0
"""A host that asks more often is answered so often."""
DEAD_AFTER_MS = 10_000


class Meters:
    """What an edge node must know of its devices."""

    def __init__(
        self,
        points: Callable[[], Mapping[str, Sequence[Point]]],
        live: Callable[[], Mapping[str, MeterNow]],
        periods_ms: Callable[[], Mapping[str, int]],
        active_alarms: Callable[[], Sequence[AlarmRow]],
        now_ms: Callable[[], int],
    ) -> None:
        """By meter: the points that have values, what is newest, how often it is polled; and the alarms that stand."""
        self.points, self.live, self.periods_ms = points, live, periods_ms
        self.active_alarms, self.now_ms = active_alarms, now_ms

    def silent(self, name: str) -> bool:
        """Whether a meter has missed more than one poll, and for long enough to be called dead."""
        since_ms = self.live()[name].silent_since_ms
        limit_ms = max(DEAD_AFTER_MS, self.periods_ms()[name] + 2000)
        return since_ms is not None and self.now_ms() - since_ms >= limit_ms

    def newest(self, name: str) -> FeedReading | None:
        """The newest reading of a meter that is not silent."""
        now = self.live().get(name)
        return None if now is None or now.newest is None or self.silent(name) else reading_of_news(now.newest)

    def alarms(self) -> dict[str, str]:
        """The alarms that stand, by whom they concern, as JSON."""
        found: dict[str, list[dict[str, object]]] = {name: [] for name in (GATEWAY, *self.points())}
        for alarm in self.active_alarms():
            known = alarm.source if alarm.source in found else GATEWAY
            facts = {"code": alarm.code, "line": alarm.line, "since": alarm.since_ms, "text": alarm.text}
            facts |= {"acknowledged": alarm.acked_ms, **alarm.message_fields}
            found[known].append({"source": alarm.source, **facts})
        return {source: json.dumps(alarms, ensure_ascii=False) for source, alarms in found.items()}


class SparkplugPublisher:
    """One gateway as an edge node; its meters are the devices."""

    leaves_by_will = True
    longest, rate = LONGEST, 20.0
    together = TOGETHER

    def __init__(self, node: Node, meters: Meters, host: PrimaryHost | None) -> None:
        self._node, self._meters, self._host = node, meters, host
        self.mark = node.topic("NDATA")  # its own: nobody subscribes to what it publishes itself
        self._commands = node.topic("NCMD")
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._rebirth = self._host_gone = self._reloaded = False
        self._will_is_out = False
        self._reborn_at = 0.0
        self._alarms: dict[str, str] = {}
        self._births: dict[str, tuple[str | None, asyncio.Future[None]]] = {}
        """By meter: the record in its birth, and the future of that message."""

    @property
    def remark(self) -> messages.Message | None:
        """The host that it waits for before it publishes anything."""
        if self._host is None or self._host.online.is_set():
            return None
        return messages.Message(
            "feed-connected-waits", whom=messages.Message("feed-primary-host", name=self._host.name)
        )

    def will(self) -> Will:
        if self._will_is_out:
            self._node.next_connection()
        self._will_is_out = False
        return Will(self._node.topic("NDEATH"), self._node.ndeath(), retain=False)

    def reloaded(self) -> None:
        self._reloaded = True
        self._wake.set()

    def hear(self, message: Message) -> None:
        if self._host is not None and message.topic == self._host.topic:
            self._host_gone |= self._host.hear(message.data)
        elif message.topic == self._commands and not message.retained:
            self._rebirth |= asks_for_rebirth(message.data)
        self._wake.set()

    async def begin(self, link: Link) -> Sent:
        self._rebirth = self._host_gone = False
        self._will_is_out = True
        link.subscribe(self._commands)
        if self._host is not None:
            self._host.disconnected()
            link.subscribe(self._host.topic)
            await link.unless_down(self._host.online.wait())
        await link.round_trip()
        return await self._publish_births(link)

    async def leave(self, link: Link) -> None:
        async with self._turn:
            await link.send(self._node.topic("NDEATH"), self._node.ndeath())

    async def live(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        async with self._turn:
            device = self._node.device(readings[0].meter)
            if not self._node.understands(device, readings) or not device.born:
                future = await self._publish_birth(link, device, readings[0])
                readings = readings[1:]
            else:
                record, future = self._births[device.name]
                readings = readings[1:] if record is not None and record == readings[0].record else readings
            return await self._data(link, device, readings) if readings else future

    async def history(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        async with self._turn:
            device = self._node.device(readings[0].meter)
            dead = not device.born
            if not self._node.understands(device, readings) or dead:
                await self._publish_birth(link, device, None if dead else self._meters.newest(device.name))
            future = await self._data(link, device, readings, historical=True)
            if dead:  # it was born for these readings only
                await self._publish_death(link, device)
            return future

    async def alarms(self, link: Link) -> None:
        async with self._turn:
            now, born = self._meters.alarms(), self._alarms  # other sources stand in the next NBIRTH
            changed = {source: now[source] for source, text in born.items() if now.get(source, text) != text}
            if changed:
                self._alarms |= changed
                await link.send(self._node.topic("NDATA"), self._node.ndata(changed), qos=0)

    async def watch(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._host_gone and self._host is not None:
                await self.leave(link)
                await link.flush()
                raise Down(messages.Message("feed-primary-host-offline", name=self._host.name))
            if self._reloaded:
                self._reloaded = False
                self._node.forget()
                await self._publish_births(link)
            elif self._rebirth and loop.time() >= self._reborn_at + REBIRTH_EVERY_S:
                await self._publish_births(link)
            await self._publish_deaths(link)

    # — births and deaths, with the turn held —

    async def _publish_births(self, link: Link) -> Sent:
        sent: Sent = []
        async with self._turn:
            self._rebirth, self._births = False, {}
            self._reborn_at = asyncio.get_running_loop().time()
            self._alarms = self._meters.alarms()
            await link.send(self._node.topic("NBIRTH"), self._node.nbirth(self._alarms), qos=0)
            for name, points in self._meters.points().items():
                device = self._node.device(name)
                self._node.define(device, points)
                newest = self._meters.newest(name)
                if newest is not None:
                    self._node.understands(device, [newest])
                    sent.append((newest, await self._publish_birth(link, device, newest)))
        return sent

    async def _publish_birth(self, link: Link, device: Device, newest: FeedReading | None) -> asyncio.Future[None]:
        self._node.define(device, self._meters.points().get(device.name, ()))
        future = await link.send(self._node.topic("DBIRTH", device.name), self._node.dbirth(device, newest), qos=0)
        self._births[device.name] = newest.record if newest else None, future
        return future

    async def _publish_deaths(self, link: Link) -> None:
        async with self._turn:
            for name in _silent(self._meters):
                device = self._node.device(name)
                if device.born:
                    await self._publish_death(link, device)

    async def _publish_death(self, link: Link, device: Device) -> None:
        self._births.pop(device.name, None)
        await link.send(self._node.topic("DDEATH", device.name), self._node.ddeath(device), qos=0)

    async def _data(
        self, link: Link, device: Device, readings: Sequence[FeedReading], *, historical: bool = False
    ) -> asyncio.Future[None]:
        data = self._node.ddata(device, readings, historical=historical)
        return await link.send(self._node.topic("DDATA", device.name), data, qos=0)


def _silent(meters: Meters) -> Collection[str]:
    return [name for name in meters.points() if meters.silent(name)]
