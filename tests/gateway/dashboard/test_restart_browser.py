"""A restart with 42 alarms that somebody has acknowledged, and one meter that died meanwhile: what Site says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.auth import setup
from gateway.messages.alarm_kinds import kind_of
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.pages_site import pages_of, running
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window
from tests.support.gateways.farm import farm
from tests.support.processes import free_port
from tests.system.demo_site import until

KNOWN = 42
DEAD = "meter-002"
ROW = f"document.querySelector('[data-meter=\"{DEAD}\"]')"
FIRST = "document.querySelector('.todo li').innerText"


@dataclass(frozen=True)
class Restarted:
    """Where the pages are, and when the dead meter was read for the last time."""

    url: str
    last_ms: int


def acknowledged(now_ms: int) -> list[AlarmRow]:
    """Alarms that the next start cannot clear at once, all of them seen by somebody."""
    codes = ("not-asked", "wrong-answer", "crc-rate", "write-seen", "interval", "stranger")
    sources, lines = ("meter-000", "meter-001", "gateway"), ("tcp-000", "tcp-001", "tcp-002")
    assert {kind_of(code).after_restart for code in codes} == {"wait"}
    keys = itertools.islice(itertools.product(sources, codes, lines), KNOWN)
    message = Message("frames-damaged-line", line="tcp-000")
    return [
        AlarmRow(n, *key, str(message), now_ms, now_ms, acked_ms=now_ms, acked_by="ines", message=message)
        for n, key in enumerate(keys, start=1)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    port = free_port()
    with ExitStack() as stack:
        alive, dies = stack.enter_context(farm(2)), ExitStack()
        ports = (*alive.ports, *dies.enter_context(farm(1)).ports)
        loaded = pages_of(tmp_path_factory.mktemp("restart") / "site", ports, f'listen = "127.0.0.1:{port}"\n', ())
        setup.set_user(loaded, "viewer", "viewer", PASSWORDS["viewer"])
        with dies, running(loaded):
            until("a reading of each", lambda: all(last_ms(loaded.database, name) for name in loaded.meters))
        read_ms = last_ms(loaded.database, DEAD)
        assert read_ms is not None
        store = Database(loaded.database)
        with store.transaction():
            store.alarms.keep(acknowledged(read_ms))
        store.close()
        stack.enter_context(running(loaded))
        yield Restarted(f"http://127.0.0.1:{port}", read_ms)


def last_ms(database: Path, meter: str) -> int | None:
    """When a meter was read last, by the database."""
    if not database.exists():
        return None
    store = Database(database, read_only=True)
    row = store.records.newest(meter, "reading")
    store.close()
    return row.time_ms if row else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_the_new_alarm_is_first_and_the_dead_meter_shows_its_last_reading(site: Restarted, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.until(f"!{ROW}.innerText.includes('no reading yet') && {ROW}.querySelector('[data-age]')")
        assert seen.page.evaluate(f"Number({ROW}.querySelector('[data-age]').dataset.age)") == site.last_ms
        assert "V" in seen.page.evaluate(f"{ROW}.querySelector('[data-value]').innerText")
        assert not seen.page.locator(".verdict.good").count(), "42 alarms are known, none is over"
        seen.until(f"{FIRST}.startsWith('Line not responding')")
        assert f"{DEAD} · " in seen.page.evaluate(FIRST)
        assert "acknowledged" not in seen.page.evaluate(FIRST)
        assert "Action required" in seen.page.locator(".verdict").inner_text()
        assert seen.page.locator(".todo li").count() == 6
        assert seen.page.locator(".todo .tag", has_text="acknowledged").count() == 5
        assert seen.page.get_by_role("link", name=f"All {KNOWN + 1} alarms").count() == 1
        badge = "document.querySelector('[data-alarms]').textContent"
        assert (seen.page.evaluate(badge), seen.page.title()[:4]) == ("1", "(1) ")
        silent_ms = seen.page.evaluate(f"Number({ROW}.querySelector('[data-since]').dataset.since)")
        assert silent_ms > site.last_ms
        seen.open(f"/meters/{DEAD}")
        assert "No answer from this meter for" in seen.page.locator(".verdict.bad").inner_text()


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", WIDE), ("zh", "dark", NARROW)])
def test_both_pages_are_whole(site: Restarted, browser: Browser, language: str, theme: str, width: int) -> None:
    with window(browser, site.url, language=language, theme=theme, width=width) as seen:
        seen.login("viewer")
        words = {"en": "Line not responding", "zh": "通信线路无应答"}[language]
        for path in ("/", f"/meters/{DEAD}", "/alarms"):
            seen.open(path)
            assert seen.overflow() <= 0, path
            assert seen.faults() == [], path
        assert seen.page.locator(".alarm h2").first.inner_text() == words
