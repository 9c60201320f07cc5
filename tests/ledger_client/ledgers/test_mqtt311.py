"""The mqtt ledger where a broker has no MQTT 5: nats-server, and mosquitto with both ends set to 3.1.1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transport.access import Access, Protocol
from tests.support.brokers.nats import Node, nats
from tests.support.enrolled import Gateway
from tests.support.evidence import code
from tests.support.ledger_site import PATIENCE_S, Site, persist
from tests.support.processes import embedded_ledger, mosquitto

_numbers = count(1)
OLD = Access(protocol="3.1.1")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with nats(tmp_path_factory.mktemp("nats")) as nodes:
        yield nodes[0]


@pytest.fixture(scope="module")
def demo(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A ledger behind NATS; which MQTT that speaks is not configured."""
    folder = tmp_path_factory.mktemp("ledger")
    with embedded_ledger(folder / "ledger", "nats-ledger", node.url) as ledger:
        yield Site(ledger, node, folder)


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
def test_a_broker_without_mqtt_5(demo: Site, gateway: Gateway, protocol: Protocol) -> None:
    with closing(MqttLedger("nats-ledger", demo.broker.url, Access(protocol=protocol), timeout_s=PATIENCE_S)) as ledger:
        receipts = [persist(ledger, gateway.statement(batch)) for batch in range(3)]
        assert ledger._broker.protocol == "3.1.1"
        assert ledger.submit(gateway.statement(1)) == receipts[1]
        with pytest.raises(Refused, match="Batch number taken"):  # told apart by its topic alone
            ledger.submit(gateway.sign(1, statement_id(gateway.statement(0)), mark=1))
        with pytest.raises(Refused, match="Out of order"):
            ledger.submit(gateway.statement(7))
    assert demo.held(gateway) == [0, 1, 2]


def test_mqtt_5_where_there_is_none(node: Node) -> None:
    ledger = MqttLedger("x", node.url, Access(protocol="5"), timeout_s=PATIENCE_S)
    with closing(ledger), pytest.raises(LedgerUnavailable, match=r"does not support MQTT 5, check protocol"):
        ledger.submit(Gateway("gw").statement(0))


def test_a_broker_that_is_killed_costs_time_only(demo: Site, node: Node, gateway: Gateway) -> None:
    with closing(MqttLedger("nats-ledger", node.url, timeout_s=1.0)) as ledger:
        persist(ledger, gateway.statement(0))
        node.kill()
        try:
            with pytest.raises(LedgerUnavailable, match="mqtt://"):
                ledger.submit(gateway.statement(1))
        finally:
            node.start()
        for batch in range(1, 4):
            persist(ledger, gateway.statement(batch))
    assert demo.held(gateway) == [0, 1, 2, 3]


def test_a_ledger_that_is_away_gets_the_statement_when_it_is_back(demo: Site, node: Node, gateway: Gateway) -> None:
    with closing(MqttLedger("nats-ledger", node.url, timeout_s=1.0)) as ledger:
        persist(ledger, gateway.statement(0))
        demo.ledger.kill()
        try:  # the broker acknowledges: it keeps the ledger's session
            with pytest.raises(LedgerUnavailable) as away:
                ledger.submit(gateway.statement(1))
            assert code(away.value) == "mqtt-not-answered-311"
        finally:
            demo.ledger.start()
        persist(ledger, gateway.statement(1))
    assert demo.held(gateway) == [0, 1]


def test_nobody_listens_shows_by_the_time_out_only(node: Node, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as other:
        for url in (node.url, other.url):
            ledger = MqttLedger("nobody", url, OLD, timeout_s=1.0)
            with closing(ledger), pytest.raises(LedgerUnavailable, match="within 1s") as unheard:
                ledger.submit(Gateway("gw").statement(0))
            assert code(unheard.value) == "mqtt-not-answered-311"


@pytest.mark.parametrize(("driver", "ledger"), [("3.1.1", "3.1.1"), ("5", "3.1.1"), ("3.1.1", "5")])
def test_either_end_may_speak_the_old_one(driver: Protocol, ledger: Protocol, tmp_path: Path) -> None:
    gateway = Gateway("gw")
    with mosquitto(tmp_path) as broker:
        options = ["--mqtt-protocol", ledger]
        with embedded_ledger(tmp_path / "ledger", "mixed", broker.url, options=options) as process:
            there = Site(process, broker, tmp_path)
            there.enroll(gateway)
            with closing(MqttLedger("mixed", broker.url, Access(protocol=driver), timeout_s=PATIENCE_S)) as mqtt:
                persist(mqtt, gateway.statement(0))
                with pytest.raises(Refused, match="Out of order"):
                    mqtt.submit(gateway.statement(2))
                persist(mqtt, gateway.statement(1))
            assert there.held(gateway) == [0, 1]
