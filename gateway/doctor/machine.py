"""Doctor checks of the machine: its clock, and the versions of what runs on it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from gateway.clock import APART_MS, BUILT_S, KernelClock, kernel_clock
from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message
from gateway.storage import schema
from gateway.storage.database import SQLITE_VERSION
from ledger_client.times import rfc3339_ms

DAY_MS = 86_400_000
LIBRARIES = ("cbor2", "cryptography", "pydantic", "pyserial", "paho-mqtt", "requests", "sqlite-utils")


def clock(case: CheckContext, kernel: Callable[[], KernelClock] = kernel_clock) -> Iterator[Finding]:
    """Check that the clock is set, synchronised, and not behind the records."""
    state = kernel()
    facts = {"synchronised": state.synchronised, "error_ms": state.error_ms, "time": rfc3339_ms(case.now_ms)}
    now_ms, sync = case.now_ms, Message("clock-how-to-synchronise")
    newest = case.store.records.latest_ms() if case.store else 0
    if now_ms < BUILT_S * 1000 - DAY_MS:
        yield Finding("clock", "bad", Message("clock-before-build", time_ms=now_ms, sync=sync), facts)
    elif newest > now_ms + APART_MS:
        behind = Message("clock-behind-records", time_ms=now_ms, ahead_ms=newest - now_ms, sync=sync)
        yield Finding("clock", "warn", behind, facts)
    elif not state.synchronised:
        yield Finding("clock", "warn", Message("clock-not-synchronised", time_ms=now_ms, sync=sync), facts)
    elif state.error_ms is None:
        yield Finding("clock", "ok", Message("clock-synchronised-now", time_ms=now_ms), facts)
    elif state.error_ms > APART_MS:
        large = Message("clock-error-large", time_ms=now_ms, error_ms=state.error_ms)
        yield Finding("clock", "warn", large, facts)
    else:
        within = Message("clock-synchronised-within", time_ms=now_ms, error_ms=state.error_ms)
        yield Finding("clock", "ok", within, facts)


def versions(case: CheckContext) -> Iterator[Finding]:
    """List the versions, for support requests."""
    found = {"meterseal": _version("meterseal"), "python": platform.python_version(), "sqlite": SQLITE_VERSION}
    found |= {name: _version(name) for name in LIBRARIES}
    found |= {"database version": str(schema.VERSION), "system": f"{platform.release()} {platform.machine()}"}
    message = Message("versions", versions=tuple(f"{name} {number}" for name, number in found.items()))
    yield Finding("versions", "ok", message, found)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
