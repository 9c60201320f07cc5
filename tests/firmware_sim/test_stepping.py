"""Steps of the plant: no look at it makes again what is kept, and a task is ahead of whoever asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from firmware_sim.cli.pace import SLICE, Pace
from firmware_sim.clock import SimClock
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.stepping import KEPT_S, LOOKED_AT, MARK_EVERY, MARKS_S, Steps

HOUR_S, DAY_S = 3600, 86_400


@dataclass(frozen=True)
class Sum:
    """A second, and the sum of all seconds up to it: nothing but its history gives it."""

    second: int
    total: int = 0

    def following(self) -> Sum:
        return Sum(self.second + 1, self.total + self.second + 1)


class Counted:
    """Steps, and how many were made."""

    def __init__(self) -> None:
        self.made = 0
        self.steps = Steps(Sum(0), self._follow)

    def _follow(self, step: Sum) -> Sum:
        self.made += 1
        return step.following()

    def cost(self, *seconds: int) -> int:
        """How many steps these looks make; what they find is right."""
        before = self.made
        for second in seconds:
            assert self.steps.at(second) == Sum(second, second * (second + 1) // 2)
        return self.made - before


def test_each_step_is_made_once_and_the_last_hour_is_looked_up() -> None:
    counted = Counted()
    assert counted.cost(2 * HOUR_S) == 2 * HOUR_S
    now = 2 * HOUR_S
    assert counted.cost(now - KEPT_S + 1, now - 60, now, now - HOUR_S, now - 1) == 0
    assert counted.cost(now + 1, now - HOUR_S) == 1


def test_what_is_older_is_made_from_a_mark_and_those_looked_at_again_are_kept() -> None:
    counted = Counted()
    counted.cost(30 * HOUR_S)
    asked = 20 * HOUR_S + 30
    assert counted.cost(asked) == asked % MARK_EVERY
    assert counted.cost(asked, asked, asked + 1) == 1
    assert counted.cost(3 * HOUR_S + 1800) == 1800  # older than 25 hours: from the hour
    day = [6 * HOUR_S + 17 + 1440 * n for n in range(60)]  # as an hj212 logger samples it
    assert counted.cost(*day) < 60 * MARK_EVERY
    assert counted.cost(*day) == 0
    assert counted.cost(*range(asked, asked + LOOKED_AT)) < LOOKED_AT + MARK_EVERY
    assert counted.cost(0) == 0


def test_the_marks_of_two_days_are_those_of_the_last_and_the_hours_before_it() -> None:
    counted = Counted()
    counted.steps.make(2 * DAY_S)
    marks = [counted.steps.kept(second).second for second in range(0, 2 * DAY_S, MARK_EVERY)]
    assert len({*marks}) == 23 + MARKS_S // MARK_EVERY


def test_a_plant_goes_on_from_a_step_of_another_run_as_if_it_had_made_all() -> None:
    one, other = Plant(PlantSpec(seed=9)), Plant(PlantSpec(seed=9))
    state = one.at(700_250)
    step = one.kept(700)
    assert step.second == 660
    other.resume(step)
    assert other.step_to(700, 40)  # 40 steps are enough: from the mark, not from the start
    assert other.at(700_250) == state
    assert other.at(3_000) == one.at(3_000)


def test_the_steps_are_made_a_second_ahead_in_slices() -> None:
    moments, now_s = iter([0.0]), 300
    clock = SimClock(lambda: next(moments, float(now_s)))
    plant = Plant(PlantSpec())

    async def turns() -> int:
        pace, count = Pace(plant, clock), 1
        pace.open()
        while not plant.step_to(now_s + 1, 0):
            await asyncio.sleep(0)
            count += 1
        pace.close()
        return count

    assert asyncio.run(turns()) > now_s / SLICE
