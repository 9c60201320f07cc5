"""Whoever draws a connection out is cut off, and too many are cut as they come: the turnstile with short times."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

from ledger_client.http_server.connection import Turnstile

LONG_S = 60.0  # of a time that a test does not wait for
SHORT_S = 0.2
HUGE = 64 * 1024 * 1024


@dataclass(slots=True)
class WatchedTurnstile(Turnstile):
    """A turnstile that says when nobody is in."""

    empty: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, client: str, trusted: bool) -> bool:
        self.empty.clear()
        return Turnstile.enter(self, client, trusted)

    def leave(self, client: str) -> None:
        Turnstile.leave(self, client)
        if not self.clients:
            self.empty.set()


async def _echo(request: Request) -> Response:
    return Response(await request.body())


async def _huge(_request: Request) -> Response:
    return Response(bytes(HUGE))


@asynccontextmanager
async def served(turnstile: WatchedTurnstile, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server behind the turnstile; gives its port, and ends with every connection gone and counted out."""
    site = Starlette(routes=[Route("/", _echo, methods=["GET", "POST"]), Route("/huge", _huge)])
    protocol = turnstile.protocol(tls)
    config = Config(site, http=protocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=60)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}, _loop=loop),
        "127.0.0.1",
        0,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await turnstile.empty.wait()
        await server.wait_closed()
    assert not turnstile.clients


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def connect(port: int, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def cut(reader: asyncio.StreamReader) -> None:
    """Wait until the server has cut the connection; it says nothing before."""
    with suppress(ConnectionResetError):
        assert await reader.read() == b""


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    return await reader.readexactly(length)


def run(turnstile: WatchedTurnstile, talk: Talk) -> None:
    async def main() -> None:
        async with served(turnstile) as port:
            reader, writer = await connect(port)
            try:
                await talk(reader, writer)
            finally:
                writer.close()

    asyncio.run(asyncio.wait_for(main(), LONG_S))


@pytest.mark.parametrize("head", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nA: b\r\n"])
def test_a_head_that_never_ends(head: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await cut(reader)

    run(WatchedTurnstile(head_s=SHORT_S, request_s=LONG_S, idle_s=LONG_S), talk)


def test_a_head_that_drips_gets_no_more_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def drip() -> None:
            writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                writer.write(b"A: b\r\n")
                await asyncio.sleep(SHORT_S / 10)

        dripping = asyncio.create_task(drip())
        await cut(reader)
        dripping.cancel()

    run(WatchedTurnstile(head_s=SHORT_S, request_s=LONG_S, idle_s=LONG_S), talk)


def test_a_body_that_never_ends() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await cut(reader)

    run(WatchedTurnstile(head_s=LONG_S, request_s=SHORT_S, idle_s=LONG_S), talk)


def test_an_answer_that_nobody_reads() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n")
        await turnstile.empty.wait()

    turnstile = WatchedTurnstile(head_s=LONG_S, request_s=LONG_S, idle_s=SHORT_S)
    run(turnstile, talk)


def test_a_pause_between_requests_has_an_end_and_requests_have_theirs() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(5):
            body = b"%d" % number * 1000
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert await answer(reader) == body
        await cut(reader)

    run(WatchedTurnstile(head_s=LONG_S, request_s=LONG_S, idle_s=SHORT_S), talk)


def test_requests_one_after_the_other_each_have_their_own_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(6):  # together longer than the time of one
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
            await asyncio.sleep(SHORT_S)
            writer.write(b"x")
            assert await answer(reader) == b"x"

    run(WatchedTurnstile(head_s=LONG_S, request_s=5 * SHORT_S, idle_s=LONG_S), talk)


@pytest.mark.parametrize(("most", "most_of_one"), [(3, 10), (10, 3)])
def test_too_many_connections_are_cut_and_room_comes_back(most: int, most_of_one: int) -> None:
    async def main() -> None:
        async with served(WatchedTurnstile(most=most, most_of_one=most_of_one)) as port:
            held = []
            for _ in range(3):
                reader, writer = await connect(port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await answer(reader) == b""
                held.append(writer)
            reader, writer = await connect(port)
            await cut(reader)
            writer.close()
            if most_of_one < most:  # others come in meanwhile
                reader, writer = await connect(port, "127.0.0.2")
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await answer(reader) == b""
                writer.close()
            held[0].close()
            while True:
                reader, writer = await connect(port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    assert await answer(reader) == b""
                    break
                except (asyncio.IncompleteReadError, ConnectionResetError):
                    writer.close()  # the one that left is not counted out yet
            for connection in (writer, *held):
                connection.close()

    asyncio.run(asyncio.wait_for(main(), LONG_S))


def test_a_trusted_proxy_has_all_the_room() -> None:
    turnstile = Turnstile(most=5, most_of_one=2, trusted=frozenset({"127.0.0.1"}))
    assert [turnstile.enter("127.0.0.1", True) for _ in range(6)] == [True] * 5 + [False]
