"""Machines at the door of the pages: who gets the figures, and what `/healthz` and `/readyz` tell."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Router
from starlette.types import ASGIApp, Message

from gateway.dashboard.auth import certificate
from gateway.dashboard.metrics_endpoint import routes
from gateway.runtime.loop_lag import LoopHealth
from tests.gateway.dashboard.pages_site import Browser, pages_of, plain_site, running
from tests.support.epochs import due_ms, epoch, until
from tests.support.gateways.farm import farm
from tests.support.processes import free_port
from tests.support.samples import finished, site

METER = "export-main"
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
    async def story() -> None:
        async with epoch(site(tmp_path / "site")) as running:
            afar = Router(routes(running, LoopHealth(), lambda: None, loopback=False))
            status, text = await asked(afar, "/metrics")
            assert status == 403
            assert "metrics_token_file" in text

    asyncio.run(story())


def test_who_cannot_record_lives_and_is_not_ready_and_who_is_stuck_is_neither(tmp_path: Path) -> None:
    async def story() -> None:
        loaded = site(tmp_path / "site")
        async with epoch(loaded) as running:
            loops = LoopHealth()
            door = Router(routes(running, loops, lambda: None, loopback=True))
            assert await asked(door, "/readyz") == (200, "ok\n")
            away = loaded.database.with_name("away.db")
            await asyncio.wrap_future(running.recorder.call(lambda store: store.close()))
            loaded.database.rename(away)
            running.recorder.put(finished(METER, await due_ms(running, METER), running.clock))
            await until(lambda: running.recorder.trouble is not None)
            assert await asked(door, "/readyz") == (503, "not ok\n")
            assert await asked(door, "/healthz") == (200, "ok\n")
            away.rename(loaded.database)
            await until(lambda: running.recorder.trouble is None)
            assert await asked(door, "/readyz") == (200, "ok\n")
            loops.heartbeats.ask("a loop", lambda: "a loop is 30 s late")
            assert await asked(door, "/healthz") == (503, "not ok\n")
            assert await asked(door, "/readyz") == (503, "not ok\n")

    asyncio.run(story())


async def asked(app: ASGIApp, path: str) -> tuple[int, str]:
    """Status and text of one answer."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages).decode()
