"""Ports that go and return while the simulator runs: a TCP port that listens, and whoever watches for its faults."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from firmware_sim.clock import SimClock
from firmware_sim.errors import WireError
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.wire_faults import has

AGAIN_S = 0.2
"""A port that somebody else has taken meanwhile is tried again after so many seconds."""


class Port(Protocol):
    """What a fault takes away for a time."""

    def go(self) -> None:
        """End every connection, and take none, from now on."""

    def come(self) -> None:
        """Be there again as before. Raises ``OSError``, ``WireError`` when somebody else has its place."""


class PortWatch:
    """Makes a port go and come as the faults of its bus want.

    Args:
        port: what goes and comes.
        faults: of the bus, looked at anew each time.
        kind: of the faults that take it away.
        clock: the plant's.
    """

    def __init__(self, port: Port, faults: Sequence[Armed], kind: type[Fault], clock: SimClock) -> None:
        self._port, self._faults, self._kind, self._clock = port, faults, kind, clock
        self._is_gone = self._is_open = False
        self._next: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Watch from now on; the port is there."""
        self._loop, self._is_open = asyncio.get_running_loop(), True
        self.look()

    def close(self) -> None:
        """Watch no more."""
        self._is_open = False
        if self._next is not None:
            self._next.cancel()

    def look(self) -> None:
        """Do what is due, and look again when more is: also called when faults have changed."""
        if not self._is_open:
            return
        if self._next is not None:
            self._next.cancel()
        now = self._clock.now_ms()
        is_gone = has(self._faults, self._kind, now)
        try:
            if is_gone != self._is_gone:
                (self._port.go if is_gone else self._port.come)()
            self._is_gone = is_gone
            for armed in self._faults:
                if has([armed], self._kind, now):
                    armed.struck = armed.struck or 1
        except (OSError, WireError):
            self._next = self._loop.call_later(AGAIN_S, self.look)
            return
        ends = (end for armed in self._faults for end in (armed.when.from_ms, armed.when.to_ms))
        later = [end for end in ends if end is not None and end > now]
        self._next = self._loop.call_later(self._clock.wait_s(min(later)), self.look) if later else None


class Listener:
    """A listening address; ``open``, ``go``, ``come`` and ``close`` belong to one event loop.

    While it is gone the address stays taken, and refuses.

    Args:
        bus: its name.
        made: makes a protocol for each connection.
        host: to listen on.
        port: 0 takes a free one; the attribute is the real one once it is open, and stays so.
        tls: speaks it.
    """

    def __init__(
        self,
        bus: str,
        made: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._bus, self._made, self._host, self.port, self._tls = bus, made, host, port, tls
        self._servers: list[asyncio.Server] = []
        self._places: list[tuple[int, tuple[object, ...]]] = []
        self._held: list[socket.socket] = []
        self._accepting: asyncio.Task[None] | None = None
        self.is_gone = False

    async def open(self) -> None:
        """Listen. Raises ``WireError`` when the address is taken."""
        self._loop = asyncio.get_running_loop()
        try:
            server = await self._loop.create_server(self._made, self._host, self.port, ssl=self._tls)
        except OSError as error:
            raise WireError(
                f"bus {self._bus}: cannot listen on {self._host}:{self.port}: {error.strerror or error}",
                f"use another port (--port {self._bus}=0 takes a free one)",
            ) from None
        self._servers = [server]
        self._places = [(each.family, each.getsockname()) for each in server.sockets]
        self.port = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        self.is_gone = True
        self._end()

    def go(self) -> None:
        """Refuse, and hold the address."""
        self.is_gone = True
        self._end()
        with suppress(OSError):
            self._hold()

    def come(self) -> None:
        """Listen at the same address. Raises ``OSError`` when somebody else has it."""
        self._hold()
        for each in self._held:
            each.listen(100)
        self.is_gone = False
        self._accepting = self._loop.create_task(self._accept())

    def _end(self) -> None:
        for server in self._servers:
            server.close()
        for held in self._held:
            held.close()
        self._servers.clear()
        self._held.clear()

    def _hold(self) -> None:
        """Have a socket that does not listen at each address."""
        for family, place in self._places[len(self._held) :]:
            held = socket.socket(family, socket.SOCK_STREAM)
            try:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                held.bind(place)
            except OSError:
                held.close()
                raise
            self._held.append(held)

    async def _accept(self) -> None:
        """Serve who connects, unless the port is gone again by now."""
        while self._held and not self.is_gone:
            held = self._held.pop(0)
            server = await self._loop.create_server(self._made, sock=held, ssl=self._tls, start_serving=False)
            self._servers.append(server)
            await server.start_serving()
