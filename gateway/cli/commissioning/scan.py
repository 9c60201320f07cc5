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
from typing import TYPE_CHECKING

import click

from gateway.cli.terminal.common import JSON
from gateway.config.wire_texts import is_rfc2217
from gateway.errors import GatewayError
from gateway.field_types import duration_ms
from gateway.messages.message import Message

if TYPE_CHECKING:
    from gateway.cli.commissioning.scan_view import ScanView
    from gateway.commissioning.scan.found import ScanResult, Step
    from gateway.commissioning.scan.settings import ScanOptions
    from gateway.commissioning.scan.tcp_scan import TcpOptions

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended (bash, Exit Status)."""


@click.command()
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--baud", "baudrates", type=click.IntRange(300, 1_000_000), multiple=True, help="Try this speed alone.")
@click.option("--parity", "parities", type=click.Choice(("N", "E", "O")), multiple=True, help="Try this parity alone.")
@click.option("--units", metavar="1-20,100", help="Ask these Modbus units alone; default: 1 to 247.")
@click.option("--port", type=click.IntRange(1, 65535), default=502, show_default=True, help="TCP port of addresses.")
@click.option("--yes", is_flag=True, help="More than 256 addresses are meant.")
@click.option(
    "--profiles",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What a unit may be beside the catalog: the profiles of your own in DIR.",
)
@click.option("--listen", metavar="DURATION", help='Listen for so long before anything is sent, such as "30s".')
@click.option("--slow", is_flag=True, help="Wait half a second for each unit, and try every setting to the end.")
@click.option("--force", is_flag=True, help="Ask even if another master speaks on the line.")
@JSON
def scan(
    targets: tuple[str, ...],
    baudrates: tuple[int, ...],
    parities: tuple[str, ...],
    units: str | None,
    port: int,
    yes: bool,
    folder: Path | None,
    listen: str | None,
    slow: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Find the meters on a line, say what they are and what is wrong with the line. Only reads.

    TARGET is a serial port, or rfc2217://HOST:PORT of a device server. The line is listened to first: if another master
    speaks there, nothing is sent, and its units and functions are listed. --baud and --parity may be given several
    times. Or TARGETs are addresses, names and networks such as 10.0.0.0/28, which are asked over Modbus TCP. Ctrl-C
    keeps what was found. At the end: the [[bus]] section for gateway.toml.
    """
    from gateway.cli.commissioning.scan_view import ScanView
    from gateway.commissioning.scan.folder_profiles import folder_profiles
    from gateway.commissioning.scan.settings import ScanOptions
    from gateway.commissioning.scan.tcp_scan import TcpOptions

    chosen, view = _units(units), ScanView(as_json=as_json)
    ports = [target for target in targets if _is_port(target)]
    if ports and len(targets) > 1:
        raise GatewayError(Message("scan-one-port", port=ports[0]))
    if not ports and (baudrates or parities or listen or slow or force):
        raise GatewayError(Message("scan-serial-options", target=targets[0]))
    added = folder_profiles(folder) if folder is not None else ()
    try:
        listen_s = duration_ms(listen) / 1000 if listen is not None else 0.0
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None
    serial = {"slow": slow, "force": force}
    options = ScanOptions(baudrates, parities, chosen, **serial, profiles=added, listen_s=listen_s)
    over_tcp = TcpOptions(chosen or None, yes=yes, profiles=added)
    result, interrupted = scanned(targets, options, port, over_tcp, view)
    if interrupted:
        sys.exit(INTERRUPTED)
    if not result.units:
        sys.exit(1)


def scanned(
    targets: tuple[str, ...], options: ScanOptions, port: int, over_tcp: TcpOptions, view: ScanView
) -> tuple[ScanResult, bool]:
    """What there is at a serial port or at addresses, shown as it is found; and whether Ctrl-C has ended it."""
    from gateway.commissioning.scan.scan_port import answer_life_s
    from gateway.commissioning.scan.serial_scan import scan_serial
    from gateway.commissioning.scan.tcp_scan import scan_tcp
    from gateway.fieldbus.wire.line_spec import NETWORK_LIFE_MS

    serial = _is_port(targets[0])
    with _interruptible() as interrupted:

        def progress(step: Step) -> bool:
            view.tell(step)
            return not interrupted

        if serial:
            result = asyncio.run(scan_serial(targets[0], options, progress))
        else:
            result = asyncio.run(scan_tcp(targets, port, over_tcp, progress))
        view.end(result)
    _leave_alone(answer_life_s(targets[0]) if serial else NETWORK_LIFE_MS / 1000, result)
    return result, bool(interrupted)


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


def _leave_alone(life_s: float, result: ScanResult) -> None:
    """Wait until no answer can come any more: the next request on this line could take a late one for its answer."""
    if result.sent_bytes:
        click.echo(f"leaving the line alone for {life_s:g} s, so that no late answer is taken for another", err=True)
        with contextlib.suppress(KeyboardInterrupt):  # the user has the last word
            time.sleep(life_s)


def _units(text: str | None) -> tuple[int, ...]:
    """``"1-3,100"`` → 1, 2, 3, 100. Raises GatewayError."""
    from gateway.commissioning.scan.settings import UNITS

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
