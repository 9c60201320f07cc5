"""A listener beside another master: are its pairs those of the line, and does it send nothing?

A master on libmodbus (tests/interop/modbus/master.c) asks three units without a pause at 115,200 baud for ``seconds``;
a tap of the simulator carries a copy to the shipped passive source, and counts what comes back (``bytes_sent``).
``pairs_taken`` is the share of the exchanges that the master completed. Then once more with ``late`` of the answers
later than the master's time-out, within the answer life, and ``damaged`` of the questions damaged at the tap alone:
``wrong`` counts values of another question, ``naive_wrong`` those of a listener that takes the next good frame of a
question's key for its answer. Every answer holds the number of its question.

Last, in a clock of its own, lines that are shifted: ``shifted_wrong`` and ``shifted_taken`` of 35 that are asked in
turn, with a unit that answers later than the master waits, one that queues, one that drops what comes while it is busy,
and bridges that are one answer behind; ``drawn_wrong`` and ``drawn_taken`` of ``lines`` of each sort that are drawn.
Shares are of the answers that came right behind their question, undamaged and in time: with and without ``pauses`` of
the master, with and without ``faults``.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.truth.overheard_line import QUESTION, OverheardLine
from benchmarks.truth.shifted_figures import figures
from firmware_sim.wire.tap import Tap
from gateway.clock import Clock
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request, intact, parse_request, shape_of
from gateway.fieldbus.modbus.passive_source import PassiveKind, PassiveSource
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from tests.interop.modbus.ends import build

UNITS, LIFE_S = (1, 2, 3), 3.0
TIMEOUT_MS, SHORT_TIMEOUT_MS, OPENED_S = 2_000, 60, 0.2
PROFILE = """
vendor = "Bench"
device = "Unit that answers with the number of the question"
source = "benchmarks/truth/overheard_line.py"
[points]
first = { fc = 3, address = 0, type = "uint32", unit = "W" }
second = { fc = 3, address = 100, type = "uint32", unit = "W" }
"""
SMALLEST: tuple[dict[str, Any], ...] = ({"seconds": 5.0, "lines": 3},)
SHIFTED_S = 120.0


def run(
    seconds: float = 60.0, late: float = 0.1, damaged: float = 0.01, seed: int = 1, lines: int = 300
) -> dict[str, object]:
    """``seconds`` on a line without faults, then as long on one with; then shifted ``lines``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        master = build(folder, "master")
        for line in ("clean", "faulty"):
            (folder / line).mkdir()
        clean = asyncio.run(_overheard(folder / "clean", master, seconds, TIMEOUT_MS, 0.0, 0.0, seed))
        faulty = asyncio.run(_overheard(folder / "faulty", master, seconds, SHORT_TIMEOUT_MS, late, damaged, seed))
    return {
        "exchanges": clean["answered"],
        "pairs_taken": round(clean["taken"] / max(1, clean["answered"]), 4),
        "wrong": clean["wrong"] + faulty["wrong"],
        "bytes_sent": clean["sent"] + faulty["sent"],
        "faulty_asked": faulty["asked"],
        "faulty_taken": faulty["taken"],
        "faulty_wrong": faulty["wrong"],
        "naive_wrong": faulty["naive_wrong"],
        **figures(min(SHIFTED_S, 4 * seconds), lines, seed),
    }


async def _overheard(
    folder: Path, master: Path, seconds: float, timeout_ms: int, late: float, damaged: float, seed: int
) -> dict[str, int]:
    tap = Tap(folder / "tap", damaged, str(seed))
    tap.open()
    line = OverheardLine(folder / "line", tap, late=late, timeout_s=timeout_ms / 1000, life_s=LIFE_S, seed=seed)
    profile = parse_profile(PROFILE, "number", "number.toml")
    meters = tuple(MeterSpec(f"unit-{unit}", profile, unit, 1000, profile.select()) for unit in UNITS)
    spec = LineSpec("line", "modbus-rtu", meters, port=str(tap.path), baudrate=115200, passive=True)
    kind = PassiveKind()
    source = await kind.open(spec, Clock(), kind.facts(spec))
    values: list[int] = []
    listening = asyncio.create_task(_listen(source, values))
    await asyncio.sleep(LIFE_S)  # in which nothing counts
    process = await asyncio.create_subprocess_exec(
        master, folder / "line", str(seconds), str(timeout_ms), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    await asyncio.sleep(OPENED_S)  # what the tap carried last is read
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    source.close()
    line.close()
    tap.close()
    asked, answered = map(int, output.split())
    late_ones = misplaced(line.carried)
    return {
        "asked": asked,
        "answered": answered,
        "taken": len(values),
        "wrong": sum(value in late_ones for value in values),
        "sent": tap.returned,
        "naive_wrong": naive_wrong(line.carried),
    }


async def _listen(source: PassiveSource, values: list[int]) -> None:
    """The number that each pair holds."""
    while True:
        heard = await source.hear()
        if isinstance(heard, Heard) and heard.refused is None:
            high, low = heard.raw
            values.append(int(high) << 16 | int(low))


def misplaced(carried: list[tuple[bytes, int]]) -> set[int]:
    """The answers that stood behind another question than their own."""
    found, last = set[int](), 0
    for data, number in carried:
        if len(data) == QUESTION:
            last = number
        elif number != last:
            found.add(number)
    return found


def naive_wrong(carried: list[tuple[bytes, int]]) -> int:
    """Wrong pairs of a listener that takes the next good frame of a question's key."""
    wrong, waiting = 0, (Request(0, 3), 0)
    for data, number in carried:
        if not intact(data):
            continue
        if len(data) == QUESTION:
            waiting = parse_request(data), number
        elif shape_of(data) == waiting[0].key:
            wrong += number != waiting[1]
            waiting = Request(0, 3), 0
    return wrong
