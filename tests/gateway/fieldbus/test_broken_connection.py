"""An open connection that breaks: whether nobody is there any more, or somebody ended it."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

import pytest

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.polling import open_line
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.errors import LineDown, Unreachable
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Link, Manners
from gateway.fieldbus.wire.stream_link import StreamLink
from tests.gateway.fieldbus.devices import SAFETY_S, meter, serving, tcp_line
from tests.gateway.fieldbus.polling.test_meter_state import Meter, Scripted

WHY = [(errno.ETIMEDOUT, True), (errno.EHOSTUNREACH, True), (errno.ECONNRESET, False), (errno.EPIPE, False)]


def broken(link: Link, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says of its connection from now on."""
    if isinstance(link, TcpLink):
        transport: Any = link._connection and link._connection._transport
        transport._fatal_error(error)
        return
    assert isinstance(link, StreamLink)
    fd, read = link._port.fd, os.read

    def fails(what: int, size: int) -> bytes:
        if what == fd:
            raise error
        return read(what, size)

    monkeypatch.setattr(os, "read", fails)


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
@pytest.mark.parametrize(("number", "nobody"), WHY)
def test_a_connection_that_times_out_or_loses_its_route_has_nobody_at_its_end(
    kind: str, number: int, nobody: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        heard = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(100):
                heard.set()

        async with serving(talk) as server:
            spec = tcp_line(server.port, meter("one", 1), kind=kind)
            link = await open_line.connect(spec, Endpoint(KeyTable(0.1)), lambda seen: None)
            reading = asyncio.create_task(link.read([Request(1, 3, 100, 2)], Manners(SAFETY_S)))
            await heard.wait()
            broken(link, OSError(number, os.strerror(number)), monkeypatch)
            with pytest.raises(LineDown, match=os.strerror(number)) as refused:
                await reading
            assert isinstance(refused.value, Unreachable) is nobody
            link.close()

    asyncio.run(test())


class Gone(Scripted):
    """A link whose line breaks while nothing is asked on it."""

    error: LineDown

    async def quiet(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", [Unreachable("timed out"), LineDown("reset")])
def test_a_poll_whose_connection_broke_behind_its_reads_says_whether_nobody_is_there(error: LineDown) -> None:
    one = Meter()
    one.link = Gone(one.clock)
    one.link.error = error
    one.link.silent = lambda request: request.address != 900
    attempt = one.poll()
    assert attempt.down == str(error)
    assert attempt.unreachable is isinstance(error, Unreachable)
