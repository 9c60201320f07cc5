"""Is a value ever booked to the wrong question, or to the wrong device? ``crowded``: a hundred thousand polls of lines
whose devices answer late, twice, damaged or not at all.

Twenty lines of five units in parallel, two of the five with a single block; time-out T = 20 ms, answer life 3.2 T,
back-off capped at T. Of a hundred answers 80 come within 0.9 T, 8 after 1 to 3 T, 5 never, 4 twice (the copy 0.1 to 3 T
later), 3 damaged. A device reads its registers when it hears the request, so that an answer held back shows an old
moment; a value is right if it is that of a moment between the sending of its request and the receipt of its answer.
``guard off`` shows what the guard is worth; ``wire``: a pseudo-terminal, RTU over TCP, or a Modbus TCP converter that
gives whatever the serial side brings to the request that waits.

The other cases (``CASES``) have lines of two meters that are polled every ``period_ms`` for ``seconds``, all cases at
once, each read by a process of its own. Of each: ``wrong`` values, ``strangers`` named, the share of due polls that
were ``recorded``, its ``target``, and whether that is ``met``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, Literal

from benchmarks.truth.truth_cases import (
    Case,
    damaged_echoes,
    identity_swap,
    plain,
    run_case,
    second_master,
    stopped_now_and_then,
    wrong_function,
)
from benchmarks.truth.truth_closing import closing_device
from benchmarks.truth.truth_lines import TIMEOUT_MS, WIRES, hush, work

LINES, PROCESSES = 20, 4
POLLS_A_PROCESS = 1000
"""Polls that are worth a process more."""
ALL, CROWDED = "all", "crowded"
Name = Literal["damaged-echoes", "paused-process", "second-master", "wrong-function", "identity-swap", "closing-device"]
_KEPT: Final = {"wrong": 0, "strangers": 0, "recorded": 0.99}

CASES: Mapping[Name, Case] = {
    "damaged-echoes": Case(damaged_echoes, _KEPT),
    "paused-process": Case(plain, _KEPT, stopped_now_and_then),
    "second-master": Case(second_master, {"wrong": 0, "recorded": 0.99}),
    "wrong-function": Case(wrong_function, {"wrong": 0, "strangers": 0}),
    "identity-swap": Case(identity_swap, {"wrong": 0, "strangers": 0, "exchanged": 12}),
    "closing-device": Case(closing_device, _KEPT),
}

_CROWDED = {"case": CROWDED, "polls": 200}
SMALLEST = (
    {"polls": 200, "seconds": 2, "lines": 3, "period_ms": 500},
    _CROWDED | {"guard": "off"},
    *(_CROWDED | {"wire": wire} for wire in WIRES if wire != "rtu"),
)


def run(
    polls: int = 100_000,
    guard: Literal["on", "off"] = "on",
    wire: Literal["rtu", "rtu-over-tcp", "converter"] = "rtu",
    seed: int = 1,
    case: Literal["all", "crowded", Name] = "all",
    seconds: float = 120.0,
    lines: int = 6,
    period_ms: int = 2000,
) -> dict[str, object]:
    """``polls`` in all on the crowded lines, each really put to a line; the other cases for ``seconds``, on ``lines``
    each."""
    figures: dict[str, object] = {}
    if case in (ALL, CROWDED):
        figures = _crowded(polls, guard, wire, seed)
    if chosen := {name: of for name, of in CASES.items() if case in (ALL, name)}:
        figures["cases"] = asyncio.run(_cases(chosen, seconds, lines, period_ms, seed, armed=guard == "on"))
    return figures


async def _cases(
    chosen: Mapping[Name, Case], seconds: float, lines: int, period_ms: int, seed: int, *, armed: bool
) -> dict[str, dict[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        folders = {case_name: Path(name) / case_name for case_name in chosen}
        for folder in folders.values():
            folder.mkdir()
        running = [
            run_case(case, folders[case_name], seconds, lines, period_ms, seed, armed=armed)
            for case_name, case in chosen.items()
        ]
        return dict(zip(chosen, await asyncio.gather(*running), strict=True))


def _crowded(polls: int, guard: str, wire: str, seed: int) -> dict[str, object]:
    begun, processes = time.monotonic(), max(1, min(PROCESSES, polls // POLLS_A_PROCESS))
    seeds = [seed * 1000 + line for line in range(LINES)]
    spawned = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(processes, spawned, hush) as pool:
        shares = [
            pool.submit(work, Path(name), wire, seeds[share::processes], -(-polls // LINES), guard == "on")
            for share in range(processes)
        ]
        total = sum((Counter(book) for share in shares for book in share.result()), Counter[str]())
    return {
        "polls": total["made"],
        "timeouts": total["timeouts"],
        "values": total["values"],
        "values_offered": total["offered"],
        "crc_collisions": total["crc_collisions"],
        "wrong_values": total["wrong"],
        "taken": total["values"] / total["offered"],
        "guard": guard,
        "wire": wire,
        "lines": LINES,
        "timeout_ms": TIMEOUT_MS,
        "polls_not_made": total["not_made"],
        "answers_withheld": total["withheld"],
        "seconds": time.monotonic() - begun,
    }
