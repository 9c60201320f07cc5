"""Four of four inverters whose values are bad, and a voltage of 901 V: what Site and the meters' pages say."""

from __future__ import annotations

import socketserver
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.auth import setup
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.window import NARROW, WIDE, Window, chromium, window
from tests.support.gateways.sites import bus_table, make_site, meter_table, table
from tests.support.processes import Server, free_port

PROFILE = """format = 2
vendor = "Example"
device = "inverter"
source = "test_values_browser.py"
direct = true
[defaults]
fc = 3
type = "uint16"
[points]
active_power = { address = 0, unit = "W", not_available = [0xFFFF] }
energy_export = { address = 1, unit = "kWh", kind = "counter", not_available = [0xFFFF] }
voltage_ln_l1 = { address = 2, unit = "V", not_available = [0xFFFF] }
voltage_ln_l2 = { address = 3, unit = "V", not_available = [0xFFFF] }
temperature_cabinet = { address = 4, unit = "Cel", not_available = [0xFFFF] }
"""
METERS = tuple(f"inverter-{n}" for n in (1, 2, 3, 4))
GOOD, BAD = (4200, 8754, 230, 231, 0xFFFF), (0xFFFF,) * 5
SOON = (
    "from gateway.messages.alarm_kinds import KINDS\n"
    "for code in ('limit', 'value-bad'):\n"
    "    object.__setattr__(KINDS[code], 'on_delay_ms', 1000)\n"
    "    object.__setattr__(KINDS[code], 'off_delay_ms', 1000)\n"
    "from gateway.cli.app import main\n"
    "main()\n"
)
"""A gateway whose alarms of values have a delay of a second."""


class Inverter(socketserver.ThreadingTCPServer):
    """A Modbus TCP device that answers with the words that it has."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.words: tuple[int, ...] = GOOD
        self.port = self.server_address[1]


class Answers(socketserver.StreamRequestHandler):
    """One connection: reads of function 3."""

    def handle(self) -> None:
        assert isinstance(self.server, Inverter)
        while len(head := self.rfile.read(12)) == 12:
            transaction, unit, function, first, count = struct.unpack(">4sxxBBHH", head)
            data = struct.pack(f">{count}H", *self.server.words[first : first + count])
            self.wfile.write(transaction + struct.pack(">HBBB", 3 + len(data), unit, function, len(data)) + data)


@dataclass(frozen=True)
class Site:
    """Where the pages are, and the inverters by name."""

    url: str
    inverters: dict[str, Inverter]


@contextmanager
def plant(folder: Path) -> Iterator[Site]:
    """Four inverters with limits of their voltages, each on a line of its own, and a gateway with pages."""
    inverters, port = {name: Inverter() for name in METERS}, free_port()
    buses = [table("web", listen=f"127.0.0.1:{port}")]
    for name, device in inverters.items():
        read = meter_table(name, "inverter.toml", 1, "1s", role="generation") + "limits = { voltage_ln = [207, 253] }\n"
        buses.append(bus_table(f"line-{name[-1]}", "modbus-tcp", [read], host="127.0.0.1", port=device.port))
    loaded = make_site(folder, *buses, profiles={"inverter.toml": PROFILE})
    setup.set_user(loaded, "viewer", "viewer", PASSWORDS["viewer"])
    command = [sys.executable, "-u", "-c", SOON, "run", str(loaded.path)]
    gateway = Server("gateway", command, "pages at", folder / "gateway.log")
    with ExitStack() as stack:
        for device in inverters.values():
            stack.enter_context(device)
            threading.Thread(target=device.serve_forever, daemon=True).start()
            stack.callback(device.shutdown)
        stack.callback(gateway.close)
        gateway.start()
        yield Site(f"http://127.0.0.1:{port}", inverters)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with plant(tmp_path_factory.mktemp("values") / "site") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def row(meter: str) -> str:
    """What Site says of the quality of a meter."""
    return f"document.querySelector('[data-meter=\"{meter}\"]').cells[3].innerText"


def whole(seen: Window, *paths: str) -> None:
    """Nothing of these pages is too wide, and axe finds nothing."""
    for path in paths:
        seen.open(path)
        assert seen.overflow() <= 0, path
        assert seen.faults() == [], path


def test_bad_inverters_and_a_voltage_outside_its_limits_are_the_headline(site: Site, browser: Browser) -> None:
    with window(browser, site.url, language="en", theme="light", width=WIDE) as seen:
        seen.login("viewer")
        seen.until("document.querySelectorAll('tr[data-meter] [data-age]').length === 4")
        seen.until("!document.querySelector('.todo') && document.querySelector('.verdict.good, .verdict.warn')")
        seen.page.evaluate("window.same = true")
        site.inverters["inverter-1"].words = (4200, 8754, 901, 231, 0xFFFF)
        seen.until(f"{row('inverter-1')}.includes('outside its limits')")
        seen.until(f"/voltage L1/i.test({row('inverter-1')}) && !{row('inverter-1')}.includes('voltage_ln_l1')")
        seen.until("document.querySelector('.todo')?.innerText.includes('Values outside their limits')")
        for device in site.inverters.values():
            device.words = BAD
        for name in METERS:
            seen.until(
                "[...document.querySelectorAll('.verdict.bad .todo li')].some((li) => "
                f"li.innerText.includes('Bad values') && li.innerText.includes('{name}'))"
            )
        assert seen.page.evaluate("window.same") is True, "the page was not loaded anew"
        site.inverters["inverter-1"].words = (4200, 8754, 901, 150, 0xFFFF)
        seen.until(f"/outside its limits[^]*L1[^]*L2/.test({row('inverter-1')})")
        whole(seen, "/", "/alarms", "/meters/inverter-1", "/meters/inverter-2")
        seen.open("/meters/inverter-1")
        values = seen.page.locator("table.values").inner_text()
        assert "above 253 V" in values
        assert "below 207 V" in values
        seen.open("/alarms")
        texts = seen.page.locator(".alarm").all_inner_texts()
        assert sum("active_power, energy_export" in text and "no valid value" in text for text in texts) >= 3
        for device in site.inverters.values():
            device.words = GOOD
        seen.open("/")
        seen.until(f"!{row('inverter-1')}.includes('outside')")
        seen.until("!document.querySelector('.verdict.bad')")


def test_in_chinese_on_a_phone(site: Site, browser: Browser) -> None:
    site.inverters["inverter-1"].words = (4200, 8754, 901, 231, 0xFFFF)
    site.inverters["inverter-2"].words = BAD
    with window(browser, site.url, language="zh", theme="dark", width=NARROW) as seen:
        seen.login("viewer")
        seen.until(f"{row('inverter-1')}.includes('超出限值')")
        seen.until("document.querySelector('.todo')?.innerText.includes('数值越限')")
        seen.until("document.querySelector('.todo')?.innerText.includes('数值无效')")
        whole(seen, "/", "/alarms", "/meters/inverter-1")
        seen.open("/meters/inverter-1")
        assert "高于 253 V" in seen.page.locator("table.values").inner_text()
