"""No value of an earlier DL/T 645 question is ever taken, whatever comes when, as long as it comes within its life.

A made-up line on a made-up clock: each read is answered by its own running number, in time, late, twice, damaged, cut
short, refused, under another identifier or address, or not at all, with any preamble and between noise.
"""

from __future__ import annotations

# not quick: answers by chance, 2 s of CPU
import heapq
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.fieldbus.dlt645.frames import ANSWER, MORE_FOLLOWS, REFUSED, Request, encode
from gateway.fieldbus.dlt645.framing import DLT645
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, ObservedFrame, Refusal

TIMEOUT, LIFE, OUT = 200, 640, 8  # ms
UNITS, IDENTIFIERS = ("680000000068", "123456789012"), ("02010100", "0201FF00")


@dataclass(frozen=True)
class Fate:
    """What becomes of one question: its answer comes ``delay`` ms after it went out, again ``again`` ms later …"""

    unit: int = 0
    di: int = 0
    kind: str = "answer"
    delay: int = 20
    again: int | None = None
    cut: int = 0
    before: bytes = b""
    pause: int = 0
    echo: bool = False


fates = st.builds(
    Fate,
    unit=st.sampled_from([0, 0, 1]),
    di=st.sampled_from([0, 0, 1]),
    kind=st.sampled_from(["answer"] * 6 + ["lost", "damaged", "short", "refused", "more", "other di", "other unit"]),
    delay=st.integers(0, TIMEOUT - 10) | st.integers(0, LIFE - OUT),
    again=st.none() | st.integers(1, LIFE - 1),
    cut=st.integers(0, 20),
    before=st.sampled_from([b"", b"\xfe" * 4, b"\xfe" * 7, b"\x00\xff\xfe", b"\x68", b"\x68\x01\x02", b"\x55\x16"]),
    pause=st.sampled_from([0, 0, 0, 5, 50, 700]),
)


class Line:
    """Runs a list of fates against one guard; ``wrong`` collects answers that belong to another question."""

    def __init__(self, *, armed: bool = True, echo: str = "off") -> None:
        self.seen: list[ObservedFrame] = []
        self.guard = Guard(DLT645, KeyTable(LIFE / 1000, armed=armed), 0.004, self.seen.append, echo=echo)
        self.now = self.number = self.right = 0
        self.wire: list[tuple[int, int, bytes]] = []
        self.wrong: list[tuple[int, int]] = []
        self.refused: list[Refusal] = []

    def run(self, fates: list[Fate]) -> None:
        for fate in fates:
            self.pass_time(self.now + fate.pause)
            self.read(fate)
        self.pass_time(self.now + 2 * LIFE)

    def read(self, fate: Fate) -> None:
        question = Request(UNITS[fate.unit], IDENTIFIERS[fate.di], 4)
        while self.guard.choose([question], self.now / 1000) is None:
            self.pass_time(self.now + 10)
        self.number += 1
        asked = self.number
        self.guard.ask(question, self.now / 1000)
        out = self.now + OUT
        self.guard.sent(out / 1000)
        self.send(fate, question, out)
        deadline = out + TIMEOUT
        while not self.guard.decided and self.wire and self.wire[0][0] <= deadline:
            self.deliver()
        if not self.guard.decided:
            self.now = deadline
        outcome = self.guard.finish(self.now / 1000)
        self.pass_time(self.now + 4)
        if isinstance(outcome, Refusal):
            self.refused.append(outcome)
        if isinstance(outcome, Answer) and outcome.number not in self.guard.voided:
            number = int.from_bytes(outcome.data[:4], "big")
            if number == asked:
                self.right += 1
            else:
                self.wrong.append((asked, number))

    def send(self, fate: Fate, question: Request, out: int) -> None:
        data = bytes.fromhex(question.di)[::-1] + self.number.to_bytes(4, "big")
        unit, control = question.unit, ANSWER
        if fate.echo:
            self.put(out, question.frame)
        match fate.kind:
            case "lost":
                return
            case "refused":
                control, data = REFUSED, b"\x02"
            case "more":
                control, data = MORE_FOLLOWS, data[:6]
            case "other di":
                data = bytes([data[0] ^ 1]) + data[1:]
            case "other unit":
                unit = "999900000000"
        frame = encode(unit, control, data)
        if fate.kind == "damaged":
            place = fate.cut % len(frame)
            frame = frame[:place] + bytes([frame[place] ^ 1 << fate.delay % 8]) + frame[place + 1 :]
        if fate.kind == "short":
            frame = frame[: 1 + fate.cut % (len(frame) - 1)]
        for start in [fate.delay] + ([fate.delay + fate.again] if fate.again else []):
            moment = min(out + 1 + start, out + LIFE - 1)  # within the life of the question
            for part in (fate.before + frame[: fate.cut], frame[fate.cut :]):
                self.put(moment, part)

    def put(self, moment: int, part: bytes) -> None:
        if part:
            heapq.heappush(self.wire, (moment, len(self.wire) + 1000 * self.number, part))

    def deliver(self) -> None:
        moment, _, data = heapq.heappop(self.wire)
        self.now = max(self.now, moment)
        self.guard.receive(data, self.now / 1000)

    def pass_time(self, until: int) -> None:
        while self.wire and self.wire[0][0] <= until:
            self.deliver()
        self.now = max(self.now, until)


@settings(max_examples=600)
@given(st.lists(fates, min_size=2, max_size=25))
@example([Fate(delay=250)] * 6)
@example([Fate(again=300)] * 10)
@example([Fate(delay=639), Fate(kind="lost")])
@example([Fate(delay=600), Fate(kind="lost"), Fate(kind="lost"), Fate(delay=150)])
def test_no_earlier_answer_is_ever_taken(fates: list[Fate]) -> None:
    line = Line()
    line.run(fates)
    assert line.wrong == []


@given(
    st.lists(
        st.builds(
            Fate,
            unit=st.sampled_from([0, 1]),
            di=st.sampled_from([0, 1]),
            before=st.sampled_from([b"", b"\xfe" * 4, b"\xfe" * 11, b"\x00\xff\xfe"]),
            echo=st.booleans(),
        ),
        max_size=8,
    )
)
def test_on_a_sound_line_every_answer_is_taken(fates: list[Fate]) -> None:
    line = Line(echo="auto" if any(fate.echo for fate in fates) else "off")
    fates = [Fate(f.unit, f.di, before=f.before, echo=any(f.echo for f in fates)) for f in fates]
    line.run(fates)
    assert line.right == line.number
    assert line.seen == []


def test_without_the_guard_the_same_line_is_wrong() -> None:
    slow = [Fate(delay=230)] * 6
    line = Line(armed=False)
    line.run(slow)
    assert len(line.wrong) >= 4
    line = Line()
    line.run(slow)
    assert line.wrong == []


def test_a_refusal_may_belong_to_an_earlier_question() -> None:
    line = Line()
    line.run([Fate(kind="lost"), Fate(di=1, kind="refused"), Fate(pause=700, di=1, kind="refused")])
    first, second = line.refused
    assert (first.doubtful, second.doubtful) == (True, False)


def test_after_an_answer_under_another_identifier_the_right_one_is_waited_for() -> None:
    line = Line()
    other = encode(UNITS[0], ANSWER, bytes.fromhex("02020100")[::-1] + bytes(3))
    line.run([Fate(before=other, delay=100)])
    assert line.right == 1
    assert [seen.kind for seen in line.seen] == ["foreign"]


def test_our_own_question_that_comes_back_behind_noise_is_nobody_elses() -> None:
    line = Line()
    frame = Request(UNITS[0], IDENTIFIERS[0]).frame
    line.run([Fate(before=frame, delay=30)])
    assert [seen.kind for seen in line.seen] == ["echo", "late"]
    assert line.right == 0, "another master may have asked the same"
