"""The ledger behind a broker: takes statements from one topic, answers with receipts or problem details on another.

A message is acknowledged to the broker when its statement is durable or refused (the callback's return), so that what
a broker with a persistent session still holds is what this side has not dealt with.
"""

from __future__ import annotations

import logging

from ledger_client.errors import LedgerUnavailable, Refused, VerificationError
from ledger_client.ledgers.access import Access
from ledger_client.ledgers.broker import Broker, Message
from ledger_client.ledgers.wire import COSE, MAX_ENTRY, PROBLEM, TOPIC_ROOT, Topic, encode_problem, id_to_text
from ledger_client.statement import SignedStatement, detach_receipts, parse_statement
from ledger_client.transparency.service import MALFORMED, Service

_LOG = logging.getLogger("meterseal.ledger")
_SESSION_S = 24 * 3600  # how long the broker shall keep statements for a ledger that is away


class MqttService:
    """A ledger's place at a broker, from the constructor until ``close``; a broker that is away is waited for."""

    def __init__(self, ledger: Service, url: str, access: Access | None = None) -> None:
        self._ledger = ledger
        self._broker = Broker(
            url,
            access,
            client_id=f"meterseal-ledger-{ledger.name}",
            on_connect=self._subscribe,
            on_message=self._message,
            session_s=_SESSION_S,
        )

    def close(self) -> None:
        """Leave the broker; it keeps the subscription and what comes in."""
        self._broker.close(timeout_s=2.0)

    def _subscribe(self, broker: Broker) -> None:
        broker.subscribe(f"{TOPIC_ROOT}/{self._ledger.name}/statements/+/+")
        _LOG.info("takes statements at %s", broker.url)

    def _message(self, message: Message) -> None:
        topic = Topic.decode(message.topic)
        if topic is None or topic.ledger != self._ledger.name or topic.kind != "statements":
            _LOG.warning("a statement on a topic that names no gateway and id: %s", message.topic[:200])
            return
        try:
            answer, content_type = self._receipt(topic, message.data), COSE
        except Refused as error:
            _LOG.warning("refused: %s: %s", error.title, error.detail)
            answer, content_type = encode_problem(error.title, error.detail), PROBLEM
        except LedgerUnavailable as error:  # no answer is the right one: whoever submitted tries again
            _LOG.error("%s", error.detail)
            return
        self._answer(topic, message, answer, content_type)

    def _receipt(self, topic: Topic, data: bytes) -> bytes:
        demand_named(topic, data)
        return self._ledger.submit(data)[1]

    def _answer(self, topic: Topic, message: Message, answer: bytes, content_type: str) -> None:
        own = Topic(topic.ledger, "receipts", topic.gateway, topic.id_text).encode()
        asked = message.response_topic or own
        topics = [own]
        # no sender may have this ledger write to somebody else's topics
        if asked != own and asked.startswith(f"{TOPIC_ROOT}/{topic.ledger}/receipts/") and not {"+", "#"} & set(asked):
            topics.append(asked)
        for name in topics:
            self._broker.publish(name, answer, content_type, correlation=message.correlation)


def demand_named(topic: Topic, data: bytes) -> SignedStatement:
    """The statement that came on a topic, which must name its gateway and id; raises ``Refused``."""
    if len(data) > MAX_ENTRY:
        raise Refused(MALFORMED, f"a statement has at most {MAX_ENTRY} bytes")
    try:
        signed = parse_statement(detach_receipts(data)[0])
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error
    named = signed.statement.gateway, id_to_text(signed.id)
    if named != (topic.gateway, topic.id_text):
        raise Refused(MALFORMED, f"the topic is for {topic.gateway}/{topic.id_text}, the statement is {named}")
    return signed
