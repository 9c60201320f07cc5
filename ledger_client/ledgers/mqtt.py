"""MQTT ledger driver: statements out on one topic, receipts and refusals back on another. Network.

What the broker acknowledges settles nothing. With MQTT 5 a PUBACK with reason 0x10 says that no ledger listens; any
other one says that the broker has the message, which it may still lose. MQTT 3.1.1 knows no reasons and no correlation:
there a ledger that does not listen shows by the time-out only, and only the topic of an answer says what it answers.
Submitting again is harmless, so nothing is kept on disk here. A bridge that has taken a statement says so (Pending).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict

from ledger_client import messages
from ledger_client.errors import LedgerUnavailable, Malformed, Refused, Unsupported, VerificationError
from ledger_client.formats.bundle import decode_locator
from ledger_client.formats.statement import SignedStatement, parse_statement
from ledger_client.ledgers.interface import Pending
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import NO_SUBSCRIBER, QUEUE, Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions, Message
from ledger_client.transport.wire import (
    COSE,
    MAX_RECEIPT,
    TOPIC_ROOT,
    Topic,
    excerpt,
    id_from_text,
    id_to_text,
    parse_pending,
    parse_problem,
)

_LOG = logging.getLogger("meterseal.mqtt")

_SIGN1_HEAD = 0xD2  # tag 18: a receipt; problem details are a bare map
_LOOK_S = 1.0
_REMEMBERED = 256  # statements whose answer may still come


class _Asked:
    """One statement on its way: its last publication and what has come back for it."""

    def __init__(self) -> None:
        self.flying = False  # published, and paho still holds it: it will send it again by itself
        self.acknowledged: tuple[int, str] | None = None  # reason code of the PUBACK and its words
        self.correlation = b""
        self.receipt: bytes | None = None
        self.refusal: Refused | None = None
        self.kept_until: float | None = None  # a bridge keeps it, and wants to be asked again from then on
        self.stray = ""


class _Submissions(Handler):
    """Statements on their way, by id, and the subscriptions to their answers.

    Submitting threads write and wait, the network thread writes what has come back: every field, and every field of
    what ``asked`` holds, is guarded by ``news``, which wakes who waits. No method calls the broker with ``news`` held:
    paho calls the handler with a lock held that publishing takes, too.
    """

    def __init__(self, ledger: str, url: str) -> None:
        self._ledger, self._url = ledger, url
        self.news = threading.Condition()
        self.asked: OrderedDict[bytes, _Asked] = OrderedDict()
        self._flying: dict[int, _Asked] = {}  # by message id, until the PUBACK
        self._early_acks: dict[int, tuple[int, str]] = {}  # PUBACKs that overtook the return of publish
        self._gateways: set[str] = set()

    # — in submitting threads —

    def remember(self, statement_id: bytes) -> _Asked:
        """The state of a statement that is about to be submitted; the oldest are forgotten."""
        with self.news:
            asked = self.asked.setdefault(statement_id, _Asked())
            self.asked.move_to_end(statement_id)
            while len(self.asked) > _REMEMBERED:
                self.asked.popitem(last=False)
            return asked

    def subscribe(self, broker: Broker, gateway: str) -> None:
        """Ask for the answers to a gateway's statements, once; ``connected`` repeats it on every connection."""
        with self.news:
            if gateway in self._gateways:
                return
            self._gateways.add(gateway)
        broker.subscribe(self._filter(gateway))

    def publish(self, broker: Broker, asked: _Asked, signed: SignedStatement) -> None:
        """Send the statement, unless paho still holds it. Raises ``LedgerUnavailable``: the queue is full."""
        with self.news:
            if asked.flying:
                return
            asked.flying, asked.acknowledged = True, None
            asked.receipt = asked.refusal = asked.kept_until = None
            asked.stray = ""
            correlation = asked.correlation = secrets.token_bytes(16)
        gateway, id_text = signed.statement.gateway, id_to_text(signed.id)
        mid = broker.publish(
            Topic(self._ledger, "statements", gateway, id_text).encode(),
            signed.entry,
            COSE,
            response_topic=Topic(self._ledger, "receipts", gateway, id_text).encode(),
            correlation=correlation,
        )
        with self.news:
            asked.flying = mid is not None and mid not in self._early_acks
            if asked.flying and mid is not None:
                self._flying[mid] = asked
            elif mid is not None:
                asked.acknowledged = self._early_acks.pop(mid)
        if mid is None:
            raise LedgerUnavailable(messages.Message("mqtt-queue-full", url=self._url, n=QUEUE, state=broker.state))

    def _filter(self, gateway: str) -> str:
        return f"{TOPIC_ROOT}/{self._ledger}/receipts/{gateway}/+"

    # — in the network thread —

    def connected(self, broker: Broker) -> None:
        with self.news:
            gateways = sorted(self._gateways)
        for gateway in gateways:
            broker.subscribe(self._filter(gateway))

    def acknowledged(self, mid: int, code: int, reason: str) -> None:
        with self.news:
            asked = self._flying.pop(mid, None)
            if asked is None:
                self._early_acks[mid] = code, reason
            else:
                asked.flying, asked.acknowledged = False, (code, reason)
            self.news.notify_all()

    def message(self, message: Message) -> None:
        topic = Topic.decode(message.topic)
        if message.retained or topic is None or topic.kind != "receipts" or topic.ledger != self._ledger:
            return
        with self.news:
            asked = self.asked.get(id_from_text(topic.id_text) or b"")
            if asked is not None:
                self._take(asked, message)
                self.news.notify_all()

    def _take(self, asked: _Asked, message: Message) -> None:
        data = message.data if len(message.data) <= MAX_RECEIPT else b""
        problem, after_s = parse_problem(data), parse_pending(data)
        if data[:1] == bytes([_SIGN1_HEAD]) or _is_locator(data):
            asked.receipt = data
        elif after_s is not None:
            asked.kept_until = time.monotonic() + after_s
        elif problem is None:
            data = message.data
            asked.stray = excerpt(data)
            _LOG.warning("%s: neither receipt nor refusal on %s: %s", self._url, message.topic, asked.stray)
        elif message.correlation in (None, asked.correlation):  # not the answer to an earlier attempt
            asked.refusal, asked.kept_until = Refused(*problem), None


class MqttLedger:
    """The ledger ``name`` behind the broker at ``url`` (``mqtt://`` or ``mqtts://HOST:PORT``); see ``ledgers.Ledger``.

    ``submit`` waits at most ``timeout_s`` in all, for the connection and the receipt. A receipt that comes later is
    handed over by ``lookup``, once: whoever finds it wrong submits again and gets a fresh one.
    """

    def __init__(self, name: str, url: str, access: Access | None = None, *, timeout_s: float = 10.0) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._submissions = _Submissions(name, url)
        options = BrokerOptions(
            url,
            f"meterseal-{secrets.token_hex(8)}",
            access or Access(),
            queue=QUEUE,
            connect_timeout_s=min(timeout_s, 5.0),
        )
        self._broker = Broker(options, self._submissions)

    def submit(self, entry: bytes) -> bytes | Pending:
        """Publish the statement and wait for its receipt or its refusal."""
        deadline = time.monotonic() + self._timeout_s
        try:
            signed = parse_statement(entry)
        except VerificationError as error:
            raise Refused("Malformed statement", error.sentence) from error
        if not self._broker.wait_connected(self._timeout_s):
            raise LedgerUnavailable(messages.Message("at", place=self._broker.url, what=self._broker.state))
        asked = self._submissions.remember(signed.id)
        self._submissions.subscribe(self._broker, signed.statement.gateway)
        self._submissions.publish(self._broker, asked, signed)
        return self._await(asked, deadline)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """The receipt that has come for a statement submitted here; over MQTT there is no other way to ask."""
        with self._submissions.news:
            asked = self._submissions.asked.get(statement_id)
            if asked is None:
                return None
            receipt, asked.receipt = asked.receipt, None
            return receipt or _pending(asked)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Unsupported."""
        raise Unsupported(messages.Message("mqtt-cannot-ask-last", url=self._broker.url, gateway=gateway))

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """Unsupported."""
        raise Unsupported(messages.Message("mqtt-cannot-ask", url=self._broker.url, gateway=gateway))

    def close(self) -> None:
        """Leave the broker and end the network thread."""
        self._broker.close(self._timeout_s)

    def _await(self, asked: _Asked, deadline: float) -> bytes | Pending:
        with self._submissions.news:
            while True:
                if asked.receipt is not None:
                    return asked.receipt
                if asked.refusal is not None:
                    raise asked.refusal
                if pending := _pending(asked):
                    return pending
                code, reason = asked.acknowledged or (0, "")
                if code == NO_SUBSCRIBER:
                    raise LedgerUnavailable(
                        messages.Message("mqtt-no-listener", url=self._broker.url, ledger=self.name, reason=reason)
                    )
                if code >= 0x80:
                    raise LedgerUnavailable(messages.Message("mqtt-refused", url=self._broker.url, reason=reason))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LedgerUnavailable(self._silence(asked))
                self._submissions.news.wait(left)

    def _silence(self, asked: _Asked) -> messages.Message:
        url, limit_ms, state = self._broker.url, round(self._timeout_s * 1000), self._broker.state
        if asked.acknowledged is None:
            sentence = messages.Message("mqtt-not-acknowledged", url=url, limit_ms=limit_ms, state=state)
        elif self._broker.protocol == "3.1.1":
            sentence = messages.Message("mqtt-not-answered-311", url=url, limit_ms=limit_ms, state=state)
        else:
            sentence = messages.Message("mqtt-not-answered", url=url, limit_ms=limit_ms, state=state)
        return messages.Message("mqtt-stray-answer", what=sentence, stray=asked.stray) if asked.stray else sentence


def _pending(asked: _Asked) -> Pending | None:
    """While a bridge keeps a statement its answer is worth a look in here; until then nobody is asked."""
    if asked.kept_until is None or asked.kept_until <= time.monotonic():
        return None
    return Pending(min(_LOOK_S, asked.kept_until - time.monotonic()))


def _is_locator(data: bytes) -> bool:
    """True for a place on a chain, as a bridge to an evm ledger answers; problem details are a map as well."""
    try:
        decode_locator(data)
    except Malformed:
        return False
    return True
