"""A real Prometheus beside a real gateway: what it scrapes, what the dashboard shows, which alert a cut raises."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import requests

from tests.interop.prometheus.server import CONFIGS, ROOT, Prometheus, prometheus, promtool
from tests.support.processes import embedded_ledger, free_port, mosquitto
from tests.system.demo_site import PATIENCE_S, GatewayProcess, make_site, plant, until

CUT, LINE = "stack-co2", "rs485-1"
CUT_AFTER_S = 5
FAULT = f'\n[[fault]]\nmeter = "{CUT}"\nkind = "dead"\nfrom = {CUT_AFTER_S}\n'
PANELS = [p for path in (ROOT / "configs" / "grafana").glob("*.json") for p in json.loads(path.read_text())["panels"]]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_THE_CUT_METER = "meterseal_concentration_ratio"
VALUES = json.dumps(["active power", "active energy", "voltage", "frequency", "concentration"])


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that watches a gateway, of whose meters one falls silent; and the gateway's address."""
    scenario = folder / "plant.toml"
    scenario.write_text((ROOT / "configs" / "demo" / "plant.toml").read_text() + FAULT)
    with ExitStack() as stack:
        meters = stack.enter_context(plant(folder / "plant", scenario))
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", "demo-ledger"))
        loaded = make_site(folder / "site", meters, ledger)
        address = f"127.0.0.1:{free_port()}"
        broker = stack.enter_context(mosquitto(folder / "broker"))
        feed = f'[[feed]]\nname = "scada"\ntype = "json"\nurl = "{broker.url}"\n'
        loaded.path.write_text(
            loaded.path.read_text() + f'\n[web]\nlisten = "{address}"\nmetrics_values = {VALUES}\n{feed}'
        )
        gateway = GatewayProcess(loaded)
        stack.callback(gateway.close)
        gateway.start()
        yield stack.enter_context(prometheus(folder, _quick(folder, address))), address


def _quick(folder: Path, address: str) -> Path:
    """The example's configuration and rules for this gateway, four scrapes a second, no rule with patience."""
    rules = re.sub(r"for: \w+", "for: 0s", (CONFIGS / "meterseal.rules.yml").read_text())
    (folder / "meterseal.rules.yml").write_text(rules)
    text = (CONFIGS / "prometheus.yml").read_text().replace("127.0.0.1:8080", address)
    config = folder / "prometheus.yml"
    config.write_text(re.sub(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 250ms", text))
    return config


def test_a_gateway_is_scraped_shown_and_watched(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, address):
        check_the_text(address)
        for expression in EXPRESSIONS:
            if OF_THE_CUT_METER in expression:
                continue
            asked = expression.replace("$instance", ".+").replace("$__rate_interval", "5s")
            until(f"a series of {expression}", partial(server.query, asked))
        check_the_alert_of_the_cut_meter(server, address)
        until("no value of the cut meter", lambda: not server.query(OF_THE_CUT_METER))
        alarm = f'meterseal_alarm_since_timestamp_seconds{{code="comms-lost", meter="{CUT}", line="{LINE}"}}'
        (since,) = until("the gateway's own alarm", lambda: server.query(alarm))
        assert 0 < time.time() - float(since["value"][1]) < PATIENCE_S


def check_the_text(address: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"http://{address}/metrics", timeout=10)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    promtool("check", "metrics", given=answer.content)


def check_the_alert_of_the_cut_meter(server: Prometheus, address: str) -> None:
    """It names meter and line, and neither another meter nor the line is blamed."""
    mine = {"alertname": "MetersealMeterSilent", "meter": CUT, "line": LINE, "instance": address}
    until("the alert", lambda: [alert for alert in server.firing() if mine.items() <= alert.items()])

    def silent() -> list[str]:
        return [alert["meter"] for alert in server.firing() if alert["alertname"] == "MetersealMeterSilent"]

    until("only that one", lambda: silent() == [CUT])
    assert "MetersealLineDown" not in {alert["alertname"] for alert in server.firing()}
