"""MQTT side of a ledger: statements from one topic, receipts or problem details on another. Network.

Messages are dealt with by one thread in the order in which they came, all that wait at a time, so that they share a
transaction. Each is acknowledged to the broker when its statement is durable or refused: what a broker with a
persistent session still holds is what this side has not dealt with.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from ledger_client.errors import LedgerUnavailable, Refused, VerificationError
from ledger_client.formats.statement import SignedStatement, detach_receipts, parse_statement
from ledger_client.transparency.ledger.admission import MALFORMED
from ledger_client.transparency.ledger.service import Service, Submitted
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions, Message
from ledger_client.transport.wire import COSE, MAX_ENTRY, PROBLEM, TOPIC_ROOT, Topic, encode_problem, id_to_text

_LOG = logging.getLogger("meterseal.ledger")
_FAULT = "a fault in this program, while it handled what a broker sent"
_TURN = 64  # messages that share a transaction; brokers send few more before they see an acknowledgement
_SESSION_S = 24 * 3600  # how long the broker shall keep statements for a ledger that is away


class _Inbox(Handler):
    """The ledger's subscription: each message is queued by the network thread and dealt with by the worker."""

    def __init__(self, ledger: str, waiting: SimpleQueue[Message | None]) -> None:
        self._ledger, self._waiting = ledger, waiting

    def connected(self, broker: Broker) -> None:
        broker.subscribe(f"{TOPIC_ROOT}/{self._ledger}/statements/+/+")
        _LOG.info("takes statements at %s", broker.url)

    def message(self, message: Message) -> None:
        self._waiting.put(message)


class MqttService:
    """A ledger's place at a broker, from the constructor until ``close``; a broker that is away is waited for.

    Two threads besides the caller's: paho's network thread puts messages into ``_waiting``; the worker takes them out,
    registers the statements, publishes the answers and acknowledges the messages.
    """

    def __init__(self, ledger: Service, url: str, access: Access | None = None) -> None:
        self._ledger = ledger
        self._waiting: SimpleQueue[Message | None] = SimpleQueue()
        """Network thread → worker; None ends the worker."""
        options = BrokerOptions(
            url,
            f"meterseal-ledger-{ledger.name}",
            access or Access(),
            session_s=_SESSION_S,
            acknowledged_later=True,
        )
        self._broker = Broker(options, _Inbox(ledger.name, self._waiting))
        self._worker = threading.Thread(target=self._work, name="mqtt-statements")
        self._worker.start()

    def close(self) -> None:
        """Leave the broker; it keeps the subscription and what comes in."""
        self._waiting.put(None)
        self._worker.join()
        self._broker.close(timeout_s=2.0)

    def _work(self) -> None:
        """Deal with what comes until ``close``; what came before that is dealt with."""
        while (message := self._waiting.get()) is not None:
            turn = [message]
            try:
                while len(turn) < _TURN:
                    following = self._waiting.get_nowait()
                    if following is None:
                        self._waiting.put(None)
                        break
                    turn.append(following)
            except Empty:
                pass
            try:
                self._deal_with(turn)
            except Exception:  # the thread's outermost frame: no message may end it
                _LOG.exception(_FAULT)
            finally:
                for message in turn:  # else the broker sends only so many more
                    message.acknowledge()

    def _deal_with(self, turn: list[Message]) -> None:
        statements: list[tuple[Message, Topic]] = []
        for message in turn:
            topic = Topic.decode(message.topic)
            if topic is None or topic.ledger != self._ledger.name or topic.kind != "statements":
                _LOG.warning("a statement on a topic that names no gateway and id: %s", message.topic[:200])
                continue
            try:
                demand_named(topic, message.data)
            except Refused as problem:
                self._refuse(message, topic, problem)
            else:
                statements.append((message, topic))
        outcomes = self._ledger.submit_all([message.data for message, _ in statements])
        for (message, topic), outcome in zip(statements, outcomes, strict=True):
            self._settle(message, topic, outcome)

    def _settle(self, message: Message, topic: Topic, outcome: Future[Submitted]) -> None:
        try:
            self._answer(topic, message, outcome.result()[1], COSE)
        except Refused as error:
            self._refuse(message, topic, error)
        except LedgerUnavailable as error:  # no answer is the right one: whoever submitted tries again
            _LOG.error("%s", error.problem)
        except Exception:  # of this statement; the others of its turn have their answers
            _LOG.exception(_FAULT)

    def _refuse(self, message: Message, topic: Topic, problem: Refused) -> None:
        _LOG.warning("refused: %s: %s", problem.title, problem.detail)
        self._answer(topic, message, encode_problem(problem.title, problem.detail, problem.more), PROBLEM)

    def _answer(self, topic: Topic, message: Message, answer: bytes, content_type: str) -> None:
        receipts_topic = Topic(topic.ledger, "receipts", topic.gateway, topic.id_text).encode()
        asked = message.response_topic or receipts_topic
        topics = [receipts_topic]
        # no sender may have this ledger write to somebody else's topics
        if (
            asked != receipts_topic
            and asked.startswith(f"{TOPIC_ROOT}/{topic.ledger}/receipts/")
            and not {"+", "#"} & set(asked)
        ):
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
