"""An installer at work on the pages: what becomes of alarms and of an exchanged meter, and the signed events of it."""

from __future__ import annotations

import re
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import pytest

from gateway.config.model import Config
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.gateway.dashboard.pages_site import Browser, pages_of, running
from tests.support.gateways.farm import SERIAL
from tests.support.processes import free_port

PATIENCE_S = 30.0
DONE = ("acknowledged", "shelved", "unshelved")


class Meter(socketserver.ThreadingTCPServer):
    """A Modbus TCP meter that can be exchanged for another one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.serial = 70_000

    def exchange(self, serial: int) -> None:
        """Another device is in its place; connections to the old one end with their next question."""
        self.serial = serial


class _Talk(socketserver.StreamRequestHandler):
    server: Meter

    def handle(self) -> None:
        serial = self.server.serial
        while serial == self.server.serial and len(request := self.rfile.read(12)) == 12:
            head, unit, function, address, count = struct.unpack(">4sxxBBHH", request)
            body = struct.pack(">I", serial) if address == SERIAL else struct.pack(">f", 230.0) * (count // 2)
            if serial == self.server.serial:
                self.wfile.write(head + struct.pack(">HBBB", 3 + len(body), unit, function, len(body)) + body)


@contextmanager
def meter() -> Iterator[Meter]:
    with Meter() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def until(found: Callable[[], Any]) -> Any:
    """What is found in the end."""
    end = time.monotonic() + PATIENCE_S
    while not (it := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return it


def events(loaded: Config, source: str, name: str) -> list[dict[str, Any]]:
    """What the signed events of this name say, the newest first."""
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.events_of(source)]
    store.close()
    return [dict(body.fields) for body in bodies if isinstance(body, Event) and body.name == name]


def act(browser: Browser, name: str, **fields: str) -> str:
    """Do it with the form of the page, and read the page that comes then."""
    browser.get("/")
    assert browser.post(f"/acts/{name}", {"form": browser.form, **fields}).status == 303
    return unescape(browser.get("/").text)


def moment(browser: Browser) -> str:
    """The moment of the list of alarms as it is now."""
    found = re.search(r'href="/alarms\?tick=(\d+)"|$', browser.get("/alarms").text)
    assert found is not None
    return found[1] or str(1 << 45)  # of a list in which nothing is to be acknowledged


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Meter, Browser, Config]]:
    port = free_port()
    with meter() as device:
        listen = f'listen = "127.0.0.1:{port}"\n'
        loaded = pages_of(tmp_path_factory.mktemp("acts") / "site", (device.server_address[1],), listen)
        with running(loaded):
            browser = Browser(port)
            assert browser.login("ines").status == 303
            yield device, browser, loaded


def test_an_exchanged_meter_is_accepted_by_its_number_and_the_alarm_has_its_life(
    place: tuple[Meter, Browser, Config],
) -> None:
    device, browser, loaded = place
    until(lambda: events(loaded, "meter-000", "commissioned"))
    device.exchange(71_234)
    number = until(lambda: [a.id for a in alarms(loaded) if a.code == "meter-exchanged" and a.active])[0]
    assert "no alarm is ticked" in act(browser, "acknowledge", shown="1", ticked="1")
    assert "since the page was shown it was raised again" in act(browser, "acknowledge", shown="1", id=str(number))
    assert "acknowledged: " in act(browser, "acknowledge", shown=moment(browser), id=str(number), note="seen <b>it")
    assert "nothing to acknowledge" in act(browser, "acknowledge", shown=moment(browser), code="meter-exchanged")
    assert "acknowledged by ines" in (page := browser.get("/alarms").text)
    assert "seen &lt;b&gt;it" in page
    assert "shelved for 8 h: " in act(browser, "shelve", id=str(number), **{"for": "8h", "reason": "works"})
    assert "unshelved: " in act(browser, "unshelve", id=str(number))
    assert "reports a serial number other than 70000" in act(browser, "accept", meter="meter-000", serial="70000")
    page = act(browser, "accept", meter="meter-000", serial="71234", reason="broken <b>display</b>")
    assert "71234 accepted in place of 70000" in page
    (event,) = until(lambda: events(loaded, "meter-000", "meter-exchange"))
    assert (
        event.items() >= {"user": "ines", "identity": "serial_number=71234", "reason": "broken <b>display</b>"}.items()
    )
    assert all(events(loaded, "meter-000", f"alarm-{done}")[0]["user"] == "ines" for done in DONE)
    until(lambda: [a for a in alarms(loaded) if a.code == "meter-exchanged" and not a.active])
    shown = browser.get("/events").text
    assert "broken &lt;b&gt;display" in shown
    assert "<b>display" not in shown


def alarms(loaded: Config) -> list[AlarmRow]:
    store = Database(loaded.database, read_only=True)
    found = [*store.alarms.open(), *store.alarms.past(10)]
    store.close()
    return found


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("clear-shared", {"line": "tcp-000"}, "tcp-000: no other master is known on this line"),
        ("clear-shared", {}, "line is missing"),
        ("shelve", {"id": "1"}, "shelving time missing"),
        ("acknowledge", {"id": "-1"}, "id is not a number"),
        ("acknowledge", {"id": "999999", "shown": "1"}, "nothing to acknowledge"),
        ("acknowledge", {"id": "1"}, "shown is not a number"),
        ("acknowledge", {f"t{1_000_000 + n}": "1" for n in range(1000)} | {"shown": "1"}, "nothing to acknowledge"),
        ("accept", {"meter": "nobody", "serial": "1"}, "no meter nobody"),
        ("accept", {"meter": "meter-000", "serial": "x" * 300}, "serial is missing"),
        ("reload", {"fingerprint": "00"}, "has changed since the preview"),
    ],
)
def test_what_cannot_be_done_is_told_on_the_page(
    place: tuple[Meter, Browser, Config], name: str, fields: dict[str, str], problem: str
) -> None:
    assert problem in act(place[1], name, **fields)


def test_a_form_holds_a_thousand_ticks_and_no_endless_number(place: tuple[Meter, Browser, Config]) -> None:
    _, browser, _ = place
    browser.get("/alarms")
    ticks = {f"t{1_000_000 + n}": "1" for n in range(1_100)}
    assert browser.post("/acts/acknowledge", {"form": browser.form, "shown": "1", **ticks}).status == 400


def test_an_act_and_a_refusal_are_told_in_the_pages_language(place: tuple[Meter, Browser, Config]) -> None:
    _, browser, _ = place
    browser.get("/")
    assert browser.post("/acts/accept", {"form": browser.form, "meter": "nobody", "serial": "1"}).status == 303
    assert "没有电表 nobody；处理" in browser.get("/", Accept_Language="zh-CN").text
    assert "没有此页面" in browser.get("/nowhere", Accept_Language="zh-CN").text
    assert "未知的主机名" in browser.get("/", Host="evil.example", Accept_Language="zh-CN").text
    assert "unknown host name" in browser.get("/", Host="evil.example").text


def test_there_is_no_act_that_writes_to_a_meter(place: tuple[Meter, Browser, Config]) -> None:
    _, browser, _ = place
    for name in ("write", "health", "alarms", "order", "preview/x", "__class__"):
        browser.get("/")
        assert browser.post(f"/acts/{name}", {"form": browser.form, "meter": "meter-000"}).status in (404, 403)
