"""Link interface: what a line's worker needs of a connection, and the outcomes of one read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.devices.blocks import Raw
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.keys import Key, KeyTable, Question
from gateway.messages.message import Message
from ledger_client.messages import Sentence

NO_ANSWER, NO_FRAME = Message("answer-none"), Message("answer-no-frame")
TWO_ANSWERS = Message("poll-two-answers")


class Answer(NamedTuple):
    """The answer to exactly this question: its data bytes, and the monotonic moment at which it was complete.
    ``frame``: the whole of it, as it came."""

    question: Question
    data: bytes
    completed: float
    number: int = 0
    """Running number on its link, for ``Link.voided``."""
    frame: bytes = b""

    def raw(self) -> Raw:
        """What it holds, as its block is decoded from it."""
        return self.question.content(self.data)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device refuses. ``doubtful``: a question to this unit went unanswered within its answer life, so that the
    refusal may belong to that one (a refusal tells less of its question than an answer)."""

    question: Question
    refused: Refused
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer that could be trusted: ``timeout`` or ``no-shape``, and what was seen instead. ``until``: the monotonic
    moment in seconds from which on there is a key."""

    reason: str
    detail: Sentence
    question: Question | None = None
    until: float | None = None


def no_key(table: KeyTable, questions: Sequence[Question], now: float, *, closed: bool = False) -> Silence:
    """None of these questions has a free key now. ``closed``: one was sent and met the end of the connection."""
    why = Message("poll-no-shape", life_ms=round(1000 * table.life(questions[0].unit, now)))
    return Silence(
        "no-shape", Message("poll-no-shape-lost", why=why) if closed else why, until=table.free_at(questions, now)
    )


Outcome = Answer | Refusal | Silence


@dataclass(frozen=True, slots=True)
class Manners:
    """How one device wants to be asked."""

    timeout_s: float
    pause_s: float = 0.0
    leading_bytes: bool = False
    """Lone 00 or FF bytes may stand before its answers."""
    direct: bool = False
    """Modbus TCP spoken by the device itself: no converter that could hold an old answer back."""


class ObservedFrame(NamedTuple):
    """Bytes on the line that are no expected answer: ``late``, ``foreign``, ``doubled``, ``damaged``, ``noise``,
    ``echo`` (a question of ours, where no echo is expected) or ``mismatched`` (an answer of the asked unit, of another
    function or length than asked)."""

    kind: str
    data: bytes
    key: Key | None = None
    latency_s: float | None = None
    """Seconds since a question of this key was sent, if there was one."""


Witness = Callable[[ObservedFrame], None]


class Link(Protocol):
    """An open connection to the devices of one line. Reads are never concurrent.

    ``read`` and ``quiet`` raise LineDown when the port or connection is gone; the link is then closed and replaced.
    """

    generation: int
    """Counts the connections that this link renewed by itself; behind a new one may stand another device."""
    renewals: int
    """Counts those that took the place of one that the device closed behind a whole answer."""
    voided: set[int]
    """Numbers of answers that turned out to be doubtful after they were given; the reader takes them out."""

    async def read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        """Ask one of the questions (variants of one block, cheapest first) and wait for its answer."""

    async def quiet(self) -> None:
        """Wait until a frame that follows the last answer at once would have shown itself."""

    def close(self) -> None:
        """Release the port or connection; harmless if done before."""
