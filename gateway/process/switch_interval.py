"""Thread switch interval of the interpreter, shortened so that the event loop waits less for other threads."""

from __future__ import annotations

import sys

SWITCH_S = 0.0005
"""Seconds. The event loop releases the interpreter at each system call and must regain it quickly, since the lines wait
for it: Python's default of 5 ms is a tenth of a fast meter's period."""


def switch_often() -> None:
    """Setting of the interval; once a process."""
    sys.setswitchinterval(SWITCH_S)
