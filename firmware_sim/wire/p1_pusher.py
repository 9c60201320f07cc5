"""P1 port that pushes its meter's telegrams: on a pseudo-terminal, or to whoever connects (a converter)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firmware_sim.clock import SimClock
from firmware_sim.meters.answer_faults import Strike
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.wire.answer_log import AnswerLog, injected, untrue
from firmware_sim.wire.ports import Listener
from firmware_sim.wire.tap import Tap


class P1Bus:
    """One port; ``open`` and ``close`` belong to one event loop. ``tap`` counts what somebody sent into its terminal.

    Args:
        name: of the bus.
        meter: what it sends.
        every_ms: how often.
        clock: the plant's.
        log: where telegrams are written.
        path: of the terminal's link; None: it listens on ``host`` and ``port``.
        seven_bits: 7 data bits and even parity, as read with 8 data bits.
        faults: of the bus, looked at anew for each telegram.
    """

    def __init__(
        self,
        name: str,
        meter: P1Meter,
        every_ms: float,
        clock: SimClock,
        log: AnswerLog,
        *,
        path: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seven_bits: bool = False,
        faults: Sequence[Armed] = (),
    ) -> None:
        self._name, self._meter, self._every_s, self._clock, self._log = name, meter, every_ms / 1000, clock, log
        self.host, self.port, self._seven_bits = host, port, seven_bits
        self.tap = Tap(path) if path is not None else None
        self._connections: set[asyncio.StreamWriter] = set()
        self._listener: Listener | None = None
        self._faults, self._is_gone = faults, False
        self.sent = 0

    async def open(self) -> None:
        """Start to send. Raises ``WireError`` when path or address is taken."""
        if self.tap is not None:
            self.tap.open()
        else:
            self._listener = Listener(self._name, self._protocol, self.host, self.port)
            await self._listener.open()
            self.port = self._listener.port
        self._task = asyncio.get_running_loop().create_task(self._push())

    def close(self) -> None:
        """Stop."""
        self._task.cancel()
        if self._listener is not None:
            self._listener.close()
        if not self._is_gone:
            self.go()

    def go(self) -> None:
        """Take the link away, or refuse, and hang up on everybody."""
        self._is_gone = True
        if self.tap is not None:
            self.tap.close()
        if self._listener is not None:
            self._listener.go()
        for writer in self._connections:
            writer.transport.abort()

    def come(self) -> None:
        """Publish the link anew, or listen again."""
        if self.tap is not None:
            self.tap.open()
        if self._listener is not None:
            self._listener.come()
        self._is_gone = False

    def _protocol(self) -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._connected)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_gone:
            writer.transport.abort()
        self._connections.add(writer)
        with suppress(OSError):
            while await reader.read(4096):
                pass
        self._connections.discard(writer)
        writer.transport.abort()

    def _write_down(self, at_ms: int, text: bytes, delivery: Delivery, struck: Sequence[tuple[str, str]]) -> None:
        """A line for each meter in a telegram; the bytes stand in that of the meter itself. ``struck``: kinds and ids
        of faults."""
        sent: dict[str, object] = {"sent": delivery.data.hex()}
        faults = {"faults": [kind for kind, _ in struck], **injected(name for _, name in struck)} if struck else {}
        for name, values in self._meter.values(text).items():
            moment = {"t_ms": self._clock.unix_ms(), "at_ms": at_ms, "meter": name, "line": self._name}
            shown = values if delivery.data == text else {}
            self._log.write_entry({**moment, **sent, "values": shown, **faults, **untrue(values, shown)})
            sent = {}

    def _say(self, at_ms: int, text: bytes) -> None:
        """Send a telegram, as far as faults let it be sent."""
        if self._is_gone:
            return
        met = [(armed.id, *found) for armed in self._faults if (found := armed.strikes(at_ms))]
        if not all(choice.fault.hears(at_ms) for _, choice, _ in met):
            return
        deliveries = [Delivery(0.0, text, {})]
        for _, choice, rng in met:
            deliveries = choice.fault.send(deliveries, Strike(rng))
        for delivery in (each.ended() for each in deliveries):
            if delivery.data:
                self._write_down(at_ms, text, delivery, [(choice.kind, name) for name, choice, _ in met])
                self.sent += 1
                self._write(delivery.data)
            if delivery.ends_after is not None:
                for writer in self._connections:
                    writer.close()

    def _write(self, text: bytes) -> None:
        data = bytes(byte | byte.bit_count() % 2 << 7 for byte in text) if self._seven_bits else text
        if self.tap is not None:
            self.tap.carry(data)
        for writer in self._connections:
            if not writer.is_closing():
                writer.write(data)

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            at_ms = self._clock.now_ms()
            self._say(at_ms, self._meter.telegram(at_ms))
            due += self._every_s
            await asyncio.sleep(max(0.0, due - loop.time()))
