"""Thread switch interval of the interpreter, shortened so that the event loop waits less for other threads."""

from __future__ import annotations

import sys

SWITCH_S = 0.0005
"""The event loop gives the interpreter away with each system call; to have it back it must not wait for long, for it is
the lines that wait. Python's own 5 ms are a tenth of a fast meter's period."""


def switch_often() -> None:
    """Call it once a process, whatever its threads do: writer, pages, feeds."""
    sys.setswitchinterval(SWITCH_S)
