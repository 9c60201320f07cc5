"""A disk that fails, under the gateway's recorder and real SQLite: nothing broken, lost, doubled, forked or untiled?

Every fault at every call that an operation makes to its files: EIO, a short write, a full disk, a failed fsync; once
and until further notice; after which the process goes on, is killed, or loses its power. Then a disk whose fsync takes
two seconds, under live meters; then one whose fsync lies, with its power cut at moments of chance.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

from tests.campaigns.failures.torn_cases import every_case
from tests.campaigns.failures.torn_lies import lies
from tests.campaigns.failures.torn_stall import stalled
from tests.system.disk.torn_disk import build

SMALLEST = ({"cases": 1, "lying_kills": 1, "stall_seconds": 3},)


def run(cases: int = 0, lying_kills: int = 300, stall_seconds: float = 30.0, seed: int = 1) -> dict[str, object]:
    """``cases`` by chance (0: every one), ``lying_kills`` under a lying disk, ``stall_seconds`` on a slow one."""
    begun = time.monotonic()
    logging.disable()  # thousands of troubles, each of them counted
    try:
        figures = _figures(cases, lying_kills, stall_seconds, seed)
    finally:
        logging.disable(logging.NOTSET)
    return {**figures, "seconds": time.monotonic() - begun}


def _figures(cases: int, lying_kills: int, stall_seconds: float, seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        library = build(folder)
        figures = every_case(library, folder / "cases", cases or None, seed)
        figures |= stalled(library, folder / "stall", stall_seconds)
        return figures | lies(library, folder / "lies", lying_kills, seed)
