"""The fieldbus-truth experiment: real lines, devices that answer late, twice, damaged or not at all, and a ledger of
what was true when.

A register is a function f(unit, address, t) of the time at which the device made its answer. A value is right if it
equals f for a t between the sending of the request that it is booked to and the receipt of its answer.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.clock import Clock
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request, crc
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Pty, Sent, answer
from tests.support.register_points import registers_of

TICK_S = 0.001
SLACK = 3  # ticks; the two ends read the clock at slightly different moments


def truth(unit: int, address: int, tick: int) -> int:
    """The register's content at a tick of the clock."""
    return (tick * 7 + unit * 4099 + address * 257) & 0xFFFF


def tick() -> int:
    return int(time.monotonic() / TICK_S)


@dataclass
class Book:
    """What was asked and offered, kept at the device; the judge of what the line reported."""

    timeout_s: float
    asked: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)
    offered: int = 0
    polls: int = 0
    timeouts: int = 0
    values: int = 0
    wrong: int = 0

    def ask(self, request: Request) -> None:
        self.asked.setdefault((request.unit, request.address, request.count), []).append(tick())

    def judge(self, unit: int, poll: Poll, clock: Clock) -> None:
        """Count a poll's values, and those that are true at no moment of their own request. Without the guard an older
        answer may be taken before the device has even heard the request: its moment is then that of receipt alone."""
        self.polls += 1
        self.timeouts += poll.missed == "timeout" or any(f.reason == "timeout" for f in poll.failures)
        for block in poll.answers:
            done = int((clock.started_monotonic + (block.completed_ms - clock.started_ms) / 1000) / TICK_S)
            asked = self.asked.get((unit, registers_of(block.block).address, registers_of(block.block).count), [])
            sent = max((t for t in asked if t <= done + SLACK), default=done)
            moments = range(sent - SLACK, done + SLACK + 1)
            for place, word in enumerate(block.raw):
                self.values += 1
                address = registers_of(block.block).address + place
                self.wrong += all(truth(unit, address, t) != word for t in moments)


def misbehaving(book: Book, rng: random.Random) -> Callable[[Request], Sent]:
    """80 % in time, 8 % late by 1 to 3 time-outs, 5 % lost, 4 % doubled, 3 % damaged."""
    limit = book.timeout_s

    def device(request: Request) -> Sent:
        book.ask(request)
        fate = rng.random()
        delay = rng.uniform(0.05, 0.9) * limit
        registers = [truth(request.unit, request.address + i, tick()) for i in range(request.count)]
        frame = answer(request, struct.pack(f">{request.count}H", *registers))
        if fate < 0.08:
            return [(rng.uniform(1, 3) * limit, frame)]
        if fate < 0.13:
            return []
        if fate < 0.16:
            place, bit = rng.randrange(len(frame)), 1 << rng.randrange(8)
            damaged = frame[:place] + bytes([frame[place] ^ bit]) + frame[place + 1 :]
            assert crc(damaged[:-2]) != damaged[-2:], "a single bit is always found"
            return [(delay, damaged)]
        book.offered += request.count
        again = [(delay + rng.uniform(0.1, 3) * limit, frame)] if fate < 0.20 else []
        return [(delay, frame), *again]

    return device


def profile(blocks: int) -> Profile:
    """Blocks of four registers, far enough apart for reads of their own, with room for variants."""
    starts = [1000 * (b + 1) for b in range(blocks)]
    points = "\n".join(
        f'p{s + i} = {{ fc = 3, address = {s + i}, type = "uint16", unit = "W" }}' for s in starts for i in range(4)
    )
    spans = ", ".join(f"{{ fc = 3, first = {s}, last = {s + 90} }}" for s in starts)
    head = 'vendor = "T"\ndevice = "T"\nsource = "T"\n'
    return parse_profile(f"{head}readable = [{spans}]\n[points]\n{points}", "truth", "truth.toml")


def spec(link: Path, timeout_ms: int, period_ms: int) -> LineSpec:
    """A line of five units, two of them with a single block."""
    meters = []
    for unit in range(1, 6):
        found = profile(1 if unit <= 2 else 2)
        meters.append(MeterSpec(f"u{unit}", found, unit, period_ms, found.select()))
    life = int(3.2 * timeout_ms)
    return LineSpec(
        "truth", "modbus-rtu", tuple(meters), port=str(link), baudrate=115200, timeout_ms=timeout_ms,
        answer_life_ms=life, backoff_cap_ms=timeout_ms,
    )  # fmt: skip


async def run(folder: Path, polls: int, *, seed: int, armed: bool, timeout_ms: int = 20, period_ms: int = 50) -> Book:
    """One line until it reported so many polls; it is asked for more than it can carry, so that answers crowd."""
    rng, clock = random.Random(seed), Clock()
    book = Book(timeout_ms / 1000)
    done = asyncio.Event()
    pty = Pty(folder / f"line-{seed}-{armed}", misbehaving(book, rng))

    def take(poll: Poll) -> None:
        book.judge(int(poll.meter[1:]), poll, clock)
        if book.polls >= polls:
            done.set()

    line = Line(spec(pty.link, timeout_ms, period_ms), clock, take, armed=armed)
    task = asyncio.create_task(line.run(clock.now_ms()))
    await asyncio.wait([task, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
    line.request_stop()
    await task
    pty.unplug()
    return book
