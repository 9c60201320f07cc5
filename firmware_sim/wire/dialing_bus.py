"""Serial line behind a data terminal unit (DTU): it dials a server that listens, and carries the line's bytes there.

It says its ``hello`` when it is connected, and its ``heartbeat`` while it is, between the frames of the line. A
connection that ends is dialled anew after a pause. What comes from the line while there is none is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import RTU, Frames, Line
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.rtu_wire import RtuWire


@dataclass(frozen=True, slots=True)
class Dial:
    """Where a DTU dials to, what it says besides the line, and how long it waits before it dials anew."""

    host: str
    port: int
    hello: bytes = b""
    heartbeat: bytes = b""
    heartbeat_ms: float = 30_000
    redial_ms: float = 1000


class DialingBus(RtuWire):
    """One line and its DTU.

    Args:
        units: the devices on the line.
        line: its settings.
        dial: where the DTU dials to.
        disturbances: what else happens on the line.
        frames: what is spoken on it.
    """

    def __init__(
        self, units: Units, line: Line, dial: Dial, disturbances: Sequence[Disturbance] = (), frames: Frames = RTU
    ) -> None:
        super().__init__(units, line, disturbances, frames)
        self.dial, self.host, self.port = dial, dial.host, dial.port
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        """Start to dial; nobody need be there yet."""
        self._start()
        self.come()

    def come(self) -> None:
        """Dial: also anew, when it has power again."""
        self._task = self._loop.create_task(self._keep_dialling(), name=f"DTU {self.units.bus}")

    def close(self) -> None:
        """Hang up, and dial no more."""
        self._is_open = False
        self.go()

    def go(self) -> None:
        """Hang up, and dial no more: it has no power."""
        self._task.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._transport = None

    def hang_up(self) -> None:
        """End the connection; it is dialled anew after the pause."""
        if self._transport is not None:
            self._transport.close()

    async def _keep_dialling(self) -> None:
        while True:
            ended = self._loop.create_future()
            try:
                await self._loop.create_connection(lambda: _Call(self, ended), self.host, self.port)  # noqa: B023
                await ended
            except OSError:
                pass
            self._transport = None
            await asyncio.sleep(self.dial.redial_ms / 1000)

    def connected(self, transport: asyncio.Transport) -> None:
        """The server is there."""
        self._transport = transport
        if self.dial.hello:
            transport.write(self.dial.hello)
        self._beat(transport)

    def _beat(self, transport: asyncio.Transport) -> None:
        if self.dial.heartbeat and transport is self._transport and not transport.is_closing():
            self._loop.call_later(self.dial.heartbeat_ms / 1000, self._say_it, transport)

    def _say_it(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.write(self.dial.heartbeat)
            self._beat(transport)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


class _Call(asyncio.Protocol):
    def __init__(self, bus: DialingBus, ended: asyncio.Future[None]) -> None:
        self._bus, self._ended = bus, ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._bus.connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._bus.hear(data)
