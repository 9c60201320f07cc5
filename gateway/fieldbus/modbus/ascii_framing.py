"""Framing of Modbus ASCII: ``:``, two hexadecimal digits a byte, the LRC, CR LF. Its answers tell what RTU's tell.

A frame ends at its end mark, and then has to have the length that its bytes give it.
Source: Modbus over serial line v1.02 §2.5.2.
"""

from __future__ import annotations

from binascii import hexlify, unhexlify
from collections.abc import Callable

from gateway.fieldbus.modbus.frames import (
    EXCEPTION,
    Shape,
    answer_length,
    crc,
    permit,
    request_length,
    shape_to_come,
)
from gateway.fieldbus.modbus.rtu_framing import LONGEST, RTU
from gateway.fieldbus.wire.errors import NotARead
from gateway.fieldbus.wire.framing import Head, Refused
from gateway.fieldbus.wire.keys import Key, Question
from gateway.messages.message import Message

START, END = b":", b"\r\n"
LONGEST_FRAME = 513
AROUND = 11
"""Characters of an answer besides those of its data: start, unit, function, byte count, LRC, end."""
QUESTION = 17
"""Characters of a question."""
_CRC_BYTES = 2
_NONE = Shape(-1, -1, -1)
"""The key of a frame whose first bytes are none."""


class AsciiFraming:
    """See ``wire.framing.Framing``."""

    preamble = b""
    frail = START

    def sent(self, question: Question) -> bytes:
        return encode(question.frame[:-_CRC_BYTES])

    def permit(self, frame: bytes) -> bytes:
        body = decode(frame)
        if body is None:
            raise NotARead(Message("request-not-a-read", function=0, pdu=frame.hex(" ").upper()))
        permit(body[1:])
        return frame

    def answer_length(self, head: bytes | bytearray) -> int | None:
        return _length(head, answer_length, damaged=True)

    def question_length(self, head: bytes | bytearray) -> int | None:
        return _length(head, request_length, damaged=False)

    def intact(self, frame: bytes) -> bool:
        return decode(frame) is not None

    def head(self, head: bytes | bytearray) -> Head:
        try:
            first = unhexlify(head[1:7])
        except ValueError:
            return Head(_NONE)
        return RTU.head(first) if len(first) > 1 else Head(_NONE)

    def answers(self, head: Head, asked: Key) -> bool:
        return RTU.answers(head, asked)

    def key_to_come(self, question: bytes) -> Key | None:
        return shape_to_come(_as_rtu(question))

    def read(self, question: Question, frame: bytes) -> bytes | Refused | Message:
        return RTU.read(question, _as_rtu(frame))

    def answers_itself(self, question: Question) -> bool:
        return RTU.answers_itself(question)

    def could_begin(self, head: bytes | bytearray, asked: Key) -> bool:
        unit, function = asked[:2]
        begins = [encode(bytes((unit, code)))[:5] for code in (function, function | EXCEPTION)]
        return any(begin.startswith(bytes(head[:5]).upper()) for begin in begins)

    def answer_chars(self, key: Key) -> int:
        return 2 * (key[2] if key[2] >= 0 else LONGEST) + AROUND


def lrc(data: bytes) -> int:
    """The check value: what makes the sum of all bytes a multiple of 256."""
    return -sum(data) & 0xFF


def encode(body: bytes) -> bytes:
    """The frame of a unit and a PDU."""
    return START + hexlify(body + bytes([lrc(body)])).upper() + END


def decode(frame: bytes | bytearray) -> bytes | None:
    """Unit and PDU of a whole frame; None where it is none, or its check value is wrong."""
    if not frame.startswith(START) or not frame.endswith(END):
        return None
    try:
        data = unhexlify(frame[1:-2])
    except ValueError:
        return None
    return data[:-1] if len(data) > 2 and sum(data) & 0xFF == 0 else None


def _as_rtu(frame: bytes) -> bytes:
    body = decode(frame)
    assert body is not None, "a frame that is not intact"
    return body + crc(body)


def _length(head: bytes | bytearray, of_rtu: Callable[[bytes | bytearray], int | None], *, damaged: bool) -> int | None:
    """Whole length of the frame that begins so, if its bytes have the length that ``of_rtu`` gives them.

    None: its end is not there yet; 0: none begins so. ``damaged``: a frame that is not intact has a length, too."""
    if not head.startswith(START):
        return 0 if head else None
    end = head.find(END)
    if end < 0:
        return None if len(head) < LONGEST_FRAME else 0
    length = end + len(END)
    body = decode(head[:length])
    if body is None:
        return length if damaged else 0
    return length if of_rtu(body) == len(body) + _CRC_BYTES else 0


ASCII = AsciiFraming()
