"""A source of HJ 212 on a free port, and loggers that speak to it over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta, timezone, tzinfo
from functools import wraps
from ipaddress import ip_network
from typing import Any, ParamSpec

from gateway.devices.decode_text import MessageBlock
from gateway.devices.places import Factor
from gateway.devices.points import Point
from gateway.fieldbus.hj212.packets import frame
from gateway.fieldbus.hj212.refused import ListenerFacts
from gateway.fieldbus.hj212.source import Hj212Source, Station
from gateway.fieldbus.wire.source import Crowded, Heard

SAFETY_S = 20.0
P = ParamSpec("P")
NOW_MS = 1_800_000_000_000
PLACES = {"so2": Factor("a21026", "Rtd"), "o2": Factor("a19001", "Rtd"), "flow": Factor("a00000", "Rtd")}
POINTS = tuple(Point(name, place) for name, place in PLACES.items())
BLOCKS = {cn: MessageBlock(f"CN {cn}", POINTS) for cn in ("2011", "2051")}
CHINA = timezone(timedelta(hours=8))


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def station(mn: str = "A1", cn: str = "2011", password: str | None = None) -> Station:
    """One kind of data of one station."""
    places = {name: place.where for name, place in PLACES.items()}
    return Station(f"{mn}-{cn}", mn, cn, BLOCKS[cn], places, frozenset(p.code for p in PLACES.values()), password)


def packet(
    cp: str = "DataTime=20270115160000;a21026-Rtd=1.5,a21026-Flag=N;a19001-Rtd=6,a00000-Rtd=3",
    *,
    qn: str = "20270115160001000",
    mn: str = "A1",
    cn: str = "2011",
    flag: str = "Flag=5;",
    pw: str = "123456",
) -> bytes:
    """What a logger sends."""
    number = f"QN={qn};" if qn else ""
    return frame(f"{number}ST=31;CN={cn};PW={pw};MN={mn};{flag}CP=&&{cp}&&".encode())


def answer(qn: str = "20270115160001000", cn: str = "9014", mn: str = "A1", pw: str = "123456") -> bytes:
    """What the standard has a host say."""
    number = f"QN={qn};" if qn else ""
    return frame(f"{number}ST=91;CN={cn};PW={pw};MN={mn};Flag=4;CP=&&&&".encode())


class Logger:
    """A connection to the source."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def name(self) -> str:
        """Its own address, as the source sees it."""
        host, port = self._writer.get_extra_info("sockname")
        return f"{host}:{port}"

    def send(self, *packets: bytes) -> None:
        """Send packets, or what is none."""
        self._writer.write(b"".join(packets))

    async def got(self, count: int) -> bytes:
        """The next bytes that come."""
        async with asyncio.timeout(SAFETY_S):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Say that no more is sent; gives all that comes until the source closes."""
        self._writer.write_eof()
        return await self.closed()

    async def closed(self) -> bytes:
        """All that comes until the source closes."""
        async with asyncio.timeout(SAFETY_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    def leave(self) -> None:
        """Break the connection off."""
        link = self._writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Listening:
    """A source that listens."""

    def __init__(self, source: Hj212Source, facts: ListenerFacts) -> None:
        self.source, self.facts = source, facts
        self.crowded: list[Crowded] = []
        """That there were too many connections, as often as it was reported."""

    async def logger(self, host: str = "127.0.0.1") -> Logger:
        """A new connection out of one of the addresses of the loopback."""
        link = socket.socket()
        link.bind((host, 0))
        link.connect(("127.0.0.1", self.source.tcp_port))
        return Logger(*await asyncio.open_connection(sock=link))

    async def heard(self) -> Heard:
        """The next message."""
        async with asyncio.timeout(SAFETY_S):
            while isinstance(heard := await self.source.hear(), Crowded):
                self.crowded.append(heard)
        return heard

    async def until(self, **counters: int) -> None:
        """Wait until so much was counted."""
        async with asyncio.timeout(SAFETY_S):
            while any((self.facts.counters + self.facts.refused)[name] != count for name, count in counters.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    def reply(self, heard: Heard) -> None:
        """Its record is durable."""
        assert heard.token is not None
        self.source.reply(heard.unit, heard.token)

    @staticmethod
    def texts(heard: Heard) -> Mapping[str, str]:
        """What a message holds."""
        assert isinstance(heard.raw, Mapping)
        return heard.raw

    def refused(self) -> list[dict[str, Any]]:
        """What was refused, without what has no figure."""
        return [{name: value for name, value in one.as_json().items() if value} for one in self.facts.last]


@asynccontextmanager
async def listening(
    *stations: Station, networks: Sequence[str] = (), zone: tzinfo = CHINA, facts: ListenerFacts | None = None
) -> AsyncIterator[Listening]:
    """A source of these stations."""
    facts = facts or ListenerFacts()
    source = Hj212Source(stations or (station(),), zone, lambda: NOW_MS, facts)
    await source.open("127.0.0.1", 0, [ip_network(network) for network in networks])
    try:
        yield Listening(source, facts)
    finally:
        source.close()
