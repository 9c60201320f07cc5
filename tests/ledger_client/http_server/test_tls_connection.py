"""Clients that stop in the middle of a TLS handshake count as any other, and are cut off in time."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ledger_client.http_server.test_connection import (
    LONG_S,
    SHORT_S,
    WatchedTurnstile,
    answer,
    connect,
    cut,
    served,
)
from tests.support.brokers.pki import Authority

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"


class Ends:
    """Both ends of TLS."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        pair = authority.issue("server")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(pair.cert, pair.key)
        self.client = ssl.create_default_context(cafile=authority.ca)

    def hello(self) -> bytes:
        """What a client says first."""
        sent = ssl.MemoryBIO()
        client = self.client.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        return sent.read()

    async def ask(self, port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.client)
        writer.write(REQUEST)
        try:
            return await answer(reader)
        finally:
            writer.close()


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


@pytest.mark.parametrize("sent", ["nothing", "half a hello", "a hello", "http", "a hello and http"])
def test_a_handshake_that_never_ends(ends: Ends, sent: str) -> None:
    hello = ends.hello()
    words = {"nothing": b"", "half a hello": hello[:100], "a hello": hello, "http": REQUEST}

    async def main() -> None:
        async with served(WatchedTurnstile(head_s=SHORT_S, request_s=LONG_S, idle_s=LONG_S), ends.server) as port:
            reader, writer = await connect(port)
            writer.write(words.get(sent, hello + REQUEST))
            with suppress(ConnectionResetError):
                await reader.read()  # what the server says of TLS, and then its end
            writer.close()
            assert await ends.ask(port) == b"hello"

    asyncio.run(asyncio.wait_for(main(), LONG_S))


def test_who_is_in_the_middle_of_a_handshake_takes_a_place(ends: Ends) -> None:
    async def main() -> None:
        turnstile = WatchedTurnstile(head_s=LONG_S, most=2, most_of_one=2)
        async with served(turnstile, ends.server) as port:
            first, second = await connect(port), await connect(port)
            while turnstile.clients.total() < 2:  # noqa: ASYNC110 - the server's own loop is this one
                await asyncio.sleep(0)
            reader, writer = await connect(port)
            await cut(reader)
            writer.close()
            for _, writer in (first, second):  # one that leaves gives its place back
                writer.close()
            await turnstile.empty.wait()
            assert await ends.ask(port) == b"hello"

    asyncio.run(asyncio.wait_for(main(), LONG_S))


def test_many_at_once_are_served(ends: Ends) -> None:
    async def main() -> None:
        async with served(WatchedTurnstile(), ends.server) as port:
            assert await asyncio.gather(*(ends.ask(port) for _ in range(50))) == [b"hello"] * 50

    asyncio.run(asyncio.wait_for(main(), LONG_S))
