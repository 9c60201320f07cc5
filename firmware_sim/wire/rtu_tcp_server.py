"""RTU over TCP: a device server that forwards a serial line's bytes over one TCP port, uninterpreted.

It has one line for all who connect. What comes from the line goes to whoever connected last; while nobody is connected
it waits, and the next one gets it: an answer to a question that somebody else asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from firmware_sim.errors import WireError
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import RTU, Frames, Line
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.ports import Listener
from firmware_sim.wire.rtu_wire import RtuWire
from firmware_sim.wire.tap import Tap

KEPT = 1024
"""Bytes that wait for the next connection."""


class RtuTcpBus(RtuWire):
    """One listening address with a serial line behind it.

    Args:
        units: the devices on the line.
        line: its settings.
        host: to listen on.
        port: 0 takes a free one; the attribute is the real one once it is open.
        disturbances: what else happens on the line.
        closes_behind_answer: each connection ends behind its first answer.
        tap: gets a copy of the line.
        frames: what is spoken on the line.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        host: str,
        port: int,
        disturbances: Sequence[Disturbance] = (),
        *,
        closes_behind_answer: bool = False,
        frames: Frames = RTU,
        tap: Tap | None = None,
    ) -> None:
        super().__init__(units, line, disturbances, frames, tap)
        self._closes_behind_answer = closes_behind_answer
        self.host, self.port = host, port
        self.connections: list[asyncio.Transport] = []
        self._kept = b""

    async def open(self) -> None:
        """Start to serve. Raises ``WireError`` when the address is taken."""
        self._start()
        self.listener = Listener(self.units.bus, lambda: _Connection(self), self.host, self.port)
        try:
            await self.listener.open()
        except WireError:
            self._is_open = False
            raise
        self.port = self.listener.port

    def go(self) -> None:
        """Refuse, and hang up on every client."""
        self.listener.go()
        self._end_all()

    def come(self) -> None:
        """Listen again."""
        self.listener.come()

    def close(self) -> None:
        """Stop, and hang up on every client."""
        self._stop()
        self.listener.close()
        self._end_all()

    def _end_all(self) -> None:
        for transport in list(self.connections):
            transport.abort()

    def connected(self, transport: asyncio.Transport) -> None:
        """Somebody is there: what waited is theirs."""
        self.connections.append(transport)
        kept, self._kept = self._kept, b""
        if kept:
            transport.write(kept)

    def _open_ones(self) -> list[asyncio.Transport]:
        return [transport for transport in self.connections if not transport.is_closing()]

    def _answered(self) -> None:
        if self._closes_behind_answer:
            self.hang_up()

    def hang_up(self) -> None:
        """End the connection that hears the line."""
        if open_ones := self._open_ones():
            open_ones[-1].close()

    def _write(self, data: bytes) -> None:
        if open_ones := self._open_ones():
            open_ones[-1].write(data)
        else:
            self._kept = (self._kept + data)[-KEPT:]


class _Connection(asyncio.Protocol):
    def __init__(self, bus: RtuTcpBus) -> None:
        self._bus = bus
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._bus.connected(transport)
        if self._bus.listener.is_gone:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._bus.connections.remove(self._transport)

    def data_received(self, data: bytes) -> None:
        self._bus.hear(data)
