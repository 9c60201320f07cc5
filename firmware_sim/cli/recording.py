"""Command ``record``: what a real meter answers, read again and again and written down as it comes; nothing is written
to the meter."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

import click

from firmware_sim.cli.refusals import refusing
from firmware_sim.cli.times import milliseconds
from firmware_sim.errors import ScenarioError, WireError
from firmware_sim.recorded.client import Line, SerialWire, TcpWire, Wire
from firmware_sim.recorded.recorder import SPOKEN, Recorder
from firmware_sim.recorded.recording import Answer, Head
from gateway.devices.profile import Profile, ProfileError, Serial, load_profile

FILE = click.Path(path_type=Path)
MODBUS_TCP = 502
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:/\[\]\s]+))(?::(?P<port>\d{1,5}))?", re.ASCII)


@click.command("record")
@click.argument("where", metavar="PORT|HOST[:PORT]")
@click.option("--profile", "ref", required=True, help="Of the meter: a name of the catalog, or a file.")
@click.option("--unit", type=click.IntRange(0, 255), help="Its address.  [the profile's]")
@click.option("--for", "length_ms", callback=milliseconds, help="How long.  [until Ctrl-C]")
@click.option("--every", "every_ms", default="1s", callback=milliseconds, help="Between two rounds of reads.  [1s]")
@click.option("--baud", type=click.IntRange(50, 4_000_000), help="Of a serial port.  [the profile's]")
@click.option("--parity", type=click.Choice(["N", "E", "O"]), help="Of a serial port.  [the profile's]")
@click.option("--stopbits", type=click.IntRange(1, 2), help="Of a serial port.  [the profile's]")
@click.option("--timeout", "timeout_ms", callback=milliseconds, help="For an answer.  [the profile's]")
@click.option("-o", "path", type=FILE, required=True, help="Write to this file, line by line.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def record(
    where: str,
    ref: str,
    unit: int | None,
    length_ms: int | None,
    every_ms: int,
    baud: int | None,
    parity: str | None,
    stopbits: int | None,
    timeout_ms: int | None,
    path: Path,
    force: bool,
) -> None:
    """Record a real meter, for a replay in a scenario; reads only."""
    if every_ms == 0 or timeout_ms == 0:
        raise click.BadParameter("give a time above 0", param_hint="--every" if every_ms == 0 else "--timeout")
    with refusing(ProfileError):
        profile = load_profile(ref)
        if profile.protocol not in SPOKEN:
            problem = f"a device of this profile speaks {profile.protocol}, and only Modbus can be recorded"
            raise ScenarioError(ref, "", problem, "use the profile of a Modbus device")
        if not force and path.exists() and path.stat().st_size:
            problem = f"{path}: is there already, and what a meter has shown cannot be recorded again"
            raise WireError(problem, "give another name, or --force to replace it")
        wire = _wire(where, profile, baud, parity, stopbits)
        address = profile.default_address if unit is None else unit
        head = Head(profile.name, address, wire.settings, every_ms, _now())
        wire.open()
        try:
            recorder = Recorder(wire, profile, address, every_ms, length_ms, timeout_ms or profile.timeout_ms)
            counted = write(path, head, recorder.answers())
        finally:
            wire.close()
    click.echo(
        f"{path}: {counted['answers']} answers, {counted['exceptions']} exceptions, {counted['time-outs']} time-outs"
    )


def write(path: Path, head: Head, answers: Iterator[Answer]) -> Counter[str]:
    """Write answers as they come, until they end or somebody ends them (SIGINT, SIGTERM); the file is there with the
    first one. Gives how many there were of each outcome. Raises ``WireError``."""
    counted = Counter[str]()
    file: TextIO | None = None
    try:
        with _ended_by_sigterm(), suppress(KeyboardInterrupt):
            for answer in answers:
                if file is None:
                    file = path.open("w", encoding="utf-8", newline="")
                    file.write(head.line())
                file.write(answer.line())
                file.flush()
                counted[_outcome(answer)] += 1
    except OSError as error:
        raise WireError(
            f"{path}: {error.strerror}", "set -o to a file in an existing folder that you can write to"
        ) from None
    finally:
        if file is not None:
            file.close()
    if file is None:
        raise WireError(f"{path}: not written, since nothing was answered before the end", "let it go on for longer")
    return counted


def _outcome(answer: Answer) -> str:
    if answer.timeout_ms is not None:
        return "time-outs"
    return "answers" if answer.exception is None else "exceptions"


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wire(where: str, profile: Profile, baud: int | None, parity: str | None, stopbits: int | None) -> Wire:
    """The wire to a path, or to a host. Raises ``WireError``."""
    asked = [f"--{name}" for name, value in (("baud", baud), ("parity", parity), ("stopbits", stopbits)) if value]
    if "/" in where or Path(where).exists():
        usual = profile.serial or Serial()
        line = Line(baud or usual.baudrate, parity or usual.parity, stopbits or usual.stopbits)
        return SerialWire(where, line, answer_life_s=(profile.answer_life_ms or 0) / 1000)
    found = _HOST.fullmatch(where)
    if found is None or int(found["port"] or MODBUS_TCP) > 0xFFFF:
        fix = "give a path, such as /dev/ttyUSB0, or HOST or HOST:PORT, an IPv6 address in brackets"
        raise WireError(f"{where}: neither a serial port nor a host", fix)
    if asked:
        raise WireError(f"{where}: {asked[0]} is of a serial port, and this is a host", f"remove {' and '.join(asked)}")
    delay_s = profile.connect_delay_ms / 1000
    return TcpWire(found["six"] or found["host"], int(found["port"] or MODBUS_TCP), connect_delay_s=delay_s)


def _now() -> str:
    """The wall clock with its offset."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
