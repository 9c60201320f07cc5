"""Is a DL/T 645 value ever booked to the wrong question? Ten thousand polls over real pseudo-terminals.

Ten lines of three meters, two identifiers each (a block of five values and a single one); time-out T = ``timeout_ms``,
answer life 3.2 T, back-off capped at T. Of a hundred answers 80 come within 0.5 T, 8 after 1 to 3 T, 5 never, 4 twice
(the copy 0.1 to 3 T later), 3 damaged. A meter reads its values when it hears the request, so that an answer held back
shows an old moment; a value is right if it is that of a moment between the sending of its request and the receipt of
its answer. ``taken``: of the values whose answer came once, whole and in time. With ``guard off`` each meter is asked
every 1.5 T, which a configuration may not.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

from benchmarks.truth.truth_lines import hush
from tests.gateway.fieldbus.dlt645.truth import LIVES, Book
from tests.gateway.fieldbus.dlt645.truth import run as run_line

LINES, PROCESSES = 10, 2
SPARE = 1.3
"""How much longer than the answer life a meter's period is, in time-outs: the time-out, and what a poll takes."""
TOO_SHORT = 1.5
SMALLEST = {"polls": 100}, {"polls": 100, "guard": "off"}
_COUNTED = "made", "not_made", "timeouts", "offered", "taken", "values", "wrong", "collisions"


def run(
    polls: int = 10_000, guard: Literal["on", "off"] = "on", timeout_ms: int = 40, seed: int = 1
) -> dict[str, object]:
    """``polls`` in all, each really put to a line."""
    begun, each = time.monotonic(), -(-polls // LINES)
    seeds = [seed * 1000 + line for line in range(LINES)]
    spawned = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(PROCESSES, spawned, hush) as pool:
        shares = [
            pool.submit(work, Path(name), seeds[share::PROCESSES], each, timeout_ms, guard == "on")
            for share in range(PROCESSES)
        ]
        total = sum((Counter(book) for share in shares for book in share.result()), Counter[str]())
    return {
        "polls": total["made"],
        "timeouts": total["timeouts"],
        "values": total["values"],
        "values_offered": total["offered"],
        "checksum_collisions": total["collisions"],
        "wrong_values": total["wrong"],
        "taken": total["taken"] / max(1, total["offered"]),
        "guard": guard,
        "lines": LINES,
        "timeout_ms": timeout_ms,
        "polls_not_made": total["not_made"],
        "seconds": time.monotonic() - begun,
    }


def work(folder: Path, seeds: Sequence[int], polls: int, timeout_ms: int, armed: bool) -> list[dict[str, int]]:
    """A process's share: one line a seed, each until it has made so many polls."""
    lives = LIVES + SPARE if armed else TOO_SHORT

    async def all_lines() -> list[Book]:
        running = [run_line(folder, polls, seed=s, armed=armed, timeout_ms=timeout_ms, lives=lives) for s in seeds]
        return await asyncio.gather(*running)

    return [{name: getattr(book, name) for name in _COUNTED} for book in asyncio.run(all_lines())]
