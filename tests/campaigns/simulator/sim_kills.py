"""A simulated plant is killed again and again, at any moment, and goes on from its state: no counter falls, no serial
number changes, and each answer is what a plant that was never killed would have shown."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.meters.register_image import Meter
from firmware_sim.plant.model import Plant
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.schema import TcpTable

SPEED = 60
"""A minute of the plant in a second."""
PATIENCE_S = 120.0
COUNTERS = ("energy_import", "energy_export")
PROFILE = """vendor = "V"
device = "fine meter"
source = "made for this campaign"
[points]
energy_import = { fc = 3, address = 0, type = "uint64", scale = -3, unit = "Wh", kind = "counter" }
energy_export = { fc = 3, address = 4, type = "uint64", scale = -3, unit = "Wh", kind = "counter" }
serial_number = { fc = 3, address = 8, type = "string", registers = 8, record = false }
"""
SCENARIO = """[plant]
seed = 11
load_kw = 25
pv_kw = 20
[plant.battery]
kw = 10
kwh = 20
[[bus]]
name = "tcp"
type = "modbus-tcp"
port = {port}
{meters}
[[bus]]
name = "line"
type = "modbus-rtu"
port = "line"
[[bus.meter]]
name = "on-line"
profile = "eastron-sdm630"
address = 1
[[fault]]
meter = "frozen"
kind = "frozen"
"""
METER = """[[bus.meter]]
name = "{name}"
profile = "./fine.toml"
address = {unit}
measures = "{place}"
serial = "S-{unit}"
"""
METERS = {"grid": "grid", "load": "load", "battery": "battery", "frozen": "grid"}


@dataclass
class Books:
    """What was seen over all runs."""

    answers: int = 0
    fallen: int = 0
    serials: dict[str, set[str]] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    wrong: int = 0
    clock_off_ms: float = 0.0
    highest: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, entry: dict[str, object], values: dict[str, object], off_ms: float) -> None:
        """An answer, what it should have shown, and how far the plant's time was off the wall clock's."""
        meter, shown = str(entry["meter"]), entry["values"]
        assert isinstance(shown, dict)
        self.answers += 1
        self.clock_off_ms = max(self.clock_off_ms, abs(off_ms))
        self.serials.setdefault(meter, set()).add(str(shown["serial_number"]))
        if meter == "frozen":
            self.frozen.add(str([shown[name] for name in COUNTERS]))
        else:
            self.wrong += shown != values
        for name in COUNTERS:
            now, before = float(shown[name]), self.highest.get((meter, name), 0.0)
            self.fallen += now < before
            self.highest[meter, name] = max(now, before)


class Runs:
    """Runs of one plant in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        (folder / "fine.toml").write_text(PROFILE)
        rows = enumerate(METERS.items(), start=1)
        meters = "".join(METER.format(name=name, place=place, unit=unit) for unit, (name, place) in rows)
        (folder / "plant.toml").write_text(SCENARIO.format(port=self.port, meters=meters))

    def start(self) -> subprocess.Popen[bytes]:
        """A simulator; it is ready when the ready file is there."""
        (self.folder / "ready").unlink(missing_ok=True)
        options = ["--state", "state", "--speed", str(SPEED), "--log", "log", "--ready", "ready"]
        command = [sys.executable, "-m", "firmware_sim.cli", "run", "plant.toml", *options]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
        with (self.folder / "errors").open("ab") as errors:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=errors, stderr=errors)

    def ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it serves. Raises ``AssertionError`` with what it printed when it ends instead."""
        end = time.monotonic() + PATIENCE_S
        while not (self.folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "errors").read_text())
            time.sleep(0.01)

    def read_for(self, seconds: float) -> None:
        """Ask all meters in turn; the simulator's log has the answers."""
        end, number = time.monotonic() + seconds, 0
        with closing(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)) as wire:
            while time.monotonic() < end:
                number += 1
                unit = number % len(METERS) + 1
                wire.sendall(struct.pack(">HHHBBHH", number & 0xFFFF, 0, 6, unit, 3, 0, 16))
                head = _exactly(wire, 6)
                _exactly(wire, int.from_bytes(head[4:], "big"))
                time.sleep(0.005)

    def remembers(self) -> bool:
        """Whether the state has the moment at which the fault was first met."""
        return re.search(r'"_since_ms": [0-9]', (self.folder / "state").read_text()) is not None

    def entries(self) -> Iterator[dict[str, object]]:
        """The answers in the log; the last line of a run may be cut where it was killed."""
        for line in (self.folder / "log").read_text().splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def judged(scenario: Scenario, entries: Iterator[dict[str, object]]) -> Books:
    """The books of all answers, beside a plant that was never killed and began when the first run did."""
    plant, books = Plant(scenario.plant), Books()
    (table,) = (bus for bus in scenario.buses if isinstance(bus, TcpTable))
    meters = {row.name: Meter(row.spec(scenario.profiles[row.name], {}), plant) for row in table.meter}
    began_ms: float | None = None
    for entry in entries:
        t_ms, at_ms = entry["t_ms"], entry["at_ms"]
        assert isinstance(t_ms, int)
        assert isinstance(at_ms, int)
        if began_ms is None:
            began_ms = t_ms - at_ms / SPEED
        values = meters[str(entry["meter"])].read(3, 0, 16, at_ms).values
        books.add(entry, dict(values), t_ms - began_ms - at_ms / SPEED)
    return books


SMALLEST = ({"kills": 4, "seed": 3},)


def run(kills: int = 100, seed: int = 20261202) -> dict[str, object]:
    """Kill a plant so many times, one time in three before it serves."""
    draws = random.Random(seed)
    early = 0
    with tempfile.TemporaryDirectory(prefix="sim-kills-") as name:
        runs = Runs(Path(name))
        for number in range(kills + 1):
            process = runs.start()
            try:
                if number and draws.random() < 1 / 3:
                    early += 1
                    time.sleep(draws.uniform(0, 0.8))
                else:
                    runs.ready(process)
                    runs.read_for(draws.uniform(0.05, 1.2))
                    while not number and not runs.remembers():
                        runs.read_for(0.2)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE_S)
        process = runs.start()
        runs.ready(process)
        runs.read_for(0.2)
        process.terminate()
        ended = process.wait(PATIENCE_S)
        state = json.loads((runs.folder / "state").read_text().splitlines()[0])
        books = judged(load_scenario(runs.folder / "plant.toml"), runs.entries())
        refused = (runs.folder / "errors").read_text().count("fix: ")
    return {
        "kills": kills + 1,
        "killed_before_serving": early,
        "answers": books.answers,
        "plant_hours": round(state["steps"][-1][0] / 3600, 2),
        "counters_fallen": books.fallen,
        "serials_changed": sum(len(found) - 1 for found in books.serials.values()),
        "frozen_values": len(books.frozen),
        "wrong_answers": books.wrong,
        "clock_off_ms": round(books.clock_off_ms, 1),
        "starts_refused": refused,
        "last_exit_code": ended,
    }


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def _exactly(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = wire.recv(size - len(data))
        if not more:
            raise ConnectionError("the simulator hung up")
        data += more
    return data
