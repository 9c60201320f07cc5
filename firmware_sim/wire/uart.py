"""UART: bytes to line levels and back, whatever the speed and parity of the other end. Pure; times are whole ns.

A receiver starts at a low level, samples the middle of each bit of its own speed and looks for the next start bit from
the middle of the stop bit on. Where the stop bit is low it takes that low bit as the next start bit, as the 16550
does (PC16550D data sheet, line status register, bit 3); after a break, low throughout, it waits for a high one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

SECOND_NS = 1_000_000_000
Parity = Literal["N", "E", "O", "M", "S"]


@dataclass(frozen=True, slots=True)
class Uart:
    """Line settings of one end; one that does not check parity sends it and takes any."""

    baudrate: int = 9600
    parity: Parity = "N"
    stopbits: Literal[1, 2] = 1
    data_bits: int = 8
    checks_parity: bool = True

    @property
    def bits(self) -> int:
        """Bits of one byte on the line: start, data, parity, stop."""
        return 1 + self.data_bits + (self.parity != "N") + self.stopbits

    def span_ns(self, bits: int) -> int:
        """How long so many bits take."""
        return bits * SECOND_NS // self.baudrate

    def parity_bit(self, byte: int) -> int:
        """The parity bit of a byte; of a UART without parity it has no meaning."""
        odd = byte.bit_count() & 1
        return {"N": 0, "E": odd, "O": 1 - odd, "M": 1, "S": 0}[self.parity]

    def levels(self, data: bytes) -> bytes:
        """The levels of bytes that follow each other without a pause, one item a bit: 0 low, 1 high."""
        out = bytearray()
        for byte in data:
            byte &= (1 << self.data_bits) - 1
            out.append(0)
            out.extend(byte >> place & 1 for place in range(self.data_bits))
            if self.parity != "N":
                out.append(self.parity_bit(byte))
            out.extend([1] * self.stopbits)
        return bytes(out)


class Levels(Protocol):
    """What stands on a line, as one end hears it; high where nobody speaks."""

    def level(self, at_ns: int) -> int:
        """The level at a moment."""

    def low_from(self, at_ns: int) -> int | None:
        """The first moment from this one on at which it is low; None: none so far."""

    def high_from(self, at_ns: int) -> int:
        """The first moment from this one on at which it is high."""


@dataclass(frozen=True, slots=True)
class Received:
    """A byte as a UART takes it: when its start bit began, when it was whole, and what was wrong with it."""

    byte: int
    start_ns: int
    at_ns: int
    wrong_parity: bool = False
    no_stop: bool = False
    is_break: bool = False

    @property
    def is_whole(self) -> bool:
        """Nothing was wrong with it."""
        return not (self.wrong_parity or self.no_stop)


class Receiver:
    """The receiving half of a UART.

    Args:
        line: what it hears.
        uart: its settings.
        since_ns: it is switched on at this moment.
    """

    def __init__(self, line: Levels, uart: Uart, since_ns: int = 0) -> None:
        self.uart, self._line = uart, line
        self._from_ns, self._is_start = since_ns, False

    def expected(self) -> Received | None:
        """The next byte, if what stands on the line stays so; it is whole at its ``at_ns``."""
        found = self._next()
        return None if found is None else found[0]

    def take(self, now_ns: int) -> list[Received]:
        """The bytes that are whole by now."""
        taken = []
        while (found := self._next()) is not None and found[0].at_ns <= now_ns:
            taken.append(found[0])
            self._from_ns, self._is_start = found[1:]
        return taken

    def _next(self) -> tuple[Received, int, bool] | None:
        """The next byte, and from where to go on: to look for a start bit, or in one."""
        start, line, uart = self._start(), self._line, self.uart
        if start is None:
            return None

        def bit(place: int) -> int:
            return line.level(start + (2 * place + 1) * SECOND_NS // (2 * uart.baudrate))

        byte = sum(bit(1 + place) << place for place in range(uart.data_bits))
        stop_place, wrong = 1 + uart.data_bits, False
        if uart.parity != "N":
            parity = bit(stop_place)
            wrong = uart.checks_parity and parity != uart.parity_bit(byte)
            stop_place += 1
        at = start + (2 * stop_place + 1) * SECOND_NS // (2 * uart.baudrate)
        if line.level(at):
            return Received(byte, start, at, wrong), at, False
        if byte == 0 and (uart.parity == "N" or not parity):
            return Received(0, start, at, wrong, True, True), line.high_from(at), False
        return Received(byte, start, at, wrong, True), start + uart.span_ns(stop_place), True

    def _start(self) -> int | None:
        """Where the next start bit begins: low in its middle too, else it was a spike."""
        if self._is_start:
            return self._from_ns
        place: int | None = self._from_ns
        while place is not None and (place := self._line.low_from(place)) is not None:
            middle = place + SECOND_NS // (2 * self.uart.baudrate)
            if not self._line.level(middle):
                return place
            place = middle
        return None
