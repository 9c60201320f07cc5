"""More than forty alarms of one night, acknowledged in three clicks from Site, or one click a kind without a script."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from gateway.clock import HOUR_MS
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth import setup
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from gateway.storage.poll_tables import Counted, Polls
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.pages_site import pages_of, running
from tests.gateway.dashboard.test_actions import events
from tests.gateway.dashboard.window import NARROW, chromium, window
from tests.support.gateways.farm import farm
from tests.support.processes import free_port
from tests.system.demo_site import until

CODES = ("wrong-answer", "interval", "crc-rate", "write-seen", "not-asked", "stranger")
SOURCES, LINES = ("meter-000", "meter-001", "gateway"), ("tcp-000", "tcp-001", "tcp-002")
EACH = len(SOURCES) * len(LINES)
LABEL = "Hall <3> east"


def night(now_ms: int) -> list[AlarmRow]:
    """Alarms that nobody has acknowledged, and the next start does not clear at once."""
    message = Message("frames-damaged-line", line="tcp-000")
    keys = itertools.product(SOURCES, CODES, LINES)
    return [AlarmRow(n, *key, str(message), now_ms, now_ms, message=message) for n, key in enumerate(keys, start=1)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Config]]:
    port = free_port()
    with farm(2) as meters:
        listen = f'listen = "127.0.0.1:{port}"\n'
        loaded = pages_of(tmp_path_factory.mktemp("night") / "site", meters.ports, listen, ())
        path = loaded.path
        path.write_text(path.read_text().replace("address = 1", f'address = 1\nlabel = "{LABEL}"', 1))
        loaded = load_config(path)
        setup.set_user(loaded, "installer", "installer", PASSWORDS["installer"])
        with running(loaded):
            until("a start", lambda: loaded.database.exists())
        store = Database(loaded.database)
        with store.transaction():
            now_ms = store.records.latest_ms() or 0
            store.alarms.keep(night(now_ms))
            hour_ms = now_ms - now_ms % HOUR_MS - HOUR_MS
            gap, counted = (hour_ms, hour_ms + 600_000), store.polls.counted_of("meter-000")
            counted = counted or Counted(store.records.last_place(), hour_ms - 99 * HOUR_MS, hour_ms + HOUR_MS, hour_ms)
            store.polls.add("meter-000", {hour_ms: Polls(3600, 2999, 0, gap)}, counted)
        store.close()
        with running(loaded):
            yield f"http://127.0.0.1:{port}", loaded


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def noted(loaded: Config, note: str) -> int:
    """How many signed events of one acknowledged alarm each bear this note."""
    every = [one for source in SOURCES for one in events(loaded, source, "alarm-acknowledged")]
    return sum(one.get("note") == note and one["user"] == "installer" for one in every)


def test_forty_two_alarms_are_acknowledged_in_three_clicks(site: tuple[str, Config], browser: Browser) -> None:
    url, loaded = site
    with window(browser, url, script=False, language="zh", width=NARROW) as seen:
        seen.login("installer")
        seen.open("/alarms")
        assert seen.overflow() <= 0
        assert LABEL in seen.page.locator(".alarm").first.inner_text()
        seen.page.fill("[name=note]", "夜间检修")
        seen.page.locator("button[name=code][value=crc-rate]").click()
        assert "已知悉 9 条告警" in seen.page.locator(".said").inner_text()
        seen.page.keyboard.press("Tab")
    assert noted(loaded, "夜间检修") == EACH
    with window(browser, url, width=NARROW) as seen:
        seen.login("installer")
        seen.page.get_by_role("navigation").get_by_role("link", name="Alarms").click()
        assert seen.page.locator(".alarm input:checked").count() == 0
        seen.page.get_by_role("link", name="Tick all").click()
        seen.page.wait_for_url("**tick=*")
        boxes = seen.page.locator(".alarm input:checked").count()
        assert boxes == EACH * (len(CODES) - 1) >= 42
        assert seen.faults() == []
        seen.page.get_by_role("button", name="Acknowledge ticked").click()
        seen.page.wait_for_url("**/alarms")
        assert f"{boxes} alarms acknowledged" in seen.page.locator(".said").inner_text()
        assert seen.page.locator("[data-alarms]").is_hidden()
        assert seen.page.locator("#acknowledge").count() == 0
    every = [one for source in SOURCES for one in events(loaded, source, "alarm-acknowledged")]
    assert len(every) == EACH * len(CODES), "an event of its own for each"


def test_a_gap_leads_to_its_chart(site: tuple[str, Config], browser: Browser) -> None:
    url, _ = site
    with window(browser, url, language="zh", theme="dark", width=NARROW) as seen:
        seen.login("installer")
        seen.open("/completeness")
        assert (seen.overflow() <= 0, seen.faults()) == (True, [])
    with window(browser, url) as seen:
        seen.login("installer")
        seen.page.get_by_role("navigation").get_by_role("link", name="Completeness").click()
        row = seen.page.locator("tbody tr", has_text="83.30 %")
        assert LABEL in row.inner_text()
        assert "601 of 3600 missed" in row.inner_text()
        row.get_by_role("link", name="Chart of the gap of meter-000, 10 min").click()
        seen.page.wait_for_url("**/charts?s=meter-000&from=*")
        assert seen.page.locator("svg.chart").count() == 1
        assert seen.faults() == []
