"""Open files of a process: how many it may have, and the raising of that limit (RLIMIT_NOFILE, setrlimit(2))."""

from __future__ import annotations

import resource
from contextlib import suppress

SELECTABLE = 1024
"""select(2) knows descriptors below this (FD_SETSIZE); libraries that use it need theirs there."""


def may_open(pid: int | None = None) -> int:
    """How many files this process may raise its limit to; ``pid``: that process, where this one may ask that."""
    if pid is not None:
        with suppress(OSError):
            return resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def allow(files: int) -> int:
    """Raise this process's limit so that it may open so many files, where it is lower; gives the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(files + SELECTABLE, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
