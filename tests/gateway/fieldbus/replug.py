"""Lines whose adapters and device servers go and come back, again and again, and what that leaves behind.

The tests run forty cycles. At length: ``python -m tests.gateway.fieldbus.replug --cycles 200``; prints its figures as
JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire.line_spec import LineSpec
from tests.gateway.fieldbus.devices import (
    Device,
    Polls,
    Pty,
    Sent,
    Server,
    answer,
    descriptors,
    meter,
    rtu_line,
    rtu_talk,
    tcp_line,
)

STEADY = 40
"""Cycles after which memory must not grow any more."""


@dataclass(frozen=True, slots=True)
class Figures:
    """``slowest_s``: the longest time from the return of a line to its first answer. ``unasked``: returns at which
    something else was asked before the identity. Descriptors and tasks: after the first round, and at the end."""

    cycles: int
    slowest_s: float
    unasked: int
    missing_alarms: int
    descriptors: tuple[int, int]
    tasks: tuple[int, int]
    memory_kb_steady: int
    memory_kb_end: int

    @property
    def memory_ratio(self) -> float:
        """Resident memory at the end over that at cycle ``STEADY``."""
        return self.memory_kb_end / self.memory_kb_steady


def identified(number: int, asked: list[Request]) -> Device:
    """A meter with a serial number; ``asked`` is what it was asked."""

    def device(request: Request) -> Sent:
        asked.append(request)
        return [(0.0, answer(request, number.to_bytes(2, "big") if request.address == 900 else None))]

    return device


class Place:
    """One line, and the adapter or device server at its end, which can be taken away and put back."""

    def __init__(self, folder: Path, number: int, kind: str) -> None:
        self.kind, self.asked = kind, list[Request]()
        self.polls, self.alarms = Polls(), list[Alarm]()
        self._device = identified(7000 + number, self.asked)
        self._link = folder / f"by-id-{number}"
        self._server = Server(rtu_talk(self._device))
        self._pty: Pty | None = None
        self._number = number

    async def plug(self) -> None:
        if self.kind == "modbus-rtu":
            self._pty = Pty(self._link, self._device)
        else:
            await self._server.start()

    async def unplug(self) -> None:
        if self._pty is not None:
            self._pty.unplug()
        else:
            await self._server.stop()

    def spec(self) -> LineSpec:
        one = meter(f"m{self._number}", 1, 250, identity="serial")
        if self.kind == "modbus-rtu":
            return rtu_line(self._link, one)
        return tcp_line(self._server.port, one, kind=self.kind)

    async def cycle(self) -> tuple[float, bool, bool]:
        """Away and back; gives the time to the first answer, and whether it was known first and reported in time."""
        loop = asyncio.get_running_loop()
        await self.unplug()
        await self.polls.until(lambda poll: poll.missed == "line-down")
        self.polls.clear()
        self.asked.clear()
        await self.plug()
        begun = loop.time()
        await self.polls.until(lambda poll: bool(poll.answers))
        took = loop.time() - begun
        self.polls.clear()
        alarms, self.alarms[:] = [(a.code, a.raised) for a in self.alarms], []
        return took, self.asked[0].address == 900, alarms == [("line-down", True), ("line-down", False)]


async def run(
    folder: Path, *, cycles: int = STEADY, lines: int = 8, kinds: tuple[str, ...] = ("modbus-rtu",)
) -> Figures:
    """``lines`` lines, side by side, until they went away and came back ``cycles`` times together."""
    places = [Place(folder, number, kinds[number % len(kinds)]) for number in range(lines)]
    clock = Clock()
    tasks, workers = [], []
    for place in places:
        await place.plug()
        line = Line(place.spec(), clock, place.polls.take, on_alarm=place.alarms.append)
        workers.append(line)
        tasks.append(asyncio.create_task(line.run(clock.now_ms())))
    await asyncio.gather(*(place.polls.until(lambda poll: bool(poll.answers)) for place in places))
    done, results, before, steady = 0, list[tuple[float, bool, bool]](), (0, 0), 0
    while done < cycles:
        results += await asyncio.gather(*(place.cycle() for place in places))
        done += lines
        before = before if any(before) else _open()
        steady = steady or (_memory_kb() if done >= STEADY else 0)
    after, end = _open(), _memory_kb()
    for line in workers:
        line.request_stop()
    await asyncio.gather(*tasks)
    for place in places:
        await place.unplug()
    return Figures(
        cycles=done,
        slowest_s=max(took for took, _, _ in results),
        unasked=sum(not known for _, known, _ in results),
        missing_alarms=sum(not raised for _, _, raised in results),
        descriptors=(before[0], after[0]),
        tasks=(before[1], after[1]),
        memory_kb_steady=steady or end,
        memory_kb_end=end,
    )


def _open() -> tuple[int, int]:
    return len(descriptors()), len(asyncio.all_tasks())


def _memory_kb() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 1024


def main() -> None:
    """The long form."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cycles", type=int, default=200)
    options.add_argument("--lines", type=int, default=8)
    given = options.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        kinds = ("modbus-rtu", "modbus-rtu-over-tcp")
        figures = asyncio.run(run(Path(folder), cycles=given.cycles, lines=given.lines, kinds=kinds))
    print(json.dumps(asdict(figures) | {"memory_ratio": round(figures.memory_ratio, 3)}, indent=2))


if __name__ == "__main__":
    main()
