"""A recorder with its database, a hub and a feed in one event loop, and who listens at a real broker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from gateway.agent.feed_factory import make_feed
from gateway.alarms.board import AlarmBoard
from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.recording.recorder import Recorder
from gateway.records import MissedPoll, PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.senml import Reading, Value
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions, Message
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.gateways.contexts import InForce, context
from tests.support.samples import recorder, site

PATIENCE_S = 20.0
METER, OTHER = "export-main", "stack-co2"
_numbers = count(1)


def feed_site(folder: Path, url: str, more: str = "", kind: str = "json") -> Config:
    """A site as `meterseal init` makes it, with one feed, ``scada``."""
    loaded = site(folder)
    with loaded.path.open("a") as file:
        file.write(f'\n[[feed]]\nname = "scada"\ntype = "{kind}"\nurl = "{url}"\n{more}\n')

    return load_config(loaded.path)


class Rig:
    """One epoch of a gateway whose meters are a test's: ``poll`` records, or not."""

    def __init__(self, loaded: Config, epoch: bytes, **changes: Any) -> None:
        self.config = loaded
        self.clock = Clock()
        self.recorder: Recorder
        often = dict.fromkeys(loaded.meters, 1)  # so that any number of polls may be due
        changes = {"commit_every_ms": 20, "seal_every_ms": 3_600_000, "periods_ms": often, **changes}
        self.recorder, self._anchor_ms = recorder(loaded, self.clock, epoch, **changes)
        self.epoch, self._polls = epoch, 0
        self.hub, self.live = Hub(), Live(loaded.meters)
        self.hub.listeners.append(self.live.hear)
        self.recorder.on_news.append(self.hub.tell)
        lines = {bus.name: {meter.name: meter.every for meter in bus.meter} for bus in loaded.document.bus}
        store = Database(loaded.database, read_only=True)
        self.board = AlarmBoard(store, self.recorder, self.clock, self.live, lines)
        store.close()
        self.in_force = InForce(loaded)
        site = context(self.in_force, self.clock, self.recorder, self.live, self.board, hub=self.hub)
        self.feeds = [make_feed(site, entry).feed for entry in loaded.document.feed]
        self.recorder.start()

    @property
    def feed(self) -> Any:
        return self.feeds[0]

    async def poll(self, meter: str = METER, *values: Value, times: int = 1) -> list[str]:
        """A number of polls of a meter, answered; gives the ids of their records once they are durable."""
        before = self.live.meters[meter].recorded
        for _ in range(times):
            self.answer(meter, *values)
        await until(lambda: self.live.meters[meter].recorded >= before + times)
        newest = self.live.meters[meter].newest
        name, epoch, seq = newest.row.id.split("/")  # type: ignore[union-attr]
        return [f"{name}/{epoch}/{int(seq) - n}" for n in range(times - 1, -1, -1)]

    def answer(self, meter: str = METER, *values: Value) -> None:
        """One poll of a meter, answered; whether it is recorded is another matter."""
        now = Timestamp.now(self.clock)
        reading = Reading(now.time_ms, values or (Value("count", self._polls, "count"),))
        self.recorder.put(PollResult(meter, self._due_ms(), reading, now))

    def miss(self, meter: str, ago_ms: int) -> None:
        """A poll of a meter that was due so long ago, and without an answer."""
        self.hub.tell([MissedPoll(meter, self.clock.now_ms() - ago_ms, "timeout")])

    def _due_ms(self) -> int:
        self._polls += 1
        return self._anchor_ms + self._polls


@asynccontextmanager
async def running(loaded: Config, epoch: bytes = bytes(8), **changes: Any) -> AsyncIterator[Rig]:
    """A rig with its feed at work."""
    rig = Rig(loaded, epoch, **changes)
    tasks = [asyncio.create_task(work) for work in (rig.board.run(), *(feed.run() for feed in rig.feeds))]
    try:
        yield rig
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        rig.recorder.stop()


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for what others do; fails when it does not come in time."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return found


class Heard:
    """All that came on a topic filter, in order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def on(self, part: str) -> list[Message]:
        """Those whose topic holds this."""
        return [message for message in self.messages if part in message.topic]

    def readings(self, part: str) -> list[dict[str, Any]]:
        """The readings in them."""
        return [r for message in self.on(part) if message.data for r in json.loads(message.data)["readings"]]

    def records(self, part: str) -> list[str]:
        """Their records' ids."""
        return [reading["record"] for reading in self.readings(part)]


@contextmanager
def listening(url: str, topic: str = "meterseal-feed/#", *, session_s: int = 0, name: str = "") -> Iterator[Heard]:
    """A client of the broker."""
    heard, subscribed = Heard(), threading.Event()

    def subscribe(broker: Broker) -> None:
        broker.subscribe(topic)
        broker.unsubscribe("nothing")

    options = BrokerOptions(url, name or f"listener-{next(_numbers)}", session_s=session_s)
    handler = Callbacks(subscribe, heard.messages.append, on_unsubscribed=lambda _mid: subscribed.set())
    broker = Broker(options, handler)
    try:
        assert subscribed.wait(PATIENCE_S)
        yield heard
    finally:
        broker.close()


def say(url: str, topic: str, data: bytes) -> None:
    """Leave a retained message with a broker."""
    kept = threading.Event()
    options = BrokerOptions(url, f"speaker-{next(_numbers)}")
    broker = Broker(options, Callbacks(on_ack=lambda *_: kept.set()))
    try:
        assert broker.wait_connected(PATIENCE_S)
        broker.publish(topic, data, None, retain=True)
        assert kept.wait(PATIENCE_S)
    finally:
        broker.close()
