"""Framing of Modbus RTU. An answer tells unit, function and byte count of its question; an exception no byte count.

Sources: Modbus over serial line v1.02 §2.5.1; Modbus application protocol v1.1b3 §7 (exceptions).
"""

from __future__ import annotations

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import (
    DEVICE_IDENTIFICATION,
    EXCEPTION,
    GATEWAY_SILENT,
    answer_length,
    intact,
    permit,
    request_length,
    shape_of,
    shape_to_come,
)
from gateway.fieldbus.wire.framing import Head, Refused
from gateway.fieldbus.wire.keys import Key, Question
from gateway.messages.message import Message

LONGEST = 250
"""Data bytes to wait for where the answer's length is not known before."""
AROUND = 5
"""Unit, function, byte count and CRC of an answer."""


class RtuFraming:
    """See ``wire.framing.Framing``."""

    preamble = b""
    frail = b""

    def sent(self, question: Question) -> bytes:
        return question.frame

    def permit(self, frame: bytes) -> bytes:
        permit(frame[1:-2])
        return frame

    def answer_length(self, head: bytes | bytearray) -> int | None:
        return answer_length(head)

    def question_length(self, head: bytes | bytearray) -> int | None:
        return request_length(head)

    def intact(self, frame: bytes) -> bool:
        return intact(frame)

    def head(self, head: bytes | bytearray) -> Head:
        return Head(shape_of(head), bool(head[1] & EXCEPTION))

    def answers(self, head: Head, asked: Key) -> bool:
        return head.key[:2] == asked[:2] if head.refusal else head.key == asked

    def key_to_come(self, question: bytes) -> Key | None:
        return shape_to_come(question)

    def read(self, question: Question, frame: bytes) -> bytes | Refused | Message:
        function = frame[1]
        if not function & EXCEPTION:
            return frame[2:-2] if function == DEVICE_IDENTIFICATION else frame[3:-2]
        if frame[2] in GATEWAY_SILENT:
            return Message("answer-gateway-exception", exception=format(frame[2], "02X"))
        return refused(frame[2], function & ~EXCEPTION)

    def answers_itself(self, question: Question) -> bool:
        frame = question.frame
        return answer_length(frame) == len(frame) and shape_of(frame) == question.key

    def could_begin(self, head: bytes | bytearray, asked: Key) -> bool:
        unit, function = asked[:2]
        return any(bytes((unit, code)).startswith(head[:2]) for code in (function, function | EXCEPTION))

    def answer_chars(self, key: Key) -> int:
        return (key[2] if key[2] >= 0 else LONGEST) + AROUND


RTU = RtuFraming()
