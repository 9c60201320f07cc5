"""The shipped gateway with both feeds: a meter is cut, the wire breaks, the process is killed; nothing is untold."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.storage.database import Database
from tests.gateway.feeds.rig import Heard, listening
from tests.gateway.feeds.sparkplug_host import GROUP, Host, host_at, metric
from tests.gateway.feeds.tap import Tap, tap
from tests.support.gateways.apart import apart
from tests.support.gateways.farm import Farm, farm
from tests.support.gateways.sites import table
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.processes import mosquitto
from tests.system.demo_site import GatewayProcess, until
from tests.system.disk.test_disk_full import status_of

METERS, LONE = ("meter-000", "meter-001"), "meter-002"


@dataclass
class Place:
    """A gateway, its meters, the wire to its broker, and who listens there."""

    loaded: Config
    gateway: GatewayProcess
    lone: Farm
    wire: Tap
    heard: Heard
    host: Host

    def readings(self) -> dict[str, int]:
        """Every reading in the database, with its place."""
        store = Database(self.loaded.database, read_only=True)
        found = {row.id: place for place, row in store.feeds.rows(1, 1 << 60, 1 << 30)}
        store.close()
        return found

    def owed(self, feed: str) -> set[str]:
        """The readings that a feed has still to tell, by what it has written down."""
        store = Database(self.loaded.database, read_only=True)
        ((cursor,),) = store.all("SELECT last_id FROM cursors WHERE feed = ?", feed)
        gaps = [*store.feeds.gaps(feed), (cursor + 1, 1 << 60)]
        store.close()
        return {name for name, place in self.readings().items() if any(a <= place <= b for a, b in gaps)}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        wire = stack.enter_context(tap(broker.port))
        many, lone = stack.enter_context(farm(len(METERS))), stack.enter_context(farm(1))
        feeds = table("[feed]", name="scada", type="json", url=wire.url)
        feeds += table("[feed]", name="host", type="sparkplug", url=wire.url, group=GROUP)
        loaded = tcp_site(tmp_path, [*many.ports, *lone.ports], feeds, every="1s")
        heard, host = stack.enter_context(listening(broker.url)), stack.enter_context(host_at(broker))
        gateway = GatewayProcess(loaded)
        gateway.start()
        stack.callback(gateway.close)
        yield Place(loaded, gateway, lone, wire, heard, host)


def test_a_cut_meter_a_broken_wire_and_a_killed_gateway(place: Place) -> None:
    check = apart("gateway.cli", "check", place.loaded.path)
    assert f"feed scada (json) to {place.wire.url}" in check.out
    until("every meter", lambda: {name.split("/")[0] for name in place.heard.records("/meters/")} == {*METERS, LONE})
    until("every device", lambda: {m["device"] for m in place.host.of("DBIRTH")} == {*METERS, LONE})
    states = {feed["name"]: feed for feed in status_of(place.loaded.path)[1]["feeds"]}  # type: ignore[attr-defined]
    assert {name: feed["state"] for name, feed in states.items()} == {"scada": "connected", "host": "connected"}

    os.kill(place.lone.pid, signal.SIGSTOP)
    until("its death", lambda: [m["device"] for m in place.host.of("DDEATH")] == [LONE])
    until("its alarm", lambda: place.heard.on(f"/alarms/{LONE}/line-down"))
    ndata = until("its alarm", lambda: [m for m in place.host.of("NDATA") if LONE in str(m["metrics"])])[0]
    for text in (place.heard.on("/alarms/")[0].data.decode(), metric(ndata, f"Alarms/{LONE}")["value"]):
        assert all(word in text for word in (LONE, "tcp-002", '"since":'))
    os.kill(place.lone.pid, signal.SIGCONT)
    until("its rebirth", lambda: len(place.host.of("DBIRTH", LONE)) == 2)

    place.wire.clear.clear()
    place.wire.cut()
    until("an outage", lambda: not _connected(place))
    before = len(place.readings())
    until("readings meanwhile", lambda: len(place.readings()) > before + 6)
    place.gateway.kill()
    place.gateway.start()
    before = len(place.readings())
    until("readings of another epoch", lambda: len(place.readings()) > before + 6)
    place.wire.clear.set()
    until("both feeds again", lambda: _connected(place))
    until("nothing left", lambda: not any(feed["left"] for feed in _feeds(place)))
    assert place.gateway.stop() == 0

    recorded = set(place.readings())
    live, later = set(place.heard.records("/meters/")), set(place.heard.records("/history/"))
    assert later
    assert live | later <= recorded
    assert recorded - live - later <= place.owed("scada")
    shown, past = set(place.host.records(historical=False)), set(place.host.records(historical=True))
    assert past
    assert shown | past <= recorded
    assert recorded - shown - past <= place.owed("host")
    assert max(len(place.owed("scada")), len(place.owed("host"))) < 20


def _feeds(place: Place) -> list[dict[str, object]]:
    feeds: list[dict[str, object]] = status_of(place.loaded.path)[1]["feeds"]  # type: ignore[assignment]
    return feeds


def _connected(place: Place) -> bool:
    return all(feed["connected"] for feed in _feeds(place))
