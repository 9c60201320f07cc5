"""Modbus TCP transactions: which received packet is the answer to the current request, without the connection.

Pure: bytes and monotonic seconds go in, decisions out; ``tcp_link`` moves the bytes. A packet is framed by its length
and identified by its transaction id; then each of its fields is compared with its question. Between a Modbus TCP head
and a serial tail sits a converter that can hand on an old serial answer under the newest transaction id, so a device
that is not ``direct`` keeps the rule of shapes as well (docs/fieldbus.md).
Source: Modbus Messaging on TCP/IP Implementation Guide v1.0b §3.1.3 (MBAP header).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import BITS, EXCEPTION, GATEWAY_SILENT, REGISTERS, Request, Shape
from gateway.fieldbus.wire.connections import Connections
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import (
    NO_ANSWER,
    TWO_ANSWERS,
    Answer,
    ObservedFrame,
    Outcome,
    Refusal,
    Silence,
    Witness,
)
from gateway.messages.message import Message
from ledger_client.messages import Sentence

HEAD = 7
"""Transaction id, protocol id, length, unit."""
BEFORE_LENGTH = 6
"""The length counts what stands behind it: unit, function, data."""
SHORTEST, LONGEST = 2, 254
REMEMBERED = 32
"""Transactions of which the time is kept, to learn how late their answers come. A power of two that divides 65,536."""
TIMEOUTS = 2
"""Time-outs in a row after which the connection is replaced."""

_START = struct.Struct(">HHHBB")
_NOT_MODBUS_TCP, _BYTE_COUNT = Message("answer-not-modbus-tcp"), Message("answer-byte-count")
_PART_BEHIND, _ENDED_EARLY = Message("answer-part-behind"), Message("answer-ended-early")
_OTHER_TRANSACTION = Message("answer-other-transaction")


class Transactions:
    """Takes every byte of one connection after the other, and decides.

    ``choose`` → ``ask`` → ``receive`` … until ``decided`` or the deadline → ``finish``; or ``abandon``. Bytes that come
    at other times go to ``receive`` as well. ``stale``: the connection is to be replaced before the next question;
    ``opened`` says that it was. ``voided`` holds the numbers of answers that what came behind them made doubtful.
    """

    def __init__(self, table: KeyTable, witness: Witness, connections: Connections | None = None) -> None:
        self.table, self.voided = table, set[int]()
        self._connections = connections or Connections()
        self.decided, self._spoilt = True, False
        self._witness = witness
        self._request: Request | None = None
        self._direct = False
        self._tid = self._connections.transaction
        self._asked: list[tuple[int, Request, float] | None] = [None] * REMEMBERED
        self._rest = b""
        self._head, self._length = b"", 0
        self._frame: bytes | None = None
        self._completed = 0.0
        self._copies = 0
        self._seen: Sentence | None = None
        self._garbled = False
        self._timeouts = 0
        self._answers = 0
        self._last: tuple[Shape, int] | None = None
        self._never_asked = set[Shape]()  # and yet a unit answered so

    @property
    def stale(self) -> bool:
        """The connection cannot be asked again: it is spoilt, or a packet has begun that may be anything."""
        return self._spoilt or self._rest != b""

    def opened(self) -> None:
        """There is a new connection. Transaction ids go on, so that what was asked over the last one is no answer."""
        self._spoilt, self._garbled, self._rest, self._timeouts, self._last = False, False, b"", 0, None
        self._asked = [None] * REMEMBERED

    def choose(self, requests: Sequence[Request], now: float, *, direct: bool) -> Request | None:
        """The variant to ask; None when no shape is old enough. Shapes do not matter to a device that is ``direct``."""
        return requests[0] if direct else self.table.choose(requests, now)

    def ask(self, request: Request, now: float, *, direct: bool) -> bytes:
        """``request`` is about to be written: the packet for it. NotARead if it is not a read."""
        assert self._request is None, "one question at a time"
        tid = self._tid % 0xFFFF + 1
        start = tid.to_bytes(2, "big")
        packet = start + request.mbap
        answer_head, self._length = request.answer_mbap
        self._tid, self._request, self._direct = tid, request, direct
        self._connections.transaction = tid
        self._head = start + answer_head
        self._asked[tid % REMEMBERED] = tid, request, now
        self._frame, self._copies, self._seen, self._last, self.decided = None, 0, None, None, False
        if not direct:
            self.table.use(request.key, now)
        return packet

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that were read at ``now``."""
        if not self.decided and not self._rest and len(data) == self._length and data.startswith(self._head):
            self._frame, self._copies, self._completed, self.decided = data, 1, now, True
        else:
            self._split(self._rest + data, now)

    def finish(self, now: float) -> Outcome:
        """End the question in flight: its outcome, or silence. Its shape counts as used until now."""
        request, self._request, self.decided = self._request, None, True
        assert request is not None, "finish() without a question"
        outcome = self._judge(request)
        if isinstance(outcome, Silence):
            self.table.silent(request.key, now)
            self._timeouts += 1
            self._spoilt = self._spoilt or self._timeouts >= TIMEOUTS
            return outcome
        self._timeouts = 0
        if not self._direct:
            self.table.use(request.key, now)
        return outcome

    def abandon(self, now: float) -> None:
        """End the question in flight unanswered, in the middle of what is coming, which is no answer."""
        self.lost(now)
        self._spoilt = True

    def lost(self, now: float) -> None:
        """The question in flight met the end of its connection: it was asked all the same, and may yet be answered
        behind a converter."""
        request, self._request, self.decided = self._request, None, True
        if request is not None:
            self.table.silent(request.key, now)

    def _split(self, data: bytes, now: float) -> None:
        """Take the whole packets at the head of the data, and keep the rest for later."""
        place = 0
        while not self._garbled and len(data) - place > HEAD:
            tid, protocol, length, _, _ = _START.unpack_from(data, place)
            if protocol or not SHORTEST <= length <= LONGEST:
                self._garble(_NOT_MODBUS_TCP)
                break
            end = place + BEFORE_LENGTH + length
            if len(data) < end:
                break
            frame, place = data[place:end], end
            if tid != self._tid:
                self._late(tid, frame, now)
            elif not _whole(frame):
                self._garble(_BYTE_COUNT)
            elif self._request is None:
                self._again(frame, now)
            else:
                if self._frame is None:
                    self._frame, self._completed, self.decided = frame, now, True
                self._copies += 1
        self._rest = b"" if self._garbled else data[place:]

    def _judge(self, request: Request) -> Outcome:
        """The first packet with our transaction id, compared with the question in all that it can tell."""
        frame, direct = self._frame, self._direct
        if frame is None or self._garbled or self._rest:
            return self._nothing(request)
        if self._copies == 1 and len(frame) == self._length and frame.startswith(self._head):
            return self._answer(request, frame)
        unit, function = frame[6], frame[7]
        if unit != request.unit:
            return Silence("timeout", Message("answer-other-unit", unit=unit), request)
        if function == request.function | EXCEPTION:
            if frame[8] in GATEWAY_SILENT and not direct:
                sentence = Message("answer-gateway-exception", exception=format(frame[8], "02X"))
                return Silence("timeout", sentence, request)
            return Refusal(request, refused(frame[8], request.function), self.table.burnt(unit, self._completed))
        shape = _shape(frame)
        if self._copies > 1 and not direct:
            self._witness(ObservedFrame("doubled", frame, shape))
            return Silence("timeout", TWO_ANSWERS, request)
        if shape == request.key:
            return self._answer(request, frame)
        late = not direct and self._asked_before(shape)
        if not direct:
            self.table.use(shape, self._completed)
        self._witness(ObservedFrame("late" if late else "mismatched", frame, shape))
        self._spoilt = True
        asked = request.key
        sentence = Message(
            "answer-other-shape",
            function=function,
            n=frame[8],
            asked_function=asked.function,
            asked_n=asked.byte_count,
        )
        return Silence("timeout", sentence, request)

    def _asked_before(self, shape: Shape) -> bool:
        """An earlier question, be it over another connection, had this shape: a converter may be one answer behind."""
        if any(asked is not None and asked[1].key == shape for asked in self._asked):
            return True
        if self.table.young(shape, self._completed) and shape not in self._never_asked:
            return True
        self._never_asked.add(shape)
        return False

    def _answer(self, request: Request, frame: bytes) -> Answer:
        self._answers += 1
        self._last = request.key, self._answers
        data = frame[HEAD + 2 if request.key.byte_count >= 0 else HEAD + 1 :]
        return Answer(request, data, self._completed, self._answers, frame)

    def _nothing(self, request: Request) -> Silence:
        """What to say when no packet had our transaction id, or its end is unknown: one that broke off takes
        the beginning of the next for its end. A packet that has begun spoils the connection."""
        if self._rest:
            self._spoilt = True
            if self._frame is not None:
                return Silence("timeout", _PART_BEHIND, request)
        return Silence("timeout", self._seen or (_ENDED_EARLY if self._rest else NO_ANSWER), request)

    def _again(self, frame: bytes, now: float) -> None:
        """One more packet under the transaction id that was served last. Behind a converter one of the two answers
        something else, and it cannot be known which; the device itself only repeats itself."""
        if self._direct or self._last is None:
            return
        shape, number = self._last
        self.table.use(shape, now)
        if self.table.armed:
            self.voided.add(number)
        self._witness(ObservedFrame("doubled", frame, shape))

    def _late(self, tid: int, frame: bytes, now: float) -> None:
        self._seen = _OTHER_TRANSACTION
        asked = self._asked[tid % REMEMBERED]
        if asked is not None and asked[0] == tid:
            self._witness(ObservedFrame("late", frame, asked[1].key, now - asked[2]))
        else:
            self._witness(ObservedFrame("late", frame))

    def _garble(self, what: Sentence) -> None:
        """End the question, and all listening on this connection: where the next packet begins is unknown."""
        self._seen, self._garbled, self._spoilt, self.decided = what, True, True, True
        if self._last is not None and self.table.armed:
            self.voided.add(self._last[1])


def _shape(frame: bytes) -> Shape:
    function = frame[7]
    return Shape(frame[6], function, frame[8] if function in BITS or function in REGISTERS else -1)


def _whole(frame: bytes) -> bool:
    """The parts of an answer agree with its length."""
    function = frame[7]
    if function & EXCEPTION:
        return len(frame) == HEAD + 2
    if function in BITS or function in REGISTERS:
        return len(frame) > HEAD + 1 and len(frame) == HEAD + 2 + frame[8]
    return len(frame) > HEAD + 1
