"""`meterseal run` on a machine whose clock is a file.

``python -m tests.campaigns.endurance.soak_gateway CONFIG CLOCK LOOKS``:
CLOCK says how wrong the wall clock is and what the kernel thinks of it, and may change at any moment; the real clock is
never set. At SIGUSR1 the number of asyncio tasks goes into the file LOOKS.
"""

from __future__ import annotations

import asyncio
import mmap
import signal
import struct
import sys
import time
from functools import partial
from pathlib import Path

from gateway.agent import main as agent
from gateway.cli import app
from gateway.clock import Clock, KernelClock
from gateway.config.model import Config

_FORM = struct.Struct("<qqq")


class ClockFile:
    """A wall clock that somebody sets: its error in ns, whether the kernel calls it synchronised, its error bound."""

    def __init__(self, path: Path) -> None:
        """Open it; a new one is right and synchronised."""
        new = not path.exists()
        with path.open("w+b" if new else "r+b") as file:
            file.truncate(_FORM.size)
            self._map = mmap.mmap(file.fileno(), _FORM.size)
        if new:
            self.set(0.0, synchronised=True)

    def set(self, wrong_s: float, *, synchronised: bool) -> None:
        """Set the clock: so many seconds ahead of the true time, or behind."""
        self._map[:] = _FORM.pack(int(wrong_s * 1e9), synchronised, 20)

    def wall_ns(self) -> int:
        """Unix time in ns as this machine sees it."""
        return time.time_ns() + int(_FORM.unpack(self._map)[0])

    def kernel(self) -> KernelClock:
        """What the kernel thinks of it."""
        _, synchronised, error_ms = _FORM.unpack(self._map)
        return KernelClock(bool(synchronised), error_ms if synchronised else None)


def main(config: Path, clock: Path, looks: Path) -> None:
    """The shipped command with that clock."""
    file, run = ClockFile(clock), agent.run

    def tell() -> None:
        fresh = looks.with_suffix(".new")
        fresh.write_text(str(len(asyncio.all_tasks())))
        fresh.replace(looks)

    async def run_and_tell(config: Config) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
        await run(config)

    agent.run = run_and_tell
    vars(agent)["Clock"] = partial(Clock, wall_ns=file.wall_ns, kernel=file.kernel)
    app.main(["run", str(config)])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
