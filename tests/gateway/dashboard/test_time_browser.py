"""Any moment in a real browser: the proof of last Tuesday, a chart by pointer and keys, and all without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from gateway.config.model import Config
from gateway.dashboard.auth import setup
from gateway.records import PollResult, Timestamp
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Reading, Value
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.window import NARROW, WIDE, Window, chromium, window
from tests.support.gateways.sites import make_site, tcp_buses
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import free_port
from tests.support.samples import Hands, Machine, settle
from tests.system.demo_site import GatewayProcess

METER, POLLS = "meter-000", 90
NOW = datetime.now(UTC)
TUESDAY = (NOW - timedelta(days=(NOW.weekday() - 1) % 7 or 7)).replace(hour=3, minute=0, second=0, microsecond=0)
BEGUN = TUESDAY - timedelta(minutes=5)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def field(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def query(begin: datetime, end: datetime) -> str:
    return f"from={field(begin)}Z&to={field(end)}Z"


@dataclass(frozen=True, slots=True)
class Site:
    config: Config
    url: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway that read its meters for a quarter of an hour around Tuesday 03:00 but for a minute, with receipts, and
    has no answer since."""
    folder, port, ledger = tmp_path_factory.mktemp("week") / "site", free_port(), PrivateKey.generate()
    buses, web = tcp_buses([free_port(), free_port()], "10s"), f'\n[web]\nlisten = "127.0.0.1:{port}"\n'
    anchors = f'\n[[ledger]]\nname = "demo-ledger"\ntype = "http"\nurl = "http://127.0.0.1:{free_port()}"\n'
    loaded = make_site(folder, buses, web, anchors, since_s=ms(BEGUN) // 1000 - 3600, profiles={"bench.toml": PROFILE})
    entry = key_entry("ledger", ledger.public, 0, ledger="demo-ledger")
    loaded.trust.write_text(f"{loaded.trust.read_text()}\n{entry}")
    machine = Machine()
    machine.wall_ms = ms(BEGUN)
    hands = Hands(loaded, machine)
    for n in range(POLLS):
        now = Timestamp.now(hands.clock)
        values = (Value("voltage_00", 230.0 + n, "V"), Value("voltage_01", 400.0 - n, "V", 1 << 21))
        for meter in loaded.meters:
            if not 60 <= n < 66:
                due_ms = hands.anchor_ms + n * hands.EVERY_MS
                hands.journal.poll(PollResult(meter, due_ms, Reading(now.time_ms, values), now))
        machine.passes(10)
        hands.journal.keep_time()
    hands.journal.finish()
    settle(hands.store, [batch.batch for batch in hands.store.batches.all()], ledger)
    hands.store.close()
    for name, password in PASSWORDS.items():
        setup.set_user(loaded, name, "installer" if name == "installer" else "viewer", password)
    gateway = GatewayProcess(loaded, ready="pages at")
    try:
        gateway.start()
        yield Site(loaded, f"http://127.0.0.1:{port}")
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_from_site_to_the_proof_of_last_tuesday_are_three_clicks(site: Site, browser: Browser, tmp_path: Path) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.page.click(f"[data-meter={METER}] a[href='/meters/{METER}']")
        seen.page.fill("#records [name=at]", field(TUESDAY))
        seen.page.click("#records form:has([name=at]) button")
        with seen.page.expect_download() as waiting:
            seen.page.click("#marked a[href*='/prove/']")
        waiting.value.save_as(tmp_path / "tuesday.mseal")
    proven = verify(
        (tmp_path / "tuesday.mseal").read_bytes(), load_trust(site.config.trust), round(NOW.timestamp()), kind="reading"
    )
    assert (proven.meter, proven.time_ms) == (METER, ms(TUESDAY))


SERIES = f"s={METER}:voltage_00&s={METER}:voltage_01"
CHART = f"/charts?{SERIES}&{query(TUESDAY - timedelta(minutes=4), TUESDAY + timedelta(minutes=8))}"


def readout(seen: Window) -> str:
    return seen.page.locator("[data-plot] output").inner_text()


def test_pointer_and_keys_tell_what_is_drawn_and_lead_to_its_record(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.open(CHART)
        chart = seen.page.locator("[data-plot]")
        chart.focus()
        seen.page.keyboard.press("Home")
        first = TUESDAY - timedelta(minutes=4)
        assert readout(seen).startswith(f"{first:%Y-%m-%d %H:%M:%S}; ")
        assert "voltage 00 236.0" in readout(seen)
        assert "394.00\u202fV, uncertain" in readout(seen)
        for _ in range(24):
            seen.page.keyboard.press("ArrowRight")
        assert readout(seen).startswith(f"{TUESDAY:%Y-%m-%d %H:%M:%S}; ")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_url(re.compile(r"/records/[0-9a-f]{16}/\d+$"))
        assert f"{TUESDAY:%Y-%m-%d %H:%M:%S}" in seen.page.locator("time").first.inner_text()
        seen.open(CHART)
        box = chart.locator("svg").bounding_box()
        assert box is not None
        left, width, y = box["x"] + box["width"] * 54 / 480, box["width"] * 420 / 480, box["y"] + box["height"] / 2
        seen.page.mouse.move(left + width * 9.6 / 12, y)  # in the minute without a reading
        assert readout(seen).count("not measured") == 2
        seen.page.mouse.move(left + width * 2 / 12, y)
        seen.page.mouse.down()
        seen.page.mouse.move(left + width * 6 / 12, y)
        seen.page.mouse.up()
        seen.page.wait_for_url(lambda url: "from=" in url and CHART.rpartition("from=")[2] not in url)
        assert seen.page.locator("[name=from]").last.input_value()[:16] == field(TUESDAY - timedelta(minutes=2))[:16]
        assert parse_qs(urlsplit(seen.page.url).query)["s"] == [f"{METER}:voltage_00", f"{METER}:voltage_01"]


def test_without_script_and_on_a_phone_a_chart_leads_to_its_records(site: Site, browser: Browser) -> None:
    with window(browser, site.url, language="zh", theme="dark", width=NARROW, script=False) as seen:
        seen.login("viewer")
        seen.open(CHART)
        assert seen.overflow() <= 0
        seen.page.get_by_role("link", name="缩短一半").click()
        seen.page.locator("summary").first.click()
        seen.page.locator("details[open] tbody a").first.click()
        seen.page.wait_for_url(re.compile(r"/meters/meter-000/records"))
        seen.page.get_by_role("link", name="电表", exact=True).click()
        seen.page.fill("#records [name=at]", field(TUESDAY))
        seen.page.locator("#records form:has([name=at]) button").click()
        assert seen.page.locator("#marked").count() == 1
        assert seen.overflow() <= 0
    listed = f"/meters/{METER}/records?at={field(TUESDAY)}"
    edges = f"/meters/{METER}/records?edges=1&{query(TUESDAY, TUESDAY + timedelta(minutes=5))}"
    lists = (edges, "/batches?from=-30d", f"/events?at={field(TUESDAY)}")
    for language, theme, width, paths in (
        ("en", "light", NARROW, (CHART, CHART + "&by=15m", listed, *lists)),
        ("zh", "dark", WIDE, (CHART, listed)),
    ):
        with window(browser, site.url, language=language, theme=theme, width=width) as seen:
            seen.login("viewer")
            for path in paths:
                seen.open(path)
                assert seen.overflow() <= 0, path
                assert seen.faults() == [], path
