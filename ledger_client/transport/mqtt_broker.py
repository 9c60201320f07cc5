"""MQTT broker connection with unlimited reconnects, for ledgers, bridges and feeds. Network.

It speaks MQTT 5, or 3.1.1 where it is told to or the broker refuses 5. The network thread is paho's own; whatever a
broker sends cannot end it. A broker that is absent, slow or hung costs nobody but this connection: nothing waits for it
except ``wait_connected``, and only for as long as it is told.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec
from urllib.parse import urlsplit

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    CleanStartOption,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTv5,
    MQTTv311,
)
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ledger_client.errors import LedgerClientError
from ledger_client.transport.access import Access, AccessError
from ledger_client.transport.tls import NO_TLS, in_words
from ledger_client.transport.wire import MAX_ENTRY

_LOG = logging.getLogger("meterseal.mqtt")
P = ParamSpec("P")

KEEPALIVE_S = 10  # a broker that hangs with its TCP connection up is noticed within two of these
IN_FLIGHT = 20  # messages that paho sends before it waits for an acknowledgement
QUEUE = 20  # messages that paho may hold; whoever submits keeps the rest
NO_SUBSCRIBER = 0x10  # MQTT 5 §3.4.2.1: acknowledged, and delivered to nobody
_OTHER_VERSION = 0x84  # MQTT 5 §3.2.2.2, and paho's word for return code 1 of 3.1.1
_UNSPECIFIED = 0x80  # paho's word for a connection that just ended
_NO_ENTRY = frozenset({0x86, 0x87})  # bad user name or password, not authorized
_NO_MAXIMUM = 65_535  # messages in flight where a CONNACK says nothing of them (MQTT 5 §3.2.2.3.3)
RESUBSCRIBE_S = 2.0  # behind a subscription that was refused
_DEAF = "connected, but the broker refused the subscription"
_NEW = "not connected yet"
_RECONNECT_S = (1, 5)
_MAX_PACKET = 2 * MAX_ENTRY  # the broker keeps what is larger to itself


class BrokerUrlError(LedgerClientError):
    """Not an address of a broker."""


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int
    tls: bool


def parse_url(url: str) -> Address:
    """The address in ``mqtt://HOST[:1883]`` or ``mqtts://HOST[:8883]``; raises ``BrokerUrlError``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or {"mqtt": 1883, "mqtts": 8883}.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.path.strip("/") or parts.query or parts.username is not None:
        shown = repr(url) if "@" not in url else "what was given"  # it may hold a password
        raise BrokerUrlError(f"{shown} is not the address of a broker; write it as mqtt://HOST:PORT or mqtts://…")
    return Address(host, port, parts.scheme == "mqtts")


def demand_broker(option: str, url: str) -> None:
    """Raise ``BrokerUrlError``, which names the option of the command line, unless this is a broker's address."""
    try:
        parse_url(url)
    except BrokerUrlError as error:
        raise BrokerUrlError(f"{option}: {error}") from None


class Will(NamedTuple):
    """What the broker shall publish, with QoS 1, when this connection breaks."""

    topic: str
    data: bytes = b""
    retain: bool = True


class _LastingClient(Client):
    """paho's client whose network thread survives what a broker's bytes may raise in it."""

    def __init__(
        self, client_id: str, version: MQTTProtocolVersion, clean: bool | None, begin: Callable[[Client], None]
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=version)
        self.leaving = threading.Event()
        self.begin = begin
        self.failure: OSError | None = None

    def reconnect(self) -> MQTTErrorCode:
        try:
            return super().reconnect()
        except OSError as error:
            self.failure = error  # paho tells nobody why
            raise

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception:  # the thread's outermost frame: no packet may end the connection for ever
                _LOG.exception("connection to %s:%s failed, connecting anew", self.host, self.port)
                if self.leaving.wait(_RECONNECT_S[1]):
                    return MQTTErrorCode.MQTT_ERR_UNKNOWN
                self.begin(self)


@dataclass(frozen=True, slots=True)
class Message:
    """What came in on a subscription; response topic and correlation are MQTT 5's, where the sender set them.

    ``acknowledge`` tells the broker, from any thread, that it has been dealt with, if it is ``acknowledged_later``.
    """

    topic: str
    data: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    acknowledge: Callable[[], object] = lambda: None


def _send_at_once(_client: Client, _userdata: object, sock: object) -> None:
    """No Nagle delay: a small message that follows another one would wait for the peer's delayed ACK, 40 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _guarded(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:  # nothing may end the network thread
        function(*args, **kwargs)
    except Exception:
        _LOG.exception("a fault in this program, while it handled what a broker sent")


def _read(client: Client, message: MQTTMessage) -> Message:
    properties = message.properties
    return Message(
        message.topic,
        bytes(message.payload),
        message.retain,
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
        lambda: client.ack(message.mid, message.qos),
    )


class Broker:
    """A connection to a broker, made and kept in the background from the constructor on.

    ``on_connect`` runs after every connection, before anything is sent again; ``on_message`` for every message (its
    return is what acknowledges a QoS 1 message, unless it is ``acknowledged_later``); ``on_ack`` for every publication
    that was acknowledged. All three run in the network thread and must not wait. Raises ``BrokerUrlError`` or
    ``AccessError`` for what cannot be used at all.
    """

    def __init__(
        self,
        url: str,
        access: Access | None = None,
        *,
        client_id: str,
        on_connect: Callable[[Broker], None],
        on_message: Callable[[Message], None],
        on_ack: Callable[[int, int, str], None] = lambda _mid, _code, _reason: None,
        acknowledged_later: bool = False,
        session_s: int = 0,
        queue: int = 0,
        in_flight: int = IN_FLIGHT,
        connect_timeout_s: float = 5.0,
        will: Will | None = None,
        on_down: Callable[[str], None] = lambda _state: None,
        on_unsubscribed: Callable[[int], None] = lambda _mid: None,
        loud: int = logging.WARNING,
        longest: int = _MAX_PACKET,
    ) -> None:
        """In the network thread, too: ``on_down``, with why there is no connection; ``on_unsubscribed``, with the id of
        the ``unsubscribe`` up to which all has been read. ``loud``: a loss in the log; ``longest``: packet in bytes;
        ``in_flight``: messages that are sent before an acknowledgement is waited for, whatever the broker says."""
        self.url = url
        self._address = parse_url(url)
        self._access = Access() if access is None else access
        self._access.check_rules(url)
        self._tls = self._access.tls_context() if self._address.tls else None
        self._client_id = client_id
        self._session_s, self._queue, self._connect_timeout_s = session_s, queue, connect_timeout_s
        self._in_flight, self.receive_maximum = in_flight, _NO_MAXIMUM
        self._will, self._shares, self._closing, self._longest = will, False, False, longest
        self._on_connect, self._on_message, self._on_ack = on_connect, on_message, on_ack
        self._on_down, self._on_unsubscribed, self._loud = on_down, on_unsubscribed, loud
        self._acknowledged_later = acknowledged_later
        self._swap, self._news = threading.Lock(), threading.Condition()
        self._asking, self._subscribing = threading.RLock(), dict[int, str]()
        self._state, self._up, self._refused = _NEW, False, False
        self._client = self._make(MQTTv311 if self._access.protocol == "3.1.1" else MQTTv5)
        self._begin(self._client)
        self._client.loop_start()

    def _make(self, version: MQTTProtocolVersion) -> _LastingClient:
        clean = not self._session_s if version == MQTTv311 else None
        client = _LastingClient(self._client_id, version, clean, self._begin)
        client.suppress_exceptions = True  # _guarded has logged them
        client.manual_ack_set(self._acknowledged_later)
        client.connect_timeout = self._connect_timeout_s
        client.max_queued_messages_set(self._queue)
        client.max_inflight_messages_set(self._in_flight)
        client.reconnect_delay_set(*_RECONNECT_S)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.data, qos=1, retain=self._will.retain)
        client.on_pre_connect = self._log_in
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_log = self._logged
        client.on_subscribe = self._subscribed
        client.on_unsubscribe = lambda _c, _u, mid, _codes, _p: _guarded(self._on_unsubscribed, mid)
        client.on_message = lambda _client, _userdata, message: _guarded(self._on_message, _read(client, message))
        client.on_publish = lambda _c, _u, mid, code, _p: _guarded(self._on_ack, mid, code.value, str(code))
        return client

    def _begin(self, client: Client) -> None:
        """Have the network thread connect from scratch."""
        if client.protocol == MQTTv311:
            client.connect_async(self._address.host, self._address.port, keepalive=KEEPALIVE_S)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval, properties.MaximumPacketSize = self._session_s, self._longest
        clean: CleanStartOption = False if self._session_s else MQTT_CLEAN_START_FIRST_ONLY
        host, port, _ = self._address
        client.connect_async(host, port, keepalive=KEEPALIVE_S, clean_start=clean, properties=properties)

    def _log_in(self, client: Client, _userdata: object) -> None:
        """Password and certificate as their files hold them now; what cannot be read leaves what was there before."""
        try:
            if self._tls is not None:
                self._access.load_own(self._tls)
            if self._access.user is not None:
                client.username_pw_set(self._access.user, self._access.password())
        except AccessError as error:
            _LOG.error("%s: %s", self.url, error)

    def _fall_back(self, refused: _LastingClient) -> None:
        """Speak MQTT 3.1.1 from now on: this broker knows no 5."""
        _LOG.info("%s knows no MQTT 5, going on with 3.1.1", self.url)
        with self._swap:
            if not self._closing:
                self._client = self._make(MQTTv311)
                self._begin(self._client)
                self._client.loop_start()
        refused.leaving.set()
        refused.disconnect()

    @property
    def protocol(self) -> str:
        """The MQTT version that is spoken, or tried first."""
        return "3.1.1" if self._client.protocol == MQTTv311 else "5"

    @property
    def state(self) -> str:
        """The connection in words."""
        return self._state

    @property
    def shares(self) -> bool:
        """Whether the broker divides a subscription among clients ($share, MQTT 5 §4.8.2), as its CONNACK said."""
        return self._shares

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not been seen to break since."""
        return self._up

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection, at most ``timeout_s``, and no longer when it is refused: ``state`` then says why."""
        with self._news:
            self._news.wait_for(lambda: self._up or self._refused, timeout_s)
            return self._up

    def subscribe(self, topic: str) -> None:
        """Ask for a topic filter with QoS 1: in force before whatever is published after it on this connection."""
        with self._asking:
            _, mid = self._client.subscribe(topic, qos=1)
            if mid is not None:  # else there is no connection, and the next one asks for all
                self._subscribing[mid] = topic

    def unsubscribe(self, topic: str) -> int | None:
        """Ask for no more of a topic filter; gives the message id that ``on_unsubscribed`` will be called with."""
        return self._client.unsubscribe(topic)[1]

    def publish(
        self,
        topic: str,
        data: bytes,
        content_type: str | None,
        *,
        qos: int = 1,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        retain: bool = False,
    ) -> int | None:
        """Send; without a connection it waits for one. ``None``: the queue is full.

        Returns the message id that ``on_ack`` will be called with, which may happen before this returns; with QoS 0 it
        says only that the message was written to the connection.
        """
        properties = None
        if self._client.protocol == MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if content_type is not None:
                properties.ContentType = content_type
            if response_topic is not None:
                properties.ResponseTopic = response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
        sent = self._client.publish(topic, data, qos=qos, retain=retain, properties=properties)
        return None if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else sent.mid

    def close(self, timeout_s: float = 5.0, *, with_will: bool = False) -> None:
        """Say goodbye and end the network thread, waiting for it at most ``timeout_s``. ``with_will``: over MQTT 5 the
        broker is to publish the will all the same (§3.14.2.1)."""
        with self._swap:
            self._closing, client = True, self._client
        client.leaving.set()
        by_will = with_will and client.protocol == MQTTv5
        client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message") if by_will else None)
        (stopper := threading.Thread(target=client.loop_stop, name="mqtt-stop", daemon=True)).start()
        stopper.join(timeout_s)

    def _connected(
        self, client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if not code.is_failure:
            again = "" if self._state == _NEW else " again"
            _LOG.log(min(self._loud, logging.INFO), "connected to %s%s", self.url, again)
            available = getattr(properties, "SharedSubscriptionAvailable", 1)  # MQTT 5 §3.2.2.3.13
            self._shares = client.protocol == MQTTv5 and available != 0
            self.receive_maximum = getattr(properties, "ReceiveMaximum", _NO_MAXIMUM)
            self._state = "connected"
            self._subscribing.clear()
            _guarded(self._on_connect, self)  # may say that a subscription is refused
            with self._news:
                self._up, self._refused = True, False
                self._news.notify_all()
        elif code.value == _OTHER_VERSION and client.protocol == MQTTv5 and self._access.protocol == "auto":
            assert isinstance(client, _LastingClient)
            self._fall_back(client)
        else:
            hint = "; look at user and password_file" if code.value in _NO_ENTRY else ""
            hint = f"; it knows no MQTT {self.protocol}, look at protocol" if code.value == _OTHER_VERSION else hint
            self._down(f"the broker refused the connection: {code}{hint}", refused=True)

    def _failed(self, client: Client, _userdata: object) -> None:
        failure = client.failure if isinstance(client, _LastingClient) else None
        why = in_words(failure) if failure is not None else None
        if why is None and self._tls is not None and isinstance(failure, ConnectionResetError):
            why = NO_TLS
        nobody = f"nobody answers at that address ({getattr(failure, 'strerror', None) or failure})"
        self._down(why or nobody, refused=why is not None)

    def _logged(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        """The one place where paho says that the broker's TLS has refused us after the handshake, as TLS 1.3 does."""
        if level == LogLevel.MQTT_LOG_ERR and "[SSL" in text and not self._up:
            self._down(in_words(text) or text, refused=True)

    def _disconnected(
        self, client: Client, _userdata: object, _flags: DisconnectFlags, code: ReasonCode, _props: Properties | None
    ) -> None:
        if client is not self._client or self._refused:  # of a refusal is known more than that the connection is gone
            return
        early = "" if self._up else " before it was accepted" + "; it may not accept our certificate" * bool(self._tls)
        known = "" if code.value == _UNSPECIFIED else f": {code}"
        self._down(f"connection lost{early}{known}", refused=False)

    def _down(self, state: str, *, refused: bool) -> None:
        """There is no connection. Logged once: paho tells of one loss more than once, and retries for ever."""
        if state != self._state and not self._closing:
            _LOG.log(self._loud, "%s: %s", self.url, state)
        with self._news:
            self._state, self._up, self._refused = state, False, refused
            self._news.notify_all()
        _guarded(self._on_down, state)

    def _subscribed(
        self, client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        """A subscription that is refused is asked for again: a cluster without a leader refuses it for a moment, and
        whoever hears nothing would wait for ever on a connection that holds."""
        with self._asking:
            topic = self._subscribing.pop(mid, None)
        refused = next((code for code in codes if code.is_failure), None)
        if refused is None:
            self._state = "connected" if self._up and self._state.startswith(_DEAF) else self._state
            return
        if not self._state.startswith(_DEAF):
            _LOG.error("%s: %s: %s", self.url, _DEAF, refused)
        self._state = f"{_DEAF}: {refused}"
        if topic is not None:
            again = threading.Timer(RESUBSCRIBE_S, self._subscribe_again, (client, topic))
            again.daemon = True
            again.start()

    def _subscribe_again(self, client: Client, topic: str) -> None:
        """On the same connection: another one has asked for all that it needs."""
        if client is self._client and not self._closing and self._state.startswith(_DEAF):
            self.subscribe(topic)
