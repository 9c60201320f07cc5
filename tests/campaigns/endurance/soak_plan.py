"""What goes wrong in a soak, when and for how long: drawn from a seed before it begins.

Two stretches stay calm, around a fifth of the run and at its end: there the gateway is weighed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

FIFTH = 0.2


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: from when on, in seconds of the run, for how long (0: a moment), what, and whose."""

    at_s: float
    seconds: float
    kind: str
    whose: str

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.seconds


@dataclass(frozen=True, slots=True)
class Habit:
    """How often something is struck: seconds between the end of one strike and the next, how long, and in what ways."""

    pause_s: tuple[float, float]
    seconds: tuple[float, float]
    kinds: tuple[str, ...]


HABITS = {
    "broker": Habit((20, 60), (2, 25), ("stopped", "hung", "hung then killed", "killed")),
    "http-ledger": Habit((40, 120), (1, 15), ("stopped", "hung", "killed")),
    "mqtt-ledger": Habit((40, 120), (1, 15), ("stopped", "hung", "killed")),
    "clock": Habit((15, 45), (0, 0), ("set right", "0.3", "5", "60", "-0.4", "-5", "-30", "unsynchronised")),
    "plant": Habit((60, 150), (1, 6), ("hung", "cut off")),
    "gateway": Habit((5, 85), (0, 3), ("killed",)),
    "line": Habit((20, 60), (4, 15), ("disturbed", "disturbed", "a dead meter")),
}
"""By what is struck, for a run of half an hour; everything is quicker in a short one."""


@dataclass(frozen=True, slots=True)
class Course:
    """The times of a run."""

    seconds: float

    @property
    def long(self) -> bool:
        """Whether the run is long enough for every disturbance, with enough time left undisturbed."""
        return self.seconds >= 300

    @property
    def pace(self) -> float:
        """How much shorter pauses and faults are than in a long run."""
        return min(1.0, max(0.1, self.seconds / 600))

    @property
    def calm_s(self) -> float:
        """How long each calm stretch is."""
        return min(30.0, max(3.0, 0.1 * self.seconds))

    @property
    def calm(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both calm stretches."""
        fifth = FIFTH * self.seconds
        return (fifth - self.calm_s / 2, fifth + self.calm_s / 2), (self.seconds - self.calm_s, self.seconds)

    def meets_calm(self, at_s: float, seconds: float) -> float | None:
        """The end of the calm stretch that a strike would reach into, or come too shortly before."""
        found = [end for begin, end in self.calm if at_s < end and at_s + seconds > begin - self.calm_s / 2]
        return found[0] if found else None

    def strikes(self, chance: random.Random, what: str, whose: str) -> list[Strike]:
        """Everything that strikes one thing, in order; none reaches into a calm stretch."""
        habit, found, now = HABITS[what], [], 0.0
        while now < self.seconds:
            now += chance.uniform(*habit.pause_s) * self.pace
            strike = Strike(now, chance.uniform(*habit.seconds) * self.pace, chance.choice(habit.kinds), whose)
            if (end := self.meets_calm(strike.at_s, strike.seconds)) is not None:
                now = end
                continue
            found.append(strike)
            now = strike.end_s
        return found


def counted(strikes: Iterable[Strike]) -> dict[str, int]:
    """How many of each, by what was struck and how."""
    return dict(sorted(Counter(f"{strike.whose.partition(' ')[0]} {strike.kind}" for strike in strikes).items()))
