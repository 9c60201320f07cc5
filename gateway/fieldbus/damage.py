"""The damaged frames of a line, and whose they are. Pure."""

from __future__ import annotations

from collections import Counter, deque

FRAMES = 1000
"""So many frames of a line are looked back at."""
NOISY_SHARE = 0.01


class Damage:
    """The last thousand frames of a line by unit (None: nobody knows whose), and which of them were damaged."""

    def __init__(self) -> None:
        self._last = deque[tuple[int | None, bool]]()
        self._frames, self._damaged = Counter[int | None](), Counter[int | None]()
        self._bad = 0

    def add(self, unit: int | None, *, damaged: bool) -> None:
        """One more frame."""
        if len(self._last) == FRAMES:
            self._count(*self._last.popleft(), -1)
        self._last.append((unit, damaged))
        self._count(unit, damaged, 1)

    def _count(self, unit: int | None, damaged: bool, by: int) -> None:
        self._frames[unit] += by
        if damaged:
            self._damaged[unit] += by
            self._bad += by

    @property
    def high(self) -> bool:
        """More than 1 % are damaged, and more than one or two by chance."""
        return self._bad > max(2, NOISY_SHARE * len(self._last))

    def noisy(self, unit: int) -> bool:
        """There is so much damage, and more than 1 % of this unit's own frames are; or nobody knows whose they are."""
        own = self._damaged[unit] > NOISY_SHARE * self._frames[unit]
        return self.high and (own or self._damaged[None] > 0)

    @property
    def only(self) -> int | None:
        """The one unit on which all damage is while others answer without; None: there is no such unit."""
        guilty = [unit for unit, count in self._damaged.items() if count]
        others = any(count for unit, count in self._frames.items() if unit not in guilty)
        return guilty[0] if len(guilty) == 1 and others else None
