"""What whoever may publish at the broker can send to an edge node, and what it gains."""

from __future__ import annotations

import asyncio
from contextlib import closing

from gateway.feeds.mqtt_link import Link, LinkOptions
from gateway.feeds.sparkplug.node import asks_for_rebirth
from gateway.feeds.sparkplug.payload import Metric, Payload
from gateway.feeds.sparkplug.primary_host import PrimaryHost
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions, Message, Will
from tests.gateway.feeds.rig import PATIENCE_S, until
from tests.gateway.feeds.sparkplug_host import HOST
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.processes import Mosquitto


def test_what_is_no_state_message_changes_nothing() -> None:
    host = PrimaryHost(HOST, lambda: 10)
    nonsense = (
        b"", b"ONLINE", b"\xff", b"[]", b"1", b"{}", b'{"online":true}', b'{"online":"true","timestamp":1}',
        b'{"online":true,"timestamp":"1"}', b'{"online":true,"timestamp":true}', b'{"online":1,"timestamp":1}',
        b"[" * 100_000, b'{"online":true,"timestamp":NaN}', b'{"online":true,"timestamp":Infinity}',
        b'{"online":true,"timestamp":-1}', b'{"online":true,"timestamp":1e300}',
        b'{"online":true,"timestamp":9,"x":"' + b"x" * 100_000 + b'"}',
    )  # fmt: skip
    for data in nonsense:
        assert not host.hear(data)
        assert not host.online.is_set()
    assert not host.hear(b'{"online":true,"timestamp":5}')
    for data in (*nonsense, b'{"online":false,"timestamp":4}'):
        assert not host.hear(data)
        assert host.online.is_set()
    assert host.hear(b'{"online":false,"timestamp":5}')


def test_a_state_of_times_to_come_does_not_make_a_host_unheard() -> None:
    now_ms = 1795650000000
    host = PrimaryHost(HOST, lambda: now_ms)
    assert not host.hear(b'{"online":true,"timestamp":%d}' % (now_ms - 5))
    assert host.hear(b'{"online":false,"timestamp":253402300799999}')
    assert not host.hear(b'{"online":true,"timestamp":%d}' % now_ms)
    assert host.online.is_set()
    ahead_ms = now_ms + 3_600_000
    assert not host.hear(b'{"online":true,"timestamp":%d}' % ahead_ms)
    assert not host.hear(b'{"online":false,"timestamp":%d}' % (ahead_ms - 1))
    assert host.online.is_set(), "a clock that is an hour ahead orders its messages all the same"


def test_a_command_larger_than_any_is_none_and_takes_no_time() -> None:
    ask = Metric(name="Node Control/Rebirth", datatype=11, boolean_value=True)
    rebirth = Payload(metrics=[ask]).SerializeToString()
    assert asks_for_rebirth(rebirth)
    assert not asks_for_rebirth(b"\x12\x00" * 250_000 + rebirth)


def test_of_a_flood_little_is_heard_and_nothing_that_is_too_large(broker: Mosquitto) -> None:
    heard: list[Message] = []

    async def work() -> None:
        options = LinkOptions(Will("attack/will"), mark="no", longest=100, rate=1)
        link = Link(broker.url, Access(), "node", options, heard.append)
        await link.open()
        link.subscribe("attack/flood")
        link.subscribe("attack/end")
        await link.round_trip()
        for _ in range(500):
            stranger.publish("attack/flood", b"x" * 100, None)
            stranger.publish("attack/end", b"x" * 101, None)
        stranger.publish("attack/end", b"", None)
        await until(lambda: any(message.topic == "attack/end" for message in heard))
        await link.close()

    with closing(Broker(BrokerOptions(broker.url, "stranger"), Callbacks())) as stranger:
        assert stranger.wait_connected(PATIENCE_S)
        asyncio.run(work())
    assert 10 <= len(heard) - 1 < 100
    assert max(len(message.data) for message in heard) == 100
