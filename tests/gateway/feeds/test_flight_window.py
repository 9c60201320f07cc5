"""How many messages are in flight: as many as the broker says, and as it acknowledges within a second."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.feeds.flight_window import FIRST, LEAST, MOST, Window
from gateway.feeds.mqtt_link import Link, LinkOptions
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_options import Will
from tests.gateway.feeds.rig import until
from tests.gateway.feeds.tap import tap
from tests.support.processes import mosquitto


def acknowledge(window: Window, times: int, now: float) -> int:
    for _ in range(times):
        window.acknowledged(now)
    return window.size


def test_the_window_follows_the_rate_at_which_the_broker_acknowledges() -> None:
    window = Window()
    assert window.size == FIRST
    window.full(10.0)
    assert acknowledge(window, 60, 10.5) == FIRST
    assert acknowledge(window, 1, 11.0) == 61
    window.full(12.0)
    assert acknowledge(window, 9999, 12.9) == 61
    assert acknowledge(window, 1, 13.0) == MOST
    window.full(14.0)
    assert acknowledge(window, 5, 15.2) == LEAST
    assert acknowledge(window, 1, 16.4) == LEAST


def test_a_window_that_has_room_does_not_shrink() -> None:
    window = Window()
    assert acknowledge(window, 3, 5.0) == FIRST
    assert acknowledge(window, 3, 50.0) == FIRST


def test_the_window_is_never_larger_than_the_brokers_receive_maximum() -> None:
    window = Window()
    window.limit(7)
    for receive_maximum, size in ((7, 7), (65_535, MOST)):
        window.limit(receive_maximum)
        window.full(0.0)
        acknowledge(window, 500, 0.5)
        assert acknowledge(window, 1, 1.0) == size


def test_no_more_messages_are_in_flight_than_the_broker_takes(tmp_path: Path) -> None:
    async def work() -> None:
        with mosquitto(tmp_path / "broker", "max_inflight_messages 3\n") as broker, tap(broker.port) as wire:
            link = Link(wire.url, Access(), "window", LinkOptions(Will("gone", b""), "mark"))
            await link.open()
            wire.clear.clear()
            sends = [asyncio.create_task(link.send("topic", b"data")) for _ in range(10)]
            await until(lambda: link.in_flight)
            assert (link.in_flight, sum(send.done() for send in sends)) == (3, 3)
            wire.clear.set()
            await asyncio.gather(*await asyncio.gather(*sends))
            await link.close()

    asyncio.run(work())
