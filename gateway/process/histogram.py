"""Histogram of durations: counts by upper bound. One thread counts; any thread may read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf


class Durations:
    """Counts of durations by class. One thread calls ``count``, any thread reads."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        """``bounds_s``: the longest duration of each class but the last, in seconds, in order."""
        self._bounds = (*bounds_s, inf)
        self._counts = [0] * len(self._bounds)
        self.sum_s = 0.0

    def count(self, seconds: float) -> None:
        """One more duration, in seconds."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum_s += seconds

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Each bound (the last is infinite), and how many durations were not longer."""
        total = 0
        for bound, number in zip(self._bounds, tuple(self._counts), strict=True):
            total += number
            yield bound, total
