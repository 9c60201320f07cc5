"""configs/broker: the example for mosquitto works as it stands, and lets nobody speak for another."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.access import Access
from ledger_client.ledgers.mqtt import MqttLedger
from tests.ledgers.pki import Authority
from tests.ledgers.samples import Gateway
from tests.ledgers.site import PATIENCE_S, Site, persist
from tests.processes import MOSQUITTO, BrokerServer, embedded_ledger, free_port

EXAMPLE = Path(__file__).parents[2] / "configs" / "broker"


def test_the_example_for_mosquitto(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    _broker, ledger, gateway = (authority.issue(name) for name in ("broker", "demo-ledger", "gw-1"))
    acl = tmp_path / "meterseal.acl"
    acl.write_text((EXAMPLE / "meterseal.acl").read_text())
    acl.chmod(0o600)
    port, config = free_port(), tmp_path / "mosquitto.conf"
    text = (EXAMPLE / "mosquitto.conf").read_text()
    for old, new in (
        ("listener 8883", f"listener {port} 127.0.0.1"),
        ("/etc/mosquitto/tls/", f"{tmp_path}/"),
        ("/etc/mosquitto/meterseal.acl", str(acl)),
        ("/var/lib/mosquitto/", f"{tmp_path}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text + "log_dest stderr\n" + ("user root\n" if os.geteuid() == 0 else ""))
    process = BrokerServer("mosquitto", [str(MOSQUITTO), "-c", str(config)], " running", tmp_path / "mosquitto.log")
    url = f"mqtts://127.0.0.1:{port}"
    options = ["--mqtt-ca", str(authority.ca), "--mqtt-cert", str(ledger.cert), "--mqtt-key", str(ledger.key)]
    with closing(process):
        process.start()
        with embedded_ledger(tmp_path / "ledger", "demo-ledger", url, options=options) as embedded:
            there = Site(embedded, process, tmp_path)
            mine, others = there.enroll(Gateway("gw-1")), there.enroll(Gateway("gw-2"))
            access = Access(ca=authority.ca, cert=gateway.cert, key=gateway.key)
            with closing(MqttLedger("demo-ledger", url, access, timeout_s=PATIENCE_S)) as driver:
                persist(driver, mine.statement(0))
                with pytest.raises(LedgerUnavailable, match="the broker refused the statement"):
                    driver.submit(others.statement(0))
                persist(driver, mine.statement(1))
            assert there.held(mine) == [0, 1]
            assert there.held(others) == []
