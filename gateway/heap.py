"""One heap for all threads of the process: glibc would give each its own, which keep what one of them needed once."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h, mallopt(3)


def share() -> None:
    """Call it before there are threads. Where the C library knows no such thing, nothing is done."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
