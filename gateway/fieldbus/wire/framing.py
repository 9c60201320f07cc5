"""Framing interface: all that the guard of a stream of bytes asks about them, so that it knows no protocol itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from gateway.fieldbus.wire.keys import Key, Question
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality


class Head(NamedTuple):
    """What the first bytes of an answer say: the key that it bears, as far as it tells, and whether it refuses."""

    key: Key
    refusal: bool = False


class Refused(NamedTuple):
    """A refusal as its frame says it.

    ``flag``: the quality of values that are refused so. ``lasting``: it is so until something is changed; else the
    device is only busy. ``of_place``: another cut of the reads may be free of it.
    """

    code: int
    sentence: Message
    flag: Quality
    lasting: bool = False
    of_place: bool = False


class Framing(Protocol):
    """The frames of one protocol on a stream of bytes. Pure; ``head`` and ``frame`` begin at the first byte."""

    preamble: bytes
    """Bytes that may stand in front of any frame, in any number."""
    frail: bytes
    """What frames begin with whose check value is so short that one damaged frame in a thousand makes values uncertain;
    empty: it is not so short."""

    def sent(self, question: Question) -> bytes:
        """The bytes of a question on this wire."""

    def permit(self, frame: bytes) -> bytes:
        """The read-only gate: give back a frame that only reads. Raises NotARead for every other."""

    def answer_length(self, head: bytes | bytearray) -> int | None:
        """Length of the whole answer that begins so; None: more bytes are needed to know; 0: no answer begins so."""

    def question_length(self, head: bytes | bytearray) -> int | None:
        """Length of the whole question (another master's) that begins so; None: more bytes are needed; 0: none does."""

    def intact(self, frame: bytes) -> bool:
        """Its check value is that of its bytes."""

    def head(self, head: bytes | bytearray) -> Head:
        """What an answer with this head says of its question; needs as many bytes as ``answer_length`` does."""

    def answers(self, head: Head, asked: Key) -> bool:
        """An answer with this head answers a question of this key: with its very key, or by refusing it."""

    def key_to_come(self, question: bytes) -> Key | None:
        """The key of the answer to another master's question; None: it does not tell one."""

    def read(self, question: Question, frame: bytes) -> bytes | Refused | Message:
        """What an intact frame, whose head answers the question, brings: the data bytes, a refusal, or (a message) the
        word of somebody in between that there was no answer."""

    def answers_itself(self, question: Question) -> bool:
        """The bytes of the question are also a whole answer to it: on a line that echoes they could be taken for
        one."""

    def could_begin(self, head: bytes | bytearray, asked: Key) -> bool:
        """An answer to a question of this key may begin so."""

    def answer_chars(self, key: Key) -> int:
        """The most characters that an answer of this key can have."""


class Texts:
    """What a DTU sends unasked, such as its name when it connects, and a heartbeat: known texts that stand where a
    frame could begin. Each ends where it ends: nothing marks it, and a frame may follow at once."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._texts = sorted(texts, key=len, reverse=True)

    def length(self, head: bytes | bytearray) -> int | None:
        """Of the text that bytes begin with (of several the longest); None: one may have begun; 0: none has."""
        if not self._texts:
            return 0
        if any(len(text) > len(head) and text.startswith(head) for text in self._texts):
            return None
        return next((len(text) for text in self._texts if head.startswith(text)), 0)


NO_TEXTS = Texts()
