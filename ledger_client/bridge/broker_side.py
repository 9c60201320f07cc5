"""Broker side of a bridge: statements are stored durably, then acknowledged; answers go out. Network.

A message is acknowledged when ``Door.message`` returns. No answer to a gateway is kept for it: a gateway submits again
until it has one, and then gets what there is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger_client.bridge.backlog import Backlog, Taken
from ledger_client.bridge.chain_anchoring import Anchorage
from ledger_client.bridge.claim import Claim, Part
from ledger_client.bridge.http_relay import PENDING_S
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.ledger.admission import admitted
from ledger_client.transparency.policy.policy_file import Policy
from ledger_client.transparency.server.mqtt import demand_named
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions, Message, Will
from ledger_client.transport.wire import CBOR, PROBLEM, TOPIC_ROOT, Topic, encode_pending, encode_problem, id_to_text

_LOG = logging.getLogger("meterseal.bridge")

Answer = tuple[bytes, str]
Take = Callable[[SignedStatement], Answer | None]
"""Keep a statement, durably; what can be said of it at once. Raises ``Refused``, ``LedgerUnavailable``."""


def taking_for_relay(book: Backlog, wake: Callable[[Taken], None]) -> Take:
    """For an http ledger, which judges everything itself."""

    def take(signed: SignedStatement) -> Answer | None:
        if not book.keep_entry(signed):
            return encode_pending(PENDING_S), CBOR
        wake(Taken(signed.id, signed.statement.gateway, signed.statement.batch, signed.entry))
        return None

    return take


def taking_for_chain(book: Backlog, policy: Callable[[], Policy], anchorage: Anchorage, retry_after_s: float) -> Take:
    """For a contract that will see a root only: keys and order are judged here. What is taken stays taken, though its
    key is revoked later."""

    def take(signed: SignedStatement) -> Answer | None:
        place = anchorage.answer(signed.id)
        if place is not None:
            return place, CBOR
        if not book.has(signed.id):
            book.keep_next(admitted(signed.entry, policy(), int(time.time())))
        return encode_pending(retry_after_s), CBOR

    return take


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bridge stands: ledger, broker, part; ``shared``: any number may, where the broker divides a
    subscription."""

    ledger: str
    url: str
    access: Access | None
    part: Part
    shared: bool


class Door(Handler):
    """A place at a broker from the constructor until ``close``; a broker that is away is waited for.

    ``connected`` and ``message`` run in the network thread, and so does what they call: the claim, ``take``, ``say``,
    ``fail``. ``tell`` and ``pend`` may be called from any thread.
    """

    def __init__(
        self, place: Place, identity: bytes, take: Take, say: Callable[[str], None], fail: Callable[[str], None]
    ) -> None:
        """``say`` hears that statements are taken, ``fail`` that another bridge has this one's place."""
        self._place, self._take, self._say, self._fail = place, take, say, fail
        who = f"process {os.getpid()} on {socket.gethostname()}"
        self._claim = Claim(place.ledger, identity, who, place.part, self._alone, self._outdone)
        self._broker: Broker | None = None
        """Set by the network thread with the first connection, or by the constructor, whichever comes first."""
        client_id = f"meterseal-bridge-{identity.hex()[:16]}"
        options = BrokerOptions(place.url, client_id, place.access or Access(), will=Will(self._claim.topic))
        self._broker = Broker(options, self)

    def close(self) -> None:
        """Leave the broker; another one may take the place."""
        assert self._broker is not None
        self._claim.release()
        self._broker.close(timeout_s=2.0)

    def tell(self, taken: Taken, answer: bytes, content_type: str) -> None:
        """Hand over what has come for a statement."""
        self._publish(Topic(self._place.ledger, "receipts", taken.gateway, id_to_text(taken.id)), answer, content_type)

    def pend(self, taken: Taken, retry_after_s: float) -> None:
        """Say that a statement is kept and has no answer yet."""
        self.tell(taken, encode_pending(retry_after_s), CBOR)

    def _publish(self, topic: Topic, data: bytes, content_type: str, correlation: bytes | None = None) -> None:
        if self._broker is not None:
            self._broker.publish(topic.encode(), data, content_type, correlation=correlation)

    # — in the network thread —

    def connected(self, broker: Broker) -> None:
        self._broker = broker
        if self._place.shared and broker.shares:
            self._subscribe(f"$share/meterseal-{self._place.ledger}/", "any number of bridges may share them")
        else:
            self._claim.connected(broker)

    def _alone(self) -> None:
        part = self._place.part
        why = "MQTT 3.1.1 cannot share them" if self._place.shared else "one bridge takes all of a gateway"
        self._subscribe("", f"alone, part {part}: {why}")

    def _subscribe(self, prefix: str, how: str) -> None:
        assert self._broker is not None
        self._broker.subscribe(f"{prefix}{TOPIC_ROOT}/{self._place.ledger}/statements/+/+")
        self._say(f"bridge to {self._place.ledger} takes statements at {self._broker.url} ({how})")

    def _outdone(self, who: str) -> None:
        where = f"{self._place.url}: {who} is a bridge to {self._place.ledger} at this broker"
        if self._place.shared:
            self._fail(f"{where}, which cannot share its statements out (no MQTT 5); stop that one, or use this one's")
        else:
            self._fail(f"{where} and takes some of the same gateways; stop that one, or divide them: --part K/N")

    def message(self, message: Message) -> None:
        if self._claim.heard(message):
            return
        topic = Topic.decode(message.topic)
        if topic is None or topic.ledger != self._place.ledger or topic.kind != "statements":
            _LOG.warning("a statement on a topic that names no gateway and id: %s", message.topic[:200])
            return
        if not self._place.part.has(hashlib.sha256(topic.gateway.encode()).digest()):
            return
        try:
            answer = self._take(demand_named(topic, message.data))
        except Refused as error:
            _LOG.warning("refused: %s", error)
            answer = encode_problem(error.title, error.detail, error.more), PROBLEM
        except LedgerUnavailable as error:  # no answer is the right one: whoever submitted tries again
            _LOG.error("%s", error.problem)
            return
        if answer is not None:
            receipts_topic = Topic(topic.ledger, "receipts", topic.gateway, topic.id_text)
            self._publish(receipts_topic, *answer, message.correlation)
