"""P1 port that pushes its meter's telegrams: on a pseudo-terminal, or to whoever connects (a converter).

Faults see the bytes as they are on the wire, with their parity. A port that still sends a telegram, in pieces, makes no
other one meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from firmware_sim.clock import SimClock
from firmware_sim.meters.answer_faults import Before, Fault, Strike
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.armed import Armed, Choice
from firmware_sim.meters.device import Changes, looking
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.meters.register_image import Reply
from firmware_sim.wire.answer_log import AnswerLog, injected, untrue
from firmware_sim.wire.ports import Listener
from firmware_sim.wire.tap import Tap


class Telegram(NamedTuple):
    """What is sent, the moment that it was made at, and what would be sent without faults."""

    at_ms: int
    text: bytes
    true: bytes


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
        self._before, self._free_s, self._timers = Before(), 0.0, set[asyncio.TimerHandle]()
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
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._free_s = 0.0
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

    def _write_down(self, telegram: Telegram, data: bytes, struck: Sequence[tuple[Armed, Choice]]) -> None:
        """A line for each meter in a telegram; the bytes, without parity, stand in that of the meter itself."""
        plain = bytes(byte & 0x7F for byte in data) if self._seven_bits else data
        sent: dict[str, object] = {"sent": plain.hex()}
        faults: dict[str, object] = {}
        if struck:
            ids = injected(armed.id for armed, _ in struck)
            faults = {"faults": [choice.kind for _, choice in struck], **ids}
        at_ms, text, true = telegram
        is_bare = self._seven_bits and self._on_wire(text) not in data  # parity tells that it is damaged
        shown = self._meter.received(b"" if is_bare else plain, text)
        for name, values in self._meter.values(true).items():
            moment = {"t_ms": self._clock.unix_ms(), "at_ms": at_ms, "meter": name, "line": self._name}
            line = {**moment, **sent, "values": shown[name], **faults, **untrue(values, shown[name])}
            self._log.write_entry(line)
            sent = {}

    def _say(self, at_ms: int, text: bytes) -> None:
        """Send a telegram, as far as faults let it be sent."""
        if self._is_gone or asyncio.get_running_loop().time() < self._free_s:
            return
        met = [(armed, *found) for armed in self._faults if (found := armed.strikes(at_ms))]
        if not all(choice.fault.hears(at_ms) for _, choice, _ in met):
            return
        if faults := [choice.fault for _, choice, _ in met]:
            telegram = Telegram(at_ms, self._shown(at_ms, faults), text)
        else:
            telegram = Telegram(at_ms, text, text)
        data = self._on_wire(telegram.text)
        deliveries = [Delivery(0.0, data, {})]
        for _, choice, rng in met:
            deliveries = choice.fault.send(deliveries, Strike(rng, self._before))
        self._before = Before(data=data)
        struck = [(armed, choice) for armed, choice, _ in met]
        for delivery in (each.ended() for each in deliveries):
            if delivery.after_ms:
                self._later(delivery.after_ms, partial(self._deliver, telegram, delivery, struck))
            else:
                self._deliver(telegram, delivery, struck)

    def _shown(self, at_ms: int, faults: Sequence[Fault]) -> bytes:
        """A telegram where these faults struck."""

        def now(t_ms: int) -> Reply:
            return Reply(tuple(self._meter.telegram(t_ms, Changes(faults, t_ms))), {})

        return bytes(looking(faults, now)(at_ms).registers)

    def _deliver(self, telegram: Telegram, delivery: Delivery, struck: Sequence[tuple[Armed, Choice]]) -> None:
        """Send the bytes; what a fault has held back is not sent when it was cleared meanwhile."""
        if delivery.after_ms and any(armed.cleared for armed, _ in struck):
            return
        if (wait_s := self._free_s - asyncio.get_running_loop().time()) > 0:
            self._later(wait_s * 1000, partial(self._deliver, telegram, delivery, struck))
            return
        data, size = delivery.data, delivery.piece or max(1, len(delivery.data))
        if data:
            self._write_down(telegram, data, struck)
            self.sent += 1
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        self._free_s = asyncio.get_running_loop().time() + max(0, len(pieces) - 1) * delivery.gap_ms / 1000
        self._write(pieces, delivery.gap_ms, delivery.ends_after is not None)

    def _write(self, pieces: list[bytes], gap_ms: float, ends: bool) -> None:
        """Write the first piece now, and the others apart."""
        now = pieces[:1] if gap_ms else pieces
        for data in now:
            if self.tap is not None:
                self.tap.carry(data)
            for writer in self._connections:
                if not writer.is_closing():
                    writer.write(data)
        if left := pieces[len(now) :]:
            self._later(gap_ms, partial(self._write, left, gap_ms, ends))
        elif ends:
            for writer in self._connections:
                writer.close()

    def _later(self, wait_ms: float, call: Callable[[], None]) -> None:
        """Call it then, unless the port goes before."""

        def due() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(wait_ms / 1000, due)
        self._timers.add(timer)

    def _on_wire(self, text: bytes) -> bytes:
        """With parity, where there is one."""
        return bytes(byte | byte.bit_count() % 2 << 7 for byte in text) if self._seven_bits else text

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            at_ms = self._clock.now_ms()
            self._say(at_ms, self._meter.telegram(at_ms))
            due += self._every_s
            await asyncio.sleep(max(0.0, due - loop.time()))
