"""Overload of a line: whether its polls find time and shapes. Pure: times are arguments, in ms of the schedule's clock.

Counted are the due polls of meters that are asked and answer: not of a dead one, whose probes give way to others, of
one that sleeps, of a line that is down, nor of one whose shapes another master has taken (alarm `not-asked`).
The line is overloaded when in a whole window more than ``SHARE`` of them were `skipped`, or found no shape for a block;
it is not any more when less than half of that is left. A window is five minutes, or five of the longest period.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

WINDOW_MS = 300_000
LEAST_POLLS = 5
"""A window spans at least this many polls of the slowest meter."""
SHARE, OVER_SHARE = 0.05, 0.025
PARTS = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What became of the polls of a window: ``due`` of them, ``skipped`` and without a shape (``no_shape``). By meter
    ``poll_ms``: how long its polls had the line, in the mean of those that were made."""

    window_ms: int
    due: int
    skipped: int
    no_shape: int
    poll_ms: Mapping[str, float]

    @property
    def share(self) -> float:
        """The share of the due polls that were not made, or not whole."""
        return (self.skipped + self.no_shape) / self.due if self.due else 0.0


@dataclass(slots=True)
class _Part:
    """Counts of a part of the window."""

    number: int
    polls: Counter[str] = field(default_factory=Counter)
    spent_ms: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)


class Overload:
    """The polls of one line. ``active``: it is overloaded, None while no whole window has passed."""

    def __init__(self, periods_ms: Iterable[int], from_ms: int, window_ms: int = WINDOW_MS) -> None:
        """``from_ms``: what is due before it does not count: answers to an earlier process may still block shapes."""
        self.window_ms = max(window_ms, LEAST_POLLS * max(periods_ms))
        self._from_ms, self._part_ms = from_ms, max(1, self.window_ms // PARTS)
        self._parts, self._judged = deque[_Part](), -1
        self.active: bool | None = None

    def made(self, meter: str, now_ms: int, spent_ms: float) -> None:
        """A poll was made, and had the line for so long."""
        if (part := self._part(now_ms)) is not None:
            part.spent_ms[meter] += round(spent_ms)
            part.made[meter] += 1

    def due(self, now_ms: int, became: str) -> None:
        """A due poll is over: it was ``made``, ``skipped``, or lacked a shape (``no-shape``)."""
        if (part := self._part(now_ms)) is not None:
            part.polls[became] += 1

    def changed(self, now_ms: int) -> bool:
        """Whether ``active`` is another one since the last time. It is judged once in each part of the window."""
        number = (now_ms - self._from_ms) // self._part_ms
        if number < PARTS or number == self._judged:
            return False
        self._judged = number
        share, before = self.load(now_ms).share, self.active
        self.active = share > (OVER_SHARE if before else SHARE)
        return self.active is not before

    def load(self, now_ms: int) -> Load:
        """The window that ends now."""
        self._part(now_ms)
        polls, spent_ms, made = Counter[str](), Counter[str](), Counter[str]()
        for part in self._parts:
            polls += part.polls
            spent_ms += part.spent_ms
            made += part.made
        mean = {meter: spent_ms[meter] / count for meter, count in made.items()}
        return Load(self.window_ms, polls.total(), polls["skipped"], polls["no-shape"], mean)

    def _part(self, now_ms: int) -> _Part | None:
        """The part of now; those that have left the window are dropped."""
        number = (now_ms - self._from_ms) // self._part_ms
        if number < 0:
            return None
        while self._parts and self._parts[0].number <= number - PARTS:
            self._parts.popleft()
        if not self._parts or self._parts[-1].number != number:
            self._parts.append(_Part(number))
        return self._parts[-1]
