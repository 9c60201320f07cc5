"""Modbus TCP server, with TLS or without; handles pipelined, split and malformed requests as a device does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.device import Frame, Outcome
from firmware_sim.wire.bus_devices import Member, Units
from firmware_sim.wire.ports import Listener
from firmware_sim.wire.tls_roles import Security

ILLEGAL_FUNCTION, GATEWAY_TARGET_FAILED = 0x01, 0x0B  # Modbus application protocol v1.1b3, clause 7


class TcpBus:
    """One listening address.

    Args:
        units: the devices behind it.
        host: to listen on.
        port: 0 takes a free one; the attribute is the real one once it is open.
        unknown_unit: what a request to another unit gets: ``silent`` or ``exception``.
        unknown_after_ms: how long that exception takes, as of a converter that waits for an answer from its line.
        most_connections: a further one is closed at once; 0: no limit.
        closes_behind_answer: each connection ends behind its first answer.
        security: it speaks TLS, and refuses clients of other roles.
    """

    def __init__(
        self,
        units: Units,
        host: str,
        port: int,
        *,
        unknown_unit: str = "silent",
        unknown_after_ms: float = 0,
        most_connections: int = 0,
        closes_behind_answer: bool = False,
        security: Security | None = None,
    ) -> None:
        self.units, self.host, self.port = units, host, port
        self.answers_unknown, self.closes_behind_answer = unknown_unit == "exception", closes_behind_answer
        self.unknown_after_ms, self.most_connections = unknown_after_ms, most_connections
        self.security = security
        self.connections: set[_Connection] = set()

    async def open(self) -> None:
        """Start to serve. Raises ``WireError`` when the address is taken, or a file of TLS cannot be used."""
        tls = None if self.security is None else self.security.context()
        self.listener = Listener(self.units.bus, lambda: _Connection(self), self.host, self.port, tls)
        await self.listener.open()
        self.port = self.listener.port

    def go(self) -> None:
        """Refuse, and hang up on every client."""
        self.listener.go()
        self._hang_up()

    def come(self) -> None:
        """Listen again."""
        self.listener.come()

    def counted(self) -> list[dict[str, object]]:
        """By device: what it was asked, and what it has answered, so far."""
        return self.units.counted()

    def close(self) -> None:
        """Stop, and hang up on every client."""
        self.listener.close()
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in list(self.connections):
            connection.hang_up()


class _Connection(asyncio.Protocol):
    def __init__(self, bus: TcpBus) -> None:
        self._bus, self._units = bus, bus.units
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._admitted = True
        if self._bus.security is not None:
            tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
            self._admitted = self._bus.security.admits(tls.getpeercert(binary_form=True))
        is_full = 0 < self._bus.most_connections <= len(self._bus.connections)
        if is_full or self._bus.listener.is_gone:
            self.hang_up()
            return
        self._bus.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bus.connections.discard(self)

    def hang_up(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= frames.MBAP_BYTES:
            head = frames.mbap(self._received)
            if not 2 <= head.length <= frames.MAX_PDU + 1:
                self.hang_up()  # where the next frame begins can no longer be known
                return
            end = frames.MBAP_BYTES + head.length - 1
            if len(self._received) < end:
                return
            asked = bytes(self._received[:end])
            del self._received[:end]
            if head.protocol == 0:  # other protocols are discarded (messaging guide, 4.4.2.1)
                self._request(head.transaction, head.unit, asked)

    def _request(self, transaction: int, unit: int, asked: bytes) -> None:
        pdu = asked[frames.MBAP_BYTES :]
        if not self._admitted:
            self._transport.write(frames.tcp(transaction, unit, frames.exception(pdu[0], ILLEGAL_FUNCTION)))
            self._answered()
            return
        if not (meant := self._units.meant(unit)):
            if self._bus.answers_unknown:
                refusal = frames.tcp(transaction, unit, frames.exception(pdu[0], GATEWAY_TARGET_FAILED))
                self._after(self._bus.unknown_after_ms, self._write, refusal, True)
            return
        member = meant[0]
        frame: Frame = partial(frames.tcp, transaction)
        outcome = self._units.ask(member, pdu, frame, asked)
        latency_ms = self._units.latency_ms(member)
        for delivery in outcome.deliveries:
            self._after(latency_ms + delivery.after_ms, self._send, member, outcome, delivery)

    def _after(self, ms: float, call: Callable[..., None], *args: object) -> None:
        """Now, if it takes no time: answers keep the order of their questions."""
        if ms > 0:
            self._loop.call_later(ms / 1000, call, *args)
        else:
            call(*args)

    def _send(self, member: Member, outcome: Outcome, delivery: Delivery) -> None:
        if self._transport.is_closing() or (delivery.after_ms and outcome.is_withdrawn):
            return
        if not delivery.data:
            self._transport.close()
            return
        self._units.record(member, outcome, delivery)
        size = delivery.piece or len(delivery.data)
        ends = delivery.ends_after is not None
        for number, at in enumerate(range(0, len(delivery.data), size)):
            piece, last = delivery.data[at : at + size], at + size >= len(delivery.data)
            if number and delivery.gap_ms:
                self._loop.call_later(number * delivery.gap_ms / 1000, self._write, piece, last, ends)
            else:
                self._write(piece, last, ends)

    def _write(self, piece: bytes, last: bool, ends: bool = False) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(piece)
        if last and ends:
            self._transport.close()
        elif last:
            self._answered()

    def _answered(self) -> None:
        """An answer is sent in whole."""
        if self._bus.closes_behind_answer:
            self._transport.close()
