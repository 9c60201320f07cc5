"""Modbus client that can only read: over a serial port (RTU) or a connection (TCP), one request at a time.

Whatever leaves passes ``permitted``, which knows functions 1 to 4 and nothing else. An answer is taken only if unit,
function and length are those of its request, and checksum or transaction are right; anything else on the wire is passed
over. An RTU answer does not name its registers, so after a request without an answer the line is left alone as long
again, and what comes then is thrown away: a late answer is never taken for that to the next request.
"""

from __future__ import annotations

import os
import select
import socket
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from firmware_sim.errors import WireError
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.pdu import Read
from firmware_sim.recorded.recording import size_of

if TYPE_CHECKING:
    import serial

EXCEPTION_FRAME = 5
"""Bytes of an RTU frame with an exception."""


class NotARead(Exception):
    """A request that could change something in a device."""


def request_of(read: Read) -> bytes:
    """The PDU that asks for it."""
    return bytes([read.fc]) + read.address.to_bytes(2, "big") + read.count.to_bytes(2, "big")


def permitted(pdu: bytes) -> bytes:
    """The PDU, which reads registers or bits. Raises ``NotARead`` for any other."""
    if frames.read_of(pdu) is None:
        raise NotARead(f"{pdu.hex(' ')} is no read of registers or bits")
    return pdu


def fits(read: Read, pdu: bytes) -> bool:
    """Whether a PDU can be the answer to a read: its data, or an exception."""
    if len(pdu) == 2:
        return pdu[0] == read.fc | 0x80
    return len(pdu) > 2 and pdu[0] == read.fc and pdu[1] == size_of(read) == len(pdu) - 2


class Wire(Protocol):
    """What carries requests."""

    settings: Mapping[str, str | int]
    """Where it leads, as a recording names it."""

    def open(self) -> None:
        """Raises ``WireError``."""

    def ask(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        """The PDU that answers; None: nothing that does came in time, or the wire is gone; it is opened again then."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """Settings of a serial line."""

    baudrate: int
    parity: str
    stopbits: int

    @property
    def char_s(self) -> float:
        """Seconds of a character: start, eight data bits, parity, stop."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """Seconds between frames: 3.5 characters, above 19200 baud 1.75 ms (serial line guide v1.02, 2.5.1.1)."""
        return 0.00175 if self.baudrate > 19200 else 3.5 * self.char_s

    def __str__(self) -> str:
        return f"{self.baudrate} baud 8{self.parity}{self.stopbits}"


class SerialWire:
    """Modbus RTU on a serial port. ``answer_life_s``: an answer of this device may come as late as that."""

    def __init__(self, path: str, line: Line, *, answer_life_s: float = 0.0) -> None:
        self.settings: Mapping[str, str | int] = {
            "port": path, "baudrate": line.baudrate, "parity": line.parity, "stopbits": line.stopbits,
        }  # fmt: skip
        self._path, self._line, self._answer_life_s = path, line, answer_life_s
        self._port: serial.Serial | None = None

    def open(self) -> None:
        import serial

        try:
            self._port = serial.Serial(
                self._path,
                self._line.baudrate,
                parity=self._line.parity,
                stopbits=self._line.stopbits,
                timeout=0,
                exclusive=True,
            )
        except (OSError, ValueError, termios.error) as error:
            fix = "check the path, that you may use the port, and that no other program has it open"
            number = getattr(error, "errno", None)
            raise WireError(f"{self._path}: {os.strerror(number) if number else error}", fix) from None

    def ask(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        try:
            if self._port is None:
                self.open()
            assert self._port is not None
            time.sleep(self._line.silence_s)
            self._port.reset_input_buffer()
            frame = frames.rtu(unit, permitted(request_of(read)))
            self._port.write(frame)
            on_the_line_s = (len(frame) + size_of(read) + EXCEPTION_FRAME) * self._line.char_s
            answer = self._heard(unit, read, frame, timeout_s + on_the_line_s)
            if answer is None:
                self._heard(unit, None, frame, max(timeout_s, self._answer_life_s))
            return answer
        except WireError:
            return None
        except (OSError, termios.error):  # of pyserial, too: the adapter is gone
            self.close()
            return None

    def _heard(self, unit: int, read: Read | None, request: bytes, within_s: float) -> bytes | None:
        """The answer to a read, once it is whole; of None nothing is."""
        assert self._port is not None
        heard, end = bytearray(), time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._port.fileno()], [], [], left)[0]:
                break
            heard += self._port.read(self._port.in_waiting or 1)
            if heard.startswith(request):  # a two-wire adapter gives it back
                del heard[: len(request)]
            if read is not None and (answer := answer_in(bytes(heard), unit, read)) is not None:
                return answer
        return None

    def close(self) -> None:
        if self._port is not None:
            with suppress(OSError, termios.error):
                self._port.close()
        self._port = None


def answer_in(heard: bytes, unit: int, read: Read) -> bytes | None:
    """The PDU of the first whole frame in bytes from a line that answers this read, whatever stands before it."""
    for at in range(len(heard) - EXCEPTION_FRAME + 1):
        if heard[at] != unit:
            continue
        is_exception = heard[at + 1] == read.fc | 0x80
        whole = frames.opened(heard[at : at + (EXCEPTION_FRAME if is_exception else EXCEPTION_FRAME + size_of(read))])
        if whole is not None and fits(read, whole[1]):
            return whole[1]
    return None


class TcpWire:
    """Modbus TCP. One who hangs up is dialled again."""

    def __init__(self, host: str, port: int, *, connect_delay_s: float = 0.0) -> None:
        self.settings: Mapping[str, str | int] = {"host": host, "port": port}
        self._to, self._connect_delay_s = (host, port), connect_delay_s
        self._transaction = 0
        self._socket: socket.socket | None = None

    def open(self) -> None:
        try:
            self._socket = socket.create_connection(self._to, 10)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            where = f"{self._to[0]}:{self._to[1]}"
            raise WireError(f"{where}: {error.strerror or error}", "check host and port, and the network") from None
        time.sleep(self._connect_delay_s)

    def ask(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        was_open = self._socket is not None
        try:
            if not was_open:
                self.open()
            try:
                return self._asked(unit, read, timeout_s)
            except OSError:
                self.close()
                if not was_open:
                    return None
            self.open()  # converters hang up behind an answer, or when nothing was asked for a while
            return self._asked(unit, read, timeout_s)
        except (WireError, OSError):
            self.close()
            return None

    def _asked(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        """Raises ``OSError`` where the connection ends."""
        assert self._socket is not None
        self._transaction = (self._transaction + 1) % 0x10000
        self._socket.sendall(frames.tcp(self._transaction, unit, permitted(request_of(read))))
        heard, end = b"", time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                more = self._socket.recv(4096)
            except TimeoutError:
                break
            if not more:
                raise ConnectionError("it was closed")
            heard += more
            while len(heard) >= frames.MBAP_BYTES:
                head = frames.mbap(heard)
                if not 2 <= head.length <= frames.MAX_PDU + 1:
                    raise ConnectionError("what comes is not Modbus TCP")
                size = frames.MBAP_BYTES - 1 + head.length
                if len(heard) < size:
                    break
                answer, heard = heard[frames.MBAP_BYTES : size], heard[size:]
                is_right = (head.transaction, head.protocol, head.unit) == (self._transaction, 0, unit)
                if is_right and fits(read, answer):
                    return answer
        return None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
