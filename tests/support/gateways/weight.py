"""What a process weighs: resident memory, open descriptors, kernel tasks (threads). Read from /proc (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES, TICKS_PER_S = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
FLAT = 1.10
"""So much of its memory at 20 % of a run may a process have at the end of it and still be called flat."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One look at a process; ``tasks`` are its threads."""

    resident_mb: float
    fds: int
    tasks: int


def weigh(pid: int | None = None) -> Weight:
    """A process now, this one unless another is given. Raises OSError where there is none."""
    proc = Path("/proc") / str(pid or os.getpid())
    resident = int((proc / "statm").read_text().split()[1]) * PAGE_BYTES
    fds = sum(1 for _ in (proc / "fd").iterdir()) - (pid is None)  # the look itself holds one of this process
    return Weight(resident / 1e6, fds, sum(1 for _ in (proc / "task").iterdir()))


def cpu_s(pid: int | None = None) -> float:
    """CPU seconds that a process has used."""
    fields = (Path("/proc") / str(pid or os.getpid()) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mb(pid: int | None = None) -> float:
    """The most resident memory that the process ever had."""
    for line in (Path("/proc") / str(pid or os.getpid()) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc tells no VmHWM")
