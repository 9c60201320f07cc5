"""How long a thread keeps the interpreter to itself while another one of the process waits for it."""

from __future__ import annotations

import sys

SWITCH_S = 0.0005
"""The event loop gives the interpreter away with each system call; to have it back it must not wait for long, for it is
the lines that wait. Python's own 5 ms are a tenth of a fast meter's period."""


def switch_often() -> None:
    """Call it once a process, whatever its threads do: writer, pages, feeds."""
    sys.setswitchinterval(SWITCH_S)
