"""The example configuration and the alert rules, as Prometheus' own tool judges them, with their real times."""

from __future__ import annotations

import re

from control_room.web.metrics import FIGURES as CONTROL_FIGURES
from gateway.status.metric_names import FIGURES
from tests.interop.prometheus.server import CONFIGS, promtool

RULES = (CONFIGS / "meterseal.rules.yml").read_text()
TESTS = CONFIGS / "tests" / "meterseal.test.yml"


def test_promtool_finds_nothing() -> None:
    promtool("check", "config", CONFIGS / "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", CONFIGS / "meterseal.rules.yml")
    promtool("test", "rules", TESTS)


def test_every_alert_is_tested_and_asks_only_for_figures_that_there_are() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES))
    assert len(alerts) > 10
    assert alerts == set(re.findall(r"alertname: (\w+)", TESTS.read_text()))
    known = {figure.name for figure in FIGURES}
    assert set(re.findall(r"\bmeterseal_\w+", RULES)) <= known


def test_the_rules_of_a_control_room_are_tested_and_ask_only_for_its_figures() -> None:
    rules, tests = CONFIGS / "control-room.rules.yml", CONFIGS / "tests" / "control-room.test.yml"
    promtool("check", "rules", "--lint=all", "--lint-fatal", rules)
    promtool("test", "rules", tests)
    alerts = set(re.findall(r"- alert: (\w+)", rules.read_text()))
    assert alerts == set(re.findall(r"alertname: (\w+)", tests.read_text()))
    asked = set(re.findall(r"\bmeterseal_\w+", rules.read_text()))
    assert asked
    assert asked <= set(CONTROL_FIGURES)
