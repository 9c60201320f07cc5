"""The simulator's cost: a read, a start, lines side by side, and reads that look back or come after a pause.

- ``read_ratio``: CPU of the simulator for a read of 60 registers at ``meters`` meters, each read every 100 ms over a
  connection of its own, beside that of pymodbus's server with registers that never change; ``refresh_ratio`` with
  ``refresh_ms = 500``, ``logged_ratio`` with an answer log.
- ``start_ratio``: CPU of ``run --for 0`` with ``many`` meters beside that with one.
- ``lines_ratio``: the slowest of ``lines`` lines at 9600 baud, by the median of its cycles, beside one alone;
  ``cycle_least_over_formula`` is the shortest cycle of all beside the wire's time.
- ``idle_ratio``: a read after ten minutes of the plant without any, ``cached_ratio``: one under a ``cached`` fault at
  59:58; medians beside plain reads in the same process, and each is given: its plant runs 60 times as fast as the
  clock, so its seconds are made in between, and now and then beside a read.
- ``inject_met``, ``inject_cleared``: of ``injects`` faults those that the next request met, and those of which nothing
  was left once cleared; ``inject_cpu_ratio``: the command ``inject`` beside ``run --for 0``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.simulator import sim_inject
from benchmarks.simulator.sim_plants import (
    FORMULA_MS,
    Reader,
    Server,
    command,
    constant,
    cycles_ms,
    meter,
    paced_cpu_us,
    read_cpu_us,
    serial,
    simulator,
    tcp,
)

PERIOD_S, SPEED, BUS = 0.1, 60, "tcp"
IDLES = 3
SMALLEST = (
    {
        "seconds": 0.4,
        "meters": 3,
        "many": 20,
        "lines": 2,
        "more_lines": 3,
        "idle_s": 20,
        "cached_at_s": 100,
        "injects": 20,
    },
)


def run(
    seconds: float = 20.0,
    meters: int = 100,
    many: int = 1000,
    lines: int = 8,
    more_lines: int = 32,
    idle_s: float = 600.0,
    cached_at_s: float = 3598.0,
    injects: int = 1000,
) -> dict[str, object]:
    """``seconds``: how long each side is read. ``idle_s`` and ``cached_at_s`` are the plant's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reads = _reads(folder, meters, seconds)
        return {
            "meters": meters,
            **reads,
            **_starts(folder, many),
            **_lines(folder, lines, more_lines, seconds),
            **_looks_back(folder, idle_s, cached_at_s),
            **sim_inject.figures(injects),
            "seconds": seconds,
        }


def _reads(folder: Path, meters: int, seconds: float) -> dict[str, object]:
    with (
        constant(meters) as bare,
        simulator(folder / "plain", tcp(meters)) as plain,
        simulator(folder / "renewed", tcp(meters, "  refresh_ms = 500\n")) as renewed,
        simulator(folder / "logged", tcp(meters), "--log", str(folder / "answers.jsonl")) as logged,
    ):
        sides = {"read": plain, "refresh": renewed, "logged": logged}
        bare_us = paced_cpu_us(bare, BUS, meters, seconds, PERIOD_S)
        spent = {side: paced_cpu_us(server, BUS, meters, seconds, PERIOD_S) for side, server in sides.items()}
    ratios = {f"{side}_ratio": us / bare_us for side, us in spent.items()}
    return {**ratios, "pymodbus_cpu_us": bare_us, **{f"{side}_cpu_us": us for side, us in spent.items()}}


def _starts(folder: Path, many: int) -> dict[str, object]:
    (one_s, _), (many_s, many_mb) = (_start(folder / f"start-{meters}", meters) for meters in (1, many))
    return {"start_ratio": many_s / one_s, "start_one_cpu_s": one_s, "start_many_cpu_s": many_s, "start_mb": many_mb}


def _start(folder: Path, meters: int) -> tuple[float, float]:
    """CPU seconds of a start, and the most memory that it has."""
    folder.mkdir()
    buses = [tcp(min(100, meters - first), name=f"bus-{first}") for first in range(0, meters, 100)]
    process = subprocess.Popen(
        command(folder, "".join(buses), "--for", "0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def _lines(folder: Path, lines: int, more_lines: int, seconds: float) -> dict[str, object]:
    names = [f"line-{n}" for n in range(more_lines)]
    with simulator(folder / "lines", "".join(map(serial, names))) as server:
        paths = [server.ports[name] for name in names]
        runs = [cycles_ms(paths[:count], max(seconds, 1.0)) for count in (1, lines, more_lines)]
    alone, some, more = ([statistics.median(line) for line in run] for run in runs)
    return {
        "lines": lines,
        "lines_ratio": max(some) / alone[0],
        "cycle_alone_ms": alone[0],
        "cycle_formula_ms": FORMULA_MS,
        "cycle_least_over_formula": min(cycle for run in runs for line in run for cycle in line) / FORMULA_MS,
        f"lines_{more_lines}_ratio": max(more) / alone[0],
    }


def _looks_back(folder: Path, idle_s: float, cached_at_s: float) -> dict[str, object]:
    fault = '[[fault]]\nmeter = "cached"\nkind = "cached"\n'
    scenario = tcp(1, name=BUS) + meter("cached", 2) + fault
    with simulator(folder / "back", scenario, "--speed", str(SPEED)) as server:
        begun = time.monotonic()
        reader, cached = Reader(server.ports[BUS], 1), Reader(server.ports[BUS], 2)
        plain = [_settled_us(server, reader) for _ in range(50)]
        idle = []
        for _ in range(IDLES):
            time.sleep(idle_s / SPEED)
            idle.append(read_cpu_us(server, reader))
        cached.read()
        time.sleep(max(0.0, begun + cached_at_s / SPEED - time.monotonic()))
        looked_back = [read_cpu_us(server, cached) for _ in range(9)]
        reader.close()
        cached.close()
    plain_us = statistics.median(plain)
    return {
        "idle_ratio": statistics.median(idle) / plain_us,
        "cached_ratio": statistics.median(looked_back) / plain_us,
        "plain_read_cpu_us": plain_us,
        "idle_cpu_us": [round(us) for us in idle],
        "cached_cpu_us": [round(us) for us in looked_back],
    }


def _settled_us(server: Server, reader: Reader) -> float:
    """A plain read, like those after a pause: the process waits before it."""
    time.sleep(0.02)
    return read_cpu_us(server, reader)
