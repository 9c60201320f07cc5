"""The cases of fieldbus-truth beside the crowded lines: what is wrong at the far end of each line, or with the process
at this end. A case is a wire (an open line of meters, with its trouble), and what must come of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.truth.truth_meters import SERIAL_APART, SERIAL_BESIDE, Book, Meters, line_spec
from benchmarks.truth.truth_reader import reading
from benchmarks.truth.truth_wire import Terminal
from gateway.fieldbus.modbus.frames import Request, crc
from gateway.fieldbus.wire.line_spec import LineSpec
from tests.gateway.fieldbus.devices import Device, Sent, answer
from tests.gateway.fieldbus.truth import TICK_S, tick

IDENTITY_EVERY_S = 60.0
"""Where nothing else tells of another device, it is found within this time and a period (docs/fieldbus.md)."""
FOREIGN_COUNTS = (4, 6, 10)
"""What the second master reads: two of our own lengths, and another one."""
AT_MOST = ("wrong", "strangers")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one line of a case is set up: its number, a folder, chance, the book of the case, and how it is asked."""

    number: int
    folder: Path
    rng: random.Random
    book: Book
    period_ms: int
    seconds: float

    @property
    def name(self) -> str:
        return f"line-{self.number}"


Wire = Callable[[Place], AbstractAsyncContextManager[LineSpec]]
"""Opens one line and appends its meters to the book."""


@dataclass(frozen=True, slots=True)
class Case:
    """``target``: at most so many ``wrong`` and ``strangers``, of everything else at least so much. ``trouble``: what
    befalls the process that reads, by its pid, until it is cancelled."""

    wire: Wire
    target: Mapping[str, float]
    trouble: Callable[[int, random.Random], Coroutine[None, None, None]] | None = None


async def run_case(
    case: Case, folder: Path, seconds: float, lines: int, period_ms: int, seed: int, *, armed: bool
) -> dict[str, object]:
    """One case for so long on so many lines; its figures, its target, and whether that is met."""
    book, rng = Book(), random.Random(seed)
    async with AsyncExitStack() as stack:
        places = [Place(n, folder, random.Random(rng.random()), book, period_ms, seconds) for n in range(lines)]
        specs = [await stack.enter_async_context(case.wire(place)) for place in places]
        pid = await stack.enter_async_context(reading(specs, book.take, armed=armed))
        troubled = asyncio.create_task(case.trouble(pid, rng)) if case.trouble else None
        await asyncio.sleep(seconds)
        if troubled:
            troubled.cancel()
            with suppress(asyncio.CancelledError):
                await troubled
    figures = book.figures()
    return {**figures, "target": dict(case.target), "met": met(figures, case.target)}


def met(figures: Mapping[str, object], target: Mapping[str, float]) -> bool:
    """Whether the figures are as good as the target."""
    found = {name: float(str(figures.get(name, 0))) for name in target}
    return all(found[n] <= least if n in AT_MOST else found[n] >= least for n, least in target.items())


@asynccontextmanager
async def serial(
    place: Place, device: Device, meters: Meters, *, at: int = SERIAL_APART
) -> AsyncIterator[tuple[LineSpec, Terminal]]:
    """A pseudo-terminal with these meters; ``device`` is what stands between them and the line."""
    place.book.lines.append(meters)
    terminal = Terminal(place.folder / place.name, device)
    try:
        yield replace(line_spec(place.name, place.period_ms, at), port=str(terminal.link)), terminal
    finally:
        terminal.close()


@asynccontextmanager
async def plain(place: Place) -> AsyncIterator[LineSpec]:
    """Nothing is wrong with the line."""
    meters = Meters(place.rng)
    async with serial(place, meters, meters) as (spec, _):
        yield spec


@asynccontextmanager
async def damaged_echoes(place: Place) -> AsyncIterator[LineSpec]:
    """A two-wire adapter gives back what it sends; one echo in fifty has a wrong bit."""
    meters = Meters(place.rng)

    def device(request: Request) -> Sent:
        hurt = place.rng.random() < 0.02
        place.book.more["damaged"] += hurt
        return [(0.0, _hurt(request.frame, place.rng) if hurt else request.frame), *meters(request)]

    async with serial(place, device, meters) as (spec, _):
        yield spec


@asynccontextmanager
async def wrong_function(place: Place) -> AsyncIterator[LineSpec]:
    """One answer in ten bears the function of the other kind of registers, and a good checksum."""
    meters = Meters(place.rng)

    def device(request: Request) -> Sent:
        sent = meters(request)
        if place.rng.random() >= 0.1:
            return sent
        place.book.more["wrong_functions"] += 1
        return [(delay, _with_function(frame, frame[1] ^ 7)) for delay, frame in sent]

    async with serial(place, device, meters) as (spec, _):
        yield spec


@asynccontextmanager
async def second_master(place: Place) -> AsyncIterator[LineSpec]:
    """Somebody else asks the same meters in reads of three lengths, two of them ours, whenever the line is quiet. All
    of his questions are heard. ``talked_over``: ours that came before his answer."""
    meters = Meters(place.rng)
    async with serial(place, meters, meters) as (spec, terminal):
        task = asyncio.create_task(_ask_too(place, meters, terminal.write))
        try:
            yield spec
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _ask_too(place: Place, meters: Meters, write: Callable[[bytes], None]) -> None:
    loop, rng = asyncio.get_running_loop(), place.rng
    while True:
        await asyncio.sleep(rng.uniform(0.2, 0.5) * place.period_ms / 1000)
        await asyncio.sleep(max(0.0, meters.busy_until + 0.01 - loop.time()))
        request = Request(rng.choice((1, 2, 9)), 3, rng.choice((1010, 2010)), rng.choice(FOREIGN_COUNTS))
        write(request.frame)
        before = meters.busy_until
        await asyncio.sleep(rng.uniform(0.01, 0.03))
        place.book.more["foreign_questions"] += 1
        place.book.more["talked_over"] += meters.busy_until != before
        write(answer(request, rng.randbytes(2 * request.count)))


@asynccontextmanager
async def identity_swap(place: Place) -> AsyncIterator[LineSpec]:
    """After a third of the time other devices answer, and no question goes unanswered. On the first of three lines the
    serial number is read along with a block, on the second the counters fall; on the third nothing tells but the
    serial number itself, so that it is found when that is read again."""
    kind = place.number % 3
    meters = Meters(place.rng, apart=-1_000 if kind == 1 else 1)
    at = SERIAL_BESIDE if kind == 0 else SERIAL_APART

    def swap() -> None:
        meters.exchanged = tick()
        if kind == 2:
            within_s = IDENTITY_EVERY_S + 2 * place.period_ms / 1000
            meters.named_until = meters.exchanged + int(within_s / TICK_S)

    async with serial(place, meters, meters, at=at) as (spec, _):
        timer = asyncio.get_running_loop().call_later(place.seconds / 3, swap)
        try:
            yield spec
        finally:
            timer.cancel()


async def stopped_now_and_then(pid: int, rng: random.Random) -> None:
    """SIGSTOP for 0.1 to 1.2 s, as on a machine that is busy elsewhere, every few seconds."""
    try:
        while True:
            await asyncio.sleep(rng.uniform(0.5, 3.0))
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(rng.uniform(0.1, 1.2))
            os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)


def _hurt(frame: bytes, rng: random.Random) -> bytes:
    place, bit = rng.randrange(len(frame)), 1 << rng.randrange(8)
    return frame[:place] + bytes([frame[place] ^ bit]) + frame[place + 1 :]


def _with_function(frame: bytes, function: int) -> bytes:
    body = frame[:1] + bytes([function]) + frame[2:-2]
    return body + crc(body)
