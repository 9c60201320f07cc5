"""The pictures in docs/pictures, of a real plant with a day behind it: ``python -m tests.gateway.dashboard.pictures
FOLDER``."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser

from gateway.clock import KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.recording.journal import Journal
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.dashboard.pages_plant import Site, plant_with_pages
from tests.gateway.dashboard.window import Window, chromium, window
from tests.support.processes import Server
from tests.support.samples import Machine
from tests.system.demo_site import until

MINUTE_MS, HOURS = 60_000, 27
SYNCHRONISED = (
    "import gateway.clock as c; c.Clock.__init__.__kwdefaults__['kernel'] = lambda: c.KernelClock(True, 4); "
    "from gateway.cli.app import main; main()"
)
"""A gateway on a machine whose clock is kept right, wherever the pictures are taken."""
Values = Mapping[str, tuple[float, str]]


def power(hour: float) -> tuple[float, float]:
    """PV and the grid's share in W at an hour of the day."""
    sun = max(0.0, math.sin((hour - 6) / 12 * math.pi))
    cloud = 1 - 0.35 * max(0.0, math.sin(hour * 5.1)) * max(0.0, math.sin(hour * 1.7))
    pv = 14_200 * sun * cloud
    load = 9_000 + 4_500 * math.exp(-(((hour - 11) / 3.5) ** 2)) + 1_200 * math.sin(hour * 2.3)
    return pv, load - 27_000 - pv


def day(loaded: Config, until_ms: int) -> None:
    """A day of readings, one a minute, with a cut line and a probe that stood still, up to a moment."""
    machine = Machine()
    machine.wall_ms, machine.kernel = until_ms - HOURS * 60 * MINUTE_MS, KernelClock(True, 4)
    store, clock = Database(loaded.database), machine.clock()
    periods = dict.fromkeys(loaded.meters, MINUTE_MS)
    rules = replace(Rules.of(loaded), periods_ms=periods, seal_every_ms=60 * MINUTE_MS, commit_every_ms=60 * MINUTE_MS)
    journal = Journal(store, load_keys(loaded), rules, clock, bytes(range(8)))
    anchor_ms, minutes = journal.open(), HOURS * 60
    energy = {"export": 4821.5, "import": 1520.0, "pv": 8_754_250.0}
    for n in range(minutes):  # counted back, so that the plant's own counters go on from here
        pv, grid = power((9.0 + (n - minutes) / 60) % 24)
        energy["export"] -= max(0.0, -grid) / 60_000
        energy["pv"] -= pv / 60
    for n in range(minutes):
        pv, grid = power((9.0 + (n - minutes) / 60) % 24)
        energy["export"] += max(0.0, -grid) / 60_000
        energy["pv"] += pv / 60
        for meter, values in (
            ("export-main", {"active_power_total": (grid, "W"), "energy_export": (energy["export"], "kWh")}),
            ("stack-co2", {"co2": (2200 + 210 * math.sin(n / 97) + 30 * math.sin(n / 7), "ppm")}),
            ("pv-inverter", {"active_power": (round(pv), "W"), "energy_export": (round(energy["pv"]), "Wh")}),
        ):
            journal.poll(_poll(meter, anchor_ms + n * MINUTE_MS, values, Timestamp.now(clock), n))
        machine.passes(60)
        journal.keep_time()
    journal.finish()
    store.close()


def _poll(meter: str, due_ms: int, values: Values, now: object, n: int) -> PollResult:
    if meter != "pv-inverter" and 700 <= n < 745:
        return PollResult(meter, due_ms, None, None, "timeout")
    frozen = int(Quality.FROZEN) if meter == "stack-co2" and 1100 <= n < 1190 else 0
    assert hasattr(now, "time_ms")
    read = tuple(Value(name, value, unit, frozen) for name, (value, unit) in values.items())
    return PollResult(meter, due_ms, Reading(now.time_ms, read), now)  # type: ignore[arg-type]


@contextmanager
def prepared(folder: Path) -> Iterator[Site]:
    """The plant of the tests, with that day behind it and a clock that is right."""
    with plant_with_pages(folder, seal_every="20s", label="并网关口 Grid") as site:
        site.gateway.stop()
        site.config.database.unlink()
        day(site.config, int(time.time() * 1000))
        command = [sys.executable, "-u", "-c", SYNCHRONISED, "run", str(site.config.path)]
        gateway = Server("gateway", command, "pages at", site.config.path.with_suffix(".log"))
        try:
            gateway.start()
            yield site
        finally:
            gateway.close()


def take(seen: Window, folder: Path, name: str, path: str, height: int | None = None) -> None:
    """One picture of a page, whole or down to a height."""
    seen.open(path)
    seen.page.wait_for_timeout(2500)  # for some values to come
    width = seen.page.viewport_size["width"] if seen.page.viewport_size else 1280
    clip = {"x": 0, "y": 0, "width": width, "height": height} if height else None
    seen.page.screenshot(path=folder / f"{name}.png", full_page=True, clip=clip)  # type: ignore[arg-type]


def _acknowledged(seen: Window) -> bool:
    """What was wrong in that day is over, and somebody has seen it."""
    seen.open("/alarms")
    button = seen.page.get_by_role("button", name="Acknowledge")
    if button.count():
        button.first.click()
    seen.page.wait_for_timeout(1000)
    return bool(seen.page.locator(".verdict.good").count())


PATHS = {
    "site": "/",
    "meter": "/meters/export-main?span=24h",
    "energy": "/meters/pv-inverter?span=24h&quantity=energy_export",
    "probe": "/meters/stack-co2?span=24h",
    "batches": "/batches",
    "batch": "/batches/3",
    "events": "/events",
    "diagnosis": "/diagnosis",
}


def pictures(site: Site, browser: Browser, folder: Path) -> None:
    """Every page, in the languages, themes and widths of the documents."""
    with window(browser, site.url) as seen:
        seen.login("installer")
        until("no alarm", lambda: _acknowledged(seen))
    for language, theme in (("en", "light"), ("zh", "dark"), ("en", "dark"), ("zh", "light")):
        width = 1280 if (language, theme) in (("en", "light"), ("zh", "dark")) else 390
        end = f"{language}-{theme}{'' if width == 1280 else '-phone'}"
        with window(browser, site.url, language=language, theme=theme, width=width) as seen:
            seen.login("installer")
            seen.open("/batches/28")
            record = str(seen.page.locator("a[href*='export-main/records']").first.get_attribute("href"))
            for name, path in (PATHS | {"record": record}).items():
                take(seen, folder, f"{name}-{end}", path)
    assert site.meters.stop() == 0
    for language, theme, width in (("en", "light", 1280), ("zh", "dark", 390)):
        with window(browser, site.url, language=language, theme=theme, width=width) as seen:
            seen.login("installer")
            seen.until("document.querySelector('.verdict.bad')")
            end = f"{language}-{theme}{'' if width == 1280 else '-phone'}"
            for name, path in {"cut": "/", "alarms": "/alarms", "silent": "/meters/export-main?span=24h"}.items():
                take(seen, folder, f"{name}-{end}", path)
    site.meters.start()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, prepared(Path(name)) as running, chromium() as started:
        pictures(running, started, target)
