"""Is a value ever booked to the wrong question? A hundred thousand polls of lines whose devices answer late, twice,
damaged or not at all.

Twenty lines of five units in parallel, two of the five with a single block; time-out T = 20 ms, answer life 3.2 T,
back-off capped at T. Of a hundred answers 80 come within 0.9 T, 8 after 1 to 3 T, 5 never, 4 twice (the copy 0.1 to 3 T
later), 3 damaged. A device reads its registers when it hears the request, so that an answer held back shows an old
moment; a value is right if it is that of a moment between the sending of its request and the receipt of its answer.

``guard off`` shows what the guard is worth; ``wire``: a pseudo-terminal, RTU over TCP, or a Modbus TCP converter that
gives whatever the serial side brings to the request that waits.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

from benchmarks.parts.truth_lines import TIMEOUT_MS, hush, work

LINES, PROCESSES = 20, 4
POLLS_A_PROCESS = 1000
"""So many polls are worth a process more."""
SMALLEST = (
    {"polls": 200},
    {"polls": 200, "guard": "off"},
    {"polls": 200, "wire": "rtu-over-tcp"},
    {"polls": 200, "wire": "converter"},
)


def run(
    polls: int = 100_000,
    guard: Literal["on", "off"] = "on",
    wire: Literal["rtu", "rtu-over-tcp", "converter"] = "rtu",
    seed: int = 1,
) -> dict[str, object]:
    """So many polls in all, each really put to a line."""
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
