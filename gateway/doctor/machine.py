"""Doctor checks of the machine: its clock, and the versions of what runs on it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from gateway.clock import APART_MS, BUILT_S, KernelClock, kernel_clock
from gateway.doctor.finding import CheckContext, Finding
from gateway.storage import schema
from gateway.storage.capacity.forecast import span
from gateway.storage.database import SQLITE_VERSION
from ledger_client.times import rfc3339_ms

DAY_MS = 86_400_000
LIBRARIES = ("cbor2", "cryptography", "pydantic", "pyserial", "paho-mqtt", "requests", "sqlite-utils")
SYNC = (
    "install chrony or systemd-timesyncd and let it reach a time server; without a network use a GPS or a radio clock"
)


def clock(case: CheckContext, kernel: Callable[[], KernelClock] = kernel_clock) -> Iterator[Finding]:
    """Whether the machine knows what time it is."""
    state = kernel()
    facts = {"synchronised": state.synchronised, "error_ms": state.error_ms, "time": rfc3339_ms(case.now_ms)}
    shown = f"it is {rfc3339_ms(case.now_ms)} by this machine"
    newest = case.store.records.latest_ms() if case.store else 0
    if case.now_ms < BUILT_S * 1000 - DAY_MS:
        text = (
            f"{shown}, which is before this program was made: the clock is not set. Readings bear letter U until it is"
        )
        yield Finding("clock", "bad", text, f"set it (timedatectl); {SYNC}", facts)
    elif newest > case.now_ms + APART_MS:
        behind = span((newest - case.now_ms) / 1000)
        text = (
            f"{shown}, and the newest record is {behind} ahead of that: record times run slower until that is made up"
        )
        yield Finding("clock", "warn", text, f"look whether the clock is right now; {SYNC}", facts)
    elif not state.synchronised:
        text = f"{shown}, and nobody keeps that right: readings bear letter I (the clock ran free) and no error bound"
        yield Finding("clock", "warn", text, SYNC, facts)
    elif state.error_ms is not None and state.error_ms > APART_MS:
        text = f"{shown}, synchronised, and by the kernel wrong by no more than {state.error_ms} ms, which is much"
        yield Finding("clock", "warn", text, "look whether its time server is reached (chronyc tracking)", facts)
    else:
        bound = f", wrong by no more than {state.error_ms} ms" if state.error_ms is not None else ""
        yield Finding("clock", "ok", f"{shown}, synchronised{bound}", facts=facts)


def versions(case: CheckContext) -> Iterator[Finding]:
    """What runs here: for whoever is asked for help."""
    found = {"meterseal": _version("meterseal"), "python": platform.python_version(), "sqlite": SQLITE_VERSION}
    found |= {name: _version(name) for name in LIBRARIES}
    found |= {"database version": str(schema.VERSION), "system": f"{platform.release()} {platform.machine()}"}
    text = ", ".join(f"{name} {text}" for name, text in found.items())
    yield Finding("versions", "ok", text, facts=found)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
