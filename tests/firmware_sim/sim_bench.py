"""A simulator in a thread of its own, with its answer log, for tests that speak to it over real wires."""

from __future__ import annotations

import asyncio
import json
import os
import select
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware_sim.cli.run import Simulator
from firmware_sim.clock import SimClock
from firmware_sim.meters.pdu import crc
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog

PATIENCE_S = 10.0

PLANT = """
[[bus]]
name = "rs485-1"
type = "modbus-rtu"
port = "rs485-1"
emulate = false
{bus}
  [[bus.meter]]
  name = "export-main"
  profile = "eastron-sdm630"
  address = 1
  serial = "21043387"
  [[bus.meter]]
  name = "stack-co2"
  profile = "vaisala-gmp252"
  address = 240
[[bus]]
name = "inverter"
type = "modbus-tcp"
port = 0
{tcp}
  [[bus.meter]]
  name = "pv-inverter"
  profile = "sunspec-inverter"
  address = 1
  serial = "PV15-000713"
  energy_export_kwh = 8754.25
{faults}
"""


def scenario(folder: Path, *, bus: str = "", tcp: str = "", faults: str = "") -> Path:
    """A scenario file of the three meters of the demo, on a wire without delays."""
    path = folder / "plant.toml"
    path.write_text(PLANT.format(bus=bus, tcp=tcp, faults=faults))
    return path


class Bench:
    """A running simulator: where its buses are, and what it wrote down."""

    def __init__(self, simulator: Simulator, log: Path) -> None:
        lines = simulator.ready()["lines"]
        self.serial = Path(lines["rs485-1"]["port"])
        self.tcp = (str(lines["inverter"]["host"]), int(lines["inverter"]["port"]))
        self._log, self.came_back = log, simulator.came_back

    def log(self) -> list[dict[str, Any]]:
        """The log's lines so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@contextmanager
def simulating(path: Path, *, clock: SimClock | None = None, control: Path | None = None) -> Iterator[Simulator]:
    """Run a scenario until the block ends; its answers are in ``answers.jsonl`` beside it. ``control``: its socket."""
    folder = path.parent
    answers = AnswerLog(folder / "answers.jsonl")
    simulator = Simulator(load_scenario(path), folder=folder, log=answers, clock=clock, control=control)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.open(), loop).result(PATIENCE_S)
        try:
            yield simulator
        finally:
            asyncio.run_coroutine_threadsafe(_closed(simulator), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
        answers.close()


@contextmanager
def running(path: Path, *, clock: SimClock | None = None) -> Iterator[Bench]:
    """Run a scenario of the three meters until the block ends."""
    with simulating(path, clock=clock) as simulator:
        yield Bench(simulator, path.parent / "answers.jsonl")


async def _closed(simulator: Simulator) -> None:
    simulator.close()


class Serial:
    """A client of a serial line that sends and sees bare bytes."""

    def __init__(self, path: Path, *, baudrate: int | None = None, stopbits: int = 1) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        if baudrate is not None:
            settings = termios.tcgetattr(self.fd)
            settings[4] = settings[5] = getattr(termios, f"B{baudrate}")
            settings[2] = settings[2] & ~termios.CSTOPB | (termios.CSTOPB if stopbits == 2 else 0)
            termios.tcsetattr(self.fd, termios.TCSANOW, settings)

    def send(self, hex_bytes: str, *, check: bool = True) -> None:
        """Send bytes, with their checksum unless ``check`` is false."""
        data = bytes.fromhex(hex_bytes)
        assert os.write(self.fd, data + crc(data) if check else data) > 0

    def receive(self, size: int, within_s: float = PATIENCE_S) -> bytes:
        """Exactly ``size`` bytes, or what came before ``within_s`` without a byte passed."""
        data = b""
        while len(data) < size and select.select([self.fd], [], [], within_s)[0]:
            data += os.read(self.fd, size - len(data))
        return data

    def ask(self, hex_bytes: str, size: int) -> bytes:
        """An answer to a request that may have to be repeated, as any master repeats it."""
        for _ in range(5):
            self.send(hex_bytes)
            if answer := self.receive(size, PATIENCE_S / 5):
                return answer
        raise AssertionError(f"no answer to {hex_bytes}")

    def silent(self) -> bool:
        """Nothing comes within the time in which an answer would have come many times over."""
        return self.receive(1, 0.15) == b""

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
