"""configs/broker: the example for mosquitto works as it stands, and lets nobody speak for another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transport.access import Access
from tests.support.brokers.bridge_site import BridgeProcess, running
from tests.support.brokers.pki import Authority
from tests.support.enrolled import Gateway
from tests.support.ledger_site import PATIENCE_S, Site, persist
from tests.support.processes import MOSQUITTO, BrokerServer, embedded_ledger, free_port

EXAMPLE = Path(__file__).parents[2] / "configs" / "broker"


@contextmanager
def example(folder: Path) -> Iterator[tuple[BrokerServer, Authority]]:
    """A broker with the example's configuration, only elsewhere."""
    authority = Authority(folder, "ca")
    authority.issue("broker")
    acl = folder / "meterseal.acl"
    acl.write_text((EXAMPLE / "meterseal.acl").read_text())
    acl.chmod(0o600)
    port, config = free_port(), folder / "mosquitto.conf"
    text = (EXAMPLE / "mosquitto.conf").read_text()
    for old, new in (
        ("listener 8883", f"listener {port} 127.0.0.1"),
        ("/etc/mosquitto/tls/", f"{folder}/"),
        ("/etc/mosquitto/meterseal.acl", str(acl)),
        ("/var/lib/mosquitto/", f"{folder}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text + "log_dest stderr\n" + ("user root\n" if os.geteuid() == 0 else ""))
    process = BrokerServer("mosquitto", [str(MOSQUITTO), "-c", str(config)], " running", folder / "mosquitto.log")
    process.url = f"mqtts://127.0.0.1:{port}"
    with closing(process):
        process.start()
        yield process, authority


def let_in(authority: Authority) -> list[str]:
    """How the ledger, or a bridge to it, gets in."""
    ledger = authority.issue("demo-ledger")
    return ["--mqtt-ca", str(authority.ca), "--mqtt-cert", str(ledger.cert), "--mqtt-key", str(ledger.key)]


def gateway_at(broker: BrokerServer, authority: Authority) -> MqttLedger:
    gateway = authority.issue("gw-1")
    access = Access(ca=authority.ca, cert=gateway.cert, key=gateway.key)
    return MqttLedger("demo-ledger", broker.url, access, timeout_s=PATIENCE_S)


def test_the_example_for_mosquitto(tmp_path: Path) -> None:
    with example(tmp_path) as (broker, authority):
        options = let_in(authority)
        with embedded_ledger(tmp_path / "ledger", "demo-ledger", broker.url, options=options) as embedded:
            there = Site(embedded, broker, tmp_path)
            mine, others = there.enroll(Gateway("gw-1")), there.enroll(Gateway("gw-2"))
            with closing(gateway_at(broker, authority)) as driver:
                persist(driver, mine.statement(0))
                with pytest.raises(LedgerUnavailable, match="the broker refused the statement"):
                    driver.submit(others.statement(0))
                persist(driver, mine.statement(1))
            assert there.held(mine) == [0, 1]
            assert there.held(others) == []


def test_the_example_lets_a_bridge_in(tmp_path: Path) -> None:
    """Both ways: sharing a subscription, and claiming all."""
    with example(tmp_path) as (broker, authority), embedded_ledger(tmp_path / "ledger", "demo-ledger") as embedded:
        there = Site(embedded, broker, tmp_path)
        mine = there.enroll(Gateway("gw-1"))
        for batch, protocol in enumerate(("5", "3.1.1")):
            options = ["--http", embedded.url, *let_in(authority), "--mqtt-protocol", protocol]
            bridge = BridgeProcess(tmp_path / f"bridge-{protocol}", broker.url, *options)
            with running(bridge), closing(gateway_at(broker, authority)) as driver:
                persist(driver, mine.statement(batch))
        assert there.held(mine) == [0, 1]
