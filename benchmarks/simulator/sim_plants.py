"""Simulators and readers that ``scripts/bench sim`` measures: scenarios, processes, paced reads over TCP and lines."""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from gateway.fieldbus.modbus.frames import crc
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds

REGISTERS, BAUDRATE, LATENCY_MS = 60, 9600, 20
PATIENCE_S = 60.0
REQUEST_BYTES, ANSWER_BYTES = 8, 5 + 2 * REGISTERS
FORMULA_MS = 1000 * ((REQUEST_BYTES + ANSWER_BYTES) * char_seconds(BAUDRATE) + t35_seconds(BAUDRATE)) + LATENCY_MS
"""(8 + 5 + 2N) characters, the silence after the request, and the device's time."""
_UNITS = {"voltage": "V", "current": "A", "active": "W", "apparent": "VA", "reactive": "var", "power": "/"}
_STEMS = ("voltage_ln", "current", "active_power", "apparent_power", "reactive_power", "power_factor")
_POINTS = {
    **{f"{stem}_l{n}": _UNITS[stem.partition("_")[0]] for stem in _STEMS for n in (1, 2, 3)},
    "voltage_ll_l12": "V", "voltage_ll_l23": "V", "voltage_ll_l31": "V", "active_power_total": "W",
    "reactive_power_total": "var", "apparent_power_total": "VA", "power_factor_total": "/", "frequency": "Hz",
    "energy_import": "Wh", "energy_export": "Wh", "reactive_energy_import": "varh", "reactive_energy_export": "varh",
}  # fmt: skip
PROFILE = (
    'vendor = "Bench"\ndevice = "Meter of 30 floats"\nsource = "benchmarks/simulator/sim_plants.py"\n'
    + ('[defaults]\nfc = 3\ntype = "float32"\n[points]\n')
    + "".join(f'{name} = {{ address = {2 * n}, unit = "{unit}" }}\n' for n, (name, unit) in enumerate(_POINTS.items()))
)
PATH = "bench-meter.toml"


def meter(name: str, unit: int, keys: str = "") -> str:
    """A meter of a bus."""
    return f'  [[bus.meter]]\n  name = "{name}"\n  profile = "{PATH}"\n  address = {unit}\n{keys}'


def tcp(meters: int, keys: str = "", name: str = "tcp") -> str:
    """A bus with so many meters, units 1 and on."""
    rows = "".join(meter(f"{name}-{unit}", unit, keys) for unit in range(1, meters + 1))
    return f'[[bus]]\nname = "{name}"\ntype = "modbus-tcp"\nport = 0\n{rows}'


def serial(name: str) -> str:
    """A line with one meter, whose bytes take their time."""
    bus = f'[[bus]]\nname = "{name}"\ntype = "modbus-rtu"\nport = "{name}"\nbaudrate = {BAUDRATE}\n'
    return bus + meter(f"meter-{name}", 1, f"  latency_ms = {LATENCY_MS}\n")


def command(folder: Path, scenario: str, *options: str) -> list[str]:
    """What runs a scenario, written to the folder."""
    (folder / PATH).write_text(PROFILE)
    (folder / "plant.toml").write_text(scenario)
    words = "-m", "firmware_sim.cli", "run", str(folder / "plant.toml"), "--dir", str(folder)
    return [sys.executable, *words, *options]


@dataclass(frozen=True, slots=True)
class Server:
    """A server at work: its process, and the port of each bus (of a line: its path)."""

    pid: int
    ports: dict[str, str]

    def cpu_s(self) -> float:
        """CPU seconds of its thread, to the nanosecond (proc(5), ``schedstat``)."""
        return int((Path("/proc") / str(self.pid) / "schedstat").read_text().split()[0]) / 1e9


@contextmanager
def simulator(folder: Path, scenario: str, *options: str) -> Iterator[Server]:
    """A scenario in a process of its own."""
    folder.mkdir()
    ready = folder / "ready.json"
    process = subprocess.Popen(command(folder, scenario, "--ready", str(ready), *options), stdout=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while not ready.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - began < PATIENCE_S, "the simulator did not start"
            time.sleep(0.01)
        lines = json.loads(ready.read_text())["lines"]
        yield Server(process.pid, {name: str(line["port"]) for name, line in lines.items()})
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def constant(units: int) -> Iterator[Server]:
    """Pymodbus's server with so many units."""
    words = [sys.executable, "-m", "benchmarks.simulator.constant_server", str(units), str(REGISTERS)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process.pid, {"tcp": process.stdout.readline().strip()})
    finally:
        process.stdin.close()
        process.wait()


class Reader:
    """A connection to one unit behind a TCP port."""

    def __init__(self, port: str, unit: int) -> None:
        self._unit, self._socket = unit, socket.create_connection(("127.0.0.1", int(port)), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> bytes:
        """Its registers."""
        self._socket.sendall(struct.pack(">HHHBBHH", 1, 0, 6, self._unit, 3, 0, REGISTERS))
        whole, found = 9 + 2 * REGISTERS, b""
        while len(found) < whole:
            data = self._socket.recv(whole - len(found))
            assert data, "the server hung up"
            found += data
        assert found[7:9] == bytes([3, 2 * REGISTERS]), found.hex()
        return found[9:]

    def close(self) -> None:
        self._socket.close()


def paced_cpu_us(server: Server, bus: str, units: int, seconds: float, period_s: float) -> float:
    """CPU microseconds of the server for a read, while each unit is read over a connection of its own every
    ``period_s``, one after the other."""
    readers = [Reader(server.ports[bus], unit) for unit in range(1, units + 1)]
    for reader in readers:
        reader.read()
    begun, cpu, reads = time.monotonic(), server.cpu_s(), 0
    for reader in cycle(readers):
        if (now := time.monotonic()) - begun >= seconds:
            break
        time.sleep(max(0.0, begun + reads * period_s / units - now))
        reader.read()
        reads += 1
    cpu = server.cpu_s() - cpu
    for reader in readers:
        reader.close()
    return cpu / reads * 1e6


def read_cpu_us(server: Server, reader: Reader) -> float:
    """CPU microseconds of the server for one read."""
    before = server.cpu_s()
    reader.read()
    time.sleep(0.02)  # until it waits again
    return (server.cpu_s() - before) * 1e6


def cycles_ms(paths: Sequence[str], seconds: float) -> list[list[float]]:
    """Read each line again and again for so long, all at once: milliseconds from a request to the end of its answer."""
    request = struct.pack(">BBHH", 1, 3, 0, REGISTERS)
    request += crc(request)
    found: list[list[float]] = [[] for _ in paths]
    selector, asked, heard = selectors.DefaultSelector(), [0.0] * len(paths), [0] * len(paths)
    due = [time.monotonic()] * len(paths)  # 0: it was asked
    fds = [os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for path in paths]
    for n, fd in enumerate(fds):
        selector.register(fd, selectors.EVENT_READ, n)
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end or not all(due):
        for n, fd in enumerate(fds):
            if due[n] and due[n] <= now < end:
                due[n], heard[n], asked[n] = 0.0, 0, time.monotonic()
                os.write(fd, request)
        waits = [moment for moment in due if moment] or [now + 1]
        for key, _ in selector.select(max(0.0, min(waits) - time.monotonic()) if now < end else 1.0):
            n = key.data
            heard[n] += len(os.read(key.fd, 4096))
            if heard[n] == ANSWER_BYTES:
                now = time.monotonic()
                found[n].append(1000 * (now - asked[n]))
                due[n] = now + t35_seconds(BAUDRATE)
    selector.close()
    for fd in fds:
        os.close(fd)
    return found
