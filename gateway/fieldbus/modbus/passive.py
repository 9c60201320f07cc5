"""Passive pairing: which answer on an overheard RTU line belongs to which question of the other master.

Pure: bytes and monotonic seconds go in, exchanges and writes come out; nothing is ever sent. docs/fieldbus.md, "Passive
RTU", has the rules and what they cannot see. The other master's time-outs are its own and it asks one key again at
once, so a key whose question went unanswered is *void*: an answer that is still on its way must not become the next
question's. ``KeyTable`` holds the void keys as it holds those that were asked: void is what is young.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
    answer_length,
    intact,
    request_length,
    shape_of,
)
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.keys import Key, KeyTable, Unit
from gateway.fieldbus.wire.link import NO_ANSWER
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

WRITES = (5, 6, 15, 16, 22, 23)
FUNCTIONS = frozenset((*BITS, *REGISTERS, *WRITES, 7, 8, 11, 12, REPORT_SERVER_ID, 20, 21, DEVICE_IDENTIFICATION))
"""All whose frames tell their length."""
BROADCAST = 0
LONGEST = 300
"""No frame has more bytes."""
SHORTEST, QUESTION = 4, 8
"""Fewer stray bytes than the first were no question; more than the second may have been several."""
MOST_BITS = 2000

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
    """A question that waits for its answer. ``read``: it itself; None: it is no read. ``behind``: when the first byte
    behind it was read."""

    unit: int
    function: int
    read: Request | None
    asked: float
    behind: float | None = None

    @property
    def key(self) -> Key:
        return self.read.key if self.read is not None else (self.unit, self.function, -1)


class Pairing:
    """Takes every byte of one line on which others speak. One for each opened port or connection.

    ``counts``: questions heard, pairs ``taken``, ``doubtful`` and ``late`` ones, ``refused`` and ``unanswered``
    questions, ``damaged`` answers, answers without a question (``lone``), ``writes``, bytes of no frame (``stray``).

    Args:
        table: void keys; outlives this.
        timeout_s: of a unit in seconds, as its profile says.
        unended_s: a frame that has begun and has not ended so much later is none.
        counts: goes on counting in it.
    """

    def __init__(
        self,
        table: KeyTable,
        timeout_s: Callable[[Unit], float],
        unended_s: float,
        counts: Counter[str] | None = None,
    ) -> None:
        self.counts = Counter[str]() if counts is None else counts
        self._table, self._timeout_s, self._unended_s = table, timeout_s, unended_s
        self._buffer = bytearray()
        self._begun = 0.0  # since when what is in the buffer waits to be a frame
        self._open: _Open | None = None
        self._in_step = self._was_in_step = False
        self._strays, self._stray_at = 0, 0.0  # bytes of no frame since the last frame, and when they were seen
        self._doubted: tuple[Key, float] | None = None  # the last exchange, if its key was void, and when it ended
        self._events: list[Event] = []

    def receive(self, data: bytes, now: float, since: float | None = None) -> list[Event]:
        """Take bytes that were read at ``now`` and came at ``since`` at the earliest (None: just now). A process that
        was paused reads late: a question counts from the earliest moment on, an answer from that of reading."""
        events = self.expire(now)
        self._events = []
        if not self._buffer:
            self._begun = now
        if self._open and self._open.behind is None:
            self._open.behind = now
        self._buffer += data
        while self._buffer and self._take(now, now if since is None else since):
            self._begun = now
        return events + self._events

    def expire(self, now: float) -> list[Event]:
        """Give up a frame that has begun and does not end."""
        self._events = []
        if self._buffer and now - self._begun >= self._unended_s:
            self._lose_step(now)
            self._skip(len(self._buffer), now)
        return self._events

    def lost(self, now: float) -> list[Event]:
        """Bytes were lost, before this process could read them: any question may have been among them."""
        self._events = []
        self._lose_step(now)
        self._buffer.clear()
        self._strays = 0
        self._table.used_by_others(now)
        return self._events

    def _take(self, now: float, since: float) -> bool:
        """Take what stands at the head; False when more bytes are needed."""
        if self._open is None and not self._in_step:
            return self._search(now, since)
        answer = self._answer_length(self._open) if self._open is not None else 0
        question = request_length(self._buffer)
        if self._open is not None and answer and self._holds(answer):
            self._close(self._open, self._cut(answer), now)
        elif question and self._holds(question):
            self._ask(self._cut(question), now, since)
        elif answer is None or question is None or len(self._buffer) < max(answer, question):
            return False
        elif answer:
            self.counts["damaged"] += 1
            self._cut(answer)
            self._unanswered(now)
        else:
            self._lose_step(now)
        return True

    def _answer_length(self, asked: _Open | None) -> int | None:
        """Length of the answer to the open question, if one begins so; 0: none does."""
        head = self._buffer
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

    def _search(self, now: float, since: float) -> bool:
        """Out of step: a frame whose check value fits, wherever it begins. Bytes before it are stray."""
        for place in range(len(self._buffer) - SHORTEST + 1):
            if self._buffer[place + 1] & ~EXCEPTION not in FUNCTIONS:
                continue
            head = self._buffer[place : place + LONGEST]
            for length_of, take in ((request_length, self._ask), (answer_length, self._lone)):
                length = length_of(head)
                if length and len(head) >= length and intact(bytes(head[:length])):
                    self._skip(place, now)
                    take(self._cut(length), now, since)
                    return True
        self._skip(max(0, len(self._buffer) - LONGEST), now)
        return False

    def _ask(self, frame: bytes, now: float, since: float) -> None:
        """An intact question; it keeps step whatever became of the one before."""
        self._settle_strays()
        self._unanswered(now)
        unit, function = frame[0], frame[1]
        if function in WRITES:
            self._wrote(frame, now)
        if unit == BROADCAST:
            return
        read = None
        if function in BITS or function in REGISTERS:
            read = Request(unit, function, int.from_bytes(frame[2:4]), int.from_bytes(frame[4:6]))
            self.counts["questions"] += 1
        self._open = _Open(unit, function, read, since, now if self._buffer else None)
        self._doubt_on(self._open.key, now, since)

    def _doubt_on(self, key: Key, now: float, since: float) -> None:
        """A void key is asked again and nothing else was heard since its last exchange: that may have brought an older
        answer, and this question's own would then come behind the next one, and so on. It stays void."""
        doubted, ended = self._doubted or (None, now)
        if doubted == key and since - ended < self._timeout_s(key[0]):
            self._table.use(key, now)

    def _close(self, asked: _Open, frame: bytes, now: float) -> None:
        """The very next frame, and of its key."""
        self._open, self._in_step, self._was_in_step = None, True, True
        refusal = bool(frame[1] & EXCEPTION)
        void = self._void(asked.key, asked.asked, refusal=refusal)
        self._doubted = (asked.key, now) if void else None
        read = asked.read
        if read is None:
            return
        data, why = b"", None
        behind = now if asked.behind is None else asked.behind
        if refusal and frame[2] in GATEWAY_SILENT:
            why, kind = UNANSWERED, "unanswered"
        elif void or _also_question(frame):
            why, kind = DOUBTFUL, "doubtful"
        elif behind - asked.asked > self._timeout_s(asked.unit):
            why, kind = LATE, "late"
        elif refusal:
            why, kind = refused(frame[2], asked.function), "refused"
        else:
            data, kind = frame[3:-2], "taken"
        if not void and kind in ("unanswered", "doubtful", "late"):
            self._table.use(asked.key, now)
        self.counts[kind] += 1
        self._events.append(Exchange(read, data, why, asked.asked, now))

    def _void(self, key: Key, asked: float, *, refusal: bool) -> bool:
        """An older answer of this key may still come; an exception may belong to any question of unit and function."""
        if refusal:
            return self._table.young_among(lambda other: other[:2] == key[:2], asked) or self._table.young(key, asked)
        return self._table.young(key, asked)

    def _lone(self, frame: bytes, now: float, since: float) -> None:
        """An intact answer that no question waits for. It is the answer to a question that came damaged, if one did;
        else a late one, or one that came twice, or its question was not heard."""
        self.counts["lone"] += 1
        if frame[1] in WRITES:
            self._wrote(frame, now)
        key = shape_of(frame)
        answered = SHORTEST <= self._strays <= QUESTION and not self._table.young(key, since)
        if answered:
            self._strays = 0
        else:
            self._settle_strays()
            self._table.use(key, now)

    def _unanswered(self, now: float) -> None:
        """The open question got no answer: its key is void."""
        asked, self._open = self._open, None
        if asked is not None:
            self._table.use(asked.key, now)
            if asked.read is not None:
                self.counts["unanswered"] += 1
                self._events.append(Exchange(asked.read, b"", UNANSWERED, asked.asked, now))

    def _lose_step(self, now: float) -> None:
        self._unanswered(now)
        self._in_step = False

    def _skip(self, count: int, now: float) -> None:
        if count:
            del self._buffer[:count]
            self.counts["stray"] += count
            self._strays, self._stray_at = self._strays + count, now

    def _settle_strays(self) -> None:
        """Stray bytes that nothing accounts for may have been a question, of any key, whose answer is still to come.
        Those before the first pair were heard from their middle on."""
        if self._strays >= SHORTEST and self._was_in_step:
            self._table.used_by_others(self._stray_at)
        self._strays = 0

    def _wrote(self, frame: bytes, now: float) -> None:
        self.counts["writes"] += 1
        place = 6 if frame[1] == 23 and len(frame) >= 13 else 2  # behind what function 23 reads
        self._events.append(Write(frame[0], frame[1], int.from_bytes(frame[place : place + 2]), now))

    def _holds(self, length: int) -> bool:
        return len(self._buffer) >= length and intact(bytes(self._buffer[:length]))

    def _cut(self, length: int) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        return frame


def _also_question(frame: bytes) -> bool:
    """Three data bytes of bits can stand as the question of a master that has given up waiting."""
    return frame[1] in BITS and len(frame) == QUESTION and 0 < int.from_bytes(frame[4:6]) <= MOST_BITS
