"""Machines at the door of the pages: who gets the figures, and what `/healthz` and `/readyz` tell."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.parts.farm import farm
from gateway.dashboard import certificate
from tests.dashboard.site import Browser, pages_of, plain_site, running
from tests.processes import free_port

TOKEN = "a-token-of-thirty-two-characters"


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Pages on this machine, without a token."""
    with plain_site(tmp_path_factory.mktemp("loopback") / "site") as port:
        yield Browser(port)


@pytest.fixture(scope="module")
def afar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path]]:
    """Pages that other machines can reach; and the file of their token."""
    folder, port = tmp_path_factory.mktemp("afar"), free_port()
    cert, key = certificate.make(folder, "gateway", ["127.0.0.1"], 1_700_000_000)
    token = folder / "metrics.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    section = f'listen = "0.0.0.0:{port}"\ncert = "{cert}"\nkey = "{key}"\nmetrics_token_file = "{token}"\n'
    with farm(1) as meters, running(pages_of(folder / "site", meters.ports, section)):
        yield Browser(port, ssl.create_default_context(cafile=cert)), token


def test_on_this_machine_anybody_may_read_the_figures(loopback: Browser) -> None:
    answer = loopback.get("/metrics")
    assert answer.status == 200
    assert "# TYPE meterseal_polls_total counter" in answer.text
    assert loopback.ask("POST", "/metrics").status in (403, 405)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_gateway_that_works_says_so_and_nothing_else(loopback: Browser, path: str) -> None:
    answer = loopback.get(path)
    assert (answer.status, answer.text) == (200, "ok\n")
    assert not answer.cookies


def test_from_afar_the_figures_need_the_token(afar: tuple[Browser, Path]) -> None:
    browser, _ = afar
    wrong = ["", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer \xe9"]
    for sent in wrong:
        answer = browser.ask("GET", "/metrics", Authorization=sent)
        assert answer.status == 401, sent
        assert "meterseal_" not in answer.text
    assert browser.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert browser.ask("GET", "/healthz").status == 200


def test_a_new_token_counts_at_once_and_a_lost_one_opens_nothing(afar: tuple[Browser, Path]) -> None:
    browser, file = afar
    file.write_text("another-token")
    assert browser.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}").status == 401
    assert browser.ask("GET", "/metrics", Authorization="Bearer another-token").status == 200
    file.chmod(0o644)
    assert browser.ask("GET", "/metrics", Authorization="Bearer another-token").status == 503
    file.unlink()
    assert browser.ask("GET", "/metrics", Authorization="Bearer another-token").status == 503


def test_without_a_token_file_the_figures_stay_here(tmp_path: Path) -> None:
    port = free_port()
    cert, key = certificate.make(tmp_path, "gateway", ["127.0.0.1"], 1_700_000_000)
    section = f'listen = "0.0.0.0:{port}"\ncert = "{cert}"\nkey = "{key}"\n'
    with farm(1) as meters, running(pages_of(tmp_path / "site", meters.ports, section)):
        browser = Browser(port, ssl.create_default_context(cafile=cert))
        answer = browser.ask("GET", "/metrics")
        assert answer.status == 403
        assert "metrics_token_file" in answer.text
