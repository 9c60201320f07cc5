"""The dlt645-truth experiment: real lines, meters that answer late, twice, damaged or not at all, and a ledger of what
was true when.

Every value is a function of address, identifier, place and the time at which the meter heard the request. A value is
right if it is that of a moment between the sending of the request that it is booked to and the receipt of its answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.clock import Clock
from gateway.fieldbus.dlt645.frames import Request, intact, preamble
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Device, Pty, Sent
from tests.gateway.fieldbus.dlt645 import meters

TICK_S = 0.001
SLACK = 3
"""Ticks; the two ends read the clock at slightly different moments."""
IDENTIFIERS = {"0001FF00": 5, "00030000": 1}
"""What each meter is asked, and how many values stand there."""
ADDRESSES = "000000000161", "680000000068", "123456789012"
POINTS = tuple(
    meters.point(f"p_{di.lower()}_{part}", di, part=part if count > 1 else 0)
    for di, count in IDENTIFIERS.items()
    for part in range(1, count + 1)
)
HURT_BYTES = 3
"""Bytes that are hurt in a damaged answer besides the one bit: enough for any checksum to come out."""
LIVES = 3.2
"""The answer life, in time-outs."""


def truth(address: str, di: str, place: int, tick: int) -> int:
    """The digits of a value at a tick of the clock."""
    return (tick * 7 + int(address) * 4099 + int(di, 16) * 257 + place * 10_007) % 10**8


def tick() -> int:
    return int(time.monotonic() / TICK_S)


@dataclass
class Book:
    """What was asked and offered, kept at the meters; the judge of what the line reported."""

    timeout_s: float
    asked: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    once: set[tuple[str, str, int]] = field(default_factory=set)
    """Questions whose answer came once, whole and in time, by the tick at which they were heard."""
    collided: set[bytes] = field(default_factory=set)
    made: int = 0
    not_made: int = 0
    timeouts: int = 0
    offered: int = 0
    """Values of such questions, and how many of them were taken."""
    taken: int = 0
    values: int = 0
    wrong: int = 0
    collisions: int = 0
    """Damaged answers whose checksum came out right; their values are counted apart."""

    def ask(self, request: Request, now: int) -> None:
        self.asked.setdefault((request.unit, request.di), []).append(now)

    def offer(self, request: Request, now: int) -> None:
        """This question is answered once, whole and in time."""
        self.once.add((request.unit, request.di, now))
        self.offered += IDENTIFIERS[request.di]

    def judge(self, address: str, poll: Poll, clock: Clock) -> None:
        """Count a poll's values, and those that are true at no moment of their own request. A poll that was skipped or
        found no key offers nothing."""
        if not poll.answers and poll.missed not in ("timeout", "refused"):
            self.not_made += 1
            return
        self.made += 1
        self.timeouts += poll.missed == "timeout" or any(f.reason == "timeout" for f in poll.failures)
        for answered in poll.answers:
            di, raw = answered.block.di, bytes(answered.raw)  # type: ignore[attr-defined,arg-type]
            if raw in self.collided:
                continue
            done = int((clock.started_monotonic + (answered.completed_ms - clock.started_ms) / 1000) / TICK_S)
            sent = max(t for t in self.asked[address, di] if t <= done + SLACK)
            moments = range(sent - SLACK, done + SLACK + 1)
            for place in range(len(raw) // 4):
                digits = raw[4 * place : 4 * place + 4][::-1].hex()
                self.values += 1
                self.taken += (address, di, sent) in self.once
                self.wrong += all(f"{truth(address, di, place, t):08}" != digits for t in moments)

    def hurt(self, frame: bytes, rng: random.Random) -> bytes:
        """A damaged answer; one that passes for whole is noted."""
        begin = preamble(frame)
        hurt = bytearray(frame)
        hurt[rng.randrange(begin, len(hurt))] ^= 1 << rng.randrange(8)
        for _ in range(HURT_BYTES):
            hurt[rng.randrange(begin, len(hurt))] ^= rng.randrange(256)
        rest = bytes(hurt[preamble(hurt) :])
        if intact(rest):
            self.collisions += 1
            self.collided.add(bytes(byte - 0x33 & 0xFF for byte in rest[14:-2]))
        return bytes(hurt)


def misbehaving(book: Book, rng: random.Random) -> Device:
    """80 % within half of the time-out, 8 % late by 1 to 3 time-outs, 5 % lost, 4 % doubled, 3 % damaged."""
    limit = book.timeout_s

    def device(request: Request) -> Sent:
        fate, delay, now, count = rng.random(), rng.uniform(0.05, 0.5) * limit, tick(), IDENTIFIERS[request.di]
        book.ask(request, now)
        value = b"".join(meters.bcd(truth(request.unit, request.di, place, now)) for place in range(count))
        frame = meters.answer(request, value)
        if fate < 0.08:
            return [(rng.uniform(1, 3) * limit, frame)]
        if fate < 0.13:
            return []
        if fate < 0.16:
            return [(delay, book.hurt(frame, rng))]
        if fate < 0.20:
            return [(delay, frame), (delay + rng.uniform(0.1, 3) * limit, frame)]
        book.offer(request, now)
        return [(delay, frame)]

    return device


def spec(link: Path, timeout_ms: int, period_ms: int) -> LineSpec:
    """A line of three meters."""
    found = meters.profile(*POINTS)
    asked = tuple(MeterSpec(address, found, address, period_ms, found.select()) for address in ADDRESSES)
    return LineSpec(
        "truth", "dlt645", asked, port=str(link), baudrate=115200, timeout_ms=timeout_ms, timeout_max_ms=timeout_ms,
        answer_life_ms=int(LIVES * timeout_ms), backoff_cap_ms=timeout_ms,
    )  # fmt: skip


async def run(folder: Path, polls: int, *, seed: int, armed: bool, timeout_ms: int, lives: float) -> Book:
    """One line until it has made so many polls. ``lives``: the period in time-outs; below ``LIVES`` + 1 it is shorter
    than the answer life allows."""
    rng, clock, done = random.Random(seed), Clock(), asyncio.Event()
    book = Book(timeout_ms / 1000)
    pty = Pty(folder / f"line-{seed}", misbehaving(book, rng), meters.requests)

    def take(poll: Poll) -> None:
        if book.made < polls:
            book.judge(poll.meter, poll, clock)
        else:
            done.set()

    line = Line(spec(pty.link, timeout_ms, int(lives * timeout_ms)), clock, take, armed=armed)
    task = asyncio.create_task(line.run(clock.now_ms()))
    await asyncio.wait([task, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
    line.request_stop()
    await task
    pty.unplug()
    return book
