"""Fail points: named places at which a test can stop the process, to kill it there.

``METERSEAL_HOLD="STATION:N:FILE"`` makes the N-th arrival (from 1) at a station create FILE and then block permanently.
Without the variable a station costs one comparison. It holds, it never changes what the process does.
"""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

STATIONS = (
    "poll", "sign", "commit", "committed", "cut", "seal", "sealed", "submit", "submitted", "settle", "settled",
    "prune", "pruned", "exported", "migrate", "restore", "restored",
    "rows", "stated", "commissioned", "recover", "recovered", "aside", "repaired", "portion", "stored",
)  # fmt: skip

_NAME, _, _REST = os.environ.get("METERSEAL_HOLD", "").partition(":")
_NUMBER, _, _FILE = _REST.partition(":")
_arrivals = itertools.count(1)


def failpoint(name: str) -> None:
    """Station ``name`` of the process; it blocks here if the environment asks for this arrival."""
    if name == _NAME and next(_arrivals) == int(_NUMBER):
        Path(_FILE).touch()
        threading.Event().wait()
