"""One connection to an MQTT 5 broker that comes back by itself for ever, for both ends of the mqtt ledger.

The network thread is paho's own; whatever a broker sends cannot end it. A broker that is absent, slow or hung costs
nobody but this connection: nothing waits for it except ``wait_connected``, and only for as long as it is told.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec
from urllib.parse import urlsplit

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    CleanStartOption,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTv5,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ledger_client.errors import LedgerClientError
from ledger_client.ledgers.wire import MAX_ENTRY

_LOG = logging.getLogger("meterseal.mqtt")
P = ParamSpec("P")

KEEPALIVE_S = 10  # a broker that hangs with its TCP connection up is noticed within two of these
QUEUE = 20  # messages that paho may hold; whoever submits keeps the rest
NO_SUBSCRIBER = 0x10  # MQTT 5 §3.4.2.1: acknowledged, and delivered to nobody
_RECONNECT_S = (1, 5)
_MAX_PACKET = 2 * MAX_ENTRY  # the broker keeps what is larger to itself


class BrokerUrlError(LedgerClientError):
    """Not an address of a broker."""


def parse_url(url: str) -> tuple[str, int]:
    """Host and port of ``mqtt://HOST[:PORT]``; raises ``BrokerUrlError``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 1883
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "mqtt" or parts.path.strip("/") or parts.query or parts.username is not None:
        raise BrokerUrlError(f"{url!r} is not the address of a broker; write it as mqtt://HOST:PORT")
    return host, port


class _LastingClient(Client):
    """paho's client whose network thread survives what a broker's bytes may raise in it."""

    def __init__(self, client_id: str, begin: Callable[[], None]) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5)
        self.closing = threading.Event()
        self.begin = begin

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception:  # the thread's outermost frame: no packet may end the connection for ever
                _LOG.exception("connection to %s:%s failed, connecting anew", self.host, self.port)
                if self.closing.wait(_RECONNECT_S[1]):
                    return MQTTErrorCode.MQTT_ERR_UNKNOWN
                self.begin()


@dataclass(frozen=True, slots=True)
class Message:
    """What came in on a subscription; the last two are MQTT 5's, where the sender set them."""

    topic: str
    data: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None


def _send_at_once(_client: Client, _userdata: object, sock: object) -> None:
    """No Nagle delay: a small message that follows another one would wait for the peer's delayed ACK, 40 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _guarded(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call what may not end the network thread, whatever it raises."""
    try:
        function(*args, **kwargs)
    except Exception:
        _LOG.exception("a fault in this program, while it handled what a broker sent")


def _read(message: MQTTMessage) -> Message:
    properties = message.properties
    return Message(
        message.topic,
        bytes(message.payload),
        message.retain,
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
    )


class Broker:
    """A connection to a broker, made and kept in the background from the constructor on.

    ``on_connect`` runs after every connection, before anything is sent again; ``on_message`` for every message (its
    return is what acknowledges a QoS 1 message); ``on_ack`` for every acknowledged publication. All three run in
    the network thread and must not wait.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        on_connect: Callable[[Broker], None],
        on_message: Callable[[Message], None],
        on_ack: Callable[[int, int, str], None] = lambda _mid, _code, _reason: None,
        session_s: int = 0,
        queue: int = 0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self.url = url
        self._address = parse_url(url)
        self._session_s = session_s
        self._on_connect = on_connect
        self._ready = threading.Event()
        self._state = "not connected yet"
        self._client = client = _LastingClient(client_id, self._begin)
        client.suppress_exceptions = True  # _guarded has logged them
        client.connect_timeout = connect_timeout_s
        client.max_queued_messages_set(queue)
        client.reconnect_delay_set(*_RECONNECT_S)
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = lambda _client, _userdata, message: _guarded(on_message, _read(message))
        client.on_publish = lambda _c, _u, mid, code, _p: _guarded(on_ack, mid, code.value, str(code))
        self._begin()
        client.loop_start()

    def _begin(self) -> None:
        """Have the network thread connect from scratch."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._session_s
        properties.MaximumPacketSize = _MAX_PACKET
        clean: CleanStartOption = False if self._session_s else MQTT_CLEAN_START_FIRST_ONLY
        self._client.connect_async(*self._address, keepalive=KEEPALIVE_S, clean_start=clean, properties=properties)

    @property
    def state(self) -> str:
        """The connection in words."""
        return self._state

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not been seen to break since."""
        return self._ready.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection, at most ``timeout_s``."""
        return self._ready.wait(timeout_s)

    def subscribe(self, topic: str) -> None:
        """Ask for a topic filter with QoS 1: in force before whatever is published after it on this connection."""
        self._client.subscribe(topic, qos=1)

    def publish(
        self,
        topic: str,
        data: bytes,
        content_type: str,
        *,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> int | None:
        """Send with QoS 1, not retained; without a connection it waits for one. ``None``: the queue is full.

        Returns the message id that ``on_ack`` will be called with, which may happen before this returns.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        sent = self._client.publish(topic, data, qos=1, retain=False, properties=properties)
        return None if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else sent.mid

    def close(self, timeout_s: float = 5.0) -> None:
        """Say goodbye and end the network thread, waiting for it at most ``timeout_s``."""
        self._client.closing.set()
        self._client.disconnect()
        stopper = threading.Thread(target=self._client.loop_stop, name="mqtt-stop", daemon=True)
        stopper.start()
        stopper.join(timeout_s)

    def _connected(
        self, _client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._state = f"the broker refused the connection: {code}"
            _LOG.warning("%s: %s", self.url, self._state)
            return
        self._state = "connected"
        _LOG.info("connected to %s", self.url)
        _guarded(self._on_connect, self)
        self._ready.set()

    def _failed(self, _client: Client, _userdata: object) -> None:
        self._state = "nobody answers at that address"

    def _disconnected(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._ready.clear()
        before, self._state = self._state, f"connection lost: {code}"
        if self._state != before and not self._client.closing.is_set():  # paho tells of one loss more than once
            _LOG.warning("%s: %s", self.url, self._state)

    def _subscribed(
        self, _client: Client, _userdata: object, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        for code in codes:
            if code.is_failure:
                self._state = f"connected, but the broker refused the subscription: {code}"
                _LOG.error("%s: %s", self.url, self._state)
