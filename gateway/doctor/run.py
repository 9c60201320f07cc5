"""Doctor run: every check in turn, isolated from the others. Changes nothing.

For `meterseal doctor` and the diagnosis page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gateway.config.model import Config
from gateway.doctor import (
    commissioned,
    database,
    disk,
    feeds,
    keys,
    ledgers,
    machine,
    meters,
    permissions,
    ports,
    receivers,
)
from gateway.doctor.check import Check, CheckContext, Finding, error_message
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("disk space", disk.room),
    ("file system", disk.kind),
    ("disk speed", disk.speed),
    ("disk wear", disk.wear),
    ("database", database.database),
    ("horizon", database.horizon),
    ("permissions", permissions.permissions),
    ("lines", ports.ports),
    ("meters", meters.meters),
    ("commissioning", commissioned.commissioned),
    ("keys", keys.keys),
    ("ledgers", ledgers.ledgers),
    ("feeds", feeds.feeds),
    ("notify", receivers.receivers),
    ("clock", machine.clock),
    ("versions", machine.versions),
)
_MARKS: Final = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


def run_checks(config: Config, now_ms: int, *, pid: int | None, full: bool = False) -> Iterator[Finding]:
    """Findings of all checks, each as soon as it is known.

    Args:
        now_ms: the time, Unix ms.
        pid: of the gateway that runs in the data folder, None if none does; a gateway gives its own.
        full: also checks that take as long as they need.
    """
    case = CheckContext.of(config, now_ms, pid=pid, full=full)
    try:
        for name, check in CHECKS:
            try:
                yield from check(case)
            except GatewayError as error:
                yield Finding(name, "bad", error_message(error))
            except OSError as error:
                yield Finding(name, "bad", _failed(error))
    finally:
        if case.store is not None:
            case.store.close()


def _failed(error: OSError) -> Message:
    if error.filename is None:
        return Message("check-failed", error=os_error(error))
    return Message("check-failed-at", path=str(error.filename), error=os_error(error))


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Plain data for ``--json``; ``healthy`` is false if one finding is bad."""
    return {
        "healthy": all(finding.result != "bad" for finding in findings),
        "checks": [finding.as_json() for finding in findings],
    }


def print_finding(out: Console, finding: Finding) -> None:
    """Print one finding."""
    out.print(Text.assemble(_MARKS[finding.result], " ", (finding.check, "bold"), "  ", finding.text))
    if finding.way_out:
        out.print(f"    fix: {finding.way_out}")
