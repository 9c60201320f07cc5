"""The gateway's end of the lines of a fieldbus-truth case: a process of its own, that can be stopped like any other."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

from benchmarks.truth.truth_lines import hush
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.bus import Meter
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.records import PollResult
from tests.support.register_points import registers_of, words_of

ENDS_WITHIN_S = 30.0


class Answered(NamedTuple):
    """A block as it was asked, its registers, and the monotonic second when it was complete."""

    address: int
    size: int
    registers: tuple[int, ...]
    completed: float


class Polled(NamedTuple):
    """One due poll of a line, by the line's place in the case."""

    line: int
    unit: int
    missed: str | None
    answers: tuple[Answered, ...]


class Raised(NamedTuple):
    """An alarm that began."""

    line: int
    code: str


Report = Polled | Raised


@asynccontextmanager
async def reading(specs: Sequence[LineSpec], take: Callable[[Report], object], *, armed: bool) -> AsyncIterator[int]:
    """A process that polls these lines as a gateway does, for the time of a ``with``; gives its pid. What it reports is
    given to ``take`` in this event loop, the last of it before the ``with`` ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe()
    process = context.Process(target=_read, args=(there, tuple(specs), armed), daemon=True)
    process.start()
    there.close()

    def listen() -> None:  # in a thread: a process that is stopped in the midst of a report must not stop this one
        with contextlib.suppress(EOFError, OSError):
            while True:
                loop.call_soon_threadsafe(take, here.recv())
        loop.call_soon_threadsafe(ended.set)

    thread = threading.Thread(target=listen, name="reports", daemon=True)
    thread.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        os.kill(process.pid, signal.SIGCONT)
        here.send(None)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await ended.wait()
        process.join(ENDS_WITHIN_S)
        here.close()


def _read(reports: Connection, specs: Sequence[LineSpec], armed: bool) -> None:
    hush()
    asyncio.run(_all_lines(reports, specs, armed))


async def _all_lines(reports: Connection, specs: Sequence[LineSpec], armed: bool) -> None:
    clock, loop = Clock(), asyncio.get_running_loop()
    lines = [_line(number, spec, clock, reports, armed) for number, spec in enumerate(specs)]

    def stop() -> None:
        for line in lines:
            line.request_stop()

    loop.add_reader(reports.fileno(), stop)
    now_ms = clock.now_ms()
    begins = [now_ms + line.spec.meters[0].period_ms * n // len(lines) for n, line in enumerate(lines)]
    await asyncio.gather(*(line.run(begin) for line, begin in zip(lines, begins, strict=True)))


def _line(number: int, spec: LineSpec, clock: Clock, reports: Connection, armed: bool) -> Line:
    """A line with what stands above it in a gateway: who looks at its counters."""
    entries = {
        m.name: Meter.model_validate(
            {"name": m.name, "profile": "truth.toml", "address": m.address, "every": f"{m.period_ms}ms"}
        )
        for m in spec.meters
    }
    units = {m.name: cast(int, m.address) for m in spec.meters}
    poller = Poller(entries, clock, _forget, {m.name: m.profile for m in spec.meters})

    def take(poll: Poll) -> None:
        poller.poll(poll)
        answers = tuple(
            Answered(block.address, block.count, words_of(a.raw), clock.started_monotonic + since_s)
            for a in poll.answers
            for block in [registers_of(a.block)]
            for since_s in [(a.completed_ms - clock.started_ms) / 1000]
        )
        reports.send(Polled(number, units[poll.meter], poll.missed, answers))

    return Line(spec, clock, take, on_alarm=partial(_tell, reports, number), doubts=poller.doubts, armed=armed)


def _tell(reports: Connection, number: int, alarm: Alarm) -> None:
    if alarm.raised:
        reports.send(Raised(number, alarm.code))


def _forget(finished: PollResult) -> None:
    """Nothing is recorded here."""
