"""Simulated lines for scans, each with a simulator process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

STARTS_S = 60.0
SERIAL = 'type = "{kind}"\nrfc2217 = true\nport = 0\nbaudrate = {baudrate}\nparity = "{parity}"\n'
CONVERTER = 'type = "modbus-tcp"\nport = 0\nunknown_unit = "exception"\nunknown_after_ms = 30\n'


@dataclass(frozen=True, slots=True)
class Device:
    """A meter of a line. ``latency_ms``: from the end of a question to the first byte of its answer."""

    profile: str
    address: int | str
    latency_ms: int = 20

    def toml(self) -> str:
        """Its part of the scenario."""
        address = json.dumps(self.address)
        return (
            f'[[bus.meter]]\nname = "m{self.address}"\nprofile = "{self.profile}"\naddress = {address}\n'
            f"latency_ms = {self.latency_ms}\n"
        )


@asynccontextmanager
async def simulated(bus: str, devices: Sequence[Device], seed: int, more: str = "") -> AsyncIterator[dict[str, str]]:
    """A line for the time of an ``async with``; gives its ``url``, or ``host`` and ``port``, as the simulator tells
    them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario, ready = folder / "plant.toml", folder / "ready.json"
        meters = "".join(device.toml() for device in devices)
        scenario.write_text(f'[plant]\nseed = {seed}\nstart_hour = 11\n[[bus]]\nname = "line"\n{bus}{meters}{more}')
        words = "-m", "firmware_sim.cli", "run", str(scenario), "--dir", str(folder), "--ready", str(ready)
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(STARTS_S):
                while not ready.exists():
                    if process.returncode is not None:
                        raise RuntimeError(f"the simulator did not start: exit code {process.returncode}")
                    await asyncio.sleep(0.05)
            yield json.loads(ready.read_text())["lines"]["line"]
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
