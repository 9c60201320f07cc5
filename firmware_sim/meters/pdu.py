"""Modbus frames and request PDUs from the device's side: CRC, RTU, MBAP, exceptions. Pure.

Modbus application protocol v1.1b3; serial line guide v1.02 for RTU; messaging on TCP/IP guide v1.0b for the MBAP head.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

READS = (1, 2, 3, 4)
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3  # application protocol, clause 7
MBAP_BYTES = 7
MAX_PDU = 253
_FIXED_REQUESTS = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 11: 4, 12: 4, 17: 4, 22: 10, 43: 7}
_COUNTED_REQUESTS = {15: 6, 16: 6, 23: 10}  # where the byte count stands


class Refused(Exception):
    """The device refuses with this code: a Modbus exception, an error byte of DL/T 645."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code:02X}")
        self.code = code


class Silent(Exception):
    """The device does not answer."""


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC = _table()


def crc(data: bytes) -> bytes:
    """CRC-16 of a frame, low byte first as on the line."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return struct.pack("<H", value)


def rtu(unit: int, pdu: bytes) -> bytes:
    """A whole RTU frame."""
    frame = bytes([unit]) + pdu
    return frame + crc(frame)


def opened(frame: bytes) -> tuple[int, bytes] | None:
    """Unit and PDU of a whole RTU frame; None when its checksum is wrong."""
    if len(frame) < 4 or crc(frame[:-2]) != frame[-2:]:
        return None
    return frame[0], frame[1:-2]


def request_length(data: bytes | bytearray) -> int | None:
    """Length of the RTU request that starts ``data``; None: too few bytes to tell; 0: no request is known by it."""
    if len(data) < 2:
        return None
    if data[1] in _FIXED_REQUESTS:
        return _FIXED_REQUESTS[data[1]]
    place = _COUNTED_REQUESTS.get(data[1])
    if place is None:
        return 0
    return place + data[place] + 3 if len(data) > place else None


@dataclass(frozen=True, slots=True)
class Mbap:
    """The head of a Modbus TCP frame; ``length`` counts the unit and the PDU."""

    transaction: int
    protocol: int
    length: int
    unit: int


def mbap(data: bytes | bytearray) -> Mbap:
    """The head in the first seven bytes."""
    return Mbap(*struct.unpack(">HHHB", data[:MBAP_BYTES]))


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A whole Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@dataclass(frozen=True, slots=True)
class Read:
    """A read request: function code, address from 0, count of registers (or bits)."""

    fc: int
    address: int
    count: int


def read_of(pdu: bytes) -> Read | None:
    """The read that a request asks for; None when it is no well-formed read."""
    return Read(*struct.unpack(">BHH", pdu)) if len(pdu) == 5 and pdu[0] in READS else None


def answer(fc: int, registers: tuple[int, ...]) -> bytes:
    """The PDU that carries registers, or bits when ``fc`` is 1 or 2."""
    if fc in (1, 2):
        packed = sum((bit & 1) << n for n, bit in enumerate(registers))
        data = packed.to_bytes((len(registers) + 7) // 8, "little")
    else:
        data = struct.pack(f">{len(registers)}H", *registers)
    return bytes([fc, len(data)]) + data


def exception(fc: int, code: int) -> bytes:
    """The PDU of an exception answer."""
    return bytes([fc | 0x80, code])


@dataclass(frozen=True, slots=True)
class ModbusAnswer:
    """Who answers, and the PDU. See ``answer_faults.Answer``."""

    unit: int
    pdu: bytes

    def saying(self, pdu: bytes) -> ModbusAnswer:
        """The same unit's other PDU."""
        return replace(self, pdu=pdu)

    def refused(self, request: bytes, code: int) -> ModbusAnswer:
        """An exception to the request's function."""
        return self.saying(exception(request[0], code))

    def refused_another(self, request: bytes, code: int) -> ModbusAnswer:
        """An exception to a function that was not asked."""
        return self.saying(exception(request[0] % 4 + 1, code))

    def from_another(self) -> ModbusAnswer:
        """Under the next unit address."""
        return replace(self, unit=self.unit % 247 + 1)

    def of_another_function(self) -> ModbusAnswer:
        """As a read of input registers instead of holding registers, and the other way round."""
        function = self.pdu[0] ^ 7 if self.pdu[0] in (3, 4) else 3
        return self.saying(bytes([function]) + self.pdu[1:])

    def of_another_place(self) -> ModbusAnswer:
        """An answer does not name its registers."""
        return self

    def resized(self, registers: int) -> ModbusAnswer:
        """With so many registers more or fewer, in a frame that is right in itself."""
        if self.pdu[0] not in (3, 4):
            return self
        size = min(250, max(0, len(self.pdu) - 2 + 2 * registers))
        return self.saying(bytes([self.pdu[0], size]) + self.pdu[2:].ljust(size, b"\0")[:size])

    def miscounted(self) -> ModbusAnswer:
        """Its byte count disagrees with the bytes that follow."""
        if self.pdu[0] & 0x80:
            return self
        return self.saying(bytes([self.pdu[0], self.pdu[1] ^ 2]) + self.pdu[2:])
