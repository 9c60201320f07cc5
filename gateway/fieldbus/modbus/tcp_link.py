"""Modbus TCP link: moves bytes and waits; ``mbap`` decides.

A poll of a fast meter takes less time than this process needs for it, so there is nothing here to be made for each read
but one future: packets lie ready but for their transaction id, bytes are read into one buffer, and one timer a
connection is put off instead of being set and cancelled.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial
from typing import cast

from gateway.fieldbus.modbus.frames import Request, permit
from gateway.fieldbus.modbus.mbap import HEAD, Transactions
from gateway.fieldbus.wire.connections import RECONNECT_PAUSE_S, Connections
from gateway.fieldbus.wire.errors import LineDown, broken, connection_error, not_connected
from gateway.fieldbus.wire.keys import KeyTable, Question, Unit
from gateway.fieldbus.wire.link import Manners, Outcome, Witness, no_key
from gateway.fieldbus.wire.reopen import reopened
from gateway.fieldbus.wire.stream_link import connected
from gateway.messages.message import Message
from ledger_client.messages import Sentence

CONNECT_S = 3.0
HANDSHAKE_S = 10.0
"""A small device needs seconds for the arithmetic of a TLS handshake."""
BUFFER = 2048
"""Bytes read at once; a packet has 260 at most."""


class TcpLink:
    """A connection to one endpoint, renewed by itself after time-outs, and when the device closes it behind an answer.
    See ``link.Link``.

    ``generation`` counts the connections behind which another device may be. Owned by the event loop.

    Args:
        witness: called with bytes that are no expected answer.
        delay_s: wait after connecting before the first request.
        connections: what earlier links showed of the endpoint.
        tls: context of Modbus/TCP Security; the device's certificate must bear ``host``.
    """

    def __init__(
        self,
        host: str,
        tcp_port: int,
        table: KeyTable,
        witness: Witness,
        delay_s: float = 0.0,
        *,
        connections: Connections | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._tcp_port, self._delay_s, self._tls = host, tcp_port, delay_s, tls
        self._loop = asyncio.get_running_loop()
        self._connections = connections or Connections()
        self._transactions = Transactions(table, witness, self._connections)
        self.generation, self.renewals, self.voided = 0, 0, self._transactions.voided
        self._connection: _Connection | None = None
        self._ready: dict[Unit, float] = {}
        self._closed = False

    async def connect(self) -> None:
        """Open the connection; LineDown, with the reason, when there is none to be had."""
        await self._open(same_device=False)

    async def read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        """Ask one of the questions (``Request``s) and wait for its answer; LineDown when the connection is gone.

        A question that meets the end of its connection behind an earlier answer is put once more, in another shape, to
        another connection.
        """
        requests = cast("Sequence[Request]", questions)
        if self._ready and (wait := self._ready.get(requests[0].unit, 0.0) - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        transactions, met = self._transactions, False
        while True:
            connection = self._connection
            if transactions.stale or connection is None or connection.closing or self._connections.end_due is not None:
                connection = await self._usable()
            now = self._loop.time()
            request = transactions.choose(requests, now, direct=manners.direct)
            if request is None:
                return no_key(transactions.table, requests, now, closed=met)
            packet = transactions.ask(request, now, direct=manners.direct)
            try:
                connection.send(packet)
                await connection.news(now + manners.timeout_s)
                if transactions.decided or not connection.lost:
                    return self._finish(request, manners)
                self._demand_hung_up(connection.why)
            except BaseException:  # a cancelled read, too, has used its shape
                transactions.abandon(self._loop.time())
                raise
            transactions.lost(self._loop.time())
            met = True

    async def quiet(self) -> None:
        """Nothing to wait for: a second answer bears a transaction id that has been served."""

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._drop()

    async def _open(self, *, same_device: bool) -> None:
        begun = self._loop.time()
        try:
            self._connection = await self._connected()
        except OSError as error:
            raise not_connected(error) from None
        self._transactions.opened()
        self._connections.opened(self._loop.time() - begun + self._delay_s)
        self.generation, self.renewals = self.generation + (not same_device), self.renewals + same_device
        try:
            await asyncio.sleep(self._delay_s)
        except BaseException:
            self._drop()
            raise

    async def _connected(self) -> _Connection:
        """A new connection, with TLS behind its handshake. OSError, or LineDown where there is no handshake."""
        made, host = partial(_Connection, self._loop, self._transactions, self._connections), self._host
        if self._tls is None:
            async with asyncio.timeout(CONNECT_S):
                return (await self._loop.create_connection(made, host, self._tcp_port))[1]
        sock = await connected(host, self._tcp_port, CONNECT_S)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                name = host.rstrip(".")
                return (await self._loop.create_connection(made, sock=sock, ssl=self._tls, server_hostname=name))[1]
        except (ConnectionError, TimeoutError) as error:
            raise LineDown(Message("device-no-tls")) from error

    def _finish(self, request: Request, manners: Manners) -> Outcome:
        now, transactions = self._loop.time(), self._transactions
        came = transactions.decided
        outcome = transactions.finish(now)
        if came and not transactions.stale:
            self._connections.answered(now)
        if manners.pause_s:
            self._ready[request.unit] = now + manners.pause_s
        return outcome

    def _demand_hung_up(self, why: Exception | None) -> None:
        """LineDown, unless the connection ended as it does behind a whole answer. A device refuses a certificate behind
        the handshake: by ending the connection, with a word of TLS that may be lost."""
        midst = self._transactions.stale
        if midst or not self._connections.behind_answer:
            sentence: Sentence = Message("device-closed-midway") if midst else Message("device-closed-unanswered")
            if isinstance(why, OSError):
                sentence = connection_error(why)
            if self._tls is not None and not self._connections.has_answered:
                sentence = Message("device-tls-ended", error=sentence)
            raise broken(sentence, why)

    async def _usable(self) -> _Connection:
        """The connection as it is, or another one in its place: at once where the device closed it behind an answer."""
        connection, due = self._connection, self._connections.end_due
        if connection is not None and due is not None and not connection.closing:
            await connection.news(due)
        if connection is not None and not connection.closing and not self._transactions.stale:
            return connection
        if self._closed:
            raise LineDown(Message("line-closed"))
        if self._connections.behind_answer and not self._transactions.stale:
            same_device = self._connections.same_device
            self._drop()
            await reopened(partial(self._open, same_device=same_device), same_device=same_device)
        else:
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

    def __init__(self, loop: asyncio.AbstractEventLoop, transactions: Transactions, connections: Connections) -> None:
        self._loop, self._transactions, self._connections = loop, transactions, connections
        self._buffer = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport | None = None
        self._news: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = self._dropped = self._over = False
        self.why: Exception | None = None
        """What it broke of; None: it was closed."""

    @property
    def closing(self) -> bool:
        """It is gone, or about to be."""
        return self._transport is None or self._over or self._transport.is_closing()

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
        self._dropped = True
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

    def eof_received(self) -> None:
        self._ended(orderly=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(orderly=exc is None)
        self.lost, self.why = True, exc
        self._stop_timer()
        self._tell()

    def _ended(self, *, orderly: bool) -> None:
        self._over = True
        if not self._dropped:
            self._connections.ended(self._loop.time(), orderly=orderly, met=not self._transactions.decided)

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
