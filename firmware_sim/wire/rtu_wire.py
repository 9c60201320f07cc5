"""Serial line from the devices' side, for any transport and any frames: time on the wire, disturbances.

Units answer what they understand; two answers at once wait for each other; silence ends what is no known request.
Where the ends of the line have settings of their own, it is a ``PairedLine``: bits, which collide and are misread.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.device import Outcome
from firmware_sim.wire.bus_devices import Member, Units
from firmware_sim.wire.line import RTU, Frames, Line
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.paired_line import PairedLine
from firmware_sim.wire.tap import Tap
from firmware_sim.wire.uart import Received, Uart

MAX_REQUEST = 260
Logged = tuple[Member, Outcome, Delivery]


class RtuWire:
    """The line; a bus says how bytes leave it (``_write``), and who is there to hear them.

    Args:
        units: the devices on it.
        line: its settings.
        disturbances: what else happens on it.
        frames: what is spoken on it.
        tap: gets a copy of all that is on the line.
        settings: what each device's UART is set to, in their order; None: there are no bits, all understand each other.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        disturbances: Sequence[Disturbance] = (),
        frames: Frames = RTU,
        tap: Tap | None = None,
        settings: Sequence[Uart] | None = None,
    ) -> None:
        self.units, self.line, self.frames, self.tap = units, line, frames, tap
        self._paired = None if settings is None else PairedLine(units, line, frames, settings, self)
        self._disturbances = tuple(disturbances)
        self._received = bytearray()
        self._free_at = 0.0  # loop time at which the wire falls silent
        self._end_of_frame: asyncio.TimerHandle | None = None
        self._is_open = False

    def _start(self) -> None:
        """The bus is open: the line lives from now on."""
        self._loop = asyncio.get_running_loop()
        if self.tap is not None:
            self.tap.open()
        self._is_open = True
        if self._paired is not None:
            self._paired.start()
        for number, disturbance in enumerate(self._disturbances):
            rng = random.Random(f"{self.units.seed}/{self.units.bus}/{number}")
            self._loop.call_later(disturbance.every_ms / 1000, self._disturb, disturbance, rng)

    def _stop(self) -> None:
        """The bus is closed."""
        self._is_open = False
        if self._paired is not None:
            self._paired.stop()
        if self.tap is not None:
            self.tap.close()

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def has_listener(self) -> bool:
        """Whether what is said now can be heard by anybody."""
        return True

    def counted(self) -> list[dict[str, object]]:
        """By device: what it was asked, and what it has answered, so far."""
        return self.units.counted()

    def master_uart(self) -> Uart:
        """What the master's UART is set to."""
        return self.line.uart

    def arrived(self, received: Sequence[Received]) -> None:
        """The master's UART has taken bytes from a line of bits."""
        self.put(bytes(each.byte for each in received))

    def _understood(self) -> bool:
        """Whether the master uses the line's speed and stop bits."""
        return True

    def hear(self, data: bytes) -> None:
        """Take what a master sent."""
        if self._end_of_frame:
            self._end_of_frame.cancel()
        if self.tap is not None:
            self.tap.carry_question(data)
        if not self._understood():
            return
        if self._paired is not None:
            self._paired.send(data)
            return
        if self.line.echo:
            self._loop.call_later(self._wire_s(len(data)), self.put, data)
        self._received += data
        while (length := self.frames.request_length(self._received)) and len(self._received) >= length:
            if not self._take(bytes(self._received[:length])):
                break
            del self._received[:length]
        if self._received:
            self._end_of_frame = self._loop.call_later(max(self.line.silence_s, 0.02), self._fell_silent)

    def _fell_silent(self) -> None:
        """Silence ends a frame: one of a function that we do not know may be whole, anything else is noise."""
        data = bytes(self._received)
        if self.frames.request_length(data) == 0 and len(data) <= MAX_REQUEST:
            self._take(data)
        self._received.clear()

    def _disturb(self, disturbance: Disturbance, rng: random.Random) -> None:
        if self._is_open:
            disturbance.strike(self, rng)
            self._loop.call_later(disturbance.every_ms / 1000, self._disturb, disturbance, rng)

    def framed(self, unit: int, request: bytes) -> bytes:
        """The frame of a unit and a PDU on this line."""
        return self.frames.frame(unit, request)

    def inject(self, data: bytes) -> None:
        """Put bytes onto the wire that belong to nobody."""
        if self._paired is not None:
            self._paired.inject(data)
            return
        begin = max(self._loop.time(), self._free_at)
        self._free_at = begin + self._wire_s(len(data))
        self._loop.call_at(self._free_at, self.put, data)

    def overhear(self, request: bytes) -> None:
        """Put another master's request onto the wire; the unit that it is for answers."""
        if self._paired is not None:
            self._paired.overhear(request)
            return
        self.inject(request)
        self._take(request, ("second-master",))

    def _take(self, frame: bytes, marks: tuple[str, ...] = ()) -> bool:
        """Answer a frame; False when its checksum is wrong, and a device then waits for silence."""
        if (found := self.frames.opened(frame)) is None:
            return False
        asked, pdu = found
        for member in self.units.meant(asked):
            outcome = self.units.ask(member, pdu, self.frames.frame, frame)
            outcome = replace(outcome, faults=(*marks, *outcome.faults))
            ready = self._loop.time() + self._wire_s(len(frame)) + self.units.latency_ms(member) / 1000
            if self.line.emulate:
                ready += self.line.silence_s
            for delivery in outcome.deliveries:
                at = ready + delivery.after_ms / 1000
                self._loop.call_at(at, self._send, at, member, outcome, delivery)
        return True

    def _wire_s(self, size: int) -> float:
        return size * self.line.byte_s if self.line.emulate else 0.0

    def _send(self, at: float, member: Member, outcome: Outcome, delivery: Delivery) -> None:
        """Put an answer that is ready ``at`` a loop time onto the wire as soon as the wire is free."""
        if delivery.after_ms and outcome.is_withdrawn:
            return
        begin = max(at, self._free_at)
        self._free_at = begin + self._wire_s(len(delivery.data))
        pieces = self._pieces(delivery, begin)
        for number, (moment, piece) in enumerate(pieces):
            first = (member, outcome, delivery) if number == 0 and delivery.data else None
            if number == len(pieces) - 1:
                self._loop.call_at(moment, self._put_last, piece, first, delivery.ends_after is not None)
            else:
                self._loop.call_at(moment, self.put, piece, first)

    def _pieces(self, delivery: Delivery, begin: float) -> list[tuple[float, bytes]]:
        """What arrives when: the whole frame at its end, or piece by piece."""
        data = delivery.data
        end = begin + self._wire_s(len(data))
        if delivery.piece and data:
            cuts = range(0, len(data), delivery.piece)
            return [(end + n * delivery.gap_ms / 1000, data[at : at + delivery.piece]) for n, at in enumerate(cuts)]
        if self.line.batch_ms and self.line.emulate and data:
            batch_s = self.line.batch_ms / 1000
            size = max(1, int(batch_s / self.line.byte_s))
            cuts = range(0, len(data), size)
            return [(begin + (n + 1) * batch_s, data[at : at + size]) for n, at in enumerate(cuts)]
        return [(end, data)]

    def _put_last(self, data: bytes, logged: Logged | None, ends: bool) -> None:
        self.put(data, logged)
        if ends:
            self.hang_up()
        else:
            self._answered()

    def hang_up(self) -> None:
        """End the connection that carries the line, where there is one."""

    def _answered(self) -> None:
        """An answer is on the line in whole."""

    def put(self, data: bytes, logged: Logged | None = None) -> None:
        """Write bytes, and the log before them; with no listener on the line they are neither heard nor logged.

        Args:
            data: the bytes.
            logged: who answers what with them; None: noise, or it is written down already.
        """
        if not self._is_open or not self.has_listener():
            return
        if logged is not None:
            self.units.record(*logged)
        if self.tap is not None:
            self.tap.carry(data)
        self._write(data)
