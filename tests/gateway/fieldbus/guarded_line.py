"""A made-up line on a made-up clock: what becomes of each question is chosen beforehand, and its answer begins with its
running number, so that an answer to another question is known as that."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.fieldbus.wire.framing import Framing
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable, Question
from gateway.fieldbus.wire.link import Answer, ObservedFrame, Refusal

TIMEOUT, LIFE, OUT = 200, 640, 8  # ms


@dataclass(frozen=True)
class Fate:
    """What becomes of one question: its answer comes ``delay`` ms after it went out, again ``again`` ms later …"""

    unit: int = 0
    block: int = 0
    kind: str = "answer"
    delay: int = 20
    again: int | None = None
    cut: int = 0
    noise: bytes = b""
    pause: int = 0
    echo: str = ""
    """What a two-wire adapter gives back: "whole", "damaged", "beheaded", "lost", "behind noise" or "late"."""


class GuardedLine(ABC):
    """Runs a list of fates against one guard; ``wrong`` collects answers that belong to another question."""

    def __init__(self, framing: Framing, *, armed: bool = True, echo: str = "off") -> None:
        self.seen: list[ObservedFrame] = []
        self.guard = Guard(framing, KeyTable(LIFE / 1000, armed=armed), 0.004, self.seen.append, echo=echo)
        self.now = self.number = self.right = 0
        self.wire: list[tuple[int, int, bytes]] = []
        self.wrong: list[tuple[int, int]] = []
        self.refused: list[Refusal] = []

    @abstractmethod
    def variants(self, fate: Fate) -> Sequence[Question]:
        """The questions of which one is asked."""

    @abstractmethod
    def answer(self, fate: Fate, question: Question) -> bytes:
        """What the device sends, its running number first."""

    def run(self, fates: list[Fate]) -> None:
        for fate in fates:
            self.pass_time(self.now + fate.pause)
            self.read(fate)
        self.pass_time(self.now + 2 * LIFE)

    def read(self, fate: Fate) -> None:
        variants = self.variants(fate)
        while (question := self.guard.choose(variants, self.now / 1000)) is None:
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

    def send(self, fate: Fate, question: Question, out: int) -> None:
        frame = self.answer(fate, question)
        if fate.echo:
            self.give_back(fate, question.frame, out)
        if fate.kind == "lost":
            return
        place = fate.cut % len(frame)
        if fate.kind == "damaged":
            frame = flipped(frame, place, fate.delay)
        if fate.kind == "short":
            frame = frame[: max(1, place)]
        for start in [fate.delay] + ([fate.delay + fate.again] if fate.again else []):
            moment = min(out + start, out + LIFE - 1)  # within the life of the question
            for part in (fate.noise + frame[: fate.cut], frame[fate.cut :]):
                self.put(moment, part)

    def give_back(self, fate: Fate, sent: bytes, out: int) -> None:
        place, moment = fate.cut % len(sent), out
        if fate.echo == "damaged":
            sent = flipped(sent, place, fate.delay)
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


def flipped(frame: bytes, place: int, bit: int) -> bytes:
    """With one bit of one byte the other way round."""
    return frame[:place] + bytes([frame[place] ^ 1 << bit % 8]) + frame[place + 1 :]
