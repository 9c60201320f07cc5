"""No value of an earlier question is ever taken, whatever comes when, as long as it comes within the answer life.

A made-up line on a made-up clock: each request is answered by its own running number, in time, late, twice, damaged,
cut short, by an exception or not at all, in pieces and between noise.
"""

from __future__ import annotations

# not quick: answers by chance, 2 s of CPU
from typing import cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.fieldbus.modbus.frames import Reply, Request, Shape
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.keys import Question
from tests.gateway.fieldbus.guarded_line import LIFE, OUT, TIMEOUT, Fate, GuardedLine

fates = st.builds(
    Fate,
    unit=st.sampled_from([0, 0, 0, 1]),
    block=st.sampled_from([0, 0, 0, 1]),
    kind=st.sampled_from(["answer"] * 6 + ["lost", "damaged", "short", "exception", "exception of another function"]),
    delay=st.integers(0, TIMEOUT - 10) | st.integers(0, LIFE - OUT),
    again=st.none() | st.integers(1, LIFE - 1),
    cut=st.integers(0, 12),
    noise=st.sampled_from([b"", b"", b"", b"\x00", b"\xff\xff", b"\x01\x03", bytes.fromhex("01 03 04 00 00")]),
    pause=st.sampled_from([0, 0, 0, 5, 50, 700]),
)


class Line(GuardedLine):
    """Of two meters: each block is read by ``k`` questions of different lengths."""

    def __init__(self, *, armed: bool, k: int = 4, echo: str = "off") -> None:
        super().__init__(RTU, armed=armed, echo=echo)
        self.k = k

    def variants(self, fate: Fate) -> list[Request]:
        return [Request(1 + fate.unit, 3, 10 * fate.block, 2 + 10 * fate.block + extra) for extra in range(self.k)]

    def answer(self, fate: Fate, question: Question) -> bytes:
        request = cast(Request, question)
        if fate.kind.startswith("exception"):
            function = 4 if "another" in fate.kind else 3
            return Reply(Shape(request.unit, function, -1), b"", 2).encode()
        return Reply(request.key, self.number.to_bytes(4, "big").ljust(request.key.byte_count, b"\0")).encode()


@settings(max_examples=1000)
@given(st.lists(fates, min_size=2, max_size=25), st.integers(1, 4))
@example([Fate(delay=250)] * 6, 1)
@example([Fate(delay=250)] * 6, 4)
@example([Fate(again=300)] * 10, 2)
@example([Fate(delay=639), Fate(kind="lost")], 1)
@example([Fate(delay=600), Fate(kind="lost"), Fate(kind="lost"), Fate(delay=150)], 2)
def test_no_earlier_answer_is_ever_taken(fates: list[Fate], k: int) -> None:
    line = Line(armed=True, k=k)
    line.run(fates)
    assert line.wrong == []


@given(st.lists(st.builds(Fate, unit=st.sampled_from([0, 1]), block=st.integers(0, 2)), max_size=8))
def test_on_a_sound_line_every_answer_is_taken(fates: list[Fate]) -> None:
    line = Line(armed=True)
    line.run(fates)
    assert line.right == line.number
    assert line.seen == []


def test_without_the_guard_the_same_line_is_wrong_for_ever() -> None:
    slow = [Fate(delay=230)] * 6
    line = Line(armed=False)
    line.run(slow)
    assert len(line.wrong) >= 4
    line = Line(armed=True)
    line.run(slow)
    assert line.wrong == []


echoing = st.builds(
    Fate,
    unit=st.sampled_from([0, 0, 1]),
    block=st.sampled_from([0, 0, 1]),
    kind=st.sampled_from(["answer"] * 4 + ["lost", "damaged", "short"]),
    delay=st.integers(9, TIMEOUT - 10) | st.integers(9, LIFE - 2 * OUT),
    cut=st.integers(0, 12),
    pause=st.sampled_from([0, 0, 5, 50, 700]),
    echo=st.sampled_from(["whole"] * 4 + ["damaged", "beheaded", "lost", "behind noise", "late"]),
)


@settings(max_examples=500)
@given(st.lists(echoing, min_size=2, max_size=20), st.sampled_from(["auto", "on", "off"]))
def test_our_own_frames_are_nobody_elses_however_damaged_or_late_they_come(fates: list[Fate], echo: str) -> None:
    line = Line(armed=True, echo=echo)
    line.run(fates)
    assert line.wrong == []
    assert "foreign" not in {seen.kind for seen in line.seen}
