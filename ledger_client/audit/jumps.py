"""Forward jumps of record times, by ``clock`` events: how far they go between two moments. No I/O."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

AGREE_MS: Final = 2000
"""How far iat and up may drift apart between two clock events, and a moment be off the event that it belongs to."""


@dataclass(slots=True)
class _Sums:
    """Sizes by moment, summed up as far as they are asked for."""

    moments_ms: list[tuple[int, int]] = field(default_factory=list)
    _sums_ms: list[int] = field(default_factory=lambda: [0])

    def add(self, moment_ms: int, size_ms: int) -> None:
        entry = moment_ms, size_ms
        if not self.moments_ms or self.moments_ms[-1] <= entry:  # nearly always
            self.moments_ms.append(entry)
            self._sums_ms.append(self._sums_ms[-1] + size_ms)
        else:
            insort(self.moments_ms, entry)
            self._sums_ms = [0, *accumulate(size for _, size in self.moments_ms)]

    def before(self, moment_ms: int) -> int:
        return self._sums_ms[bisect_left(self.moments_ms, (moment_ms, 0))]


@dataclass(slots=True)
class Jumps:
    """The jumps of one gateway, in any order."""

    _begun: _Sums = field(default_factory=_Sums)
    _over: _Sums = field(default_factory=_Sums)

    def add(self, before_ms: int, after_ms: int) -> None:
        """Record times went from one moment to another one at once."""
        self._begun.add(before_ms, after_ms - before_ms)
        self._over.add(after_ms, after_ms - before_ms)

    def between(self, from_ms: int, to_ms: int) -> int:
        """By how much record times jumped from one moment to another."""
        return max(0, self._over.before(to_ms + AGREE_MS + 1) - self._begun.before(from_ms - AGREE_MS))

    def same_until(self, from_ms: int) -> int | None:
        """The last moment from which as many jumps count as from this one; None: it is the same from all later ones."""
        place = bisect_left(self._begun.moments_ms, (from_ms - AGREE_MS, 0))
        return self._begun.moments_ms[place][0] + AGREE_MS if place < len(self._begun.moments_ms) else None
