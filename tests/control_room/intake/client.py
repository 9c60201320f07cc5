"""An MQTT 3.1.1 client of a nats-server, as a gateway is, and connections of NATS itself."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from nats.aio.client import Client
from paho.mqtt.client import Client as MqttClient
from paho.mqtt.client import MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from control_room.intake.consumer import STREAM, consumer_name
from control_room.intake.nats_link import connect
from ledger_client.transport.access import Access
from tests.support.brokers.nats import Node

WITHIN_S = 20.0


class Gateway:
    """A client that publishes with QoS 1 and waits for the acknowledgement; ``got`` is what it received."""

    def __init__(self, port: int, client_id: str, user: str | None = None, password: str | None = None) -> None:
        self._client = MqttClient(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv311)
        self.got: list[tuple[str, bytes]] = []
        self.arrived = threading.Condition()
        subscribed = self._subscribed = threading.Event()
        connected = threading.Event()
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda *_: connected.set()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _c, _u, message: self._message(message.topic, bytes(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert connected.wait(WITHIN_S)

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Publish; back when the broker has acknowledged it."""
        self._client.publish(topic, data, qos=1, retain=retain).wait_for_publish(WITHIN_S)

    def subscribe(self, topic: str) -> None:
        """Subscribe; back when the broker has taken it."""
        self._subscribed.clear()
        self._client.subscribe(topic, qos=1)
        assert self._subscribed.wait(WITHIN_S)

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """The first ``count`` messages that it receives."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, WITHIN_S)
            return self.got[:count]

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def _message(self, topic: str, data: bytes) -> None:
        with self.arrived:
            self.got.append((topic, data))
            self.arrived.notify_all()


@contextmanager
def gateway(node: Node, client_id: str) -> Iterator[Gateway]:
    """A connected client."""
    client = Gateway(node.port, client_id)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def linked(node: Node, control: str = "") -> AsyncIterator[Client]:
    """A connection as the receiver has one; the consumer of that control room is deleted at its end."""
    link = await connect((node.client_url,), Access(), "test", failed=_ignore, lost=nothing, again=nothing, once=True)
    try:
        yield link
        if control:
            await link.jetstream().delete_consumer(STREAM, consumer_name(control))
    finally:
        await link.close()


def _ignore(error: BaseException) -> None:
    return


def nothing() -> None:
    """What a connection that is lost, or is there again, calls."""
