"""Ends that are not ours: a server on libmodbus, built here, mbpoll as another master, and a line that we share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import tty
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.frames import parse_request
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import MeterSpec
from tests.gateway.fieldbus.devices import SAFETY_S, answer
from tests.support.register_points import registers_of

UNIT, OTHER = 1, 9
"""The unit that libmodbus is, and another one on its line."""
_VALUE = re.compile(rb"^\[(\d+)\]:\s+(-?\d+)", re.MULTILINE)

PROFILE = """
vendor = "libmodbus"
device = "Server of the tests"
source = "tests/interop/modbus/server.c"
timeout_ms = 100
{extra}
readable = [
  {{ fc = 1, first = 0, last = 399 }}, {{ fc = 2, first = 0, last = 399 }},
  {{ fc = 3, first = 100, last = 160 }}, {{ fc = 4, first = 40, last = 90 }},
]
[points]
holding = {{ fc = 3, address = 100, type = "uint16", unit = "W" }}
holding_long = {{ fc = 3, address = 101, type = "uint32", unit = "W" }}
input = {{ fc = 4, address = 47, type = "uint16", unit = "V" }}
coil = {{ fc = 1, address = 21, type = "bit" }}
contact = {{ fc = 2, address = 34, type = "bit" }}
"""


def content(fc: int, address: int) -> int:
    """What the server holds at an address of a table."""
    return {1: int(address % 3 == 0), 2: int(address % 5 == 0), 3: 3 * address + 1, 4: 5 * address + 2}[fc] & 0xFFFF


def right(block: RegisterBlock, registers: Sequence[int]) -> bool:
    """The registers of an answered block are those of its own addresses."""
    return list(registers) == [content(block.fc, block.address + place) for place in range(block.count)]


def meter(unit: int, period_ms: int = 60, extra: str = "") -> MeterSpec:
    """A meter that has points in all four tables of the server."""
    profile: Profile = parse_profile(PROFILE.format(extra=extra), "server", "server.toml")
    return MeterSpec("server", profile, unit, period_ms, profile.select())


def answered(poll: Poll) -> bool:
    """Every block of all four tables was answered."""
    return {registers_of(answer.block).fc for answer in poll.answers} == {1, 2, 3, 4} and not poll.failures


def build(folder: Path, name: str = "server") -> Path:
    """Compile the server, or the master."""
    program, source = folder / name, Path(__file__).parent / f"{name}.c"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, source, "-lmodbus"]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert built.returncode == 0, f"{built.stderr}\n(Debian: apt-get install gcc libc6-dev libmodbus-dev)"
    return program


@contextlib.asynccontextmanager
async def server(program: Path, *words: object) -> AsyncIterator[str]:
    """The server at work; gives what it says when it is ready."""
    process = await asyncio.create_subprocess_exec(program, *map(str, words), stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SAFETY_S):
            printed = (await process.stdout.readline()).decode().strip()
        assert printed, "the server did not start"
        yield printed
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Mbpoll:
    """mbpoll polling again and again until the ``with`` ends; ``values`` is all that it printed, in order."""

    def __init__(self, *words: object) -> None:
        self._words = ["-0", "-l", "90", *map(str, words)]
        self._output = b""
        self._news = asyncio.Event()

    async def __aenter__(self) -> Mbpoll:
        self._process = await asyncio.create_subprocess_exec(
            "mbpoll", *self._words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    @property
    def values(self) -> list[tuple[int, int]]:
        """(address, value) of everything that it read."""
        return [(int(address), int(value)) for address, value in _VALUE.findall(self._output)]

    async def until(self, count: int) -> None:
        """Wait until it has read so many values."""
        async with asyncio.timeout(SAFETY_S):
            while len(self.values) < count:
                assert not self._reading.done(), self._output.decode(errors="replace")
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(4096):
            self._output += data
            self._news.set()
        self._news.set()


class Wire:
    """A serial line with several ends, each a pseudo-terminal: what one end sends all others hear, as on RS-485.

    Unit ``OTHER`` sits on the line itself. It is no libmodbus: of two servers on one line, which hear questions and
    answers of each other, libmodbus loses count (it takes what follows another unit's question for its answer).
    """

    def __init__(self, folder: Path, ends: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.ends: list[Path] = []
        for number in range(ends):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            end = folder / f"end-{number}"
            end.symlink_to(os.ttyname(slave))
            self._masters.append(master)
            self._slaves.append(slave)  # kept open, so that an end that nobody uses hangs nothing up
            self.ends.append(end)
            self._loop.add_reader(master, self._carry, master)

    def _carry(self, sender: int) -> None:
        data = os.read(sender, 4096)
        self._send(data, sender)
        if data[0] == OTHER:
            self._send(answer(parse_request(data)))

    def _send(self, data: bytes, sender: int | None = None) -> None:
        for master in self._masters:
            if master != sender:
                with contextlib.suppress(BlockingIOError):  # nobody reads at that end
                    os.write(master, data)

    def close(self) -> None:
        """Take the line away."""
        for master, slave in zip(self._masters, self._slaves, strict=True):
            self._loop.remove_reader(master)
            os.close(slave)
            os.close(master)
