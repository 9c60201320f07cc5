"""Alarms on a feed while the site changes under it: on a connection in the test's hands."""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.devices.profile import load_profile
from gateway.feeds.json_publisher import PlainPublisher
from gateway.feeds.mqtt_link import Link
from gateway.feeds.sparkplug.node import Node
from gateway.feeds.sparkplug.payload import parse
from gateway.feeds.sparkplug.publisher import Meters, SparkplugPublisher
from gateway.storage.alarm_tables import AlarmRow


class Hands:
    """What was sent, in order; while ``open`` is not set a message waits for its turn."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> asyncio.Future[None]:
        await self.open.wait()
        self.sent.append((topic, data))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def round_trip(self) -> None: ...

    def subscribe(self, topic: str) -> None: ...


def alarm(source: str, number: int) -> AlarmRow:
    return AlarmRow(number, source, "comms-lost", "bus-1", "silent", 1000, 2000)


def test_an_alarm_that_is_over_while_it_is_told_does_not_stay_retained() -> None:
    async def work() -> dict[str, bytes]:
        hands, standing = Hands(), [alarm("meter-a", 1), alarm("meter-b", 2)]
        link = cast(Link, hands)
        voice = PlainPublisher("here", lambda: ("meter-a", "meter-b"), lambda: standing, lambda: 3000)
        hands.open.clear()
        first = asyncio.create_task(voice.alarms(link))
        await asyncio.sleep(0)  # it has begun to tell both
        standing.clear()
        second = asyncio.create_task(voice.alarms(link))
        await asyncio.sleep(0)
        hands.open.set()
        await asyncio.gather(first, second)
        return dict(hands.sent)

    retained = asyncio.run(work())
    assert set(retained.values()) == {b""}


def test_alarms_of_a_meter_that_comes_by_a_reload_wait_for_the_birth_that_defines_them() -> None:
    async def work() -> Hands:
        hands, names = Hands(), ["meter-a"]
        link, points = cast(Link, hands), load_profile("sunspec-inverter").points
        meters = Meters(
            lambda: dict.fromkeys(names, points),
            dict,
            lambda: dict.fromkeys(names, 1000),
            lambda: [alarm(name, 1) for name in names],
            lambda: 3000,
        )
        voice = SparkplugPublisher(Node("plant", "here", "meterseal 0", lambda: 3000), meters, None)
        await voice.begin(link)
        names.append("meter-b")
        await voice.alarms(link)
        return hands

    hands = asyncio.run(work())
    born, *data = [(topic, parse(payload)) for topic, payload in hands.sent]
    assert born[1] is not None
    known = {metric.alias for metric in born[1].metrics}
    assert all(metric.alias in known for _, payload in data if payload is not None for metric in payload.metrics)
