"""Feeds at full rate: how many of the recorded readings are published live, how late, and at what cost.

A hundred Modbus TCP meters of thirty values, read every 100 ms, which is 30,000 values a second: by the shipped command
with a JSON feed, with a Sparkplug feed, and by a bare loop of pymodbus and paho that signs and records nothing. Broker
(mosquitto), meters, and whoever reads the feed are processes of their own on the same machine.

- ``live_share``: readings that came on a live topic, each counted once, over those that were recorded (``bare``: read).
- ``p50_s``, ``p99_s``: from a reading's own time to its arrival; a reading is published once it is durable, so that
  ``commit_every`` (1 s) is part of it.
- ``history``: readings that were published later as history; ``messages``: live ones, so that readings over messages is
  how many share one.
- ``cpu_s_per_1000_values``, ``resident_mb`` (the peak): of the gateway, or of the bare loop.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from gateway.config.model import Config
from gateway.storage.database import Database
from tests.support.gateways.farm import Farm, farm
from tests.support.gateways.sites import table
from tests.support.gateways.tcp_gateway import VALUES, tcp_site
from tests.support.gateways.weight import cpu_s, peak_mb
from tests.support.processes import Mosquitto, mosquitto
from tests.system.demo_site import GatewayProcess

GROUP = "bench"
FEEDS = ("json", "sparkplug")
LAST_S = 3.0
"""Seconds to wait after the end for what is still on its way."""
SMALLEST = ({"meters": 3, "seconds": 2, "settled_s": 1.5},)


def run(seconds: float = 60.0, meters: int = 100, settled_s: float = 5.0) -> dict[str, object]:
    """Each of the three for so long, from ``settled_s`` after its start."""
    with ExitStack() as stack:
        plant = stack.enter_context(farm(meters))
        found = {kind: _gateway(plant, kind, seconds, settled_s) for kind in FEEDS}
        found["bare"] = _bare(plant, seconds, settled_s)
    return {**found, "meters": meters, "values_per_reading": VALUES, "seconds": seconds}


def _gateway(plant: Farm, kind: str, seconds: float, settled_s: float) -> dict[str, object]:
    with _place() as (folder, broker), Child("feed_reader", broker.url, kind) as reader:
        loaded = _site(folder, plant, broker, kind)
        gateway = GatewayProcess(loaded)
        try:
            gateway.start()
            assert gateway.process is not None
            figures = _measured(
                reader, gateway.process.pid, lambda begin, end: _recorded(loaded, begin, end), seconds, settled_s
            )
            assert gateway.stop() == 0
        finally:
            gateway.close()
    return figures


def _bare(plant: Farm, seconds: float, settled_s: float) -> dict[str, object]:
    with ExitStack() as stack:
        _, broker = stack.enter_context(_place())
        reader = stack.enter_context(Child("feed_reader", broker.url, "bare"))
        loop = stack.enter_context(Child("bare_feed", broker.url, 2 * VALUES, *plant.ports))

        def made(begin_ms: int, end_ms: int) -> int:
            return int(loop.ask(begin_ms, end_ms)["readings"])

        return _measured(reader, loop.process.pid, made, seconds, settled_s)


def _measured(
    reader: Child, pid: int, recorded: Callable[[int, int], int], seconds: float, settled_s: float
) -> dict[str, object]:
    """What the reader got of the readings of a stretch of time, and what process ``pid`` used meanwhile."""
    time.sleep(settled_s)
    begin_ms, before = time.time_ns() // 1_000_000, cpu_s(pid)
    time.sleep(seconds)
    end_ms, used = time.time_ns() // 1_000_000, cpu_s(pid) - before
    peak = peak_mb(pid)
    time.sleep(LAST_S)
    heard, made = reader.ask(begin_ms, end_ms), recorded(begin_ms, end_ms)
    return {
        "live_share": heard["readings"] / made,
        "p50_s": heard["p50_s"],
        "p99_s": heard["p99_s"],
        "cpu_s_per_1000_values": used / (made * VALUES) * 1000,
        "resident_mb": peak,
        "readings_per_s": made / seconds,
        "messages": heard["messages"],
        "history": heard["history"],
    }


class Child:
    """A part in a process of its own; a line of two moments, in ms, asks it for its figures of the time between."""

    def __init__(self, part: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.rates.{part}", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, begin_ms: int, end_ms: int) -> dict[str, Any]:
        """Its figures of the readings of this time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{begin_ms} {end_ms}\n")
        self.process.stdin.flush()
        figures: dict[str, Any] = json.loads(self.process.stdout.readline())
        return figures


@contextmanager
def _place() -> Iterator[tuple[Path, Mosquitto]]:
    """A folder, and a new broker."""
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name) / "broker") as broker:
        yield Path(name), broker


def _site(folder: Path, plant: Farm, broker: Mosquitto, kind: str) -> Config:
    group = {"group": GROUP} if kind == "sparkplug" else {}
    loaded = tcp_site(folder, plant.ports, table("[feed]", name="bench", type=kind, url=broker.url, **group))
    Database(loaded.database).close()  # only the very first start of a gateway loads what makes the tables
    return loaded


def _recorded(loaded: Config, begin_ms: int, end_ms: int) -> int:
    store = Database(loaded.database, read_only=True)
    try:
        return store.count(
            "SELECT count(*) FROM records WHERE kind = 'reading' AND time_ms >= ? AND time_ms < ?", begin_ms, end_ms
        )
    finally:
        store.close()
