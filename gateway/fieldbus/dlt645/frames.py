"""DL/T 645-2007 frames: the two read requests that may be sent, and the frames that meters send. Pure.

``permit`` is the read-only gate: every frame that leaves passes it. A frame is 68, six bytes of address, 68, control,
length, data, checksum, 16; data bytes travel with 33H added, the lowest byte of address, identifier and value first.
Source: DL/T 645-2007, clause 5 (link layer) and 7.1 (control codes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gateway.fieldbus.wire.errors import BadFrame, NotARead
from gateway.messages.message import Message

START, END, OFFSET = 0x68, 0x16, 0x33
READ, READ_ADDRESS = 0x11, 0x13
ANSWER, MORE_FOLLOWS, REFUSED, ADDRESS_ANSWER = 0x91, 0xB1, 0xD1, 0x93
FROM_METER = 0x80
NO_SUCH_DATA = 0x02
"""Bit of the error byte: the meter does not have what was asked."""
WAKE_UP = bytes([0xFE] * 4)
"""What the standard puts before a frame, so that the receiver is awake when it begins."""
WILDCARD = "A" * 12
BROADCAST = "9" * 12
_BEFORE = (0xFE, 0x00, 0xFF)
_HEAD, _SECOND_START, _LENGTH, _AROUND = 10, 7, 9, 12


def checksum(data: bytes) -> int:
    """Sum of the bytes from the first 68 to the last of the data, modulo 256."""
    return sum(data) & 0xFF


def preamble(data: bytes | bytearray) -> int:
    """How many bytes stand before a frame begins: FE as meters send it, 00 and FF as line drivers let through."""
    return next((place for place, byte in enumerate(data) if byte not in _BEFORE), len(data))


def frame_length(head: bytes | bytearray) -> int | None:
    """Length of the whole frame that begins so; None: more bytes are needed to know; 0: no frame begins so."""
    if head[:1] != b"\x68" or (len(head) > _SECOND_START and head[_SECOND_START] != START):
        return 0 if head else None
    return _AROUND + head[_LENGTH] if len(head) > _LENGTH else None


def intact(frame: bytes) -> bool:
    """Both 68, the length, the checksum and 16 are where they belong."""
    return frame_length(frame) == len(frame) and frame[-1] == END and checksum(frame[:-2]) == frame[-2]


def encode(address: str, control: int, data: bytes = b"") -> bytes:
    """A whole frame without preamble. ``address``: 12 digits as on the meter's plate; ``data``: before 33H is added."""
    moved = bytes(byte + OFFSET & 0xFF for byte in data)
    body = bytes([START, *bytes.fromhex(address)[::-1], START, control, len(data)]) + moved
    return body + bytes([checksum(body), END])


def permit(frame: bytes) -> bytes:
    """The read-only gate: give back a whole frame that reads one identifier of one meter (11H) or asks for the address
    of the only meter of a line (13H); NotARead for every other."""
    bare = frame[preamble(frame) :]
    if set(frame[: len(frame) - len(bare)]) <= {0xFE} and intact(bare):
        reply = parse(bare)
        decimal = reply.address.isdecimal() and reply.address != BROADCAST
        if reply.control == READ and len(reply.data) == 4 and decimal:
            return frame
        if reply.control == READ_ADDRESS and not reply.data and reply.address == WILDCARD:
            return frame
    raise NotARead(Message("request-not-a-dlt645-read", frame=frame.hex(" ").upper()))


@dataclass(frozen=True)
class Request:
    """One question: the read of one identifier, or of the address (``di`` is "" then).

    ``unit``: 12 digits, as on the meter's plate. ``di``: eight hex digits, DI3 first. ``needs``: so many bytes of the
    value are those of points.
    """

    unit: str
    di: str = ""
    needs: int = 0

    @cached_property
    def frame(self) -> bytes:
        """The frame with its preamble, as it is sent."""
        data = bytes.fromhex(self.di)[::-1]
        return permit(WAKE_UP + encode(self.unit, READ if self.di else READ_ADDRESS, data))

    @cached_property
    def key(self) -> tuple[str, str]:
        """All that an answer tells of its question."""
        return self.unit, self.di

    def content(self, data: bytes) -> bytes:
        """The value's bytes of an answer, lowest first."""
        return data


class Reply(NamedTuple):
    """A frame taken apart. ``data``: the data bytes less 33H."""

    address: str
    control: int
    data: bytes

    @property
    def di(self) -> str | None:
        """The identifier, eight hex digits; None where the frame bears none."""
        if self.control not in (READ, ANSWER, MORE_FOLLOWS) or len(self.data) < 4:
            return None
        return self.data[3::-1].hex().upper()

    @property
    def value(self) -> bytes:
        """The bytes behind the identifier, lowest first."""
        return self.data[4:] if self.di is not None else b""

    @property
    def error(self) -> int | None:
        """The error byte of a refused read."""
        return self.data[0] if self.control == REFUSED and len(self.data) == 1 else None

    @property
    def named_address(self) -> str | None:
        """What an answer to 13H names: the meter's address, 12 digits."""
        if self.control != ADDRESS_ANSWER or len(self.data) != 6:
            return None
        return self.data[::-1].hex().upper()


def parse(frame: bytes) -> Reply:
    """A frame without preamble, taken apart; BadFrame where its form or checksum is wrong. Inverse of ``encode``."""
    if frame_length(frame) != len(frame) or frame[-1] != END:
        raise BadFrame(Message("frame-not-dlt645"), frame)
    if not intact(frame):
        raise BadFrame(Message("frame-checksum"), frame)
    data = bytes(byte - OFFSET & 0xFF for byte in frame[_HEAD:-2])
    return Reply(frame[6:0:-1].hex().upper(), frame[8], data)
