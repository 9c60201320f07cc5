"""Small real devices for the fieldbus tests: a responder behind a pseudo-terminal or a TCP port, with faults by hand.

A device is a function from a request to what it sends back and when: ``[(delay in seconds, bytes), …]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Reply, Request, Shape, parse_request
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.support.register_points import registers_of, words_of

Sent = list[tuple[float, bytes]]
Device = Callable[[Any], Sent]
Cutter = Callable[[bytes], tuple[list[Any], bytes]]
"""The whole requests at the head of the bytes, and what is left of these."""

SAFETY_S = 30.0
"""How long a test waits for something that must happen; only a failing test waits so long."""


def answer(request: Request, data: bytes | None = None) -> bytes:
    """A right answer: the given data bytes, or each register holding its own address."""
    if data is None:
        data = struct.pack(f">{request.count}H", *((request.address + i) & 0xFFFF for i in range(request.count)))
    return Reply(request.key, data).encode()


def refuse(request: Request, code: int = 2) -> bytes:
    """An exception to the request."""
    return Reply(Shape(request.unit, request.function, -1), b"", code).encode()


def addresses(request: Request) -> Sent:
    """A device whose registers hold their own address."""
    return [(0.0, answer(request))]


def bus(units: dict[int, Device]) -> Device:
    """Several units on one line; others are silent."""
    return lambda request: units[request.unit](request) if request.unit in units else []


def rtu_requests(data: bytes) -> tuple[list[Request], bytes]:
    """Modbus RTU reads."""
    found = []
    while len(data) >= (length := 7 if data[1:2] == b"\x2b" else 8):
        found.append(parse_request(data[:length]))
        data = data[length:]
    return found, data


@dataclass
class Responder:
    """Takes requests as they come and sends what the device says; ``asked`` is every request with its loop time."""

    device: Device
    write: Callable[[bytes], None]
    cut: Cutter = rtu_requests
    asked: list[tuple[float, Any]] = field(default_factory=list)
    raw: bytes = b""
    _buffer: bytes = b""

    def receive(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.raw += data
        requests, self._buffer = self.cut(self._buffer + data)
        for request in requests:
            self.asked.append((loop.time(), request))
            for delay, answered in self.device(request):
                if delay:
                    loop.call_later(delay, self.write, answered)
                else:
                    self.write(answered)


class Pty:
    """A pseudo-terminal behind a link, with a device at its other end."""

    def __init__(self, link: Path, device: Device, cut: Cutter = rtu_requests) -> None:
        self.link, self._open = link, True
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        link.unlink(missing_ok=True)
        self.terminal = os.ttyname(self._slave)
        link.symlink_to(self.terminal)
        self.responder = Responder(device, self._write, cut)
        asyncio.get_running_loop().add_reader(self.master, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.responder.receive(os.read(self.master, 4096))

    def _write(self, data: bytes) -> None:
        if self._open:
            os.write(self.master, data)

    def unplug(self) -> None:
        """The adapter is pulled out: its terminal hangs up, its link is gone."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self._slave)
            os.close(self.master)
            self.link.unlink(missing_ok=True)


class Server:
    """A device behind a TCP port: raw bytes in, raw bytes out, for RTU over TCP and for a Modbus TCP of our own making.

    ``talk(reader, writer)`` serves one connection.
    """

    def __init__(self, talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._talk, self.connections = talk, 0
        self._serving: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._serving[task]
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Server]:
    """A server for the time of a ``with``."""
    server = Server(talk)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def rtu_talk(
    device: Device, cut: Cutter = rtu_requests
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A device server that carries RTU frames over TCP."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        responder = Responder(device, lambda data: None if writer.is_closing() else writer.write(data), cut)
        while data := await reader.read(4096):
            responder.receive(data)

    return talk


def tcp_talk(
    device: Callable[[int, Request], Sent], asked: list[Request] | None = None
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Modbus TCP: the device is given transaction id and request, and sends whole packets (see ``packet``)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            except asyncio.IncompleteReadError:
                return
            if pdu[0] == 43:
                request = Request(head[6], 43, pdu[3], pdu[2])
            else:
                request = Request(head[6], pdu[0], *struct.unpack(">HH", pdu[1:5]))
            if asked is not None:
                asked.append(request)
            for delay, data in device(int.from_bytes(head[:2], "big"), request):
                if delay:
                    loop.call_later(delay, writer.write, data)
                else:
                    writer.write(data)

    return talk


def packet(tid: int, frame: bytes) -> bytes:
    """A Modbus TCP packet from an RTU frame."""
    body = frame[:-2]
    return struct.pack(">HHH", tid, 0, len(body)) + body


PROFILE = """
vendor = "Test"
device = "Test meter"
source = "made up for this test"
timeout_ms = 60
identity = [{identity}]
{extra}
[points]
serial = {{ fc = 3, address = 900, type = "uint16", kind = "status", record = false }}
a = {{ fc = 3, address = 100, type = "uint16", unit = "W" }}
b = {{ fc = 3, address = 101, type = "uint32", unit = "W" }}
c = {{ fc = 3, address = 300, type = "uint16", unit = "W" }}
"""


def profile(*, identity: str = "", extra: str = "", name: str = "test") -> Profile:
    """A profile with two blocks (a, b at 100 and c at 300) and a serial number at 900."""
    readable = "readable = [{ fc = 3, first = 100, last = 180 }, { fc = 3, first = 300, last = 380 }]"
    text = PROFILE.format(identity=f'"{identity}"' if identity else "", extra=f"{readable}\n{extra}")
    return parse_profile(text, name, f"{name}.toml")


def meter(name: str, unit: int, period_ms: int = 100, **kwargs: str) -> MeterSpec:
    """A meter of the test profile."""
    found = profile(**kwargs)
    return MeterSpec(name, found, unit, period_ms, found.select())


def rtu_line(link: Path, *meters: MeterSpec, life_ms: int = 300) -> LineSpec:
    """A fast serial line: its answer life is short, so that few variants will do."""
    return LineSpec("line", "modbus-rtu", meters, port=str(link), baudrate=115200, answer_life_ms=life_ms)


def patient(spec: LineSpec) -> LineSpec:
    """The same line, whose meters are waited for as long as a busy machine may let them wait: for tests of meters that
    answer."""
    return replace(spec, timeout_ms=2000)


def tcp_line(port: int, *meters: MeterSpec, kind: str = "modbus-tcp", life_ms: int = 300) -> LineSpec:
    """A network line to a port of this machine."""
    return LineSpec("line", kind, meters, host="127.0.0.1", tcp_port=port, baudrate=115200, answer_life_ms=life_ms)


class Polls(list[Poll]):
    """What a line reported; a test may wait for a poll."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def take(self, poll: Poll) -> None:
        self.append(poll)
        self._news.set()

    async def until(self, true: Callable[[Poll], bool], *, count: int = 1) -> Poll:
        """Wait until so many polls, from now on or before, satisfy the condition; gives the last of them."""
        async with asyncio.timeout(SAFETY_S):
            while True:
                found = [poll for poll in self if true(poll)]
                if len(found) >= count:
                    return found[count - 1]
                self._news.clear()
                await self._news.wait()

    def values(self, meter: str) -> list[tuple[int, ...]]:
        """The registers of every point of every answered block of a meter."""
        return [
            tuple(words)
            for poll in self
            if poll.meter == meter
            for block in poll.answers
            for _, words in registers_of(block.block).slices(words_of(block.raw))
        ]


@contextlib.asynccontextmanager
async def running(spec: LineSpec, **kwargs: object) -> AsyncIterator[tuple[Line, Polls]]:
    """A line at work; it is stopped and has returned when the ``with`` ends."""
    polls, clock = Polls(), Clock()
    line = Line(spec, clock, polls.take, **kwargs)  # type: ignore[arg-type]
    task = asyncio.create_task(line.run(clock.now_ms()))
    try:
        yield line, polls
    finally:
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await task


def descriptors() -> list[str]:
    """Open file descriptors of this process, by what they lead to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(found)


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
