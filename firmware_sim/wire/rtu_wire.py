"""Serial line from the devices' side, for any transport and any frames: time on the wire, disturbances.

Units answer what they understand; two answers at once wait for each other; silence ends what is no known request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from firmware_sim.meters import dlt645_pdu
from firmware_sim.meters import pdu as modbus
from firmware_sim.meters.answers import Delivery, Unit
from firmware_sim.meters.device import Frame, Outcome
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.tap import Tap

MAX_REQUEST = 260


@dataclass(frozen=True, slots=True)
class Line:
    """Line settings, and how true to the wire the line behaves.

    ``emulate``: bytes take their time on the wire. ``batch_ms``: answers arrive in the batches of a USB adapter.
    ``check_settings``: a client with another speed or other stop bits is not understood (a pty carries no parity).
    """

    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1
    emulate: bool = True
    batch_ms: float = 0
    check_settings: bool = False
    echo: bool = False

    @property
    def byte_s(self) -> float:
        """Seconds that one byte takes: start, 8 data, parity and stop bits."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """t3.5, the silence that ends a frame (Modbus serial line guide): 11-bit characters, fixed above 19200 baud."""
        return 3.5 * 11 / self.baudrate if self.baudrate <= 19200 else 0.00175


@dataclass(frozen=True, slots=True)
class Frames:
    """What goes over a line: the frames of one protocol.

    ``request_length``: length of the request that starts the bytes; None: too few to tell; 0: no request is known by
    them. ``opened``: address and PDU of a whole frame; None when its checksum is wrong. ``frame``: a whole frame of
    address and PDU.
    """

    request_length: Callable[[bytes | bytearray], int | None]
    opened: Callable[[bytes], tuple[Unit, bytes] | None]
    frame: Frame


RTU = Frames(modbus.request_length, modbus.opened, modbus.rtu)


def dlt645(wake_up: int) -> Frames:
    """DL/T 645, whose meters put so many FE before their frames."""
    return Frames(dlt645_pdu.request_length, dlt645_pdu.opened, partial(dlt645_pdu.frame, wake_up=wake_up))


class RtuWire:
    """The line; a bus says how bytes leave it (``_write``), and who is there to hear them.

    Args:
        units: the devices on it.
        line: its settings.
        disturbances: what else happens on it.
        frames: what is spoken on it.
        tap: gets a copy of all that is on the line.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        disturbances: Sequence[Disturbance] = (),
        frames: Frames = RTU,
        tap: Tap | None = None,
    ) -> None:
        self.units, self.line, self.frames, self.tap = units, line, frames, tap
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
        for number, disturbance in enumerate(self._disturbances):
            rng = random.Random(f"{self.units.seed}/{self.units.bus}/{number}")
            self._loop.call_later(disturbance.every_ms / 1000, self._disturb, disturbance, rng)

    def _stop(self) -> None:
        """The bus is closed."""
        self._is_open = False
        if self.tap is not None:
            self.tap.close()

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def _has_listener(self) -> bool:
        """Whether what is said now can be heard by anybody."""
        return True

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
        begin = max(self._loop.time(), self._free_at)
        self._free_at = begin + self._wire_s(len(data))
        self._loop.call_at(self._free_at, self.put, data)

    def overhear(self, request: bytes) -> None:
        """Put another master's request onto the wire; the unit that it is for answers."""
        self.inject(request)
        self._take(request, ("second-master",))

    def _take(self, frame: bytes, marks: tuple[str, ...] = ()) -> bool:
        """Answer a frame; False when its checksum is wrong, and a device then waits for silence."""
        if (found := self.frames.opened(frame)) is None:
            return False
        asked, pdu = found
        for unit in self.units.meant(asked):
            outcome = self.units.ask(unit, pdu, self.frames.frame)
            outcome = replace(outcome, faults=(*marks, *outcome.faults))
            ready = self._loop.time() + self._wire_s(len(frame)) + self.units.latency_ms(unit) / 1000
            if self.line.emulate:
                ready += self.line.silence_s
            for delivery in outcome.deliveries:
                at = ready + delivery.after_ms / 1000
                self._loop.call_at(at, self._send, at, outcome, delivery)
        return True

    def _wire_s(self, size: int) -> float:
        return size * self.line.byte_s if self.line.emulate else 0.0

    def _send(self, at: float, outcome: Outcome, delivery: Delivery) -> None:
        """Put an answer that is ready ``at`` a loop time onto the wire as soon as the wire is free."""
        begin = max(at, self._free_at)
        self._free_at = begin + self._wire_s(len(delivery.data))
        pieces = self._pieces(delivery, begin)
        for number, (moment, piece) in enumerate(pieces):
            said = (outcome, delivery) if number == 0 else ()
            self._loop.call_at(moment, self._put_last if number == len(pieces) - 1 else self.put, piece, *said)

    def _pieces(self, delivery: Delivery, begin: float) -> list[tuple[float, bytes]]:
        """What arrives when: the whole frame at its end, or piece by piece."""
        data = delivery.data
        end = begin + self._wire_s(len(data))
        if delivery.piece:
            cuts = range(0, len(data), delivery.piece)
            return [(end + n * delivery.gap_ms / 1000, data[at : at + delivery.piece]) for n, at in enumerate(cuts)]
        if self.line.batch_ms and self.line.emulate:
            batch_s = self.line.batch_ms / 1000
            size = max(1, int(batch_s / self.line.byte_s))
            cuts = range(0, len(data), size)
            return [(begin + (n + 1) * batch_s, data[at : at + size]) for n, at in enumerate(cuts)]
        return [(end, data)]

    def _put_last(self, data: bytes, outcome: Outcome | None = None, delivery: Delivery | None = None) -> None:
        self.put(data, outcome, delivery)
        self._answered()

    def _answered(self) -> None:
        """An answer is on the line in whole."""

    def put(self, data: bytes, outcome: Outcome | None = None, delivery: Delivery | None = None) -> None:
        """Write bytes, and the log before them; with no listener on the line they are neither heard nor logged.

        Args:
            data: the bytes.
            outcome: what they answer; None: noise.
            delivery: of that outcome.
        """
        if not self._is_open or not self._has_listener():
            return
        if outcome and delivery:
            self.units.record(outcome, delivery)
        if self.tap is not None:
            self.tap.carry(data)
        self._write(data)
