"""MQTT broker connection with unlimited reconnects, for ledgers, bridges and feeds. Network.

It speaks MQTT 5, or 3.1.1 where that is set or the broker refuses 5. The network thread is paho's own; whatever a
broker sends cannot end it. A broker that is absent, slow or hung costs nobody but this connection: nothing waits for it
except ``wait_connected``, and only for the time that is passed to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, ParamSpec, Protocol

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
from paho.mqtt.enums import LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ledger_client import messages
from ledger_client.messages import Sentence
from ledger_client.system_errors import os_error
from ledger_client.transport import mqtt_options
from ledger_client.transport.access import AccessError
from ledger_client.transport.lasting_client import LastingClient
from ledger_client.transport.mqtt_options import BrokerOptions, Message, parse_url
from ledger_client.transport.tls import NO_TLS, tls_failure

_LOG = logging.getLogger("meterseal.mqtt")
P = ParamSpec("P")

KEEPALIVE_S = 10  # a broker that hangs with its TCP connection up is noticed within two of these
QUEUE = 20  # messages that paho may hold; whoever submits keeps the rest
NO_SUBSCRIBER = 0x10  # MQTT 5 §3.4.2.1: acknowledged, and delivered to nobody
_OTHER_VERSION = 0x84  # MQTT 5 §3.2.2.2, and paho's word for return code 1 of 3.1.1
_UNSPECIFIED = 0x80  # paho's word for a connection that just ended
_NO_ENTRY = frozenset({0x86, 0x87})  # bad user name or password, not authorized
_NO_MAXIMUM = 65_535  # messages in flight where a CONNACK says nothing of them (MQTT 5 §3.2.2.3.3)
RESUBSCRIBE_S = 2.0  # behind a subscription that was refused
_NEW: Final = messages.Message("broker-not-connected")
_CONNECTED: Final = messages.Message("broker-connected")


def _guarded(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:  # nothing may end the network thread
        function(*args, **kwargs)
    except Exception:
        _LOG.exception("a fault in this program, while it handled what a broker sent")


def _read(client: Client, message: MQTTMessage) -> Message:
    properties = message.properties
    return mqtt_options.Message(
        message.topic,
        bytes(message.payload),
        message.retain,
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
        lambda: client.ack(message.mid, message.qos),
    )


class Handler(Protocol):
    """What a connection reports to whoever uses it.

    Every method is called in the connection's network thread, one at a time, possibly before the constructor of
    ``Broker`` has returned, and must not wait. What it raises is logged and goes no further. A subclass defines what it
    needs; the rest does nothing.
    """

    def connected(self, broker: Broker) -> None:
        """The broker has accepted a connection, the first one or another; nothing has been sent on it yet. Here a
        handler subscribes, each time."""
        return

    def message(self, message: Message) -> None:
        """A message on a subscription. The return of this method acknowledges one with QoS 1, unless the options say
        ``acknowledged_later``."""
        return

    def acknowledged(self, mid: int, code: int, reason: str) -> None:
        """The broker has acknowledged publication ``mid`` with a reason code (MQTT 5 §3.4.2.1; 0 with 3.1.1) and its
        name. It may come before ``publish`` has returned that id."""
        return

    def unsubscribed(self, mid: int) -> None:
        """The broker has answered ``unsubscribe`` number ``mid``, and so read all that was sent before it."""
        return

    def down(self, state: Sentence) -> None:
        """There is no connection, for the reason ``state``. Repeated for each attempt that fails."""
        return


class Broker:
    """A connection to a broker, made and kept in the background from the constructor on.

    Its methods and properties may be used from any thread; a ``Handler`` may use them too, except ``wait_connected``
    and ``close``, which wait for the network thread. There is one network thread, paho's; during the change from MQTT 5
    to 3.1.1 that of the refused client ends while the next one begins.
    """

    def __init__(self, options: BrokerOptions, handler: Handler) -> None:
        """Connect in the background.

        Raises:
            BrokerUrlError: the address is none of a broker.
            AccessError: login and address do not go together, or a certificate cannot be read.
        """
        # immutable
        self.url = options.url
        self._options, self._handler = options, handler
        self._address = parse_url(options.url)
        self._access = options.access
        self._access.check_rules(options.url)
        self._tls = self._access.tls_context() if self._address.tls else None
        # written by the network thread before Handler.connected is called, read by any
        self.receive_maximum = _NO_MAXIMUM
        """Messages that the broker lets be in flight (MQTT 5 §3.2.2.3.3)."""
        self._shares = False
        # written by the network thread, read by any; changes of _up and _refused hold _news, which wakes wait_connected
        self._news = threading.Condition()
        self._state: Sentence
        self._state, self._up, self._refused = _NEW, False, False
        # subscriptions that are not answered yet, by message id: under _asking, in any thread
        self._asking, self._subscribing = threading.RLock(), dict[int, str]()
        # written under _swap: _closing by whoever closes, _client by the network thread; read by any
        self._swap, self._closing = threading.Lock(), False
        self._client = self._make(MQTTv311 if self._access.protocol == "3.1.1" else MQTTv5)
        self._begin(self._client)
        self._client.loop_start()

    def _make(self, version: MQTTProtocolVersion) -> LastingClient:
        options, handler = self._options, self._handler
        clean = not options.session_s if version == MQTTv311 else None
        client = LastingClient(options.client_id, version, clean, self._begin)
        client.manual_ack_set(options.acknowledged_later)
        client.connect_timeout = options.connect_timeout_s
        client.max_queued_messages_set(options.queue)
        client.max_inflight_messages_set(options.in_flight)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if options.will is not None:
            client.will_set(options.will.topic, options.will.data, qos=1, retain=options.will.retain)
        client.on_pre_connect = self._log_in
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_log = self._logged
        client.on_subscribe = self._subscribed
        client.on_unsubscribe = lambda _c, _u, mid, _codes, _p: _guarded(handler.unsubscribed, mid)
        client.on_message = lambda _client, _userdata, message: _guarded(handler.message, _read(client, message))
        client.on_publish = lambda _c, _u, mid, code, _p: _guarded(handler.acknowledged, mid, code.value, str(code))
        return client

    def _begin(self, client: Client) -> None:
        """Have the network thread connect from scratch."""
        if client.protocol == MQTTv311:
            client.connect_async(self._address.host, self._address.port, keepalive=KEEPALIVE_S)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._options.session_s
        properties.MaximumPacketSize = self._options.max_packet
        clean: CleanStartOption = False if self._options.session_s else MQTT_CLEAN_START_FIRST_ONLY
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

    def _fall_back(self, refused: LastingClient) -> None:
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
    def state(self) -> Sentence:
        """How the connection is, or why there is none."""
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
        """Ask for no more of a topic filter; gives the message id that ``Handler.unsubscribed`` will be called with."""
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

        Returns the message id that ``Handler.acknowledged`` will be called with, which may happen before this returns;
        with QoS 0 it says only that the message was written to the connection.
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

    # — in the network thread —

    def _connected(
        self, client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if not code.is_failure:
            again = "" if self._state == _NEW else " again"
            _LOG.log(min(self._options.log_level, logging.INFO), "connected to %s%s", self.url, again)
            available = getattr(properties, "SharedSubscriptionAvailable", 1)  # MQTT 5 §3.2.2.3.13
            self._shares = client.protocol == MQTTv5 and available != 0
            self.receive_maximum = getattr(properties, "ReceiveMaximum", _NO_MAXIMUM)
            self._state = _CONNECTED
            with self._asking:
                self._subscribing.clear()
            _guarded(self._handler.connected, self)  # may say that a subscription is refused
            with self._news:
                self._up, self._refused = True, False
                self._news.notify_all()
        elif code.value == _OTHER_VERSION and client.protocol == MQTTv5 and self._access.protocol == "auto":
            assert isinstance(client, LastingClient)
            self._fall_back(client)
        else:
            self._down(self._refusal(code), refused=True)

    def _refusal(self, code: ReasonCode) -> messages.Message:
        reason = str(code)
        if code.value == _OTHER_VERSION:
            return messages.Message("broker-refused-version", reason=reason, version=self.protocol)
        if code.value in _NO_ENTRY:
            return messages.Message("broker-refused-login", reason=reason)
        return messages.Message("broker-refused", reason=reason)

    def _failed(self, client: Client, _userdata: object) -> None:
        failure = client.failure if isinstance(client, LastingClient) else None
        why = tls_failure(failure) if failure is not None else None
        if why is None and self._tls is not None and isinstance(failure, ConnectionResetError):
            why = NO_TLS
        reason = os_error(failure) if failure is not None else "?"
        self._down(why or messages.Message("broker-unreachable", error=reason), refused=why is not None)

    def _logged(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        """The one place where paho says that the broker's TLS has refused us after the handshake, as TLS 1.3 does."""
        if level == LogLevel.MQTT_LOG_ERR and "[SSL" in text and not self._up:
            self._down(tls_failure(text) or text, refused=True)

    def _disconnected(
        self, client: Client, _userdata: object, _flags: DisconnectFlags, code: ReasonCode, _props: Properties | None
    ) -> None:
        if client is not self._client or self._refused:  # of a refusal is known more than that the connection is gone
            return
        if self._up:
            lost = messages.Message("broker-lost")
        else:
            lost = messages.Message("broker-lost-early-cert") if self._tls else messages.Message("broker-lost-early")
        if code.value != _UNSPECIFIED:
            reason = str(code)
            lost = messages.Message("broker-lost-because", what=lost, reason=reason)
        self._down(lost, refused=False)

    def _down(self, state: Sentence, *, refused: bool) -> None:
        """There is no connection. Logged once: paho tells of one loss more than once, and retries for ever."""
        if state != self._state and not self._closing:
            _LOG.log(self._options.log_level, "%s: %s", self.url, state)
        with self._news:
            self._state, self._up, self._refused = state, False, refused
            self._news.notify_all()
        _guarded(self._handler.down, state)

    def _subscribed(
        self, client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        """A subscription that is refused is asked for again: a cluster without a leader refuses it for a moment, and
        whoever hears nothing would wait for ever on a connection that holds."""
        with self._asking:
            topic = self._subscribing.pop(mid, None)
        refused = next((code for code in codes if code.is_failure), None)
        if refused is None:
            self._state = _CONNECTED if self._up and self._deaf else self._state
            return
        reason, known = str(refused), self._deaf
        self._state = messages.Message("broker-subscription-refused", reason=reason)
        if not known:
            _LOG.error("%s: %s", self.url, self._state)
        if topic is not None:
            again = threading.Timer(RESUBSCRIBE_S, self._subscribe_again, (client, topic))
            again.daemon = True
            again.start()

    def _subscribe_again(self, client: Client, topic: str) -> None:
        """On the same connection: another one has asked for all that it needs."""
        if client is self._client and not self._closing and self._deaf:
            self.subscribe(topic)

    @property
    def _deaf(self) -> bool:
        """Whether a subscription was refused, and no later one taken."""
        state = self._state
        return isinstance(state, messages.Message) and state.code == "broker-subscription-refused"
