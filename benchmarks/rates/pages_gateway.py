"""`meterseal run` with a heartbeat in its event loop: ``python -m benchmarks.rates.pages_gateway CONFIG LATE``.

Every 5 ms the loop is asked to call; how much later it does is what it keeps a line waiting. At the end the lateness of
every call goes into the file LATE, in ms as 32-bit floats.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from pathlib import Path

from gateway.agent import main as agent
from gateway.cli import app
from gateway.config.model import Config

EVERY_S = 0.005


async def beat(late_ms: array[float]) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        late_ms.append((loop.time() - due_s) * 1000)


def main(config: Path, late: Path) -> None:
    """The shipped command with that heartbeat."""
    run, late_ms = agent.run, array("f")

    async def run_and_beat(config: Config) -> None:
        heart = asyncio.create_task(beat(late_ms))
        try:
            await run(config)
        finally:
            heart.cancel()

    agent.run = run_and_beat
    try:
        app.main(["run", str(config)])
    finally:
        late.write_bytes(late_ms.tobytes())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
