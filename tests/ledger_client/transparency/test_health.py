"""Health and figures of a ledger that serves."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log import group_commit
from tests.ledger_client.transparency.test_cli import complaint
from tests.support.brokers.mqtt_client import COSE, ask
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, persist, site
from tests.support.log_connection import writing_connection
from tests.support.processes import free_port


@pytest.fixture(scope="module")
def metrics() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, metrics: str) -> Iterator[Site]:
    options = ("--metrics", metrics)
    with site(tmp_path_factory.mktemp("health"), options=options) as running:
        yield running


def figures(metrics: str) -> dict[str, float]:
    """What Prometheus would read: every sample by its name and labels."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_figures(demo: Site, metrics: str) -> None:
    gateway, stranger = demo.enroll(Gateway("gw-figures")), Gateway("stranger")
    before = figures(metrics)
    with demo.driver("http") as driver:
        for batch in range(3):
            persist(driver, gateway.statement(batch))
    assert ask(demo, "POST", "/entries", stranger.statement(0), COSE).status == 403
    after = figures(metrics)
    prefix = "meterseal_ledger_"
    assert after[prefix + "taken_total"] - before[prefix + "taken_total"] == 3
    assert after[prefix + "entries"] - before[prefix + "entries"] == 3
    assert after[prefix + "commits_total"] - before[prefix + "commits_total"] == 3
    assert after[prefix + "commit_seconds_total"] > before[prefix + "commit_seconds_total"]
    assert after[prefix + 'refused_total{title="Unknown key"}'] == 1
    assert after[prefix + 'answers_total{status="201"}'] == 3
    assert after[prefix + 'answers_total{status="403"}'] == 1
    assert (after[prefix + "writable"], after[prefix + "policy_in_force"], after[prefix + "log_behind"]) == (1, 1, 0)
    assert after[prefix + "connections"] >= 0


def test_figures_are_not_at_the_address_of_the_ledger(demo: Site) -> None:
    assert ask(demo, "GET", "/metrics").status == 404


def test_an_address_for_figures_that_cannot_be(tmp_path: Path) -> None:
    asked = ["serve", tmp_path / "new", "--listen", "127.0.0.1:0", "--metrics"]
    assert "--metrics" in complaint(*asked, "203.0.113.7:9")
    assert "HOST:PORT" in complaint(*asked, "9464")


def test_health_says_ok_and_when_the_policy_is_an_older_one(demo: Site, metrics: str) -> None:
    policy = demo.ledger.folder / "policy.toml"
    before = policy.read_text()
    healthy = ask(demo, "GET", "/healthz")
    assert (healthy.status, healthy.body) == (200, b"ok\n")
    policy.write_text(before + "[[key]\n")
    assert ask(demo, "GET", "/healthz").body == b"ok, by an older policy.toml\n"
    assert figures(metrics)["meterseal_ledger_policy_in_force"] == 0
    policy.write_text(before)
    assert ask(demo, "GET", "/healthz").body == b"ok\n"


@pytest.mark.parametrize(
    "bomb",
    [
        "x = " + "[" * 20_000,
        "x = " + "{a = " * 20_000,
        "[" + "a." * 20_000 + "a]",
        "a." * 20_000 + "a = 1",
        "x = " + "9" * 6_000,
        "x = -" + "9" * 6_000,
        "x = 1e" + "9" * 6_000,
        "x = 0x" + "f" * 20_000,
        "x = 9999-99-99T99:99:99Z",
        '"' + "k" * 6_000 + '" = "' + "v" * 20_000 + '"',
    ],
    ids=["arrays", "tables", "header", "dots", "digits", "below", "exponent", "hexadecimal", "date", "letters"],
)
def test_a_policy_that_breaks_a_parser_leaves_the_one_before_in_force(demo: Site, metrics: str, bomb: str) -> None:
    """Every answer meanwhile is one of the ledger's own: no 500, and never a plain ok."""
    gateway, policy = demo.enroll(Gateway(f"gw-{secrets.token_hex(4)}")), demo.ledger.folder / "policy.toml"
    before = policy.read_text()
    with demo.driver("http") as driver:
        first = persist(driver, gateway.statement(0))
        policy.write_text(f"{before}\n{bomb}\n")
        for batch in (1, 2):
            for _ in range(2):
                health = ask(demo, "GET", "/healthz")
                assert (health.status, health.body) == (200, b"ok, by an older policy.toml\n")
            assert driver.submit(gateway.statement(batch))
            assert driver.submit(gateway.statement(0)) == first
        assert figures(metrics)["meterseal_ledger_policy_in_force"] == 0
        assert ask(demo, "POST", "/entries", Gateway("stranger").statement(0), COSE).status == 403
        policy.write_text(before)
        assert ask(demo, "GET", "/healthz").body == b"ok\n"
    assert not any(name.startswith('meterseal_ledger_answers_total{status="5') for name in figures(metrics))


def test_a_disk_that_takes_nothing_is_seen_and_its_recovery_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        ledger = Service(folder, CommittedPolicy.begun(folder))
        assert ledger.unwritable() is None
        monkeypatch.setattr(group_commit, "FRESH_S", 0.0)
        assert ledger.unwritable() is None  # tried out
        writing_connection(folder.log).execute("PRAGMA query_only = on")
        assert ledger.unwritable() is not None
        monkeypatch.setattr(group_commit, "FRESH_S", 3600.0)
        assert ledger.unwritable() is not None  # it failed last time, however recent the last success
        writing_connection(folder.log).execute("PRAGMA query_only = off")
        assert ledger.unwritable() is None
