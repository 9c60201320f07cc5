"""Lines of the gateway against simulated meters that misbehave, some at once in one event loop, and what came of it.

Every answer that the simulator gave is in its log. A block that a line reports must hold what the meter said to the
*last* such question heard before, and that answer must have been one that a reader may believe.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from firmware_sim.cli.run import Simulator
from firmware_sim.clock import SimClock
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.bus import Meter
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.records import PollResult
from ledger_client.formats.senml import Value
from tests.gateway.fieldbus.devices import SAFETY_S
from tests.support.register_points import registers_of, words_of

POINTS = ("voltage_ln_l1", "voltage_ln_l2", "active_power_total", "energy_import")
HARMLESS = {
    "split",
    "late",
    "doubled",
    "lone-byte",
    "glued",
    "reboots",
    "slow-update",
    "cached",
    "zero-counters",
    "lost",
}
"""Faults after which an answer may be believed, if it is taken for the answer to its own question."""
_MS = re.compile(r"(_ms = )([0-9.]+)")
AT_ONCE = 8
"""Lines that run in one loop."""
SLOWER = 4, 12
"""How many times as long all times of a line are that was late, once it is alone."""
AT_ONCE_MS = 50
"""The two ends read their clocks apart; a shape is never asked twice within this time."""


@dataclass
class Case:
    """One line: what is wrong with its meter or bus, how it is asked, and what it must come to before the run ends."""

    name: str
    fault: str = ""
    bus: str = "emulate = false"
    type: str = "modbus-rtu"
    period_ms: int = 150
    timeout_ms: int = 60
    life_ms: int = 300
    baudrate: int = 115200
    profile: dict[str, Any] = field(default_factory=dict)
    until: Callable[[Outcome], bool] = lambda outcome: len(outcome.answered) >= 5

    def stretched(self, factor: int) -> Case:
        """The same with every time so many times as long: for a machine that is too busy for the shorter ones."""
        fault, bus = (_MS.sub(lambda m: f"{m[1]}{float(m[2]) * factor:g}", text) for text in (self.fault, self.bus))
        times = {name: getattr(self, name) * factor for name in ("period_ms", "timeout_ms", "life_ms")}
        pause = {name: value * factor for name, value in self.profile.items() if name.endswith("_ms")}
        return replace(self, fault=fault, bus=bus, profile={**self.profile, **pause}, **times)


@dataclass
class Outcome:
    """What a line reported, and what its meters had said."""

    polls: list[Poll] = field(default_factory=list)
    finished: list[PollResult] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    answers: list[dict[str, Any]] = field(default_factory=list)
    origin_ms: int = 0
    period_ms: int = 0
    late: str = ""
    """What the line had come to when it had not come to what it must in time."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def answered(self) -> list[Poll]:
        """The polls that were answered at least in part."""
        return [poll for poll in self.polls if poll.answers]

    @property
    def missed(self) -> Counter[str]:
        """The other polls by reason."""
        return Counter(poll.missed for poll in self.polls if poll.missed)

    def values(self, name: str) -> list[Value]:
        """What was recorded of a point."""
        readings = [done.reading for done in self.finished if done.reading]
        return [value for reading in readings for value in reading.values if value.name == name]

    def unbelievable(self) -> list[str]:
        """Answers that were booked, and were not the meter's to that question."""
        wrong = []
        for poll in self.answered:
            for block in poll.answers:
                asked = registers_of(block.block)
                heard = [
                    entry
                    for entry in self.answers
                    if (entry["fc"], entry["address"], entry["count"]) == (asked.fc, asked.address, asked.count)
                    and self.origin_ms + entry["at_ms"] <= block.completed_ms + AT_ONCE_MS
                    and "second-master" not in entry["faults"]
                ]
                source = max(heard, key=lambda entry: entry["at_ms"], default=None)
                data = b"".join(word.to_bytes(2, "big") for word in words_of(block.raw)).hex()
                if source is None or not HARMLESS.issuperset(source["faults"]) or data not in source["answer"]:
                    wrong.append(f"{block} from {source}")
        return wrong


def _bus(case: Case) -> str:
    port = f'"{case.name}"' if case.type == "modbus-rtu" else "0"
    fault = f'[[fault]]\nmeter = "{case.name}"\n{case.fault}\n' if case.fault else ""
    speed = f"baudrate = {case.baudrate}\n" if case.type != "modbus-tcp" else ""
    bus = case.bus if case.type != "modbus-tcp" else case.bus.replace("emulate = false", "")
    return (
        f'[[bus]]\nname = "{case.name}"\ntype = "{case.type}"\nport = {port}\n{speed}{bus}\n'
        f'[[bus.meter]]\nname = "{case.name}"\nprofile = "eastron-sdm630"\naddress = 1\nserial = "21043387"\n'
        f"energy_import_kwh = 4711\n"
        f'[[bus.meter]]\nname = "{case.name}.2"\nprofile = "eastron-sdm630"\naddress = 2\n{fault}'
    )


def _spec(case: Case, at: dict[str, Any], profile: Profile) -> LineSpec:
    meter = MeterSpec(case.name, profile, 1, case.period_ms, profile.select(POINTS))
    serial = case.type == "modbus-rtu"
    return LineSpec(
        case.name, case.type, (meter,), port=at["port"] if serial else None, host=at.get("host"),
        tcp_port=None if serial else at["port"], baudrate=case.baudrate, timeout_ms=case.timeout_ms,
        answer_life_ms=case.life_ms, backoff_cap_ms=60,
    )  # fmt: skip


async def _run_line(case: Case, at: dict[str, Any], outcome: Outcome, clock: Clock) -> None:
    profile = replace(load_profile("eastron-sdm630"), **{"pause_ms": 0, **case.profile})
    entry = {"name": case.name, "profile": "eastron-sdm630", "address": 1, "every": f"{case.period_ms}ms"}
    meters = {case.name: Meter.model_validate({**entry, "points": list(POINTS)})}
    poller = Poller(meters, clock, outcome.finished.append, {case.name: profile})

    def take(poll: Poll) -> None:
        outcome.polls.append(poll)
        poller.poll(poll)
        outcome.news.set()

    line = Line(_spec(case, at, profile), clock, take, on_alarm=outcome.alarms.append, doubts=poller.doubts)
    task = asyncio.create_task(line.run(clock.now_ms()))
    try:
        async with asyncio.timeout(SAFETY_S):
            while not case.until(outcome):
                outcome.news.clear()
                await outcome.news.wait()
    except TimeoutError:
        outcome.late = f"{case.name}: {outcome.missed}, {line.counters}, {outcome.polls[-3:]}"
    finally:
        line.request_stop()
        await task
        outcome.counters = line.counters


async def run(cases: Sequence[Case], folder: Path) -> dict[str, Outcome]:
    """Run these lines until each has come to what it must, or is late; by name."""
    scenario = folder / "hostile.toml"
    scenario.write_text("\n".join(map(_bus, cases)))
    answers = AnswerLog(folder / "answers.jsonl")
    clock = SimClock()
    simulator = Simulator(load_scenario(scenario), folder=folder, log=answers, clock=clock)
    await simulator.open()
    outcomes = {
        case.name: Outcome(origin_ms=clock.unix_ms() - clock.now_ms(), period_ms=case.period_ms) for case in cases
    }
    try:
        lines = simulator.ready()["lines"]
        gateway = Clock()
        async with asyncio.TaskGroup() as group:
            for case in cases:
                group.create_task(_run_line(case, lines[case.name], outcomes[case.name], gateway))
    finally:
        simulator.close()
        answers.close()
    for line in (folder / "answers.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["meter"] in outcomes:
            outcomes[entry["meter"]].answers.append(entry)
    return outcomes


class Outcomes:
    """What came of each case: run with its neighbours when the first of them is asked for, and once more, alone and
    with longer times, where it was late."""

    def __init__(self, cases: Sequence[Case], folder: Path) -> None:
        self._groups = [cases[at : at + AT_ONCE] for at in range(0, len(cases), AT_ONCE)]
        self._folder = folder
        self._known: dict[str, Outcome] = {}

    def __getitem__(self, name: str) -> Outcome:
        if name not in self._known:
            (group,) = (group for group in self._groups if name in {case.name for case in group})
            self._known |= self._run(group)
            for case in group:
                for factor in SLOWER:
                    if self._known[case.name].late:
                        self._known |= self._run([case.stretched(factor)])
        assert not self._known[name].late, self._known[name].late
        return self._known[name]

    def _run(self, cases: Sequence[Case]) -> dict[str, Outcome]:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        return asyncio.run(run(cases, folder))
