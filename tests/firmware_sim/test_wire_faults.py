"""Power, port and connection as faults, on each kind of bus, over real sockets and terminals of one simulator."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from firmware_sim.control.client import SOCKET, Client, ControlError
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.pdu import crc
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.modbus_ascii import ASCII
from ledger_client.transport.access import Access
from tests.firmware_sim.sim_bench import simulating
from tests.firmware_sim.test_dlt645 import read
from tests.support.brokers.pki import Authority

PATIENCE_S, QUIET_S = 10.0, 0.3
TLS = 'tls = true\nca = "pki/ca.pem"\ncert = "pki/device.pem"\nkey = "pki/device.key"'
ELECTRIC = '[[bus.meter]]\nname = "{name}-1"\nprofile = "eastron-sdm630"\naddress = 1\nenergy_import_kwh = 5000'
CHINESE = '[[bus.meter]]\nname = "{name}-1"\nprofile = "dlt645-three-phase"\naddress = "123456789012"'
BUSES = {
    "rtu": ("modbus-rtu", 'port = "rtu"\nemulate = false', ELECTRIC),
    "ascii": ("modbus-ascii", "port = 0\nemulate = false", ELECTRIC),
    "server": ("modbus-rtu-over-tcp", "port = 0\nemulate = false", ELECTRIC),
    "set": ("modbus-rtu", "port = 0\nrfc2217 = true", ELECTRIC),
    "tcp": ("modbus-tcp", "port = 0", ELECTRIC),
    "tls": ("modbus-tcp", f"port = 0\n{TLS}", ELECTRIC),
    "dlt": ("dlt645", 'port = "dlt"\nemulate = false', CHINESE),
    "dtu": ("dlt645", 'dial = "127.0.0.1:{dtu}"\nredial_ms = 10\nemulate = false', CHINESE),
    "cems": (
        "hj212",
        "port = {cems}",
        '[[bus.meter]]\nname = "cems-1"\naddress = "010000A8900016F000169DC0"\n'
        "realtime_s = 1\nwants_answer = false\nreconnect_s = 0.1",
    ),
    "p1": ("p1", "port = 0\nevery_ms = 20", '[[bus.meter]]\nname = "p1-1"\naddress = "0-0"'),
    "p1-tty": ("p1", 'port = "p1-tty"\nevery_ms = 20', '[[bus.meter]]\nname = "p1-tty-1"\naddress = "0-0"'),
}
READ = struct.pack(">BHH", 4, 72, 2)
RTU = b"\1" + READ + crc(b"\1" + READ)
QUESTIONS = {
    "rtu": RTU,
    "set": RTU,
    "server": RTU,
    "ascii": ASCII.frame(1, READ),
    "tcp": struct.pack(">HHHB", 7, 0, 6, 1) + READ,
    "tls": struct.pack(">HHHB", 7, 0, 6, 1) + READ,
}
ON_TERMINALS, THAT_DIAL, PUSHING = ("rtu", "dlt", "p1-tty"), ("dtu", "cems"), ("cems", "p1", "p1-tty")


class End:
    """A client's end of a connection or a terminal: what has come, and whether it has ended."""

    def __init__(self, wire: socket.socket | int) -> None:
        self.wire, self.came = wire, 0
        if isinstance(wire, socket.socket):
            wire.settimeout(PATIENCE_S)

    def send(self, data: bytes) -> None:
        if isinstance(self.wire, int):
            os.write(self.wire, data)
        else:
            self.wire.sendall(data)

    def take(self, within_s: float = PATIENCE_S) -> bytes | None:
        """What comes next; None: it has ended; nothing: nobody says anything."""
        if not select.select([self.wire], [], [], within_s)[0]:
            return b""
        try:
            data = os.read(self.wire, 4096) if isinstance(self.wire, int) else self.wire.recv(4096)
            self.came += len(data)
            return data or None
        except ConnectionError:
            return None
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None

    def ends(self) -> bytes:
        """All that comes until it ends."""
        data = b""
        while (more := self.take()) is not None:
            assert more, "it goes on, and is silent"
            data += more
        return data

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.wire) if isinstance(self.wire, int) else self.wire.close()


class Running(NamedTuple):
    client: Client
    lines: dict[str, Any]
    folder: Path
    hosts: dict[str, socket.socket]
    tls: ssl.SSLContext

    def reach(self, bus: str) -> End:
        """A new client of a bus; raises ``OSError`` where there is none to reach."""
        line = self.lines[bus]
        if bus in THAT_DIAL:
            return End(self.hosts[bus].accept()[0])
        if bus in ON_TERMINALS:
            return End(os.open(line["port"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        wire = socket.create_connection((line["host"], line["port"]), PATIENCE_S)
        return End(self.tls.wrap_socket(wire, server_hostname="localhost") if bus == "tls" else wire)

    def ready(self, bus: str) -> End:
        """The same, when it has negotiated."""
        end = self.reach(bus)
        while bus == "set" and end.take(0.1 if end.came else PATIENCE_S):
            pass
        return end

    def ask(self, bus: str, end: End) -> None:
        """Send a question, where anybody is asked."""
        if bus not in PUSHING:
            end.send(QUESTIONS.get(bus) or read("123456789012", "00010000"))

    def answered(self, bus: str, end: End) -> bytes:
        """The beginning of an answer, or of what is pushed."""
        self.ask(bus, end)
        return end.take() or b""

    def struck(self, name: str) -> int:
        return next(int(fault["struck"]) for fault in self.client.status()["faults"] if fault["id"] == name)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("wires")
    ca = Authority(folder / "pki")
    ca.issue("device")
    pair = ca.issue("gateway")
    hosts = {name: socket.create_server(("127.0.0.1", 0)) for name in THAT_DIAL}
    for host in hosts.values():
        host.settimeout(PATIENCE_S)
    numbers = {name: host.getsockname()[1] for name, host in hosts.items()}
    text = "[plant]\n[plant.stack]\n"
    for name, (kind, keys, meter) in BUSES.items():
        bus = f'[[bus]]\nname = "{name}"\ntype = "{kind}"\n{keys}\n'.format(**numbers) if name in THAT_DIAL else ""
        text += (bus or f'[[bus]]\nname = "{name}"\ntype = "{kind}"\n{keys}\n') + meter.format(name=name) + "\n"
    (folder / "plant.toml").write_text(text)
    tls = Access(ca=ca.ca, cert=pair.cert, key=pair.key).tls_context()
    with simulating(folder / "plant.toml", control=folder / SOCKET) as simulator:
        yield Running(Client(folder / SOCKET), simulator.ready()["lines"], folder, hosts, tls)
    for host in hosts.values():
        host.close()


def until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize("bus", [name for name in BUSES if name not in THAT_DIAL])
def test_a_port_goes_ends_what_is_open_and_returns_at_the_same_place(running: Running, bus: str) -> None:
    held = running.ready(bus)
    assert running.answered(bus, held)
    name = running.client.inject(bus, "port-gone")
    held.ends()
    with pytest.raises(FileNotFoundError if bus in ON_TERMINALS else ConnectionRefusedError):
        running.reach(bus)
    assert running.struck(name) == 1
    again = running.client.inject(bus, "port-gone", seconds=0.2)
    assert running.client.clear(name) == [name]
    running.client.clear(again)
    fresh = running.ready(bus)
    assert running.answered(bus, fresh)
    running.client.inject(bus, "port-gone", seconds=0.05)
    fresh.ends()
    until(lambda: _reaches(running, bus))
    fresh.close()
    held.close()


def _reaches(running: Running, bus: str) -> bool:
    try:
        running.reach(bus).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("bus", [name for name in BUSES if name not in ON_TERMINALS])
def test_a_connection_ends_in_place_of_an_answer_and_in_the_middle_of_one(running: Running, bus: str) -> None:
    for after in (4,) if bus == "cems" else (0, 4):
        end = running.ready(bus)
        name = running.client.inject(bus if bus == "p1" else f"{bus}-1", "hangs-up", {"after_bytes": after}, count=1)
        running.ask(bus, end)
        came = end.ends()
        if bus not in PUSHING:
            assert len(came) == after
        assert running.struck(name) == 1
        end.close()
    end = running.ready(bus)
    assert running.answered(bus, end)
    end.close()


def test_without_power_nobody_answers_and_a_counter_is_kept(running: Running) -> None:
    ends = {bus: running.ready(bus) for bus in BUSES}
    assert all(running.answered(bus, end) for bus, end in ends.items())
    for bus in BUSES:
        target = bus if bus in ("p1", "p1-tty", "dtu") else f"{bus}-1"
        running.client.inject(target, "power-cut", seconds=0.05 if bus == "tcp" else None)
    for bus in THAT_DIAL:
        ends[bus].ends()
    asked = {bus: end for bus, end in ends.items() if bus not in THAT_DIAL}
    for end in asked.values():
        while end.take(0.05):  # what was on its way
            pass
    for bus, end in asked.items():
        running.ask(bus, end)
    time.sleep(QUIET_S)
    assert {bus: end.take(0) for bus, end in asked.items()} == dict.fromkeys(asked, b"")
    (boots,) = [each for each in running.client.status()["faults"] if each["target"] == "tcp-1" and each["to_ms"]]
    assert boots["state"] == "on"
    running.client.clear("all")
    ends |= {bus: running.ready(bus) for bus in THAT_DIAL}
    answers = {bus: running.answered(bus, end) for bus, end in ends.items()}
    assert all(answers.values())
    assert struct.unpack(">f", answers["tcp"][9:13])[0] >= 5000
    for end in ends.values():
        end.close()


def test_what_a_logger_held_back_is_not_sent_when_its_fault_is_cleared(running: Running) -> None:
    end = running.reach("cems")
    assert running.answered("cems", end)
    late = running.client.inject("cems-1", "late", {"delay_ms": 1500})
    until(lambda: running.struck(late) > 0)
    running.client.clear(late)
    time.sleep(1.6)
    assert [line for line in _log(running) if late in line.get("injected", [])] == []
    end.close()


def _log(running: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (running.folder / "answers.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("target", "kind", "more", "key", "fix"),
    [
        ("rtu-1", "hangs-up", {}, "kind", "port-gone"),
        ("p1-tty", "hangs-up", {}, "kind", "port-gone"),
        ("dtu", "port-gone", {}, "kind", "hangs-up"),
        ("cems", "port-gone", {}, "kind", "offline"),
        ("tcp-1", "port-gone", {}, "meter", "the bus: tcp"),
        ("p1-1", "power-cut", {}, "meter", "the bus: p1"),
        ("tcp", "power-cut", {"count": 3}, "count", "remove it"),
        ("tcp", "port-gone", {"share": 0.5}, "share", "remove it"),
        ("p1", "exception", {}, "kind", "use dead or lost"),
        ("p1", "drift", {}, "kind", "damaged-crc"),
        ("p1-1", "late", {}, "meter", "the bus: p1"),
    ],
)
def test_what_a_wire_cannot_have_is_refused_with_the_reason(
    running: Running, target: str, kind: str, more: dict[str, Any], key: str, fix: str
) -> None:
    with pytest.raises(ControlError) as refused:
        running.client.inject(target, kind, **more)
    assert refused.value.problem.startswith(f"{key}: ")
    assert fix in refused.value.fix
    whose = "meter" if target.endswith("-1") else "bus"
    rows = {"kind": f'"{kind}"', whose: f'"{target}"', **more}
    path = running.folder / f"{target}-{kind}.toml"
    table = "".join(f"{name} = {value}\n" for name, value in rows.items())
    path.write_text((running.folder / "plant.toml").read_text() + f"[[fault]]\n{table}")
    with pytest.raises(ScenarioError) as of_file:
        load_scenario(path)
    assert (of_file.value.key, of_file.value.fix) == (f"fault[0].{key}", refused.value.fix)
