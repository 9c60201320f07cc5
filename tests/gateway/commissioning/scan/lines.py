"""Serial lines to scan: simulated ones behind the simulator's device server, and scans of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.commissioning.scan.found import ScanResult, Step
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from tests.firmware_sim.sim_bench import simulating

BUS = """
[[bus]]
name = "line"
type = "{kind}"
{wire}
baudrate = {baudrate}
parity = "{parity}"
{keys}
"""
REMOTE = "rfc2217 = true\nport = 0"


def meter(address: int | str, profile: str = "vaisala-gmp252", keys: str = "latency_ms = 5", name: str = "") -> str:
    """A device of the line."""
    number = f'"{address}"' if isinstance(address, str) else address
    head = f'name = "{name or f"m{address}"}"\nprofile = "{profile}"\naddress = {number}\n'
    return f"[[bus.meter]]\n{head}{keys}\n"


@contextmanager
def line(
    folder: Path,
    *parts: str,
    baudrate: int = 19200,
    parity: str = "N",
    keys: str = "",
    kind: str = "modbus-rtu",
    wire: str = REMOTE,
) -> Iterator[str]:
    """A simulated line for the time of a ``with``; gives what to scan."""
    path = folder / "plant.toml"
    path.write_text(BUS.format(kind=kind, wire=wire, baudrate=baudrate, parity=parity, keys=keys) + "".join(parts))
    with simulating(path) as simulator:
        found = simulator.ready()["lines"]["line"]
        yield found.get("url") or str(found["port"])


def scanned(target: str, options: ScanOptions, steps: list[Step] | None = None, stop_at: str = "") -> ScanResult:
    """A scan. ``steps`` gets each step; ``stop_at``: the code of the message at which it is stopped."""

    def progress(step: Step) -> bool:
        if steps is not None:
            steps.append(step)
        return step.doing.code != stop_at

    return asyncio.run(scan_serial(target, options, progress))


def fast(*units: int, parity: str = "N", baudrate: int = 19200, force: bool = False) -> ScanOptions:
    """One setting, and these units alone."""
    return ScanOptions((baudrate,), (parity,), units, force=force)


def codes(result: ScanResult) -> list[str]:
    """The sentences of the diagnosis."""
    return [message.code for message in result.diagnosis]
