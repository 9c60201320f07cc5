"""A hundred Modbus TCP meters under the shipped gateway: cut one by one or all at once, it is one alarm at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import Config
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.support.gateways.apart import apart
from tests.support.gateways.farm import Farm, farm
from tests.support.gateways.tcp_gateway import tcp_site
from tests.system.demo_site import GatewayProcess, until

MACHINE = ("clock", "clock-step", "key-unlisted")
MANY, LONE = 99, "meter-099"
"""The last meter has a farm of its own, so that it can be cut alone."""


class Place:
    """A gateway and its two farms. A farm that is cut takes connections and answers nothing."""

    def __init__(self, loaded: Config, many: Farm, lone: Farm) -> None:
        self.loaded, self.many, self.lone, self._cut = loaded, many, lone, set[int]()
        self.gateway = GatewayProcess(loaded)

    def cut(self, which: Farm) -> int:
        """Cut a farm off; gives the time in ms."""
        os.kill(which.pid, signal.SIGSTOP)
        self._cut.add(which.pid)
        return int(time.time() * 1000)

    def join(self, which: Farm) -> None:
        os.kill(which.pid, signal.SIGCONT)
        self._cut.discard(which.pid)

    def close(self) -> None:
        for pid in self._cut:
            os.kill(pid, signal.SIGCONT)
        self.gateway.close()

    def alarms(self) -> list[dict[str, Any]]:
        """Those that are true, but for what may be wrong with this machine's clock."""
        listed = control_socket.give(self.loaded.data, "alarms")["alarms"]
        return [one for one in listed if one["cleared"] is None and one["code"] not in MACHINE]

    def codes(self) -> list[tuple[str | None, str]]:
        return [(one["meter"], one["code"]) for one in self.alarms()]

    def events(self) -> list[Event]:
        """Every event of an alarm, in order."""
        store = Database(self.loaded.database, read_only=True)
        rows = [row for row in store.records.rows(1, 1 << 60) if row.kind == "event"]
        store.close()
        bodies = [parse_record(row.data).body for row in rows]
        return [body for body in bodies if isinstance(body, Event) and body.name.startswith("alarm")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        many, lone = stack.enter_context(farm(MANY)), stack.enter_context(farm(1))
        made = Place(tcp_site(tmp_path, [*many.ports, *lone.ports], every="1s"), many, lone)
        made.gateway.start()
        stack.callback(made.close)
        yield made


def test_one_meter_and_all_meters_are_one_alarm_each(place: Place) -> None:
    until("all meters", lambda: _read(place.loaded) == MANY + 1)
    cut_ms = place.cut(place.lone)
    until("the meter's alarm", place.alarms)
    (alarm,) = place.alarms()
    assert (alarm["meter"], alarm["code"], alarm["line"]) == (LONE, "line-down", "tcp-099")
    assert cut_ms - 1000 <= alarm["since"] <= alarm["raised"]
    assert (LONE in alarm["text"], "tcp-099" in alarm["text"]) == (True, True)
    status = apart("gateway.cli", "status", place.loaded.path)
    words = " ".join(status.out.split())
    assert (status.code, LONE in words, "tcp-099" in words, "(since 20" in words) == (1, True, True, True)
    done = control_socket.give(place.loaded.data, "acknowledge", id=alarm["id"], user="installer")
    assert done["acknowledged_by"] == "installer"
    cut_ms = place.cut(place.many)
    until("one alarm of the site", lambda: (None, "site-silent") in place.codes())
    site = next(one for one in place.alarms() if one["code"] == "site-silent")
    until("all of them in it", lambda: "100 lines with 100 meters" in _text(place))
    assert cut_ms - 2000 <= site["since"]
    assert place.gateway.stop() == 0
    place.gateway.start()
    assert sorted(code for _, code in place.codes()) == ["line-down", "site-silent"]
    place.join(place.many)
    until("the end of it", lambda: place.codes() == [(LONE, "line-down")])
    (alarm,) = place.alarms()
    assert (alarm["acknowledged_by"], alarm["id"]) == ("installer", done["id"])
    place.join(place.lone)
    until("the end of that", lambda: not place.codes())
    assert place.gateway.stop() == 0
    alarms = [
        (e.name, e.fields["code"], e.fields.get("raised")) for e in place.events() if e.fields["code"] not in MACHINE
    ]
    assert alarms == [
        ("alarm", "line-down", True), ("alarm-acknowledged", "line-down", None), ("alarm", "site-silent", True),
        ("alarm", "site-silent", False), ("alarm", "line-down", False),
    ]  # fmt: skip


def _text(place: Place) -> str:
    return str(next(one["text"] for one in place.alarms() if one["code"] == "site-silent"))


def _read(loaded: Config) -> int:
    """How many meters have a reading."""
    store = Database(loaded.database, read_only=True)
    found = store.count("SELECT count(DISTINCT meter) FROM records WHERE kind = 'reading'")
    store.close()
    return found
