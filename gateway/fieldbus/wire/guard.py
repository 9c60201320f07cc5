"""Guard of a serial line: which received bytes answer the current question, and which are late or another master's.

Pure: bytes and monotonic seconds go in, decisions come out; stream_link.py moves the bytes, a ``Framing`` knows the
frames. docs/fieldbus.md has the rules frame by frame. Everything below relies on these:

1. An answer names its key and nothing more of its question. ``KeyTable`` chooses no key that was on the wire within its
   answer life, and one question at a time is in flight. So a frame with the key of the question in flight answers that
   question: an answer to an older one would be later than an answer life.
2. A frame ends by its length and begins where the one before ended. Bytes that begin no frame are noise, and so is all
   that follows until the line was silent for t3.5: nothing is searched inside noise, where chance finds frames. Only
   known bytes are taken off before a frame: the preamble, leading bytes of a profile, texts of a DTU.
3. Every frame has one owner: the question in flight; an earlier question of ours (*late*, its key is young); the answer
   just accepted (*doubled*); a question of ours that came back (*echo*); the polled unit, which answered in a key that
   was never asked (*mismatched*); another master (*foreign*, whose key the witness avoids). An intact frame that could
   be mistaken later makes its key young again.
4. Doubt voids and never accepts: a byte before the question can have left, something else in place of the echo, another
   master's question of the same key, a second answer of the same key (both are void). A void question stays
   ``pending``: the line is kept free for the answer that may still come.
5. Bytes have two moments: when they were read, and the earliest at which they can have come. A frame is accepted, and
   its key used, by the first; it is classified, and latencies are learned, by the second. A process that was held up
   then neither accepts too early nor takes its own late answer for a stranger's.

They break if bytes are dropped unread before a question, if the key of a frame is left as old as it was, or if two
questions are in flight. They cannot see an answer that is later than its answer life, nor another master's answer of
the awaited key if its question was not heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.fieldbus.wire.framing import NO_TEXTS, Framing, Head, Refused, Texts
from gateway.fieldbus.wire.keys import Key, KeyTable, Question
from gateway.fieldbus.wire.link import (
    NO_ANSWER,
    NO_FRAME,
    Answer,
    ObservedFrame,
    Outcome,
    Refusal,
    Silence,
    Witness,
)
from gateway.messages.message import Message

LEADING = b"\x00\xff"
"""Lone bytes that some devices send before an answer (``Manners.leading_bytes``)."""
COPIES = 1
"""An answer may come twice."""
EARLY = Message("answer-early")
MISMATCHED = Message("answer-mismatched")
RETURNED = Message("answer-returned")
ECHO_DIFFERS = Message("answer-echo-differs")
WRONG_CRC = Message("answer-crc")
LATE = Message("answer-late")
FOREIGN, FOREIGN_KEY = Message("answer-foreign"), Message("answer-foreign-shape")
QUESTION_RETURNED = Message("answer-own-request")


@dataclass(slots=True)
class _Asked:
    question: Question
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
    other times go to ``receive`` as well. ``voided`` holds the numbers of answers that a second frame of their key
    made doubtful.
    """

    def __init__(
        self,
        framing: Framing,
        table: KeyTable,
        t35_s: float,
        witness: Witness,
        *,
        echo: str = "off",
        texts: Texts = NO_TEXTS,
    ) -> None:
        """``echo``: "on" where a two-wire adapter gives back what it sends, "auto" to find out from the first reads."""
        self._texts = texts
        self._framing, self.table, self.t35_s, self.voided = framing, table, t35_s, set[int]()
        self.last_byte = float("-inf")
        self._witness, self._echo, self._found_out = witness, echo, echo == "auto"
        self._buffer = bytearray()
        self._echo_due = b""
        self._maybe_echo, self._early = b"", False
        self._deaf = False
        self._question: _Asked | None = None
        self._arrived = float("-inf")  # the earliest moment at which what is being taken can have come
        self.awaited: tuple[Key, float] | None = None
        """The answer that another master still waits for, and when its question was heard."""
        self._strange: dict[Key, float] = {}  # answers that another master waits for, and since when
        self._owed: dict[Key, int] = {}  # how many more answers our questions of a key can have
        self._never_asked = set[Key]()  # and yet a unit answered so
        self._answers = 0
        self._last: tuple[Key, int] | None = None

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

    def choose(self, questions: Sequence[Question], now: float) -> Question | None:
        """The variant to ask; None when no key is old enough."""
        if self._echo == "auto":
            questions = [question for question in questions if not self._framing.answers_itself(question)]
        return self.table.choose(questions, now)

    def ask(self, question: Question, now: float, *, leading: bool = False) -> None:
        """It is about to be written; ``sent`` tells when it is out. What waited before has been classified."""
        assert self._question is None, "one question at a time"
        if self._buffer:
            self._noise()
        self._deaf = False
        self._last = None
        self._owed[question.key] = self._owed.get(question.key, 0) + 1 + COPIES
        self.table.ask(question, now)
        self._echo_due = self._framing.sent(question) if self._echo != "off" else b""
        self._maybe_echo, self._early = b"", False
        self._question = _Asked(question, leading)

    def sent(self, out: float) -> None:
        """The question was written; ``out`` is the earliest moment at which it can be on the wire in full."""
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

    def break_off(self) -> None:
        """No more bytes come on this connection: what has begun is not continued on the next one."""
        self._noise()
        self._deaf = False

    def finish(self, now: float) -> Outcome:
        """End the question in flight: its outcome, or silence. Its key counts as used until now."""
        question, self._question = self._question, None
        assert question is not None, "finish() without a question"
        key = question.question.key
        outcome = question.outcome
        self._buffer += self._maybe_echo
        self._echo_due = self._maybe_echo = b""
        if outcome is None:
            outcome = Silence("timeout", question.seen or self._begun(key), question.question)
        fault = isinstance(outcome, Silence) and len(question.mismatched) <= 1 + COPIES
        for seen in question.mismatched:  # beside the right answer it is another master's
            self._witness(seen if fault else seen._replace(kind="foreign"))
        if isinstance(outcome, Silence):
            self.table.silent(key, now)
        else:
            self.table.use(key, now)
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
            self._question.outcome = Silence("timeout", why, self._question.question)
            self._question.pending = True

    def _take(self, now: float) -> bool:
        """Take one frame from the head of the buffer; False when more bytes are needed."""
        if (text := self._texts.length(self._buffer)) != 0:
            return text is not None and bool(self._cut(text))
        asked = self._question
        leading = asked is not None and not self.decided and asked.leading and self._buffer[0] in LEADING
        if leading or self._buffer[0] in self._framing.preamble:
            del self._buffer[0]
            return True
        if asked and asked.outcome:
            asked = None
        length = self._framing.answer_length(self._buffer)
        if length is None:
            return False
        if not length:
            return self._take_foreign(length, now)
        head = self._framing.head(self._buffer)
        wanted = asked is not None and self._framing.answers(head, asked.question.key)
        if asked and wanted and length > len(sent := self._framing.sent(asked.question)):
            wanted = not self._buffer.startswith(sent)  # it came back, and a stray 00 behind it makes an answer of it
        if not wanted and (not self._asked(head) or self._is_question(length)):
            return self._take_foreign(length, now)
        if len(self._buffer) < length:
            return False
        frame = self._cut(length)
        self._came(head)
        if not self._framing.intact(frame):
            self._witness(ObservedFrame("damaged", frame, head.key))
            if asked:
                asked.seen = WRONG_CRC
                if wanted:
                    asked.outcome = Silence("timeout", asked.seen, asked.question)
        elif asked and wanted:
            asked.outcome = self._accept(asked.question, frame, now)
        else:
            if asked:
                asked.seen = LATE
            self._classify(head, frame, now)
        return True

    def _accept(self, question: Question, frame: bytes, now: float) -> Outcome:
        answer = self._framing.read(question, frame)
        if isinstance(answer, Message):
            return Silence("timeout", answer, question)
        if isinstance(answer, Refused):
            return Refusal(question, answer, self.table.burnt(question.unit, now))
        if self._echo == "auto" and self._question and not self._question.seen:
            self._echo = "off"
        self._answers += 1
        self._last = (question.key, self._answers)
        self._owed[question.key] = COPIES
        return Answer(question, answer, now, self._answers, frame)

    def _classify(self, head: Head, frame: bytes, now: float) -> None:
        """A whole frame that no question waits for, of a key that we know."""
        key = head.key
        if self._is_mismatched(key, now):
            self._mismatched(key, frame, now)
            return
        heard_at = self._strange.get(key, float("-inf"))
        foretold = now - heard_at < self.table.life(key[0], heard_at)
        if foretold or self._too_many(key):
            self.table.use(key, now)
            self._witness(ObservedFrame("foreign", frame, key))  # another master asked for it: nothing to learn from
            return
        latency = self.table.latency(key, self._arrived)
        if self._last and self._last[0] == key:
            self.table.use(key, now)
            if self.table.armed:
                self.voided.add(self._last[1])
            self._witness(ObservedFrame("doubled", frame, key, latency))
        elif head.refusal or self.table.young(key, self._arrived):
            if not head.refusal:
                self.table.use(key, now)
            self._witness(ObservedFrame("late", frame, key, latency))
        else:
            self._witness(ObservedFrame("foreign", frame, key, latency))

    def _too_many(self, key: Key) -> bool:
        """More answers than our questions on this connection can have: those of another master, whom we do not hear."""
        owed = self._owed.get(key)
        if owed is None:
            return False
        self._owed[key] = owed - 1
        return owed <= 0

    def _asked(self, head: Head) -> bool:
        """The frame at the head has a key that we asked for, however long ago; a refusal: to a young question."""
        if head.refusal:
            return self.table.young_among(partial(self._framing.answers, head), self._arrived)
        return self.table.asked(head.key)

    def _is_question(self, answer: int) -> bool:
        """Whether the bytes are another master's question, although they begin like an answer of a known key: an RTU
        question to address 0x03F2 begins like an answer of three bytes. ``answer``: the length of that answer."""
        question = self._framing.question_length(self._buffer)
        if not question or not self._holds(question):
            return False
        return answer == question or not self._holds(answer)

    def _holds(self, length: int) -> bool:
        """The buffer begins with an intact frame of this length."""
        return len(self._buffer) >= length and self._framing.intact(bytes(self._buffer[:length]))

    def _take_foreign(self, answer: int, now: float) -> bool:
        """A frame that we never asked for, another master's question or its answer, or noise.

        A foreign question announces the key of its answer: that key is avoided until it has aged out.
        """
        question = self._framing.question_length(self._buffer)
        for length in (question, answer):
            if length and self._holds(length):
                self._foreign(self._cut(length), is_question=length == question, is_answer=length == answer, now=now)
                return True
        if question is None or len(self._buffer) < max(question, answer):
            return False
        if self._question:
            self._question.seen = NO_FRAME
        self._deaf = True
        return True

    def _foreign(self, frame: bytes, *, is_question: bool, is_answer: bool, now: float) -> None:
        """A whole frame that we never asked for; it may have the length of a question and of an answer."""
        head = self._framing.head(frame) if is_answer else None
        if head and not is_question and self._is_mismatched(head.key, now):
            self._mismatched(head.key, frame, now)
            return
        key = self._framing.key_to_come(frame) if is_question else head and head.key
        ours = self.table.last_question(key, self._arrived) if key and is_question else None
        if key and ours and self._framing.sent(ours).endswith(frame):  # a preamble has been taken off it
            self._take_returned(frame, key, now)
            return
        if head:
            self.table.use(head.key, now)
        if key:
            self.table.use(key, now)
            if is_question:
                self._strange[key] = now
                self.awaited = key, now
            elif head:
                self._came(head)
        self._witness(ObservedFrame("foreign", frame, key))
        if self._question:
            self._question.seen = FOREIGN
            if key == self._question.question.key:
                self._void(FOREIGN_KEY)

    def _is_mismatched(self, key: Key, now: float) -> bool:
        """The unit that is being asked has answered, with a key that nobody asked it for: no question of ours has had
        it on this line, and no other master's to this unit was heard of late."""
        if self._question is None or self._question.outcome or key[0] != self._question.question.unit:
            return False
        if key in self._owed:
            asked = self._owed[key] > COPIES or self.table.young(key, self._arrived)
        else:
            asked = key not in self._never_asked and self.table.asked(key)
        heard = any(k[0] == key[0] and now - at < self.table.life(k[0], at) for k, at in self._strange.items())
        return not asked and not heard

    def _mismatched(self, key: Key, frame: bytes, now: float) -> None:
        """It stands in place of our answer, unless that comes as well (``finish``)."""
        assert self._question is not None
        self._never_asked.add(key)
        self.table.use(key, now)
        self._question.seen = MISMATCHED
        self._question.mismatched.append(ObservedFrame("mismatched", frame, key))

    def _take_returned(self, frame: bytes, key: Key, now: float) -> None:
        """Our own question came back: an echo behind noise, or one that was read late. Or another master asked the very
        same, so that its answer is not ours to take; it is ours in all that it says."""
        self.table.use(key, now)
        self._witness(ObservedFrame("echo", frame, key))
        if self._question:
            self._question.seen = QUESTION_RETURNED
            if key == self._question.question.key:
                self._void(RETURNED)
                if self._echo == "off" and self._found_out:
                    self._echo = "auto"
                return
        self.awaited = key, now

    def _came(self, head: Head) -> None:
        """An answer has come, whole or damaged: who waits for it waits no longer."""
        asked = self._question
        if asked and asked.pending and self._framing.answers(head, asked.question.key):
            asked.pending = False
        elif self.awaited and self._framing.answers(head, self.awaited[0]):
            self.awaited = None

    def _cut(self, length: int) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        return frame

    def _noise(self) -> None:
        if self._buffer:
            self._witness(ObservedFrame("noise", self._cut(len(self._buffer))))

    def _begun(self, asked: Key) -> Message:
        """What a question ends with that nothing whole came to."""
        if not self._buffer:
            return NO_ANSWER
        if not self._framing.could_begin(self._buffer, asked):
            return NO_FRAME
        return Message("answer-broken-off", n=len(self._buffer))
