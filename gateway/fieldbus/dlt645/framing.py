"""Framing of DL/T 645: what the guard of a serial line asks about its bytes.

An answer bears the meter's address and the identifier of its question: that pair is the key. A refusal bears the
address alone, so it may refuse an earlier question. Bit 7 of the control code tells answers from questions.
"""

from __future__ import annotations

from gateway.fieldbus.dlt645.frames import (
    ANSWER,
    FROM_METER,
    MORE_FOLLOWS,
    NO_SUCH_DATA,
    OFFSET,
    READ,
    REFUSED,
    Request,
    frame_length,
    intact,
    parse,
    permit,
)
from gateway.fieldbus.wire.framing import Head, Refused
from gateway.fieldbus.wire.keys import Key, Question
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

_CONTROL, _LENGTH, _DATA, _IDENTIFIER = 8, 9, 10, 4
_LONGEST, _LONGEST_SINGLE = 12 + 200, 12 + 4 + 32
"""Characters of the longest answer, and of the longest with a single value."""
MORE = -1
"""Code of an answer whose values go on in frames that are not asked for."""


class Dlt645Framing:
    """DL/T 645-2007. See ``wire.framing.Framing``."""

    preamble = b"\xfe\x00\xff"
    frail = b""

    def sent(self, question: Question) -> bytes:
        """As it stands."""
        return question.frame

    def permit(self, frame: bytes) -> bytes:
        """See ``frames.permit``."""
        return permit(frame)

    def answer_length(self, head: bytes | bytearray) -> int | None:
        """See ``Framing.answer_length``. Known once the identifier is there, or the answer bears none."""
        length = frame_length(head)
        if not length or not head[_CONTROL] & FROM_METER:
            return None if length is None and _maybe(head, FROM_METER) else 0
        bears = head[_CONTROL] in (ANSWER, MORE_FOLLOWS) and head[_LENGTH] >= _IDENTIFIER
        return None if bears and len(head) < _DATA + _IDENTIFIER else length

    def question_length(self, head: bytes | bytearray) -> int | None:
        """See ``Framing.question_length``. Known once the length byte is there."""
        length = frame_length(head)
        if not length or head[_CONTROL] & FROM_METER:
            return None if length is None and _maybe(head, 0) else 0
        return length

    def intact(self, frame: bytes) -> bool:
        """See ``frames.intact``."""
        return intact(frame)

    def head(self, head: bytes | bytearray) -> Head:
        """Address and identifier; of a refusal the address alone."""
        address, control = _address(head), head[_CONTROL] if len(head) > _CONTROL else 0
        if control == REFUSED:
            return Head((address, ""), refusal=True)
        if control in (ANSWER, MORE_FOLLOWS) and len(head) >= _DATA + _IDENTIFIER and head[_LENGTH] >= _IDENTIFIER:
            return Head((address, _identifier(head)))
        return Head((address, f"{control:02X}"))

    def answers(self, head: Head, asked: Key) -> bool:
        """With address and identifier of the question, or refusing a question to that address."""
        return head.key[0] == asked[0] if head.refusal else head.key == asked

    def key_to_come(self, question: bytes) -> Key | None:
        """Of a read by another master: what it asked for."""
        if question[_CONTROL] != READ or question[_LENGTH] < _IDENTIFIER:
            return None
        return _address(question), _identifier(question)

    def read(self, question: Question, frame: bytes) -> bytes | Refused | Message:
        """The value's bytes, lowest first; those of an answer that others follow only if all is there that the question
        needs, since its other frames are never asked for."""
        reply = parse(frame)
        if reply.control == MORE_FOLLOWS and not _suffices(question, reply.value):
            sentence = Message("answer-more-follows")
            return Refused(MORE, sentence, Quality.COMM_FAIL, lasting=True, of_place=True)
        if reply.control != REFUSED:
            return reply.value
        error = reply.error
        if error is None:
            return Message("answer-refusal-form", n=len(reply.data))
        return refused(error)

    def answers_itself(self, question: Question) -> bool:
        """Never: bit 7 of the control code tells who speaks."""
        return False

    def could_begin(self, head: bytes | bytearray, asked: Key) -> bool:
        """It is 68 and as much of the address as there is."""
        begin = bytes([0x68, *bytes.fromhex(str(asked[0]))[::-1], 0x68])
        return begin.startswith(bytes(head[: len(begin)]))

    def answer_chars(self, key: Key) -> int:
        """A block identifier (FF in one place) may be answered at length."""
        return _LONGEST if "FF" in str(key[1]) else _LONGEST_SINGLE


def refused(error: int) -> Refused:
    """What a meter says with this error byte: it does not have the identifier (bit 02), else that it will not answer
    now."""
    if error & NO_SUCH_DATA:
        return Refused(error, Message("dlt645-no-such-data"), Quality.NOT_FOUND, lasting=True, of_place=True)
    return Refused(error, Message("dlt645-refused", error=format(error, "02X")), Quality.COMM_FAIL)


def _maybe(head: bytes | bytearray, who: int) -> bool:
    """The control code is not there yet, or is that of a meter (80H) or of a master (0)."""
    return len(head) <= _CONTROL or head[_CONTROL] & FROM_METER == who


def _address(frame: bytes | bytearray) -> str:
    return bytes(frame[6:0:-1]).hex().upper()


def _identifier(frame: bytes | bytearray) -> str:
    return bytes(byte - OFFSET & 0xFF for byte in frame[_DATA + 3 : _DATA - 1 : -1]).hex().upper()


def _suffices(question: Question, value: bytes) -> bool:
    return isinstance(question, Request) and len(value) >= question.needs


DLT645 = Dlt645Framing()
