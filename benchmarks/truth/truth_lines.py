"""The long form of the fieldbus-truth experiment: the engine of ``tests/gateway/fieldbus/truth.py`` on more lines,
longer, and over three kinds of wire.

What a device sends late or twice leaves within a tenth of a time-out of its planned moment or not at all: on a machine
that is busy elsewhere an answer could else outlive the answer life that the experiment is about.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gateway.clock import Clock
from gateway.fieldbus.modbus.frames import Request, intact
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.serial_time import char_seconds
from tests.gateway.fieldbus.devices import Pty, Responder, packet, serving
from tests.gateway.fieldbus.truth import Book, misbehaving, spec

TIMEOUT_MS, PERIOD_MS = 20, 50
HURT_BYTES = 3
"""Bytes that are hurt in a damaged answer besides the one bit that the engine turns: enough for any CRC to come out."""

Send = Callable[[bytes], object]


@dataclass
class LongBook(Book):
    """A book that also knows damaged answers whose CRC came out right, and polls that were never put to the wire."""

    made: int = 0
    not_made: int = 0
    crc_collisions: int = 0
    withheld: int = 0
    collided: list[tuple[int, ...]] = field(default_factory=list)

    def judge(self, unit: int, poll: Poll, clock: Clock) -> None:
        """A poll that was skipped or found no shape offers nothing; values of a CRC collision are counted apart."""
        if not poll.answers and poll.missed not in ("timeout", "refused"):
            self.not_made += 1
            return
        self.made += 1
        honest = tuple(answer for answer in poll.answers if answer.raw not in self.collided)
        super().judge(unit, poll._replace(answers=honest), clock)

    def hurt(self, frame: bytes, rng: random.Random) -> bytes:
        """A damaged answer, damaged more; one that passes for whole is noted."""
        hurt = bytearray(frame)
        for _ in range(HURT_BYTES):
            hurt[rng.randrange(2, len(hurt))] ^= rng.randrange(256)
        if intact(bytes(hurt)):
            self.crc_collisions += 1
            self.collided.append(struct.unpack(f">{(len(hurt) - 5) // 2}H", hurt[3:-2]))
        return bytes(hurt)


class Devices:
    """The units of one line: ``ask`` gives a request to them, what they answer leaves through ``send`` in its time."""

    def __init__(self, book: LongBook, seed: int, char_s: float) -> None:
        """``char_s``: what a character adds to the time-out, 0 where the line does not grant it."""
        self.book, self._char_s = book, char_s
        self.send: Send = _nowhere
        self._rng = random.Random(seed)
        self._device = misbehaving(book, self._rng)

    def ask(self, request: Request) -> list[tuple[float, bytes]]:
        """Plan what comes of a request; nothing is left to its caller."""
        loop = asyncio.get_running_loop()
        for number, (delay, frame) in enumerate(self._device(request)):
            planned = frame if intact(frame) else self.book.hurt(frame, self._rng)
            first, limit = number == 0, self.book.timeout_s
            if first and limit <= delay < limit + len(frame) * self._char_s:
                self.book.offered += request.count  # the time-out is that of the first byte
            patient = first and delay < limit
            at = loop.time() + delay
            loop.call_at(at, self._leave, planned, float("inf") if patient else at + self.book.timeout_s / 10)
        return []

    def _leave(self, frame: bytes, latest: float) -> None:
        if asyncio.get_running_loop().time() > latest:
            self.book.withheld += 1
        else:
            self.send(frame)


def _nowhere(frame: bytes) -> None:
    """Nobody has the line open."""


@asynccontextmanager
async def rtu(devices: Devices, folder: Path, base: LineSpec) -> AsyncIterator[LineSpec]:
    """A pseudo-terminal."""
    pty = Pty(folder / "line", devices.ask)
    devices.send = pty.responder.write
    try:
        yield replace(base, port=str(pty.link))
    finally:
        pty.unplug()


@asynccontextmanager
async def rtu_over_tcp(devices: Devices, folder: Path, base: LineSpec) -> AsyncIterator[LineSpec]:
    """A device server: the bytes of the line in a TCP connection, old ones in the next connection too."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        devices.send = writer.write
        responder = Responder(devices.ask, writer.write)
        while data := await reader.read(4096):
            responder.receive(data)

    async with serving(talk) as server:
        yield replace(base, type="modbus-rtu-over-tcp", port=None, host="127.0.0.1", tcp_port=server.port)


@asynccontextmanager
async def converter(devices: Devices, folder: Path, base: LineSpec) -> AsyncIterator[LineSpec]:
    """A Modbus TCP converter with the hole inside: while a request waits, the first whole frame from the serial side is
    its answer, whatever question that frame belongs to."""
    waiting: list[tuple[int, Send]] = []

    def forward(frame: bytes) -> None:
        if waiting and intact(frame):
            tid, send = waiting.pop()
            send(packet(tid, frame))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                waiting[:] = [(int.from_bytes(head[:2], "big"), writer.write)]
                devices.ask(Request(head[6], pdu[0], *struct.unpack(">HH", pdu[1:5])))
        finally:
            waiting.clear()

    devices.send = forward
    async with serving(talk) as server:
        yield replace(base, type="modbus-tcp", port=None, host="127.0.0.1", tcp_port=server.port)


WIRES = {"rtu": rtu, "rtu-over-tcp": rtu_over_tcp, "converter": converter}


def hush() -> None:
    """For a process that does nothing else: what the lines have to say of such devices is known."""
    logging.getLogger("meterseal").setLevel(logging.CRITICAL)


def work(folder: Path, wire: str, seeds: Sequence[int], polls: int, armed: bool) -> list[dict[str, int]]:
    """A process's share: one line a seed, each until it has made so many polls."""

    for seed in seeds:
        (folder / str(seed)).mkdir()

    async def all_lines() -> list[LongBook]:
        return await asyncio.gather(*(_line(folder / str(seed), wire, seed, polls, armed) for seed in seeds))

    return [_counts(book) for book in asyncio.run(all_lines())]


async def _line(folder: Path, wire: str, seed: int, polls: int, armed: bool) -> LongBook:
    clock, done = Clock(), asyncio.Event()
    book = LongBook(TIMEOUT_MS / 1000)
    base = replace(spec(folder / "line", TIMEOUT_MS, PERIOD_MS), timeout_max_ms=TIMEOUT_MS)

    def take(poll: Poll) -> None:
        if book.made < polls:
            book.judge(int(poll.meter[1:]), poll, clock)
        else:
            done.set()

    devices = Devices(book, seed, 0.0 if wire == "converter" else char_seconds(base.baudrate))
    async with WIRES[wire](devices, folder, base) as line_spec:
        line = Line(line_spec, clock, take, armed=armed)
        task = asyncio.create_task(line.run(clock.now_ms()))
        await asyncio.wait([task, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
        line.request_stop()
        await task
    return book


def _counts(book: LongBook) -> dict[str, int]:
    return {name: value for name, value in asdict(book).items() if isinstance(value, int)}
