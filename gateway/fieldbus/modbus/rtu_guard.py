"""Guard of a serial line: which received bytes answer the current request, and which are late or another master's.

Pure: bytes and monotonic seconds go in, decisions come out; rtu_link.py moves the bytes. docs/fieldbus.md has the
rules frame by frame. Frames end by their length. Bytes that begin no frame are noise, and so is all that follows them
until the line was silent for t3.5: nothing is ever searched inside noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.fieldbus.modbus.frames import (
    DEVICE_IDENTIFICATION,
    EXCEPTION,
    GATEWAY_SILENT,
    Request,
    Shape,
    answer_length,
    intact,
    request_length,
    shape_answers,
    shape_of,
    shape_to_come,
)
from gateway.fieldbus.modbus.link import (
    NO_ANSWER,
    NO_FRAME,
    Answer,
    ObservedFrame,
    Outcome,
    Refusal,
    Silence,
    Witness,
)
from gateway.fieldbus.modbus.shapes import ShapeTable
from gateway.messages.message import Message

COPIES = 1
"""An answer may come twice."""
EARLY = Message("answer-early")
MISMATCHED = Message("answer-mismatched")
RETURNED = Message("answer-returned")
ECHO_DIFFERS = Message("answer-echo-differs")
WRONG_CRC = Message("answer-crc")
LATE = Message("answer-late")
FOREIGN, FOREIGN_SHAPE = Message("answer-foreign"), Message("answer-foreign-shape")
OWN_REQUEST = Message("answer-own-request")


@dataclass(slots=True)
class _Question:
    request: Request
    leading: bool
    out: float = float("inf")
    outcome: Outcome | None = None
    seen: Message | None = None
    pending: bool = False
    """It is void, but its answer may still come: the line is that answer's until then."""
    mismatched: list[ObservedFrame] = field(default_factory=list)


class Guard:
    """Takes every byte of one open line and decides.

    ``choose`` → ``ask`` → ``sent`` → ``receive`` … until ``decided`` or the deadline → ``finish``. Bytes that come at
    other times go to ``receive`` as well. ``voided`` holds the numbers of answers that a second frame of their shape
    made doubtful.
    """

    def __init__(self, table: ShapeTable, t35_s: float, witness: Witness, *, echo: str = "off") -> None:
        """``echo``: "on" where a two-wire adapter gives back what it sends, "auto" to find out from the first reads."""
        self.table, self.t35_s, self.voided = table, t35_s, set[int]()
        self.last_byte = float("-inf")
        self._witness, self._echo, self._found_out = witness, echo, echo == "auto"
        self._buffer = bytearray()
        self._echo_due = b""
        self._maybe_echo, self._early = b"", False
        self._deaf = False
        self._question: _Question | None = None
        self._arrived = float("-inf")  # the earliest moment at which what is being taken can have come
        self.awaited: tuple[Shape, float] | None = None
        """The answer that another master still waits for, and when its question was heard."""
        self._strange: dict[Shape, float] = {}  # answers that another master waits for, and since when
        self._owed: dict[Shape, int] = {}  # how many more answers our questions of a shape can have
        self._never_asked = set[Shape]()  # and yet a unit answered so
        self._answers = 0
        self._last: tuple[Shape, int] | None = None

    @property
    def decided(self) -> bool:
        """The question in flight has its outcome, and nothing is to come for it; or there is none."""
        question = self._question
        return question is None or (question.outcome is not None and not question.pending)

    @property
    def answered(self) -> bool:
        """The question in flight has a whole answer, be it an exception."""
        return self._question is not None and isinstance(self._question.outcome, Answer | Refusal)

    @property
    def between_frames(self) -> bool:
        """No frame has begun that is not complete."""
        return not self._buffer

    def choose(self, requests: Sequence[Request], now: float) -> Request | None:
        """The variant to ask; None when no shape is old enough."""
        if self._echo == "auto":
            requests = [request for request in requests if not _answers_itself(request)]
        return self.table.choose(requests, now)

    def ask(self, request: Request, now: float, *, leading: bool = False) -> None:
        """``request`` is about to be written; ``sent`` tells when it is out. What waited before has been classified."""
        assert self._question is None, "one question at a time"
        if self._buffer:
            self._noise()
        self._deaf = False
        self._last = None
        self._owed[request.shape] = self._owed.get(request.shape, 0) + 1 + COPIES
        self.table.ask(request, now)
        self._echo_due = request.frame if self._echo != "off" else b""
        self._maybe_echo, self._early = b"", False
        self._question = _Question(request, leading)

    def sent(self, out: float) -> None:
        """The request was written; ``out`` is the earliest moment at which it can be on the wire in full."""
        if self._question:
            self._question.out = out

    def receive(self, data: bytes, now: float, since: float | None = None) -> None:
        """Take bytes that were read at ``now`` and came at ``since`` at the earliest, when nothing was there to read
        (None: just now). A process that was paused reads late: to name a frame and to learn from it the earliest
        moment counts, to accept it that of reading."""
        self._arrived = now if since is None else since
        if self._deaf and now - self.last_byte >= self.t35_s:
            self._deaf = False
        self.last_byte = now
        data = self._without_echo(data, now)
        if data and self._too_early(now) and self.table.armed:
            self._void(EARLY)
        self._buffer += data
        while self._buffer and not self._deaf and self._take(now):
            pass
        if self._deaf:
            self._noise()

    def finish(self, now: float) -> Outcome:
        """End the question in flight: its outcome, or silence. Its shape counts as used until now."""
        question, self._question = self._question, None
        assert question is not None, "finish() without a question"
        shape = question.request.shape
        outcome = question.outcome
        self._buffer += self._maybe_echo
        self._echo_due = self._maybe_echo = b""
        if outcome is None:
            outcome = Silence("timeout", question.seen or _begun(self._buffer, shape), question.request)
        fault = isinstance(outcome, Silence) and len(question.mismatched) <= 1 + COPIES
        for seen in question.mismatched:  # beside the right answer it is another master's
            self._witness(seen if fault else seen._replace(kind="foreign"))
        if isinstance(outcome, Silence):
            self.table.silent(shape, now)
        else:
            self.table.use(shape, now)
        return outcome

    def _without_echo(self, data: bytes, now: float) -> bytes:
        """Strip our own frame on a line that echoes; anything else in its place is a collision. While it is not known
        whether the line echoes, bytes that could be the echo are kept back until they are it or not."""
        if not self._echo_due:
            return data
        here = min(len(data), len(self._echo_due))
        if data[:here] == self._echo_due[:here]:
            self._echo_due = self._echo_due[here:]
            if self._echo == "auto":
                self._early = self._early or self._too_early(now)
                self._maybe_echo += data[:here]
                if not self._echo_due:
                    self._echo, self._maybe_echo = "on", b""
            return data[here:]
        self._echo_due = b""
        if self._echo == "on":
            self._void(ECHO_DIFFERS)
        if self._maybe_echo and self._early:
            self._void(EARLY)
        kept, self._maybe_echo = self._maybe_echo, b""
        return kept + data

    def _too_early(self, now: float) -> bool:
        return self._question is not None and now < self._question.out

    def _void(self, why: Message) -> None:
        if self._question and not self._question.outcome:
            self._question.outcome = Silence("timeout", why, self._question.request)
            self._question.pending = True

    def _take(self, now: float) -> bool:
        """Take one frame from the head of the buffer; False when more bytes are needed."""
        question = self._question
        if question and not self.decided and question.leading and self._buffer[0] in (0x00, 0xFF):
            del self._buffer[0]
            return True
        if question and question.outcome:
            question = None
        length = answer_length(self._buffer)
        if length is None:
            return False
        shape = shape_of(self._buffer)
        wanted = question is not None and shape_answers(shape, self._buffer[1], question.request.shape)
        if not length or (not wanted and (not self._asked(shape, self._buffer[1]) or self._is_question(length))):
            return self._take_foreign(length, now)
        if len(self._buffer) < length:
            return False
        frame = self._cut(length)
        self._came(shape, frame[1])
        if not intact(frame):
            self._witness(ObservedFrame("damaged", frame, shape))
            if question:
                question.seen = WRONG_CRC
                if wanted:
                    question.outcome = Silence("timeout", question.seen, question.request)
        elif question and wanted:
            question.outcome = self._accept(question.request, frame, now)
        else:
            if question:
                question.seen = LATE
            self._classify(shape, frame, now)
        return True

    def _accept(self, request: Request, frame: bytes, now: float) -> Outcome:
        if frame[1] & EXCEPTION:
            if frame[2] in GATEWAY_SILENT:
                said = Message("answer-gateway-exception", exception=format(frame[2], "02X"))
                return Silence("timeout", said, request)
            return Refusal(request, frame[2], self.table.burnt(request.unit, now))
        if self._echo == "auto" and self._question and not self._question.seen:
            self._echo = "off"
        self._answers += 1
        self._last = (request.shape, self._answers)
        self._owed[request.shape] = COPIES
        data = frame[2:-2] if frame[1] == DEVICE_IDENTIFICATION else frame[3:-2]
        return Answer(request, data, now, self._answers)

    def _classify(self, shape: Shape, frame: bytes, now: float) -> None:
        """A whole frame that no question waits for, of a shape that we know."""
        if self._is_mismatched(shape, now):
            self._mismatched(shape, frame, now)
            return
        heard_at = self._strange.get(shape, float("-inf"))
        foretold = now - heard_at < self.table.life(shape.unit, heard_at)
        if foretold or self._too_many(shape):
            self.table.use(shape, now)
            self._witness(ObservedFrame("foreign", frame, shape))  # another master asked for it: nothing to learn from
            return
        latency = self.table.latency(shape, self._arrived)
        if self._last and self._last[0] == shape:
            self.table.use(shape, now)
            if self.table.armed:
                self.voided.add(self._last[1])
            self._witness(ObservedFrame("doubled", frame, shape, latency))
        elif frame[1] & EXCEPTION or self.table.young(shape, self._arrived):
            if not frame[1] & EXCEPTION:
                self.table.use(shape, now)
            self._witness(ObservedFrame("late", frame, shape, latency))
        else:
            self._witness(ObservedFrame("foreign", frame, shape, latency))

    def _too_many(self, shape: Shape) -> bool:
        """More answers than our requests on this connection can have: those of another master, whom we do not hear."""
        owed = self._owed.get(shape)
        if owed is None:
            return False
        self._owed[shape] = owed - 1
        return owed <= 0

    def _asked(self, shape: Shape, function: int) -> bool:
        """The frame at the head has a shape that we asked for, however long ago; an exception: to a young question."""
        if function & EXCEPTION:
            return self.table.young_function(shape.unit, shape.function, self._arrived)
        return self.table.asked(shape)

    def _is_question(self, answer: int) -> bool:
        """Whether the bytes are another master's question, although they begin like an answer of a known shape: a
        question to address 0x03F2 begins like an answer of three bytes. ``answer``: the length of that answer."""
        request = request_length(self._buffer)
        if not request or len(self._buffer) < request or not intact(bytes(self._buffer[:request])):
            return False
        return answer == request or len(self._buffer) < answer or not intact(bytes(self._buffer[:answer]))

    def _take_foreign(self, answer: int, now: float) -> bool:
        """A frame that we never asked for, another master's question or its answer, or noise.

        A foreign request announces the shape of its answer: that shape is avoided until it has aged out.
        """
        request = request_length(self._buffer)
        for length in (request, answer):
            if length and len(self._buffer) >= length and intact(bytes(self._buffer[:length])):
                frame = self._cut(length)
                if length == answer and length != request and self._is_mismatched(shape_of(frame), now):
                    self._mismatched(shape_of(frame), frame, now)
                    return True
                shape = shape_to_come(frame) if length == request else shape_of(frame)
                if shape and length == request and self.table.own_question(frame, shape, self._arrived):
                    self._take_own(frame, shape, now)
                    return True
                if length == answer:
                    self.table.use(shape_of(frame), now)
                if shape:
                    self.table.use(shape, now)
                    if length == request:
                        self._strange[shape] = now
                        self.awaited = shape, now
                    else:
                        self._came(shape, frame[1])
                self._witness(ObservedFrame("foreign", frame, shape))
                if self._question:
                    self._question.seen = FOREIGN
                    if shape == self._question.request.shape:
                        self._void(FOREIGN_SHAPE)
                return True
        if request is None or len(self._buffer) < max(request, answer):
            return False
        if self._question:
            self._question.seen = NO_FRAME
        self._deaf = True
        return True

    def _is_mismatched(self, shape: Shape, now: float) -> bool:
        """The unit that is being asked has answered, in a shape that nobody asked it for: no question of ours has had
        it on this line, and no other master's to this unit was heard of late."""
        if self._question is None or self._question.outcome or shape.unit != self._question.request.unit:
            return False
        if shape in self._owed:
            asked = self._owed[shape] > COPIES or self.table.young(shape, self._arrived)
        else:
            asked = shape not in self._never_asked and self.table.asked(shape)
        heard = any(s.unit == shape.unit and now - at < self.table.life(s.unit, at) for s, at in self._strange.items())
        return not asked and not heard

    def _mismatched(self, shape: Shape, frame: bytes, now: float) -> None:
        """It stands in place of our answer, unless that comes as well (``finish``)."""
        assert self._question is not None
        self._never_asked.add(shape)
        self.table.use(shape, now)
        self._question.seen = MISMATCHED
        self._question.mismatched.append(ObservedFrame("mismatched", frame, shape))

    def _take_own(self, frame: bytes, shape: Shape, now: float) -> None:
        """Our own question came back: an echo behind noise, or one that was read late. Or another master asked the very
        same, so that its answer is not ours to take; it is ours in all that it says."""
        self.table.use(shape, now)
        self._witness(ObservedFrame("echo", frame, shape))
        if self._question:
            self._question.seen = OWN_REQUEST
            if shape == self._question.request.shape:
                self._void(RETURNED)
                if self._echo == "off" and self._found_out:
                    self._echo = "auto"
                return
        self.awaited = shape, now

    def _came(self, shape: Shape, function: int) -> None:
        """An answer has come, whole or damaged: who waits for it waits no longer."""
        question = self._question
        if question and question.pending and shape_answers(shape, function, question.request.shape):
            question.pending = False
        elif self.awaited and shape_answers(shape, function, self.awaited[0]):
            self.awaited = None

    def _cut(self, length: int) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        return frame

    def _noise(self) -> None:
        if self._buffer:
            self._witness(ObservedFrame("noise", self._cut(len(self._buffer))))


def _begun(buffer: bytes | bytearray, asked: Shape) -> Message:
    """What a question ends with that nothing whole came to."""
    head = bytes((asked.unit, asked.function)), bytes((asked.unit, asked.function | EXCEPTION))
    if not buffer:
        return NO_ANSWER
    if not any(start.startswith(buffer[:2]) for start in head):
        return NO_FRAME
    return Message("answer-broken-off", n=len(buffer))


def _answers_itself(request: Request) -> bool:
    """The request's own bytes are also a whole answer to it: on a line that echoes they could be taken for one."""
    frame = request.frame
    return answer_length(frame) == len(frame) and shape_of(frame) == request.shape
