"""Modbus frames: the read requests that may be sent, the CRC, and the lengths of frames. Pure.

``permit`` is the read-only gate: every frame that leaves, serial or TCP, passes it.
Sources: Modbus application protocol v1.1b3 §6; Modbus over serial line v1.02 §2.5.1 (CRC, silences).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gateway.fieldbus.wire.errors import BadFrame, NotARead
from gateway.fieldbus.wire.link import Answer
from gateway.messages.message import Message

BITS, REGISTERS = (1, 2), (3, 4)
INDIVIDUAL = 4
REPORT_SERVER_ID, DEVICE_IDENTIFICATION, MEI_DEVICE_ID = 17, 43, 14
EXCEPTION = 0x80
GATEWAY_SILENT = (0x0A, 0x0B)  # a gateway says that it got nothing from the device: a time-out, whoever reports it

_ANSWER_LENGTH = {5: 8, 6: 8, 7: 5, 8: 8, 11: 8, 15: 8, 16: 8, 22: 10}
_ANSWER_COUNTED = (1, 2, 3, 4, 12, REPORT_SERVER_ID, 20, 21, 23)
_REQUEST_LENGTH = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, REPORT_SERVER_ID: 4, 22: 10}
_REQUEST_COUNTED = {15: 6, 16: 6, 20: 2, 21: 2, 23: 10}  # where the byte count stands
_BITS_A_COUNT = {15: 1, 16: 16, 23: 16}  # of these the quantity before it says the same


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc(data: bytes) -> bytes:
    """CRC-16/Modbus as it stands on the wire, low byte first."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


def intact(frame: bytes) -> bool:
    """The CRC at the end of an RTU frame is that of the bytes before it."""
    return len(frame) >= 4 and crc(frame[:-2]) == frame[-2:]


def permit(pdu: bytes) -> bytes:
    """The read-only gate: give back a PDU that reads (function 1–4, 17, 43/14); NotARead for every other."""
    function = pdu[0] if pdu else None
    if function in BITS or function in REGISTERS:
        if len(pdu) == 5:
            return pdu
    elif (function == REPORT_SERVER_ID and len(pdu) == 1) or (
        function == DEVICE_IDENTIFICATION and len(pdu) == 4 and pdu[1] == MEI_DEVICE_ID
    ):
        return pdu
    raise NotARead(Message("request-not-a-read", function=function or 0, pdu=pdu.hex(" ").upper()))


class Shape(NamedTuple):
    """All that an RTU answer says about its question; ``byte_count`` is -1 where the question does not tell it."""

    unit: int
    function: int
    byte_count: int


@dataclass(frozen=True)
class Request:
    """One read of ``count`` registers (functions 1 and 2: bits) from ``address``, counted from 0 as on the wire."""

    unit: int
    function: int
    address: int = 0
    count: int = 0

    @cached_property
    def pdu(self) -> bytes:
        if self.function == REPORT_SERVER_ID:
            return permit(bytes([self.function]))
        if self.function == DEVICE_IDENTIFICATION:  # address and count carry the first object and the read code
            return permit(bytes([self.function, MEI_DEVICE_ID, self.count, self.address]))
        return permit(struct.pack(">BHH", self.function, self.address, self.count))

    @cached_property
    def frame(self) -> bytes:
        """The RTU frame."""
        body = bytes([self.unit]) + self.pdu
        return body + crc(body)

    @cached_property
    def mbap(self) -> bytes:
        """The Modbus TCP packet behind its transaction id."""
        return struct.pack(">HHB", 0, 1 + len(self.pdu), self.unit) + self.pdu

    @cached_property
    def answer_mbap(self) -> tuple[bytes, int]:
        """What stands between transaction id and data in the Modbus TCP packet that answers this, and the length of
        that packet; nothing and -1 where the question does not tell them."""
        unit, function, byte_count = self.key
        if not 0 <= byte_count <= 0xFF:
            return b"", -1
        return struct.pack(">HHBBB", 0, 3 + byte_count, unit, function, byte_count), 9 + byte_count

    @cached_property
    def key(self) -> Shape:
        """All that its answer will say of it."""
        if self.function in BITS:
            return Shape(self.unit, self.function, (self.count + 7) // 8)
        if self.function in REGISTERS:
            return Shape(self.unit, self.function, 2 * self.count)
        return Shape(self.unit, self.function, -1)

    def content(self, data: bytes) -> tuple[int, ...]:
        """Registers (functions 1 and 2: bits, 0 or 1) from the data bytes of an answer with this request's key."""
        if self.function in BITS:
            return tuple(data[i // 8] >> i % 8 & 1 for i in range(self.count))
        return struct.unpack(f">{len(data) // 2}H", data)


def registers_of(answer: Answer) -> tuple[int, ...]:
    """The registers of an answer to one of our requests; for functions 1 and 2 bits."""
    assert isinstance(answer.question, Request)
    return answer.question.content(answer.data)


def parse_request(frame: bytes) -> Request:
    """A read request from its RTU frame; BadFrame when it is none. The inverse of ``Request.frame``."""
    if not intact(frame):
        raise BadFrame(Message("frame-crc"), frame)
    try:
        permit(frame[1:-2])
    except NotARead:
        raise BadFrame(Message("frame-not-a-read"), frame) from None
    unit, function = frame[0], frame[1]
    if function == REPORT_SERVER_ID:
        return Request(unit, function)
    if function == DEVICE_IDENTIFICATION:
        return Request(unit, function, frame[4], frame[3])
    return Request(unit, function, *struct.unpack(">HH", frame[2:6]))


class Reply(NamedTuple):
    """An answer taken apart: its shape and data bytes, or the exception code (then data is empty)."""

    shape: Shape
    data: bytes
    exception: int | None = None

    def encode(self) -> bytes:
        """The RTU frame, the inverse of ``parse_reply``."""
        unit, function, byte_count = self.shape
        if self.exception is not None:
            body = bytes([unit, function | EXCEPTION, self.exception])
        elif byte_count < 0 and function == DEVICE_IDENTIFICATION:
            body = bytes([unit, function]) + self.data
        else:
            body = bytes([unit, function, len(self.data)]) + self.data
        return body + crc(body)


def parse_reply(frame: bytes) -> Reply:
    """An answer from its whole RTU frame: length, byte count and CRC must agree; BadFrame otherwise."""
    if answer_length(frame) != len(frame):
        raise BadFrame(Message("frame-length"), frame)
    if not intact(frame):
        raise BadFrame(Message("frame-crc"), frame)
    unit, function = frame[0], frame[1]
    if function & EXCEPTION:
        return Reply(Shape(unit, function & ~EXCEPTION, -1), b"", frame[2])
    if function == DEVICE_IDENTIFICATION:
        return Reply(Shape(unit, function, -1), frame[2:-2])
    if function not in _ANSWER_COUNTED:
        raise BadFrame(Message("frame-not-an-answer"), frame)
    return Reply(Shape(unit, function, -1 if function == REPORT_SERVER_ID else frame[2]), frame[3:-2])


def identification_object(unit: int, number: int) -> Request:
    """The read of one device identification object (43/14, individual access)."""
    return Request(unit, DEVICE_IDENTIFICATION, number, INDIVIDUAL)


def object_text(data: bytes, number: int) -> str | None:
    """An object's text in the data of a 43/14 answer; None when it is not there or blank."""
    place = 6
    while place + 2 <= len(data):
        found, length = data[place], data[place + 1]
        if found == number:
            return data[place + 2 : place + 2 + length].decode("ascii", "replace").strip("\0 ") or None
        place += 2 + length
    return None


def answer_length(head: bytes | bytearray) -> int | None:
    """Length of the whole answer that begins so; None: more bytes are needed to know; 0: no answer begins so."""
    if len(head) < 2:
        return None
    function = head[1]
    if function & EXCEPTION:
        return 5
    if function in _ANSWER_COUNTED:
        return 5 + head[2] if len(head) > 2 else None
    if function == DEVICE_IDENTIFICATION:
        return _identification_length(head)
    return _ANSWER_LENGTH.get(function, 0)


def _identification_length(head: bytes | bytearray) -> int | None:
    """43/14: function, MEI, code, conformity, more, next, number of objects; each object: id, length, bytes."""
    if len(head) > 2 and head[2] != MEI_DEVICE_ID:
        return 0
    if len(head) < 8:
        return None
    end = 8
    for _ in range(head[7]):
        if len(head) < end + 2:
            return None
        end += 2 + head[end + 1]
    return end + 2


def request_length(head: bytes | bytearray) -> int | None:
    """Length of the whole request (another master's) that begins so; None: more bytes are needed; 0: none does. Answers
    to writes begin as the writes do, so a byte count must be that of its quantity."""
    if len(head) < 2:
        return None
    function = head[1]
    if function in _REQUEST_COUNTED:
        place = _REQUEST_COUNTED[function]
        if len(head) <= place:
            return None
        bits = _BITS_A_COUNT.get(function)
        if bits and head[place] != (int.from_bytes(head[place - 2 : place]) * bits + 7) // 8:
            return 0
        return place + 3 + head[place]
    if function == DEVICE_IDENTIFICATION:
        return 7
    return _REQUEST_LENGTH.get(function, 0)


def shape_of(head: bytes | bytearray) -> Shape:
    """The shape that an answer with this head has; needs as many bytes as ``answer_length`` does."""
    function = head[1]
    if function & EXCEPTION:
        return Shape(head[0], function & ~EXCEPTION, -1)
    if function in (REPORT_SERVER_ID, DEVICE_IDENTIFICATION) or len(head) < 3:
        return Shape(head[0], function, -1)
    return Shape(head[0], function, head[2])


def shape_to_come(frame: bytes) -> Shape | None:
    """The shape of the answer to another master's read."""
    try:
        return parse_request(frame).key
    except BadFrame:
        return None
