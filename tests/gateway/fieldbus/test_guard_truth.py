"""No value of an earlier question is ever taken, whatever comes when, as long as it comes within the answer life.

A made-up line on a made-up clock: each request is answered by its own running number, in time, late, twice, damaged,
cut short, by an exception or not at all, in pieces and between noise.
"""

from __future__ import annotations

# not quick: answers by chance, 2 s of CPU
import heapq
from dataclasses import dataclass
from typing import cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.fieldbus.modbus.frames import Reply, Request, Shape
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, ObservedFrame

TIMEOUT, LIFE, OUT = 200, 640, 8  # ms


@dataclass(frozen=True)
class Fate:
    """What becomes of one request: its answer comes ``delay`` ms after it went out, again ``again`` ms later …"""

    unit: int = 1
    block: int = 0
    kind: str = "answer"
    delay: int = 20
    again: int | None = None
    cut: int = 0
    noise: bytes = b""
    pause: int = 0
    echo: str = ""
    """What a two-wire adapter gives back: "whole", "damaged", "beheaded", "lost", "behind noise" or "late"."""


fates = st.builds(
    Fate,
    unit=st.sampled_from([1, 1, 1, 2]),
    block=st.sampled_from([0, 0, 0, 1]),
    kind=st.sampled_from(["answer"] * 6 + ["lost", "damaged", "short", "exception", "exception of another function"]),
    delay=st.integers(0, TIMEOUT - 10) | st.integers(0, LIFE - OUT),
    again=st.none() | st.integers(1, LIFE - 1),
    cut=st.integers(0, 12),
    noise=st.sampled_from([b"", b"", b"", b"\x00", b"\xff\xff", b"\x01\x03", bytes.fromhex("01 03 04 00 00")]),
    pause=st.sampled_from([0, 0, 0, 5, 50, 700]),
)


class Line:
    """Runs a list of fates against one guard; ``wrong`` collects answers that belong to another request."""

    def __init__(self, *, armed: bool, k: int = 4, echo: str = "off") -> None:
        self.k = k
        self.seen: list[ObservedFrame] = []
        self.guard = Guard(RTU, KeyTable(LIFE / 1000, armed=armed), 0.004, self.seen.append, echo=echo)
        self.now = 0
        self.number = 0
        self.wire: list[tuple[int, int, bytes]] = []
        self.wrong: list[tuple[int, int]] = []
        self.right = 0

    def run(self, fates: list[Fate]) -> None:
        for fate in fates:
            self.pass_time(self.now + fate.pause)
            self.read(fate)
        self.pass_time(self.now + 2 * LIFE)

    def read(self, fate: Fate) -> None:
        variants = [Request(fate.unit, 3, 10 * fate.block, 2 + 10 * fate.block + extra) for extra in range(self.k)]
        while (request := self.guard.choose(variants, self.now / 1000)) is None:
            self.pass_time(self.now + 10)
        self.number += 1
        asked = self.number
        self.guard.ask(request, self.now / 1000)
        out = self.now + OUT
        self.guard.sent(out / 1000)
        self.send(fate, cast(Request, request), out)
        deadline = out + TIMEOUT
        while not self.guard.decided and self.wire and self.wire[0][0] <= deadline:
            self.deliver()
        if not self.guard.decided:
            self.now = deadline
        outcome = self.guard.finish(self.now / 1000)
        self.pass_time(self.now + 4)
        if isinstance(outcome, Answer) and outcome.number not in self.guard.voided:
            number = int.from_bytes(outcome.data[:4], "big")
            if number == asked:
                self.right += 1
            else:
                self.wrong.append((asked, number))

    def send(self, fate: Fate, request: Request, out: int) -> None:
        data = self.number.to_bytes(4, "big").ljust(request.key.byte_count, b"\0")
        frame = Reply(request.key, data).encode()
        if fate.echo:
            self.give_back(fate, request.frame, out)
        if fate.kind == "lost":
            return
        if fate.kind == "damaged":
            frame = frame[:4] + bytes([frame[4] ^ 1 << fate.cut % 8]) + frame[5:]
        if fate.kind == "short":
            frame = frame[: max(1, fate.cut)]
        if fate.kind.startswith("exception"):
            function = 4 if "another" in fate.kind else 3
            frame = Reply(Shape(request.unit, function, -1), b"", 2).encode()
        for start in [fate.delay] + ([fate.delay + fate.again] if fate.again else []):
            moment = min(out + start, out + LIFE - 1)  # within the life of the question
            head = fate.noise + frame[: fate.cut]
            for part in (head, frame[fate.cut :]):
                self.put(moment, part)

    def give_back(self, fate: Fate, sent: bytes, out: int) -> None:
        place, moment = fate.cut % len(sent), out
        if fate.echo == "damaged":
            sent = sent[:place] + bytes([sent[place] ^ 1 << fate.delay % 8]) + sent[place + 1 :]
        elif fate.echo == "beheaded":
            sent = sent[1 + place :]
        elif fate.echo == "behind noise":
            self.put(out - 7, b"\x63\x63\x63")
        elif fate.echo == "late":
            moment = out + fate.delay
        if fate.echo != "lost":
            self.put(moment - 1, sent[:place])
            self.put(moment, sent[place:])

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


@given(st.lists(st.builds(Fate, unit=st.sampled_from([1, 2]), block=st.integers(0, 2)), max_size=8))
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
    unit=st.sampled_from([1, 1, 2]),
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
