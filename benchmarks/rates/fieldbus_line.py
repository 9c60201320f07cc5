"""A serial line at 9600 8N1: how near the wire's own speed, and what a dead or a slow meter costs the others.

Four lines side by side, each of five meters of sixty registers (``late``: of twenty) that take 20 ms to answer, polled
by the shipped line worker over a pseudo-terminal on which bytes take their time:

- ``cycle``: every second; from the moment that all five are due until the last answer and the silence after it.
- ``dead``: every second, with a sixth meter that never answers (ten registers, time-out 500 ms).
- ``slow``: every two seconds, with one of the five answering after 450 ms of a time-out of 500 ms.
- ``late``: every second, with a third of the answers of one of the five up to 2.7 s late.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path

from benchmarks.rates.paced_line import paced_line, profile_text
from gateway.clock import Clock
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.devices.read_plan import wire_time_ms
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.serial_time import t35_seconds

BAUDRATE, METERS, REGISTERS, LATENCY_MS, TIMEOUT_MS = 9600, 5, 60, 20, 500
SLOW_MS, DEAD, DEAD_REGISTERS, LATE_REGISTERS = 450, 6, 10, 20
COUNTED_FROM_MS, CYCLES = 10_000, 60
MINIMUM_MS = METERS * (wire_time_ms(REGISTERS, BAUDRATE, 10) + LATENCY_MS)
"""(8 + 5 + 2N) characters of 10 bits, t3.5 twice and the device's time, for each meter in turn."""


class Watch:
    """One line at work, and what became of its polls."""

    def __init__(
        self, folder: Path, name: str, period_ms: int, *, dead: bool = False, slow: int = 0, late: int = 0
    ) -> None:
        self.name, self.period_ms, self.late, self.unfit = name, period_ms, late, slow or late
        self.link = folder / name
        self.latency_ms = {unit: SLOW_MS if unit == slow else LATENCY_MS for unit in range(1, METERS + 1)}
        self.polls: list[Poll] = []
        live = _profile(LATE_REGISTERS if late else REGISTERS)
        meters = [MeterSpec(f"live-{unit}", live, unit, period_ms, live.select()) for unit in self.latency_ms]
        if dead:
            short = _profile(DEAD_REGISTERS)
            meters.append(MeterSpec("dead", short, DEAD, period_ms, short.select()))
        spec = LineSpec(name, "modbus-rtu", tuple(meters), port=str(self.link), baudrate=BAUDRATE)
        self._clock = Clock()
        self._line = Line(spec, self._clock, self.polls.append)

    async def run(self, seconds: float) -> None:
        """Poll for so long."""
        self.anchor_ms = self._clock.now_ms()
        task = asyncio.create_task(self._line.run(self.anchor_ms))
        await asyncio.sleep(seconds)
        self._line.request_stop()
        await task

    def window_ms(self, seconds: float) -> range:
        """The due times that count: from ten seconds (of a short run: a tenth) after the start."""
        begin_ms = min(COUNTED_FROM_MS, int(seconds * 100))
        grid = range(self.anchor_ms, self.anchor_ms + int(seconds * 1000) - self.period_ms, self.period_ms)
        return grid[-(-begin_ms // self.period_ms) :]

    def in_time(self, poll: Poll) -> bool:
        """Every block was answered before the meter's next poll was due."""
        return (
            poll.missed is None
            and not poll.failures
            and max(answer.completed_ms for answer in poll.answers) <= poll.due_ms + self.period_ms
        )

    def cycles_ms(self) -> list[float]:
        """From due to the silence after the last answer, for each due time at which all meters answered."""
        ends = defaultdict[int, list[int]](list)
        for poll in self.polls:
            if poll.missed is None and not poll.failures:
                ends[poll.due_ms].append(max(answer.completed_ms for answer in poll.answers))
        silence_ms = t35_seconds(BAUDRATE) * 1000
        whole = [max(done) - due + silence_ms for due, done in sorted(ends.items()) if len(done) == METERS]
        return whole[1 : CYCLES + 1]  # in the first the identities are read


SMALLEST = ({"seconds": 5},)


def run(seconds: float = 300.0) -> dict[str, object]:
    """``seconds`` of the line with the dead meter; the others run beside it, the cycle for at most 62 seconds."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as lines:
        cycle = Watch(Path(name), "cycle", 1000)
        dead = Watch(Path(name), "dead", 1000, dead=True)
        slow = Watch(Path(name), "slow", 2000, slow=3)
        late = Watch(Path(name), "late", 1000, late=3)
        for watch in (cycle, dead, slow, late):
            lines.enter_context(paced_line(watch.link, BAUDRATE, watch.latency_ms, late=watch.late))

        async def all_of_them() -> None:
            rest = (watch.run(seconds) for watch in (dead, slow, late))
            await asyncio.gather(cycle.run(min(seconds, CYCLES + 2)), *rest)

        asyncio.run(all_of_them())
    cycles = cycle.cycles_ms()
    return {
        "minimum_ms": MINIMUM_MS,
        "cycle_ms": statistics.median(cycles) if cycles else None,
        "cycle_over_minimum": statistics.median(cycles) / MINIMUM_MS if cycles else None,
        "cycle_worst": max(cycles) / MINIMUM_MS if cycles else None,
        "cycles": len(cycles),
        **_figures(dead, seconds),
        "dead_probes": sum(poll.meter == "dead" and poll.missed == "timeout" for poll in dead.polls),
        **_figures(slow, seconds),
        **_figures(late, seconds),
        "seconds": seconds,
    }


def _figures(watch: Watch, seconds: float) -> dict[str, object]:
    """Of the meters that are neither dead nor slow: the share of polls in time, and why the others were not."""
    due = watch.window_ms(seconds)
    fit = [f"live-{unit}" for unit in watch.latency_ms if unit != watch.unfit]
    polls = [poll for poll in watch.polls if poll.meter in fit and poll.due_ms in due]
    late = [poll for poll in polls if not watch.in_time(poll)]
    return {
        f"{watch.name}_in_time": (len(polls) - len(late)) / (len(due) * len(fit)),
        f"{watch.name}_due": len(due) * len(fit),
        f"{watch.name}_not_in_time": dict(Counter(poll.missed or "late" for poll in late)),
    }


def _profile(registers: int) -> Profile:
    return parse_profile(profile_text(registers, TIMEOUT_MS), "bench", "bench.toml")
