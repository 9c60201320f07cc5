"""The guard of a serial line: which of the bytes that come are the answer to the question just asked.

Pure: bytes and monotonic seconds go in, decisions come out; ``stream`` moves the bytes. docs/fieldbus.md tells the
rules frame by frame. Frames end by their length. Bytes that begin no frame are noise, and so is all that follows them
until the line was silent for t3.5: nothing is ever searched inside noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.fieldbus.errors import BadFrame
from gateway.fieldbus.frames import (
    DEVICE_IDENTIFICATION,
    EXCEPTION,
    GATEWAY_SILENT,
    REPORT_SERVER_ID,
    Request,
    Shape,
    answer_length,
    intact,
    parse_request,
    request_length,
)
from gateway.fieldbus.link import Answer, Outcome, Refusal, Seen, Silence, Witness
from gateway.fieldbus.shapes import ShapeTable

COPIES = 1
"""An answer may come twice."""
EARLY = "bytes came before the request was out"


@dataclass(slots=True)
class _Question:
    request: Request
    leading: bool
    out: float = float("inf")
    outcome: Outcome | None = None
    seen: str = ""


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
        self._witness, self._echo = witness, echo
        self._buffer = bytearray()
        self._echo_due = b""
        self._maybe_echo, self._early = b"", False
        self._deaf = False
        self._question: _Question | None = None
        self._sent: dict[Shape, float] = {}
        self._strange: dict[Shape, float] = {}  # answers that another master waits for, and since when
        self._owed: dict[Shape, int] = {}  # how many more answers our questions of a shape can have
        self._answers = 0
        self._last: tuple[Shape, int] | None = None

    @property
    def decided(self) -> bool:
        """The question in flight has its outcome; or there is none."""
        return self._question is None or self._question.outcome is not None

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
        self._sent[request.shape] = now
        self._owed[request.shape] = self._owed.get(request.shape, 0) + 1 + COPIES
        self.table.use(request.shape, now)
        self._echo_due = request.frame if self._echo != "off" else b""
        self._maybe_echo, self._early = b"", False
        self._question = _Question(request, leading)

    def sent(self, out: float) -> None:
        """The request was written; ``out`` is the earliest moment at which it can be on the wire in full."""
        if self._question:
            self._question.out = out

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that were read at ``now``."""
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
            begun = f"an answer broke off after {len(self._buffer)} bytes" if self._buffer else "no answer"
            outcome = Silence("timeout", question.seen or begun, question.request)
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
            self._void("the echo is not what was sent: another sender, or no echo on this line")
        if self._maybe_echo and self._early:
            self._void(EARLY)
        kept, self._maybe_echo = self._maybe_echo, b""
        return kept + data

    def _too_early(self, now: float) -> bool:
        return self._question is not None and now < self._question.out

    def _void(self, why: str) -> None:
        if self._question and not self._question.outcome:
            self._question.outcome = Silence("timeout", why, self._question.request)

    def _take(self, now: float) -> bool:
        """Take one frame from the head of the buffer; False when more bytes are needed."""
        question = self._question if not self.decided else None
        if question and question.leading and self._buffer[0] in (0x00, 0xFF):
            del self._buffer[0]
            return True
        length = answer_length(self._buffer)
        if length is None:
            return False
        shape = _shape(self._buffer)
        wanted = question is not None and _answers(shape, self._buffer[1], question.request.shape)
        if not length or (not wanted and not self._asked(shape, self._buffer[1], now)):
            return self._take_foreign(length, now)
        if len(self._buffer) < length:
            return False
        frame = self._cut(length)
        if not intact(frame):
            self._witness(Seen("damaged", frame, shape))
            if question:
                question.seen = "an answer with a wrong CRC"
                if wanted:
                    question.outcome = Silence("timeout", question.seen, question.request)
        elif question and wanted:
            question.outcome = self._accept(question.request, frame, now)
        else:
            self._classify(shape, frame, now)
            if question:
                question.seen = "only the late answer to another question"
        return True

    def _accept(self, request: Request, frame: bytes, now: float) -> Outcome:
        if frame[1] & EXCEPTION:
            if frame[2] in GATEWAY_SILENT:
                return Silence("timeout", f"exception {frame[2]:02X}: the gateway got no answer", request)
            return Refusal(request, frame[2], self.table.burnt(request.unit, now))
        if self._echo == "auto":
            self._echo = "off"
        self._answers += 1
        self._last = (request.shape, self._answers)
        self._owed[request.shape] = COPIES
        data = frame[2:-2] if frame[1] == DEVICE_IDENTIFICATION else frame[3:-2]
        return Answer(request, data, now, self._answers)

    def _classify(self, shape: Shape, frame: bytes, now: float) -> None:
        """A whole frame that no question waits for, of a shape that we know."""
        heard_at = self._strange.get(shape, float("-inf"))
        foretold = now - heard_at < self.table.life(shape.unit, heard_at)
        if foretold or self._too_many(shape):
            self.table.use(shape, now)
            self._witness(Seen("foreign", frame, shape))  # another master asked for it: nothing to learn from
            return
        latency = now - self._sent[shape] if shape in self._sent else None
        if self._last and self._last[0] == shape:
            self.table.use(shape, now)
            if self.table.armed:
                self.voided.add(self._last[1])
            self._witness(Seen("doubled", frame, shape, latency))
        elif frame[1] & EXCEPTION or self.table.young(shape, now):
            if not frame[1] & EXCEPTION:
                self.table.use(shape, now)
            self._witness(Seen("late", frame, shape, latency))
        else:
            self._witness(Seen("foreign", frame, shape, latency))

    def _too_many(self, shape: Shape) -> bool:
        """More answers than our questions on this connection can have: somebody asks whom we do not hear."""
        owed = self._owed.get(shape)
        if owed is None:
            return False
        self._owed[shape] = owed - 1
        return owed <= 0

    def _asked(self, shape: Shape, function: int, now: float) -> bool:
        """The frame at the head has a shape that we asked for, however long ago; an exception: to a young question."""
        if function & EXCEPTION:
            return self.table.young_function(shape.unit, shape.function, now)
        return self.table.asked(shape)

    def _take_foreign(self, answer: int, now: float) -> bool:
        """A frame that we never asked for, another master's question or its answer, or noise.

        A question foretells the shape of its answer: that one is nobody's to trust from now on.
        """
        request = request_length(self._buffer)
        for length in (request, answer):
            if length and len(self._buffer) >= length and intact(bytes(self._buffer[:length])):
                frame = self._cut(length)
                shape = _shape(frame) if length == answer else _shape_to_come(frame)
                if shape:
                    self.table.use(shape, now)
                    if length == request:
                        self._strange[shape] = now
                self._witness(Seen("foreign", frame, shape))
                if self._question:
                    self._question.seen = "only frames of another master"
                    if shape == self._question.request.shape:
                        self._void("another master asked for an answer of the same shape")
                return True
        if request is None or len(self._buffer) < max(request, answer):
            return False
        if self._question:
            self._question.seen = "only noise"
        self._deaf = True
        return True

    def _cut(self, length: int) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        return frame

    def _noise(self) -> None:
        if self._buffer:
            self._witness(Seen("noise", self._cut(len(self._buffer))))


def _shape(head: bytes | bytearray) -> Shape:
    """The shape that an answer with this head has; needs as many bytes as ``answer_length`` does."""
    function = head[1]
    if function & EXCEPTION:
        return Shape(head[0], function & ~EXCEPTION, -1)
    if function in (REPORT_SERVER_ID, DEVICE_IDENTIFICATION) or len(head) < 3:
        return Shape(head[0], function, -1)
    return Shape(head[0], function, head[2])


def _shape_to_come(frame: bytes) -> Shape | None:
    """The shape of the answer to another master's read."""
    try:
        return parse_request(frame).shape
    except BadFrame:
        return None


def _answers(shape: Shape, function: int, asked: Shape) -> bool:
    """A frame of this shape and function byte answers the question: in its very shape, or by an exception."""
    if function & EXCEPTION:
        return shape[:2] == asked[:2]
    return shape == asked


def _answers_itself(request: Request) -> bool:
    """The request's own bytes are also a whole answer to it: on a line that echoes they could be taken for one."""
    frame = request.frame
    return answer_length(frame) == len(frame) and _shape(frame) == request.shape
