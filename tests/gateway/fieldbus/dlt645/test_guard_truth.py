"""No value of an earlier DL/T 645 question is ever taken, whatever comes when, as long as it comes within its life.

A made-up line on a made-up clock: each read is answered by its own running number, in time, late, twice, damaged, cut
short, refused, under another identifier or address, or not at all, with any preamble and between noise.
"""

from __future__ import annotations

# not quick: answers by chance, 2 s of CPU
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.fieldbus.dlt645.frames import ANSWER, MORE_FOLLOWS, REFUSED, Request, encode
from gateway.fieldbus.dlt645.framing import DLT645
from gateway.fieldbus.wire.keys import Question
from tests.gateway.fieldbus.guarded_line import LIFE, OUT, TIMEOUT, Fate, GuardedLine

UNITS, IDENTIFIERS = ("680000000068", "123456789012"), ("02010100", "0201FF00")

fates = st.builds(
    Fate,
    unit=st.sampled_from([0, 0, 1]),
    block=st.sampled_from([0, 0, 1]),
    kind=st.sampled_from(["answer"] * 6 + ["lost", "damaged", "short", "refused", "more", "other di", "other unit"]),
    delay=st.integers(0, TIMEOUT - 10) | st.integers(0, LIFE - OUT),
    again=st.none() | st.integers(1, LIFE - 1),
    cut=st.integers(0, 20),
    noise=st.sampled_from([b"", b"\xfe" * 4, b"\xfe" * 7, b"\x00\xff\xfe", b"\x68", b"\x68\x01\x02", b"\x55\x16"]),
    pause=st.sampled_from([0, 0, 0, 5, 50, 700]),
)


class Line(GuardedLine):
    """Of two meters, with two identifiers each."""

    def __init__(self, *, armed: bool = True, echo: str = "off") -> None:
        super().__init__(DLT645, armed=armed, echo=echo)

    def variants(self, fate: Fate) -> list[Request]:
        return [Request(UNITS[fate.unit], IDENTIFIERS[fate.block], 4)]

    def answer(self, fate: Fate, question: Question) -> bytes:
        unit, control = UNITS[fate.unit], ANSWER
        data = bytes.fromhex(IDENTIFIERS[fate.block])[::-1] + self.number.to_bytes(4, "big")
        match fate.kind:
            case "refused":
                control, data = REFUSED, b"\x02"
            case "more":
                control, data = MORE_FOLLOWS, data[:6]
            case "other di":
                data = bytes([data[0] ^ 1]) + data[1:]
            case "other unit":
                unit = "999900000000"
        return encode(unit, control, data)


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
            block=st.sampled_from([0, 1]),
            noise=st.sampled_from([b"", b"\xfe" * 4, b"\xfe" * 11, b"\x00\xff\xfe"]),
            echo=st.sampled_from(["", "whole"]),
        ),
        max_size=8,
    )
)
def test_on_a_sound_line_every_answer_is_taken(fates: list[Fate]) -> None:
    line = Line(echo="auto" if any(fate.echo for fate in fates) else "off")
    fates = [replace(fate, echo="whole" if any(each.echo for each in fates) else "") for fate in fates]
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
    line.run([Fate(kind="lost"), Fate(block=1, kind="refused"), Fate(pause=700, block=1, kind="refused")])
    first, second = line.refused
    assert (first.doubtful, second.doubtful) == (True, False)


def test_after_an_answer_under_another_identifier_the_right_one_is_waited_for() -> None:
    line = Line()
    other = encode(UNITS[0], ANSWER, bytes.fromhex("02020100")[::-1] + bytes(3))
    line.run([Fate(noise=other, delay=100)])
    assert line.right == 1
    assert [seen.kind for seen in line.seen] == ["foreign"]


def test_our_own_question_that_comes_back_behind_noise_is_nobody_elses() -> None:
    line = Line()
    frame = Request(UNITS[0], IDENTIFIERS[0]).frame
    line.run([Fate(noise=frame, delay=30)])
    assert [seen.kind for seen in line.seen] == ["echo", "late"]
    assert line.right == 0, "another master may have asked the same"
