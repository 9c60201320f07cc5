"""Passive pairing: which answer on an overheard RTU line belongs to which question of the other master.

Pure: bytes and monotonic seconds go in, exchanges and writes come out; nothing is ever sent. docs/fieldbus.md, "Passive
RTU", has the rules and what they cannot see. Here nobody can choose the next key, so an answer counts only if no other
question can have it:

1. It is the very next frame behind its question, with the unit, function and byte count that the question asks for.
   Any other frame ends the wait: the question is unanswered.
2. It is certain: by ``OwedAnswers`` it can be of no older question of its unit, whatever slow unit or bridge it came
   from. What that module assumes is assumed here.
3. Its key is not *void*. A key is void for an answer life after a question of it was unanswered, its answer doubtful
   or late, or an answer of it came alone, whatever order a unit answers in. ``KeyTable`` holds void keys as it holds
   asked ones: void is what is young.
4. It came within the unit's time-out.

An answer that fails 2 or 3 is doubtful, one that fails 4 late; neither gives a value. The stream is *in step* while
each frame begins where the one before ended. A damaged frame, or one that does not end, loses step; only then are
intact frames searched for, and an answer that is found so has no question. Bytes of no frame may have been questions:
a damaged answer explains them, or one known question that differs in one byte (its key is void); else every key is
void, and every unit may owe an answer. The same holds for bytes that were lost (``lost``).

Of the two moments of a frame, its reading and the earliest at which it can have come, each comparison takes the one
that lets fewer answers count. All of this breaks if bytes are lost without a call of ``lost``, or if a question ends
without an answer that counts and its key is not made void.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import ne
from typing import NamedTuple

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import (
    BITS,
    DEVICE_IDENTIFICATION,
    EXCEPTION,
    GATEWAY_SILENT,
    REGISTERS,
    REPORT_SERVER_ID,
    Request,
    Shape,
    answer_length,
    intact,
    request_length,
    shape_of,
    shape_to_come,
)
from gateway.fieldbus.modbus.owed_answers import OwedAnswers
from gateway.fieldbus.modbus.stamped_bytes import Frame, Moment, StampedBytes
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.keys import Key, KeyTable, Unit
from gateway.fieldbus.wire.link import NO_ANSWER
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

WRITES = (5, 6, 15, 16, 22, 23)
FUNCTIONS = frozenset((*BITS, *REGISTERS, *WRITES, 7, 8, 11, 12, REPORT_SERVER_ID, 20, 21, DEVICE_IDENTIFICATION))
"""All whose frames tell their length."""
ALIKE = (5, 6, 8, 20, 21, 22)
"""Their answers look like questions, so one proves nothing: it may be the question, asked again."""
BROADCAST = 0
LONGEST = 300
"""No frame has more bytes."""
SHORTEST, QUESTION = 4, 8
"""Fewer stray bytes than the first were no question; more than the second may have been several."""
MOST_BITS, MOST_REGISTERS = 2000, 125
MOST_KNOWN = 1000

UNANSWERED = Refused(0, NO_ANSWER, Quality.COMM_FAIL)
DOUBTFUL = Refused(0, Message("pair-doubtful"), Quality.COMM_FAIL)
LATE = Refused(0, Message("pair-late"), Quality.COMM_FAIL)


class Exchange(NamedTuple):
    """A read of the other master, and what came of it: the data of its answer, or why there is none that counts.

    ``asked``, ``ended``: monotonic seconds at which question and answer were complete.
    """

    question: Request
    data: bytes
    refused: Refused | None
    asked: float
    ended: float

    @property
    def raw(self) -> tuple[int, ...]:
        """The registers or bits of the answer; none where there is none that counts."""
        return self.question.content(self.data) if self.refused is None else ()


class Write(NamedTuple):
    """The other master wrote; ``address``: the first register or coil."""

    unit: int
    function: int
    address: int
    at: float


Event = Exchange | Write


@dataclass(slots=True)
class _Open:
    """A question that waits for its answer. ``read``: it itself; None: it is no read."""

    unit: int
    function: int
    key: Key
    read: Request | None
    asked: float


class _Garbled(NamedTuple):
    """An answer that may have come damaged. ``length``: as its head tells it; 0: that is damaged."""

    key: Key
    asked: float
    length: int = 0

    def is_in(self, strays: bytes) -> bool:
        """Nothing but it came behind its question: a frame of its length, of which the head is undamaged, or all but
        the head. What has the length of a question may be one."""
        unit, function, byte_count = self.key
        if len(strays) == QUESTION:
            return False
        if self.length:
            return len(strays) == self.length
        return len(strays) == 5 + byte_count <= 0xFF and intact(bytes([unit, function, byte_count]) + strays[3:])


class Pairing:
    """Takes every byte of one line on which others speak. One for each opened port or connection.

    ``counts``: questions heard, pairs ``taken``, ``doubtful`` and ``late`` ones, ``refused`` and ``unanswered``
    questions, ``damaged`` answers, answers without a question (``lone``), ``writes``, bytes of no frame (``stray``).

    Args:
        table: void keys; outlives this.
        timeout_s: of a unit in seconds, as its profile says.
        unended_s: a frame that has begun and has not ended so much later is none.
        counts: goes on counting in it.
        owed: what units may still answer; outlives this.
    """

    def __init__(
        self,
        table: KeyTable,
        timeout_s: Callable[[Unit], float],
        unended_s: float,
        counts: Counter[str] | None = None,
        owed: OwedAnswers | None = None,
    ) -> None:
        self.counts = Counter[str]() if counts is None else counts
        self._table, self._timeout_s, self._unended_s = table, timeout_s, unended_s
        self._owed = OwedAnswers(table) if owed is None else owed
        self._buffer = StampedBytes()
        self._open: _Open | None = None
        self._in_step = self._was_in_step = False
        self._strays, self._stray_at = b"", Moment(0.0, 0.0)  # bytes of no frame since the last one; the last of them
        self._garbled: _Garbled | None = None
        self._known: dict[bytes, bool] = {}  # reads that were heard, and whether they were answered
        self._events: list[Event] = []

    def receive(self, data: bytes, now: float, since: float | None = None) -> list[Event]:
        """Take bytes that were read at ``now`` and came at ``since`` at the earliest (None: just now). A process that
        was paused reads late: a question counts from the earliest moment on, an answer from that of reading."""
        events = self.expire(now)
        self._events = []
        self._buffer.append(data, Moment(now, now if since is None else since))
        while self._buffer and self._take():
            pass
        return events + self._events

    def expire(self, now: float) -> list[Event]:
        """Give up a frame that has begun and does not end. What stands behind its head is looked through."""
        self._events = []
        while self._buffer and now - self._buffer.first.read >= self._unended_s:
            self._lose_step(now)
            while self._buffer and self._take():
                pass
            self._skip(max(1, self._buffer.older(now - self._unended_s)) if self._buffer else 0)
        return self._events

    def lost(self, now: float) -> list[Event]:
        """Bytes were lost, before this process could read them: any question may have been among them."""
        self._events = []
        self._owed.lost(now)
        self._lose_step(now)
        self._buffer, self._strays, self._garbled = StampedBytes(), b"", None
        self._table.used_by_others(now)
        return self._events

    def _take(self) -> bool:
        """Take what stands at the head; False when more bytes are needed."""
        if self._open is None and not self._in_step:
            return self._search()
        head = self._buffer.data
        answer = self._answer_length(self._open) if self._open is not None else 0
        question, another = _question_length(head), answer_length(head)
        fits = bool(self._open is not None and answer and len(head) < answer)  # so far, as its beginning
        if self._open is not None and answer and self._holds(answer):
            self._close(self._open, self._buffer.cut(answer))
        elif question and self._holds(question) and not fits:
            self._ask(self._buffer.cut(question))
        elif another and self._holds(another):
            self._unanswered(self._buffer.first.read)
            self._lone(self._buffer.cut(another))
        elif answer is None or question is None or len(head) < max(answer, question):
            return False
        elif self._open is not None and answer:
            self.counts["damaged"] += 1
            self._lose_step(self._buffer.last.read, answer)  # where bytes of it are lost, the next question is in it
        else:
            self._lose_step(self._buffer.last.read)
        return True

    def _answer_length(self, asked: _Open | None) -> int | None:
        """Length of the answer to the open question, if one begins so; 0: none does."""
        head = self._buffer.data
        if asked is None or head[0] != asked.unit:
            return 0
        if len(head) < 2:
            return None
        if head[1] & ~EXCEPTION != asked.function:
            return 0
        length = answer_length(head)
        if not length or head[1] & EXCEPTION or asked.read is None:
            return length
        return length if shape_of(head) == asked.key else 0

    def _search(self) -> bool:
        """Out of step: a frame whose check value fits, wherever it begins. Bytes before it are stray."""
        data = self._buffer.data
        for place in range(len(data) - SHORTEST + 1):
            if data[place + 1] & ~EXCEPTION not in FUNCTIONS:
                continue
            head = data[place : place + LONGEST]
            for length_of, take in ((_question_length, self._ask), (answer_length, self._lone)):
                length = length_of(head)
                if length and len(head) >= length and intact(bytes(head[:length])):
                    self._skip(place)
                    take(self._buffer.cut(length))
                    return True
        self._skip(max(0, len(data) - LONGEST))
        return False

    def _ask(self, frame: Frame) -> None:
        """An intact question; it keeps step whatever became of the one before."""
        now, unit, function = frame.last.read, frame.data[0], frame.data[1]
        if self._garbled is not None and self._garbled.is_in(self._strays):
            self._owed.damaged(self._garbled.key, self._garbled.asked)
            self._strays = b""
        self._settle_strays()
        self._unanswered(now)
        if function in WRITES:
            self._wrote(frame)
        if unit == BROADCAST:
            return
        read = None
        if function in BITS or function in REGISTERS:
            read = Request(unit, function, int.from_bytes(frame.data[2:4]), int.from_bytes(frame.data[4:6]))
            self.counts["questions"] += 1
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.setdefault(frame.data, False)
        key = read.key if read is not None else Shape(unit, function, -1)
        self._open = _Open(unit, function, key, read, frame.last.since)
        if function not in ALIKE:
            self._owed.ask(key, now, frame.last.since)

    def _close(self, asked: _Open, frame: Frame) -> None:
        """The very next frame, and of its key."""
        now, answer = frame.last.read, frame.data
        self._open, self._in_step, self._was_in_step = None, True, True
        refusal, read = bool(answer[1] & EXCEPTION), asked.read
        silent = _silent(answer)
        void, certain = self._void(asked.key, asked.asked, refusal=refusal), False
        if (to_come := self._also_question(answer)) is not None:
            self._owed.give_up(asked.key, now)
            self._owed.ask(to_come, now, frame.last.since)
            self._owed.give_up(to_come, now)
        elif silent:
            self._owed.give_up(asked.key, now)
        elif asked.function not in ALIKE:
            certain = self._owed.answer(asked.key, answer, asked.asked)
        if read is None:
            return
        self._known[read.frame] = True
        data, why = b"", None
        if silent:
            why, kind = UNANSWERED, "unanswered"
        elif void or not certain:
            why, kind = DOUBTFUL, "doubtful"
        elif frame.first.read - asked.asked > self._timeout_s(asked.unit):
            why, kind = LATE, "late"
        elif refusal:
            why, kind = refused(answer[2], asked.function), "refused"
        else:
            data, kind = answer[3:-2], "taken"
        if not void and kind in ("unanswered", "doubtful", "late"):
            self._table.use(asked.key, now)
        self.counts[kind] += 1
        self._events.append(Exchange(read, data, why, asked.asked, now))

    def _also_question(self, answer: bytes) -> Shape | None:
        """An answer that can as well be a question, of a master that has given up waiting: what that asks for. So can
        three bytes of bits; and four bytes of registers, for a question and a stray 00 have a right check value."""
        asks = _question_length(answer) == QUESTION and (answer[1] in BITS or answer[:QUESTION] in self._known)
        return shape_to_come(answer[:QUESTION]) if asks else None

    def _void(self, key: Key, asked: float, *, refusal: bool) -> bool:
        """An older answer of this key may still come; an exception may belong to any question of unit and function."""
        if refusal:
            return self._table.young_among(lambda other: other[:2] == key[:2], asked) or self._table.young(key, asked)
        return self._table.young(key, asked)

    def _lone(self, frame: Frame) -> None:
        """An intact answer that no question waits for. It is the answer to a question that came damaged, if one did;
        else a late one, or one that came twice, or its question was not heard."""
        self.counts["lone"] += 1
        before, self._garbled = self._garbled, None
        answer, since, now = frame.data, frame.last.since, frame.last.read
        key = shape_of(answer)
        if answer[1] not in BITS and answer[1] not in REGISTERS:
            key = Shape(key.unit, key.function, -1)
        owed = self._owed.may_be_owed(key, answer, since)
        if answer[1] in (15, 16) and not owed:
            self._wrote(frame)
        proves = answer[1] & ~EXCEPTION not in ALIKE and not _silent(answer)
        if 0 < len(self._strays) < SHORTEST:  # the rest of its question, or noise between a question and its answer
            proves &= before is not None and before.key == key
        if SHORTEST <= len(self._strays) <= QUESTION and not owed and not self._table.young(key, since):
            self._strays = b""
        else:
            self._settle_strays()
            self._table.use(key, now)
        if proves:
            self._owed.alone(key, answer, since)

    def _unanswered(self, now: float) -> None:
        """The open question got no answer: its key is void."""
        asked, self._open = self._open, None
        if asked is None:
            return
        self._table.use(asked.key, now)
        if asked.function not in ALIKE:
            self._owed.give_up(asked.key, now)
        if asked.read is not None:
            self.counts["unanswered"] += 1
            self._events.append(Exchange(asked.read, b"", UNANSWERED, asked.asked, now))

    def _lose_step(self, now: float, length: int = 0) -> None:
        asked = self._open
        if asked is not None:
            self._garbled = _Garbled(asked.key, asked.asked, length) if asked.read is not None or length else None
        self._unanswered(now)
        self._in_step = False

    def _skip(self, count: int) -> None:
        if count:
            stray = self._buffer.cut(count)
            self.counts["stray"] += count
            self._strays, self._stray_at = (self._strays + stray.data)[:LONGEST], stray.last

    def _settle_strays(self) -> None:
        """Stray bytes that nothing accounts for may have been a question, of any key, whose answer is still to come.
        Those before the first pair were heard from their middle on."""
        at, key = self._stray_at, self._recognised()
        if len(self._strays) >= SHORTEST and self._was_in_step:
            if key is not None:
                self._table.use(key, at.read)
                self._owed.ask(key, at.read, at.since)
                self._owed.give_up(key, at.read)
            else:
                self._table.used_by_others(at.read)
                self._owed.unknown(-(-len(self._strays) // QUESTION), *at)
        self._strays, self._garbled = b"", None

    def _recognised(self) -> Key | None:
        """The key of the only known question that the strays are, but for one byte."""
        strays = self._strays
        if len(strays) != QUESTION:
            return None
        like = [one for one, answered in self._known.items() if answered and sum(map(ne, one, strays)) == 1]
        return shape_to_come(like[0]) if len(like) == 1 else None

    def _wrote(self, frame: Frame) -> None:
        self.counts["writes"] += 1
        place = 6 if frame.data[1] == 23 else 2  # behind what function 23 reads
        address = int.from_bytes(frame.data[place : place + 2])
        self._events.append(Write(frame.data[0], frame.data[1], address, frame.last.read))

    def _holds(self, length: int) -> bool:
        return len(self._buffer) >= length and intact(bytes(self._buffer.data[:length]))


def _silent(answer: bytes) -> bool:
    """A gateway says that it got no answer: that may still come."""
    return bool(answer[1] & EXCEPTION) and answer[2] in GATEWAY_SILENT


def _question_length(head: bytes | bytearray) -> int | None:
    """As ``request_length``; a read of none or of too many is no question."""
    length = request_length(head)
    if length and len(head) >= 6 and (head[1] in BITS or head[1] in REGISTERS):
        most = MOST_BITS if head[1] in BITS else MOST_REGISTERS
        return length if 0 < int.from_bytes(head[4:6]) <= most else 0
    return length
