"""Garbage for a listener, from several connections at once, beside stations that send right messages.

One station has a connection of its own (``alone``); one sends garbage, is silent for longer than a listener waits for
the end of a packet, and then sends a message on the same connection (``behind``). Both wait for each 9014.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from firmware_sim.wire.hj212.packets import Inbox, Packet
from tests.campaigns.streams.hj212_loggers import CHINA, FACTORS, PASSWORD, station

SILENCE_S = 10.5
"""A listener waits 10 s for the end of a packet."""
WITHIN_S, OPEN_S = 5.0, 30.0
BYTES, PAUSE_S = 1500, 0.05
_SHAPES: tuple[Callable[[random.Random], bytes], ...] = (
    lambda chance: chance.randbytes(BYTES),
    lambda chance: b"##%04d" % chance.randrange(10_000) + chance.randbytes(BYTES),
    lambda chance: bytes(chance.choice(b"#0123456789\r\nCP=&;,QNMF") for _ in range(BYTES)),
    lambda chance: b"\r\n##9999" * (BYTES // 8),
    lambda chance: b"\x68" + chance.randbytes(6) + b"\x68" + chance.randbytes(BYTES),
)


def garbage(chance: random.Random) -> bytes:
    """A piece that no packet is in."""
    return chance.choice(_SHAPES)(chance)


async def pour(port: int, number: int) -> None:
    """Send garbage until cancelled, on one connection after the other."""
    chance = random.Random(number)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while not writer.is_closing() and not reader.at_eof():
                    writer.write(garbage(chance))
                    await asyncio.wait_for(writer.drain(), 1.0)
                    await asyncio.sleep(PAUSE_S)
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE_S)


@dataclass
class Station:
    """One station's messages: how many were sent, and the numbers of those that were acknowledged."""

    number: int
    sent: int = 0
    acknowledged: list[int] = field(default_factory=list)

    def packet(self) -> Packet:
        """The next message, whose values tell whose it is."""
        self.sent += 1
        moment = datetime.fromtimestamp(time.time(), UTC) + CHINA
        values = (f"{code}-Rtd={self.sent}.{self.number:03},{code}-Flag=N" for code in FACTORS)
        cp = ";".join([f"DataTime={moment:%Y%m%d%H%M%S}", *values])
        qn = f"{moment:%Y%m%d%H%M%S}{self.number:03}"
        return Packet(qn, "31", "2011", PASSWORD, station(self.number), 5, cp)

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send the next message once and wait for its answer, but not for ever."""
        packet, inbox = self.packet(), Inbox()
        writer.write(packet.frame())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while data := await reader.read(4096):
                    if any((found.cn, found.qn) == ("9014", packet.qn) for found in inbox.feed(data)):
                        self.acknowledged.append(self.sent)
                        return


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a listener that may only be about to open."""
    async with asyncio.timeout(OPEN_S):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(PAUSE_S)


async def alone(port: int, station: Station, end_s: float) -> None:
    """A message a second until the moment."""
    reader, writer = await connected(port)
    while time.monotonic() < end_s:
        begun = time.monotonic()
        await station.say(reader, writer)
        await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))
    writer.transport.abort()


async def behind(port: int, station: Station, end_s: float) -> None:
    """Garbage, a silence, a message, again and again until the moment; all on one connection."""
    chance = random.Random(station.number)
    reader, writer = await connected(port)
    while time.monotonic() + SILENCE_S < end_s:
        writer.write(garbage(chance))
        await asyncio.sleep(SILENCE_S)
        await station.say(reader, writer)
    writer.transport.abort()
