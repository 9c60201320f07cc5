"""A Modbus TCP connection. Moves bytes and waits; ``mbap`` decides.

A poll of a fast meter takes less time than this process needs for it, so there is nothing here to be made for each read
but one future: packets lie ready but for their transaction id, bytes are read into one buffer, and one timer a
connection is put off instead of being set and cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.fieldbus.errors import LineDown, not_connected
from gateway.fieldbus.frames import Request, permit
from gateway.fieldbus.link import Manners, Outcome, Witness, no_shape
from gateway.fieldbus.mbap import HEAD, Transactions
from gateway.fieldbus.shapes import ShapeTable

CONNECT_S = 3.0
RECONNECT_PAUSE_S = 0.2
"""Between closing and opening again: devices with one slot need a moment to notice."""
BUFFER = 2048
"""Bytes read at once; a packet has 260 at most."""


class TcpLink:
    """A connection to one endpoint, renewed by itself after time-outs. See ``link.Link``.

    ``generation`` counts the connections: behind a new one may stand another device.
    """

    def __init__(self, host: str, tcp_port: int, table: ShapeTable, witness: Witness, delay_s: float = 0.0) -> None:
        self._host, self._tcp_port, self._delay_s = host, tcp_port, delay_s
        self._loop = asyncio.get_running_loop()
        self._transactions = Transactions(table, witness)
        self.generation, self.voided = 0, self._transactions.voided
        self._connection: _Connection | None = None
        self._ready: dict[int, float] = {}
        self._closed = False

    async def connect(self) -> None:
        """Open the connection; LineDown, with the reason, when there is none to be had."""
        where = f"{self._host}:{self._tcp_port}"
        try:
            async with asyncio.timeout(CONNECT_S):
                _, self._connection = await self._loop.create_connection(
                    lambda: _Connection(self._loop, self._transactions), self._host, self._tcp_port
                )
        except OSError as error:
            raise not_connected(where, error) from None
        self._transactions.opened()
        self.generation += 1
        try:
            await asyncio.sleep(self._delay_s)
        except BaseException:
            self._drop()
            raise

    async def read(self, requests: Sequence[Request], manners: Manners) -> Outcome:
        """Ask one of the requests and wait for its answer; LineDown when the connection is gone."""
        if self._ready and (wait := self._ready.get(requests[0].unit, 0.0) - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        transactions, connection = self._transactions, self._connection
        if transactions.stale or connection is None or connection.closing:
            connection = await self._renew()
        now = self._loop.time()
        request = transactions.choose(requests, now, direct=manners.direct)
        if request is None:
            return no_shape(transactions.table, requests, now)
        packet = transactions.ask(request, now, direct=manners.direct)
        try:
            connection.send(packet)
            await connection.news(now + manners.timeout_s)
            if connection.lost and not transactions.decided:
                raise LineDown(f"{self._host}:{self._tcp_port} closed the connection")
        except BaseException:  # a cancelled read, too, has used its shape
            transactions.abandon(self._loop.time())
            raise
        now = self._loop.time()
        outcome = transactions.finish(now)
        if manners.pause_s:
            self._ready[request.unit] = now + manners.pause_s
        return outcome

    async def quiet(self) -> None:
        """Nothing to wait for: a second answer bears a transaction id that has been served."""

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._drop()

    async def _renew(self) -> _Connection:
        if self._closed:
            raise LineDown("closed")
        self._drop()
        await asyncio.sleep(RECONNECT_PAUSE_S)
        await self.connect()
        assert self._connection is not None
        return self._connection

    def _drop(self) -> None:
        if self._connection:
            connection, self._connection = self._connection, None
            connection.drop()


class _Connection(asyncio.BufferedProtocol):
    """One connection. What it reads goes to the transactions at once; a read waits for ``news``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transactions: Transactions) -> None:
        self._loop, self._transactions = loop, transactions
        self._buffer = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport | None = None
        self._news: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = False

    @property
    def closing(self) -> bool:
        """It is gone, or about to be."""
        return self._transport is None or self._transport.is_closing()

    def send(self, packet: bytes) -> None:
        """Write a packet, if it is a read; nothing else leaves."""
        permit(packet[HEAD:])
        assert self._transport is not None
        self._transport.write(packet)

    def news(self, deadline: float) -> asyncio.Future[None]:
        """To be waited for until the question is decided, the connection lost, or the deadline past.

        A timer that rings too early is set anew then, so that it need not be touched as long as answers come.
        """
        self._deadline = deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._ring)
        elif deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._ring)
        self._news = self._loop.create_future()
        if self.lost:
            self._tell()
        return self._news

    def drop(self) -> None:
        """Close it; nothing that comes after this is listened to."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._transactions.receive(bytes(self._buffer[:nbytes]), self._loop.time())
        if self._transactions.decided:
            self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._stop_timer()
        self._tell()

    def _ring(self) -> None:
        self._timer = None
        if self._news is None or self._news.done():
            return
        if self._loop.time() >= self._deadline:
            self._tell()
        else:
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
