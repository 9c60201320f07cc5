"""The mqtt driver and the ledger's place at the broker, with a real mosquitto: stopped, hung, killed, abused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from queue import Queue

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Pending
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transparency.ledger.admission import MALFORMED
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions, BrokerUrlError, Message, parse_url
from ledger_client.transport.wire import (
    CBOR,
    COSE,
    PROBLEM,
    Topic,
    encode_pending,
    encode_problem,
    id_to_text,
    parse_problem,
)
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.enrolled import Gateway
from tests.support.evidence import code
from tests.support.ledger_site import PATIENCE_S, Site, again_while_unavailable, persist, site
from tests.support.processes import embedded_ledger, mosquitto

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("mqtt")) as running:
        yield running


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


@contextmanager
def listener(demo: Site, topic: str) -> Iterator[tuple[Broker, Queue[Message]]]:
    """A plain MQTT client that hears a topic, and may say things."""
    heard: Queue[Message] = Queue()
    subscribed = threading.Event()

    def subscribe(broker: Broker) -> None:
        broker.subscribe(topic)
        subscribed.set()

    broker = Broker(BrokerOptions(demo.broker.url, f"test-{next(_numbers)}"), Callbacks(subscribe, heard.put))
    try:
        assert subscribed.wait(PATIENCE_S)
        yield broker, heard
    finally:
        broker.close()


def statement_topic(demo: Site, gateway: Gateway, entry: bytes) -> str:
    return Topic(demo.ledger.name, "statements", gateway.name, id_to_text(statement_id(entry))).encode()


def receipt_topic(demo: Site, gateway: Gateway, entry: bytes) -> str:
    return Topic(demo.ledger.name, "receipts", gateway.name, id_to_text(statement_id(entry))).encode()


def test_a_broker_that_restarts_costs_time_only(demo: Site, gateway: Gateway) -> None:
    with demo.driver("mqtt", timeout_s=1.0) as ledger:
        persist(ledger, gateway.statement(0))
        demo.broker.stop()
        try:
            with pytest.raises(LedgerUnavailable, match="mqtt://"):
                ledger.submit(gateway.statement(1))
        finally:
            demo.broker.start()
        for batch in range(1, 4):
            persist(ledger, gateway.statement(batch))
    assert demo.held(gateway) == [0, 1, 2, 3]


def test_a_broker_that_hangs_and_then_dies_doubles_nothing(demo: Site, gateway: Gateway) -> None:
    with demo.driver("mqtt", timeout_s=0.5) as ledger, demo.driver("http") as http:
        persist(ledger, gateway.statement(0))
        demo.broker.suspend()
        try:
            for _ in range(3):  # the connection looks alive: the statement goes out and nobody answers
                with pytest.raises(LedgerUnavailable, match="no receipt within"):
                    ledger.submit(gateway.statement(1))
            other = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
            http.submit(other.statement(0))  # the ledger itself is not held up by its broker
        finally:
            demo.broker.kill()
            demo.broker.start()
        for batch in range(1, 6):
            persist(ledger, gateway.statement(batch))
    assert demo.held(gateway) == [0, 1, 2, 3, 4, 5]


def test_a_broker_that_hangs_and_goes_on_delivers_late(demo: Site, gateway: Gateway) -> None:
    with demo.driver("mqtt", timeout_s=0.5) as ledger:
        persist(ledger, gateway.statement(0))
        demo.broker.suspend()
        with pytest.raises(LedgerUnavailable):
            ledger.submit(gateway.statement(1))
        demo.broker.resume()
        id_ = statement_id(gateway.statement(1))

        def late() -> bytes:
            receipt = ledger.lookup(id_)
            if receipt is None:
                raise LedgerUnavailable("not yet")
            assert isinstance(receipt, bytes)
            return receipt

        receipt = again_while_unavailable(late)  # without a second submission
        with demo.driver("http") as http:
            assert http.lookup(id_) == receipt
        assert ledger.lookup(id_) is None  # handed over once, so that a wrong one cannot stand for ever
        assert ledger.submit(gateway.statement(1)) == receipt
    assert demo.held(gateway) == [0, 1]


def test_leaving_a_hung_broker_takes_no_longer_than_told(demo: Site, gateway: Gateway) -> None:
    with ExitStack() as stack:
        ledger = MqttLedger(demo.ledger.name, demo.broker.url, timeout_s=1.0)
        persist(ledger, gateway.statement(0))
        demo.broker.suspend()
        stack.callback(demo.broker.resume)
        with pytest.raises(LedgerUnavailable):
            ledger.submit(gateway.statement(1))
        closer = threading.Thread(target=ledger.close, daemon=True)
        closer.start()
        closer.join(PATIENCE_S)
        assert not closer.is_alive()


def test_an_acknowledgement_is_not_a_receipt(tmp_path: Path) -> None:
    gateway = Gateway("gw")
    with mosquitto(tmp_path) as broker:
        ledger = MqttLedger("nobody", broker.url, timeout_s=5.0)
        try:
            with pytest.raises(LedgerUnavailable, match="ledger nobody") as unheard:  # reason 0x10
                ledger.submit(gateway.statement(0))
            assert code(unheard.value) == "mqtt-no-listener"
            hears = threading.Event()
            deaf = Broker(
                BrokerOptions(broker.url, "deaf"),
                Callbacks(lambda b: b.subscribe("meterseal/v1/nobody/statements/+/+"), lambda _message: hears.set()),
            )
            try:
                assert deaf.wait_connected(PATIENCE_S)  # and so subscribed, before it says:
                deaf.publish("meterseal/v1/nobody/statements/to/itself", b"", COSE)
                assert hears.wait(PATIENCE_S)
                ledger._timeout_s = 0.5
                with pytest.raises(LedgerUnavailable, match="within 500ms") as unanswered:
                    ledger.submit(gateway.statement(0))
                assert code(unanswered.value) == "mqtt-not-answered"
            finally:
                deaf.close()
        finally:
            ledger.close()


def test_without_a_broker_an_answer_comes_within_the_time_out() -> None:
    ledger = MqttLedger("demo-ledger", "mqtt://127.0.0.1:1", timeout_s=0.3)
    try:
        with pytest.raises(LedgerUnavailable, match=r"mqtt://127\.0\.0\.1:1"):
            ledger.submit(Gateway("gw").statement(0))
    finally:
        ledger.close()


def test_a_ledger_starts_before_its_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        broker.stop()
        with embedded_ledger(tmp_path / "ledger", "early", broker.url) as process:
            there = Site(process, broker, tmp_path)
            gateway = there.enroll(Gateway("gw"))
            with there.driver("http") as http:
                persist(http, gateway.statement(0))
            broker.start()
            with there.driver("mqtt") as mqtt:
                persist(mqtt, gateway.statement(1))
            assert there.held(gateway) == [0, 1]


def test_neither_garbage_nor_old_refusals_settle_anything(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    topic = receipt_topic(demo, gateway, entry)
    demo.ledger.kill()
    try:
        with listener(demo, topic) as (liar, heard), demo.driver("mqtt", timeout_s=0.5) as ledger:
            answers: list[Exception] = []

            def submit() -> None:
                try:
                    ledger.submit(entry)
                except (LedgerUnavailable, Refused) as error:
                    answers.append(error)

            for data, correlation in ((b"no receipt", None), (encode_problem("Old", "of another attempt"), b"old")):
                with pytest.raises(LedgerUnavailable):
                    ledger.submit(entry)
                worker = threading.Thread(target=submit)
                worker.start()
                liar.publish(topic, data, PROBLEM, correlation=correlation)
                assert heard.get(timeout=PATIENCE_S).data == data
                worker.join(PATIENCE_S)
            assert [type(answer) for answer in answers] == [LedgerUnavailable, LedgerUnavailable]
            assert ledger.lookup(statement_id(entry)) is None
    finally:
        demo.ledger.start()
    with demo.driver("mqtt") as ledger:
        persist(ledger, entry)


def test_the_topic_must_name_the_statement(demo: Site, gateway: Gateway) -> None:
    entry, other = gateway.statement(0), gateway.statement(1)
    wrong = [
        (statement_topic(demo, gateway, other), receipt_topic(demo, gateway, other)),
        (statement_topic(demo, Gateway("someone"), entry), receipt_topic(demo, Gateway("someone"), entry)),
    ]
    for asked, answered in wrong:
        with listener(demo, answered) as (client, heard):
            client.publish(asked, entry, COSE)
            message = heard.get(timeout=PATIENCE_S)
            assert (parse_problem(message.data) or ("", ""))[0] == MALFORMED
    assert demo.held(gateway) == []


def test_what_is_no_statement_is_refused_and_harms_nobody(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    with listener(demo, receipt_topic(demo, gateway, entry)) as (client, heard):
        for data in (b"", b"\x00", entry[:-1], entry + b"\x00", b"\xd2" * 1000, bytes(300_000)):
            client.publish(statement_topic(demo, gateway, entry), data, COSE, correlation=b"c")
            message = heard.get(timeout=PATIENCE_S)
            assert (parse_problem(message.data) or ("", ""))[0] == MALFORMED
            assert message.correlation == b"c"
            assert not message.retained
        client.publish(f"meterseal/v1/{demo.ledger.name}/statements/%/no-id", entry, COSE)
        client.publish(statement_topic(demo, gateway, entry), bytes(600_000), COSE)  # the broker keeps it to itself
        client.publish(statement_topic(demo, gateway, entry), entry, COSE)
        assert heard.get(timeout=PATIENCE_S).data[:1] == b"\xd2"


def test_a_response_topic_is_served_below_the_ledgers_own_only(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    inbox = f"meterseal/v1/{demo.ledger.name}/receipts/{gateway.name}/inbox"
    with listener(demo, "#") as (client, heard):
        for asked in (inbox, "plant/valve/open", f"meterseal/v1/{demo.ledger.name}/statements/a/b"):
            client.publish(
                statement_topic(demo, gateway, entry), entry, COSE, response_topic=asked, correlation=asked.encode()
            )
        client.publish("end", b"", COSE)
        answers: list[Message] = []
        standard = receipt_topic(demo, gateway, entry)
        while sum(message.topic == standard for message in answers) < 3:
            answers.append(heard.get(timeout=PATIENCE_S))
    answers = [m for m in answers if m.topic not in ("end", statement_topic(demo, gateway, entry))]
    assert {(message.topic, message.correlation) for message in answers} == {
        (inbox, inbox.encode()),
        (standard, inbox.encode()),
        (standard, b"plant/valve/open"),
        (standard, f"meterseal/v1/{demo.ledger.name}/statements/a/b".encode()),
    }
    assert len({message.data for message in answers}) == 1


def test_a_broker_that_acknowledges_nothing_gets_no_endless_queue(demo: Site, gateway: Gateway) -> None:
    with demo.driver("mqtt", timeout_s=0.05) as ledger:
        again_while_unavailable(lambda: ledger.submit(gateway.statement(0)))
        demo.broker.suspend()
        try:
            details = []
            for mark in range(30):
                with pytest.raises(LedgerUnavailable) as caught:
                    ledger.submit(gateway.sign(1, statement_id(gateway.statement(0)), mark=mark))
                details.append(caught.value.problem)
            assert "20 messages are pending for the broker" in details[-1]
        finally:
            demo.broker.resume()
    assert demo.held(gateway)[0] == 0  # of the conflicting ones at most one was taken; held() checks the log


@pytest.mark.parametrize("url", ["http://a", "mqtt://", "mqtt://h:99999", "mqtt://h:x", "mqtt://u@h", "mqtt://h/p", ""])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(BrokerUrlError, match="mqtt://HOST:PORT"):
        parse_url(url)


def test_http_and_mqtt_give_the_same_receipt(demo: Site, gateway: Gateway) -> None:
    http = HttpLedger(demo.ledger.name, demo.ledger.url)
    with demo.driver("mqtt") as mqtt:
        assert persist(mqtt, gateway.statement(0)) == http.submit(gateway.statement(0))
    http.close()


def test_many_gateways_at_once_over_both_wires(demo: Site) -> None:
    gateways = [demo.enroll(Gateway(f"gw-{next(_numbers)}")) for _ in range(6)]

    def run(number: int) -> None:
        with demo.driver("mqtt" if number % 2 else "http") as driver:
            for batch in range(8):
                persist(driver, gateways[number].statement(batch))

    with ThreadPoolExecutor(len(gateways)) as pool:
        list(pool.map(run, range(len(gateways))))
    for gateway in gateways:
        assert demo.held(gateway) == list(range(8))


def test_a_statement_that_is_kept_is_not_given_again_before_its_time(demo: Site) -> None:
    """A bridge answers so; what comes meanwhile is found by looking, and a refusal ends it."""
    gateway = Gateway(f"gw-{next(_numbers)}")
    entry = gateway.statement(0)
    id_, topic = statement_id(entry), Topic("kept", "receipts", gateway.name, id_to_text(statement_id(entry))).encode()
    place = encode_locator(Locator("kept", 1, bytes(20), bytes(32), 1, bytes(32), (1, 0, ())))
    with listener(demo, "meterseal/v1/kept/statements/+/+") as (bridge, heard):
        driver = MqttLedger("kept", demo.broker.url)
        try:
            with ThreadPoolExecutor(1) as pool:
                for answer in (place, encode_problem("Unknown key", "")):
                    asked = pool.submit(driver.submit, entry)
                    assert heard.get(timeout=PATIENCE_S).data == entry
                    bridge.publish(topic, encode_pending(3_600.0), CBOR)
                    assert asked.result() == Pending(1.0)
                    assert driver.lookup(id_) == Pending(1.0)
                    bridge.publish(topic, answer, CBOR)
                    pause = threading.Event()
                    while (found := driver.lookup(id_)) == Pending(1.0):
                        pause.wait(0.01)
                    assert found == (place if answer == place else None)
            assert heard.empty()
        finally:
            driver.close()
