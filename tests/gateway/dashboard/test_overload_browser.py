"""An overloaded line in a real browser: what is said first, and what to do about a meter that was not polled."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.agent.epoch import Epoch
from gateway.anchoring.ledger_drivers import trust_of
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth import setup
from gateway.startup.line_plan import line_plans
from gateway.startup.line_specs import line_specs
from gateway.startup.preflight import Ready
from gateway.storage.database import Database
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window
from tests.support.gateways.sites import bus_table, make_site, meter_table, table
from tests.support.processes import Server, free_port

METERS = 6
"""Of 200 ms each, every 500 ms: they need 2.4 s of each second."""
AFTER_MS = 2_500
PLANT = '[plant]\nseed = 1\n\n[[bus]]\nname = "hall"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = {port}\n'
SIMULATED = """
  [[bus.meter]]
  name = "m{n}"
  profile = "eastron-sdm630"
  address = {n}
  measures = "load"
  serial = "{serial}"
  latency_ms = 200
"""


def site_of(folder: Path, port: int, web: int) -> Config:
    """A site whose line cannot carry its periods, which nobody can know before."""
    points = ["active_power_total"]
    meters = [meter_table(f"m{n}", "eastron-sdm630", n, "500ms", points=points) for n in range(1, METERS + 1)]
    place = {"host": "127.0.0.1", "port": port, "timeout": "1s", "answer_life": "500ms"}
    pages = table("web", listen=f"127.0.0.1:{web}")
    loaded = make_site(folder, pages, bus_table("hall", "modbus-tcp", meters, **place), gateway="hall-gateway")
    loaded.data.mkdir()
    setup.set_user(loaded, "viewer", "viewer", PASSWORDS["viewer"])
    return load_config(loaded.path)


@contextmanager
def running(loaded: Config) -> Iterator[None]:
    """The gateway in a thread of its own; it calls a line overloaded after ``AFTER_MS``."""
    specs = [replace(spec, overload_after_ms=AFTER_MS) for spec in line_specs(loaded)]
    ready = Ready(loaded, load_keys(loaded), trust_of(loaded), specs, line_plans(specs))
    started, stop = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def life() -> None:
        ends = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ends))
        epoch = Epoch(ready, Database(loaded.database))
        started.set()
        await epoch.run(ends, ())

    thread = threading.Thread(target=asyncio.run, args=(life(),))
    thread.start()
    try:
        assert started.wait(60)
        yield
    finally:
        loop, ends = stop[0]
        loop.call_soon_threadsafe(ends.set)
        thread.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port, web = tmp_path_factory.mktemp("overload"), free_port(), free_port()
    plant = folder / "plant.toml"
    meters = "".join(SIMULATED.format(n=n, serial=21000000 + n) for n in range(1, METERS + 1))
    plant.write_text(PLANT.format(port=port) + meters)
    command = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(plant), "--dir", str(folder / "sim")]
    simulated = Server("simulator", command, "bus hall", folder / "sim.log")
    with ExitStack() as stack:
        stack.callback(simulated.close)
        simulated.start()
        stack.enter_context(running(site_of(folder / "site", port, web)))
        yield f"http://127.0.0.1:{web}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_the_headline_is_never_green_and_names_the_line_and_the_period_that_fits(url: str, browser: Browser) -> None:
    with window(browser, url) as seen:
        seen.login("viewer")
        headline = "document.querySelector('.verdict').innerText"
        seen.until(f"{headline}.includes('Line overloaded')")  # by itself: nobody loads the page again
        shown = seen.page.locator(".verdict").inner_text()
        assert "Action required" in shown
        assert 'the shortest that fit: every = "' in shown
        assert "for all of its meters" in shown
        assert "Normal operation" not in shown
        assert not {"power", "cable"} & set(shown.split())
        seen.open("/alarms")
        card = seen.page.locator(".alarm.error", has_text="Line overloaded").inner_text()
        assert card.count("set longer periods") == 1, "the advice stands once"
        assert "of the polls due in the last" in card
        seen.open("/events")
        assert seen.page.get_by_text("Line overloaded").count()


def test_a_meter_that_was_not_polled_is_not_sent_for_with_its_cable(url: str, browser: Browser) -> None:
    with window(browser, url) as seen:
        seen.login("viewer")
        small = (
            "[...document.querySelectorAll('tr[data-meter] small')].find((e) => e.innerText.startsWith('not polled'))"
        )
        seen.until(small)
        seen.until("[...document.querySelectorAll('tr[data-meter].old')].length")
        name = seen.page.evaluate("document.querySelector('tr[data-meter].old').dataset.meter")
        assert "no reading for" in seen.page.evaluate(f"{small}.parentElement.innerText")
        for language, first, next_step in (
            ("en", "No reading of this meter for", "Set a longer period (every)"),
            ("zh", "此电表已", "延长此通信线路各电表的周期"),
        ):
            seen.open(f"/meters/{name}?language={language}")
            until_silent = "document.querySelector('.verdict.bad')?.innerText ?? ''"
            seen.until(f"({until_silent}).includes({first!r})")
            shown = seen.page.locator(".verdict.bad").inner_text()
            assert next_step.lower() in shown.lower()
            assert not any(word in shown for word in ("power", "cable", "电源", "电缆"))


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", WIDE), ("zh", "dark", NARROW)])
def test_its_pages_are_whole(url: str, browser: Browser, language: str, theme: str, width: int) -> None:
    with window(browser, url, language=language, theme=theme, width=width) as seen:
        seen.login("viewer")
        words = {"en": "Line overloaded", "zh": "通信线路过载"}[language]
        seen.until(f"document.querySelector('.verdict').innerText.includes({words!r})")
        for path in ("/", "/meters/m1", "/alarms"):
            seen.open(path)
            assert seen.overflow() <= 0, path
            assert seen.faults() == [], path
