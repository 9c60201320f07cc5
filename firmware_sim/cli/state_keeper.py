"""State keeper: writes the state file of a plant that runs, so that one that is killed goes on where the clock is then.

- At the start, before any bus is open: when the plant has begun.
- Each second if there is something new: the step of another ten minutes, a fault that was injected or cleared, or what
  a fault remembers. A step only shortens the way: the plant is a function of its seed and the time.
- At the end.

A file that cannot be written stops nothing; that is reported once, and tried again each second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from firmware_sim.cli.state_file import ANEW, Kept, StateFile, written
from firmware_sim.clock import SimClock
from firmware_sim.errors import StateError
from firmware_sim.meters.armed import Faults
from firmware_sim.plant.kept_state import STEP_EVERY_S, alike, is_worth_keeping, plain
from firmware_sim.plant.model import Plant
from firmware_sim.scenario.complaints import Unfit
from firmware_sim.scenario.faults import ordered
from firmware_sim.scenario.kept_faults import kept as kept_faults
from firmware_sim.scenario.kept_faults import restored, without_counts
from firmware_sim.scenario.load import Scenario

LOOK_S = 1.0


class StateKeeper:
    """Keeps one plant's state. ``open`` and ``close`` belong to one event loop.

    Args:
        path: the state file.
        scenario: what runs.
        clock: makes the clock of a plant that began at a Unix time in ms, or that begins now (None).
        warn: called with what is wrong with the file while the plant runs.

    Raises:
        StateError: the file is damaged, in use, of another scenario or speed, or later than the clock.
    """

    def __init__(
        self, path: Path, scenario: Scenario, clock: Callable[[int | None], SimClock], warn: Callable[[str], None]
    ) -> None:
        self._file, self._scenario, self._warn = StateFile(path), scenario, warn
        self._steps: dict[int, str] = {}
        self._faults, self._memory = "", list[Any]()
        self._is_new = self._is_failing = False
        self._task: asyncio.Task[None] | None = None
        self._before = self._file.take()
        try:
            self.clock = clock(None if self._before is None else self._before.began_ms)
            if self._before is not None:
                self._check(path, self._before)
        except StateError:
            self._file.release()
            raise

    def resume(self, plant: Plant, faults: Faults) -> None:
        """Bring plant and faults to where the run before has left them, if there was one. Raises ``StateError``."""
        self._plant, self._registry = plant, faults
        if self._before is None:
            return
        places = self._scenario.places
        try:
            for row in self._before.steps:
                step = alike(row, plant.kept(0))
                plant.resume(step)
                self._steps[step.second] = _text(row)
            faults.number_from(self._before.injected)
            restored(faults, self._before.faults, lambda table: ordered(table, places))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, Unfit):
            self._file.release()
            problem = f"{self._file.path}: this is no state of this plant"
            raise StateError(problem, f"set --state to another file, or {ANEW}") from None

    def open(self) -> None:
        """Write the state, and begin to look for what is new. Raises ``StateError``."""
        self._news = asyncio.Event()
        self._look()
        self._file.write(self._line())
        self._is_new = False
        self._registry.changed.append(self._news.set)
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def close(self) -> None:
        """Write it a last time, and let others have the file."""
        if self._task is not None:
            self._task.cancel()
            self._look()
            with suppress(StateError):
                self._file.write(self._line())
        self._task = None
        self._file.release()

    def _check(self, path: Path, state: Kept) -> None:
        clock = self.clock
        if state.scenario != self._scenario.digest:
            fix = f"set --state to another file, or {ANEW}"
            raise StateError(f"{path}: the state of another scenario, seed or version, not of this one", fix)
        if state.speed != clock.speed:
            raise StateError(f"{path}: the state of a plant at --speed {state.speed:g}", "use that speed")
        latest_s = max((step[0] for step in state.steps), default=0)
        if latest_s * 1000 > clock.now_ms():
            behind_s = round(latest_s - clock.now_ms() / 1000)
            problem = f"{path}: the plant was {behind_s} s further on: the wall clock was set back"
            raise StateError(problem, f"set the clock, or {ANEW}")

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._news.clear()
            self._look()
            if not self._is_new:
                continue
            line, self._is_new = self._line(), False
            try:
                await asyncio.to_thread(self._file.write, line)
                self._is_failing = False
            except StateError as error:
                self._is_new = True
                if not self._is_failing:
                    self._warn(str(error))
                self._is_failing = True
                await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        """See what is new. How often a fault was met alone is not: it would be so with each request."""
        now_s = self.clock.now_ms() // 1000
        begin = max(self._steps, default=-STEP_EVERY_S) + STEP_EVERY_S
        for second in range(begin, now_s + 1, STEP_EVERY_S):
            step = self._plant.kept(second)
            if step.second not in self._steps:
                self._steps[step.second] = _text(plain(step))
                self._is_new = True
        rows = kept_faults(self._registry)
        self._faults, memory = json.dumps(rows), without_counts(rows)
        self._is_new |= memory != self._memory
        self._memory = memory

    def _line(self) -> str:
        now_s = self.clock.now_ms() // 1000
        self._steps = {second: text for second, text in self._steps.items() if is_worth_keeping(second, now_s)}
        steps = "[" + ",".join(text for _, text in sorted(self._steps.items())) + "]"
        digest, injected = self._scenario.digest, self._registry.injected
        return written(digest, self.clock.speed, self.clock.began_ms, steps, self._faults, injected)


def _text(row: Any) -> str:
    return json.dumps(row, separators=(",", ":"))
