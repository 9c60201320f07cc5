"""A real Prometheus beside a real gateway: what it scrapes, what the dashboard shows, which alert a cut raises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.chain.site import GatewayProcess, make_site, plant, until
from tests.processes import embedded_ledger, free_port
from tests.prometheus.server import CONFIGS, ROOT, Prometheus, prometheus, promtool

CUT, LINE = "stack-co2", "rs485-1"
CUT_AFTER_S = 8
FAULT = f'\n[[fault]]\nmeter = "{CUT}"\nkind = "dead"\nfrom = {CUT_AFTER_S}\n'
PANELS = json.loads((ROOT / "configs" / "grafana" / "meterseal.json").read_text())["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that watches a gateway, of whose meters one falls silent; and the gateway's address."""
    folder = tmp_path_factory.mktemp("watched")
    scenario = folder / "plant.toml"
    scenario.write_text((ROOT / "configs" / "demo" / "plant.toml").read_text() + FAULT)
    with ExitStack() as stack:
        meters = stack.enter_context(plant(folder / "plant", scenario))
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", "demo-ledger"))
        loaded = make_site(folder / "site", meters, ledger)
        address = f"127.0.0.1:{free_port()}"
        loaded.path.write_text(loaded.path.read_text() + f'\n[web]\nlisten = "{address}"\n')
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


def test_the_figures_are_as_prometheus_wants_them(watched: tuple[Prometheus, str]) -> None:
    _, address = watched
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"http://{address}/metrics", timeout=10)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    promtool("check", "metrics", given=answer.content)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_of_the_dashboard_gives_a_series(watched: tuple[Prometheus, str], expression: str) -> None:
    asked = expression.replace("$instance", ".+").replace("$__rate_interval", "5s")
    until(f"a series of {expression}", lambda: watched[0].query(asked))


def test_a_cut_meter_raises_its_alert_and_no_other(watched: tuple[Prometheus, str]) -> None:
    server, address = watched
    mine = {"alertname": "MetersealMeterSilent", "meter": CUT, "line": LINE, "instance": address}
    until("the alert", lambda: [alert for alert in server.firing() if mine.items() <= alert.items()])
    silent = [alert["meter"] for alert in server.firing() if alert["alertname"] == "MetersealMeterSilent"]
    assert silent == [CUT]
    assert "MetersealLineDown" not in {alert["alertname"] for alert in server.firing()}
