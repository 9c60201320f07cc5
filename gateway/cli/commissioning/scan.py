"""Command `meterseal scan`: which devices there are on a line, what they are, and what is wrong with the line."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.commissioning.scan_view import ScanView
from gateway.cli.terminal.common import JSON
from gateway.commissioning.scan.found import ScanResult, Step
from gateway.commissioning.scan.scan_port import answer_life_s
from gateway.commissioning.scan.settings import UNITS, ScanOptions
from gateway.config.wire_texts import is_rfc2217
from gateway.errors import GatewayError
from gateway.messages.message import Message

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended (bash, Exit Status)."""


@click.command()
@click.argument("target")
@click.option("--baud", "baudrates", type=click.IntRange(300, 1_000_000), multiple=True, help="Try this speed alone.")
@click.option("--parity", "parities", type=click.Choice(("N", "E", "O")), multiple=True, help="Try this parity alone.")
@click.option("--units", metavar="1-20,100", help="Ask these Modbus units alone; default: 1 to 247.")
@click.option("--slow", is_flag=True, help="Wait half a second for each unit, and try every setting to the end.")
@click.option("--force", is_flag=True, help="Ask even if another master speaks on the line.")
@JSON
def scan(
    target: str,
    baudrates: tuple[int, ...],
    parities: tuple[str, ...],
    units: str | None,
    slow: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Find the meters on a line, say what they are and what is wrong with the line. Only reads.

    TARGET is a serial port, or rfc2217://HOST:PORT of a device server. The line is listened to first: if another master
    speaks there, nothing is sent. --baud and --parity may be given several times. Ctrl-C keeps what was found. At the
    end: the [[bus]] section for gateway.toml.
    """
    from gateway.commissioning.scan.serial_scan import scan_serial

    options = ScanOptions(baudrates, parities, _units(units), slow=slow, force=force)
    view = ScanView(as_json=as_json)
    if not _is_port(target):
        raise GatewayError(Message("scan-no-port", target=target))
    with _interruptible() as interrupted:

        def progress(step: Step) -> bool:
            view.tell(step)
            return not interrupted

        result = asyncio.run(scan_serial(target, options, progress))
        view.end(result)
    _leave_alone(target, result)
    if interrupted:
        sys.exit(INTERRUPTED)
    if not result.units:
        sys.exit(1)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """The first Ctrl-C is noted in what is given, the second ends the process."""
    seen: list[bool] = []

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_alone(target: str, result: ScanResult) -> None:
    """Until no answer can come any more: whoever asks next on this line would take it for his own."""
    if result.sent_bytes:
        life_s = answer_life_s(target)
        click.echo(f"leaving the line alone for {life_s:g} s, so that no late answer is taken for another", err=True)
        time.sleep(life_s)


def _units(text: str | None) -> tuple[int, ...]:
    """``"1-3,100"`` → 1, 2, 3, 100. Raises GatewayError."""
    found: dict[int, None] = {}
    for part in text.split(",") if text is not None else ():
        first, dash, last = part.strip().partition("-")
        numbers = (first, last) if dash else (first, first)
        if not all(number.strip().isdecimal() for number in numbers):
            raise GatewayError(Message("scan-units-form", part=part))
        low, high = (int(number) for number in numbers)
        if low not in UNITS or high not in UNITS or low > high:
            raise GatewayError(Message("scan-units-form", part=part))
        found |= dict.fromkeys(range(low, high + 1))
    return tuple(found)


def _is_port(target: str) -> bool:
    """A serial port, not an address of the network."""
    if is_rfc2217(target):
        return True
    with contextlib.suppress(ValueError):
        ipaddress.ip_network(target, strict=False)
        return False
    return "/" in target or Path(target).exists()
