"""Modbus ASCII from the device's side: ``:``, hexadecimal digits, LRC, CR LF. Pure.

Modbus over serial line v1.02, 2.5.2.
"""

from __future__ import annotations

from firmware_sim.meters.answers import Unit
from firmware_sim.wire.line import Frames

_DIGITS = frozenset(b"0123456789ABCDEF")


def frame(unit: Unit, pdu: bytes) -> bytes:
    """A whole frame of address and PDU."""
    assert isinstance(unit, int)
    data = bytes([unit]) + pdu
    return b":%s%02X\r\n" % (data.hex().upper().encode(), (0x100 - sum(data) % 0x100) % 0x100)


def opened(data: bytes) -> tuple[Unit, bytes] | None:
    """Unit and PDU of a whole frame; None when it is damaged."""
    digits = data[1:-2]
    if len(digits) < 6 or len(digits) % 2 or not _DIGITS.issuperset(digits):
        return None
    found = bytes.fromhex(digits.decode())
    return (found[0], found[1:-1]) if sum(found) % 0x100 == 0 else None


def request_length(data: bytes | bytearray) -> int | None:
    """Length of the frame that starts ``data``; None: its end is not there; 0: none starts so."""
    if data[:1] != b":":
        return 0
    end = data.find(b"\r\n")
    return None if end < 0 else end + 2


ASCII = Frames(request_length, opened, frame)
