"""Line of bits in time: each end has settings of its own, misreads others, and may speak while others do.

A device takes a question whose bytes all arrive whole, without a pause of 1.5 characters in it; it answers after a
silence of 3.5 characters (Modbus over serial line v1.02, 2.5.1.1) and its latency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.device import Outcome
from firmware_sim.wire.bus_devices import Member, Units
from firmware_sim.wire.line import Frames, Line, silence_s
from firmware_sim.wire.pair import Pair, Spoken
from firmware_sim.wire.uart import SECOND_NS, Received, Receiver, Uart

SECOND_MASTER, NOISE = "second-master", "noise"
MOST_REQUEST = 260
BEHIND_NS = 2_000_000
"""From the last byte of an answer to the end of the connection, where a fault hangs up."""
_LATE_NS = 1000
"""A timer that fires so much later is behind the moment that it was set to, however that is rounded."""


class Master(Protocol):
    """Who asks on the line, and what its UART is set to."""

    def has_listener(self) -> bool:
        """Whether it is there."""

    def master_uart(self) -> Uart:
        """Its settings."""

    def arrived(self, received: Sequence[Received]) -> None:
        """Take bytes."""

    def hang_up(self) -> None:
        """End the connection that carries the line, where there is one."""


class PairedLine:
    """The line and all of its ends.

    Args:
        units: the devices on it.
        line: settings of other masters and of noise; whether the adapter echoes, and how it batches.
        frames: what is spoken.
        settings: of each device, in their order.
        master: who asks.
    """

    def __init__(self, units: Units, line: Line, frames: Frames, settings: Sequence[Uart], master: Master) -> None:
        self.pair, self.frames = Pair(), frames
        self._units, self._line, self._master = units, line, master
        self._stations = [_Station(self, member, uart) for member, uart in zip(units.members, settings, strict=True)]
        self._free_ns = 0
        self._held: list[Received] = []
        self._next_take: asyncio.TimerHandle | None = None
        self._is_open = self._all_listen = False

    def start(self) -> None:
        """The line lives from now on."""
        self._loop = asyncio.get_running_loop()
        self._heard = self.pair.heard_by(self, echo=self._line.echo)
        self._receiver = Receiver(self._heard, self._master.master_uart(), self.now_ns())
        self._is_open = True

    def stop(self) -> None:
        """It is silent from now on."""
        self._is_open = False
        if self._next_take is not None:
            self._next_take.cancel()

    def send(self, data: bytes) -> None:
        """The master's bytes, as soon as its earlier ones are said."""
        self.take()
        begin = max(self.now_ns(), self._free_ns)
        spoken = self.pair.speak(self, begin, self._master.master_uart(), data)
        self._free_ns = spoken.end_ns
        self._spoken(spoken)

    def cut(self) -> None:
        """The master says no more than the byte that has begun."""
        self.pair.cut(self, self.now_ns())
        self._free_ns = 0

    def inject(self, data: bytes) -> None:
        """Bytes that belong to nobody, at once."""
        self._spoken(self.pair.speak(NOISE, self.now_ns(), self._line.uart, data))

    def overhear(self, request: bytes) -> None:
        """Another master's question, at once."""
        self._spoken(self.pair.speak(SECOND_MASTER, self.now_ns(), self._line.uart, request, SECOND_MASTER))

    def take(self) -> None:
        """Give the master the bytes that its UART has by now, and those that come when they come."""
        if not self._is_open or self._all_listen:
            return
        now = self.now_ns()
        if received := self._receiver.take(now):
            self._arrived(received)
        if (uart := self._master.master_uart()) != self._receiver.uart:
            self._receiver = Receiver(self._heard, uart, now)
        if self._next_take is not None:
            self._next_take.cancel()
        if (expected := self._receiver.expected()) is not None:
            self._next_take = self._at(expected.at_ns, self.take)

    def _arrived(self, received: list[Received]) -> None:
        if not self._line.batch_ms:
            self._master.arrived(received)
            return
        if not self._held:
            self._loop.call_later(self._line.batch_ms / 1000, self._batch)
        self._held += received

    def _batch(self) -> None:
        held, self._held = self._held, []
        if self._is_open:
            self._master.arrived(held)

    def drop_received(self) -> None:
        """Forget bytes that wait for the adapter's batch."""
        self._held.clear()

    def _spoken(self, spoken: Spoken) -> None:
        """Somebody has begun to speak, or will: each device looks at it at its end, and when the line is silent."""
        self.pair.forget(self.now_ns())
        for moment in {spoken.end_ns, *(spoken.end_ns + station.silence_ns for station in self._stations)}:
            self._at(moment, self._listen)
        self.take()

    def _listen(self) -> None:
        """All devices at one moment: however late that is, those that are equally quick answer together. The master
        hears nothing of it before the last of them has begun, and each of their answers is recorded."""
        now = self.now_ns()
        self._all_listen = True
        for station in self._stations:
            station.listen(now)
        self._all_listen = False
        if self._next_take is not None:
            self._next_take.cancel()
        self._next_take = self._at(self.now_ns(), self.take)

    def answer(self, station: _Station, frame: bytes, start_ns: int, end_ns: int, now_ns: int) -> bool:
        """A device has a whole frame; False when its checksum is wrong."""
        if (found := self.frames.opened(frame)) is None:
            return False
        asked, pdu = found
        member = station.member
        if not self._units.is_for(asked, member):
            return True
        outcome = self._units.ask(member, pdu, self.frames.frame, frame)
        outcome = replace(outcome, faults=(*self.pair.marks(start_ns, end_ns), *outcome.faults))
        ready = end_ns + station.silence_ns + _ns(self._units.latency_ms(member))
        for delivery in outcome.deliveries:
            moment = max(now_ns, ready + _ns(delivery.after_ms))
            if delivery.after_ms:
                self._at(moment, self._deliver_late, station, outcome, delivery)
            else:
                self._deliver(station, outcome, delivery, moment)
        return True

    def _deliver_late(self, station: _Station, outcome: Outcome, delivery: Delivery) -> None:
        """What a fault has held back, unless it was cleared meanwhile."""
        if self._is_open and not outcome.is_withdrawn:
            self._deliver(station, outcome, delivery, self.now_ns())

    def _deliver(self, station: _Station, outcome: Outcome, delivery: Delivery, ready_ns: int) -> None:
        """What a device says, when it has said what it said before: whole, or in pieces."""
        begin = max(ready_ns, station.free_ns)
        if delivery.data:
            self._at(begin, self._record, station.member, outcome, delivery)
        size = delivery.piece or len(delivery.data)
        for at in range(0, len(delivery.data), size or 1):
            spoken = self.pair.speak(station, begin, station.uart, delivery.data[at : at + size])
            station.free_ns = spoken.end_ns
            begin = spoken.end_ns + _ns(delivery.gap_ms)
            self._spoken(spoken)
        if delivery.ends_after is not None:
            self._at(max(begin, station.free_ns) + _ns(self._line.batch_ms) + BEHIND_NS, self._hang_up)

    def _hang_up(self) -> None:
        self.take()
        self._master.hang_up()

    def _record(self, member: Member, outcome: Outcome, delivery: Delivery) -> None:
        if self._is_open and self._master.has_listener():
            self._units.record(member, outcome, delivery)

    def now_ns(self) -> int:
        """The moment."""
        return round(self._loop.time() * SECOND_NS)

    def _at(self, moment_ns: int, call: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        return self._loop.call_at((moment_ns + _LATE_NS) / SECOND_NS, call, *args)


class _Station:
    """A device's end of the line."""

    def __init__(self, line: PairedLine, member: Member, uart: Uart) -> None:
        self.member, self.uart, self._line = member, uart, line
        self.silence_ns = _ns(silence_s(uart.baudrate) * 1000)
        self.free_ns = 0
        self._receiver = Receiver(line.pair.heard_by(self), uart)
        self._frame, self._is_whole = bytearray(), True
        self._start_ns = self._end_ns = 0

    def listen(self, now_ns: int) -> None:
        """Take what it has heard by now."""
        for received in self._receiver.take(now_ns):
            if received.start_ns - self._end_ns > self.uart.span_ns(self.uart.bits) * 3 // 2:
                self._fell_silent(now_ns)
            self._take(received, now_ns)
        if now_ns - self._end_ns >= self.silence_ns:
            self._fell_silent(now_ns)

    def _take(self, received: Received, now_ns: int) -> None:
        if not self._frame:
            self._start_ns, self._is_whole = received.start_ns, True
        self._end_ns = received.start_ns + self.uart.span_ns(self.uart.bits)
        self._frame.append(received.byte)
        self._is_whole = self._is_whole and received.is_whole
        length = self._line.frames.request_length(self._frame)
        if self._is_whole and length and len(self._frame) >= length and self._handled(length, now_ns):
            del self._frame[:length]

    def _fell_silent(self, now_ns: int) -> None:
        """Silence ends a frame: one of a function that is not known may be whole, anything else is noise."""
        if self._is_whole and self._line.frames.request_length(self._frame) == 0 and len(self._frame) <= MOST_REQUEST:
            self._handled(len(self._frame), now_ns)
        self._frame.clear()

    def _handled(self, length: int, now_ns: int) -> bool:
        return self._line.answer(self, bytes(self._frame[:length]), self._start_ns, self._end_ns, now_ns)


def _ns(ms: float) -> int:
    return round(ms * 1_000_000)
