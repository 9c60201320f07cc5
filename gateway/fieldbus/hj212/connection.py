"""Connection of a logger: moves bytes, and does not read on while too much is unreplied or comes too fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.fieldbus.hj212.answers import permit
from gateway.fieldbus.hj212.splitter import Damaged, Splitter, Whole
from gateway.fieldbus.wire.keys import Unit

UNENDED_S = 10.0
"""A packet that has not ended so long after it began is damaged."""
MOST_UNREPLIED = 4
"""Messages that wait to become durable; then the socket is not read."""
BUFFER = 4096
"""Bytes read at once, and so at most passed over by the two limits."""
COST_BYTES = 1000
"""What a packet costs beside its bytes, as small ones need no less work."""
RATE, BURST = 200_000, 400_000
"""Cost that is taken in a second, and at once after a pause: some 70 packets a second."""
EOF_S = 30.0
"""A peer that sends no more is waited for so long, if it may still get answers."""
UNSENT_BYTES = 16_384
"""Answers that a peer may leave unread; then it is disconnected."""

Take = Callable[["Connection", Whole | Damaged], None]


class Connection(asyncio.BufferedProtocol):
    """One connection. Event loop only.

    ``take`` gets each packet, ``made`` and ``lost`` tell of the connection itself. ``unreplied`` is raised by who takes
    a message and lowered by ``replied``.
    """

    def __init__(self, take: Take, made: Callable[[Connection], bool], lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._take, self._made, self._lost = take, made, lost
        self._buffer = memoryview(bytearray(BUFFER))
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._budget, self._budget_at = float(BURST), self._loop.time()
        self._fed_at = self._budget_at
        self._ended = False
        self.host = self.peer = ""
        self.unreplied, self.reading = 0, True
        self.stations = set[Unit]()
        """Those of the configured stations that have spoken on it."""

    def replied(self, answer: bytes | None) -> None:
        """A message is durable: send the answer, if it wants one, and go on."""
        self.unreplied -= 1
        if answer is not None:
            self.give(answer)
        self._go_on()

    def give(self, answer: bytes) -> None:
        """Send an answer; nothing that is no answer leaves."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(permit(answer))
        if transport.get_write_buffer_size() > UNSENT_BYTES:
            transport.abort()

    def drop(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if (peer := transport.get_extra_info("peername")) is None:  # gone again already
            transport.abort()
            return
        self.host, port = peer[:2]
        self.peer = f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"
        if not self._made(self):
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._budget -= nbytes
        self._fed_at = self._loop.time()
        self._splitter.feed(bytes(self._buffer[:nbytes]))
        self._go_on()

    def eof_received(self) -> bool:
        """The peer sends no more; what it sent is still answered, then it is closed."""
        self._ended = True
        self._after(EOF_S, self.drop)
        self._go_on()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._lost(self)

    def _go_on(self) -> None:
        """Hand on what the limits allow, and read on if that was all there is."""
        while may_go_on := self._may_go_on():
            packet = self._splitter.take()
            if packet is None and self._ended:
                packet = self._splitter.give_up()
            if packet is None:
                break
            self._handed_on(packet)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._ended:
            if may_go_on and not self.unreplied:
                transport.close()
            return
        if may_go_on != self.reading:
            self.reading = may_go_on
            if may_go_on:
                transport.resume_reading()
            else:
                transport.pause_reading()
        if self._splitter.pending and self.reading:
            self._after(UNENDED_S, self._unended)
        else:
            self._cancel(self._unended)

    def _handed_on(self, packet: Whole | Damaged) -> None:
        """Begin the time in which the next packet must end."""
        self._cancel(self._unended)
        length = len(packet.segment) if isinstance(packet, Whole) else packet.length_given or 0
        self._budget -= COST_BYTES + length
        self._take(self, packet)

    def _unended(self) -> None:
        """What has begun has not ended in time. What it swallowed is read; behind a silence nothing is waited for."""
        if (damaged := self._splitter.give_up()) is not None:
            self._handed_on(damaged)
        self._go_on()
        if self._loop.time() - self._fed_at >= UNENDED_S and self._may_go_on():
            self._splitter.forget()
            self._cancel(self._unended)

    def _may_go_on(self) -> bool:
        """It is open, and neither limit is reached; where the rate's is, it goes on by itself."""
        if self._transport is None or self._transport.is_closing() or self.unreplied >= MOST_UNREPLIED:
            return False
        now = self._loop.time()
        self._budget, self._budget_at = min(BURST, self._budget + RATE * (now - self._budget_at)), now
        if self._budget < 0:
            self._after(-self._budget / RATE, self._go_on)
        return self._budget >= 0

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        """Call it later, unless it is to be called already."""
        if then not in self._timers:
            self._timers[then] = self._loop.call_later(seconds, self._ring, then)

    def _ring(self, then: Callable[[], None]) -> None:
        del self._timers[then]
        then()

    def _cancel(self, then: Callable[[], None]) -> None:
        if (timer := self._timers.pop(then, None)) is not None:
            timer.cancel()
