"""Steps of the plant: which are kept, and which are made again. Pure.

A step is a whole second with all of its history, and each follows from the one before. To make one costs about a tenth
of a millisecond, so an hour of them must never be made while a meter waits for its answer:

- A task makes each step a second before it is needed (``firmware_sim/cli/pace.py``), so whoever asks for now finds it.
- The last ``KEPT_S`` of them are kept one by one: a look back of up to an hour (``cached``, ``torn``) is a lookup.
- Of the older ones those that are a minute apart are kept for a day, and those that are an hour apart for good; and
  those that somebody looks back at again and again (``frozen``). From these any other one is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

KEPT_S = 65 * 60
MARK_EVERY, KEPT_FOR_GOOD_EVERY, MARKS_S = 60, 3600, 25 * 3600
LOOKED_AT = 128
"""Most older steps kept because somebody looked at them last."""


class Stepped(Protocol):
    """A whole second of the plant."""

    @property
    def second(self) -> int:
        """Since the start."""


S = TypeVar("S", bound=Stepped)


class Steps(Generic[S]):
    """The steps of one plant; ``at`` gives the same step for the same second, in whatever order it is asked.

    Args:
        first: of second 0.
        follow: the step after a step.
    """

    def __init__(self, first: S, follow: Callable[[S], S]) -> None:
        self._follow = follow
        self._newest = first
        self._recent: list[S] = [first] * KEPT_S
        """The step of second n at place n modulo ``KEPT_S``, or one of another second."""
        self._marks = {first.second: first}
        self._looked_at: dict[int, S] = {}

    def at(self, second: int) -> S:
        """The step of a second from 0 on."""
        self.make(second)
        step = self._recent[second % KEPT_S]
        return step if step.second == second else self._older(second)

    def make(self, second: int, most: int | None = None) -> bool:
        """Make those up to a second, at most so many at once; whether all of them are made."""
        end = second if most is None else min(second, self._newest.second + most)
        while self._newest.second < end:
            step = self._newest = self._follow(self._newest)
            self._recent[step.second % KEPT_S] = step
            if step.second % MARK_EVERY == 0:
                self._marks[step.second] = step
                if (old := step.second - MARKS_S) > 0 and old % KEPT_FOR_GOOD_EVERY:
                    self._marks.pop(old, None)
        return self._newest.second >= second

    def kept(self, second: int) -> S:
        """The last one up to a second from which others can be made for as long as the plant runs."""
        near = self._marks.get(second - second % MARK_EVERY)
        return near or self._marks[max(mark for mark in self._marks if mark <= second)]

    def resume(self, step: S) -> None:
        """Take over a step that another run of the same plant has made, and go on from the newest."""
        self._marks[step.second] = step
        if step.second > self._newest.second:
            self._newest = self._recent[step.second % KEPT_S] = step

    def _older(self, second: int) -> S:
        looked_at = self._looked_at
        if (step := looked_at.pop(second, None)) is None:
            step = self.kept(second)
            near = max((known for known in looked_at if known < second), default=-1)
            if near > step.second:
                step = looked_at[near]
            while step.second < second:
                step = self._follow(step)
            if len(looked_at) == LOOKED_AT:
                del looked_at[next(iter(looked_at))]
        looked_at[second] = step
        return step
