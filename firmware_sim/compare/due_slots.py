"""Due polls of one point of a meter, counted from the times of its readings. Pure.

Time is cut into slots of the period, so that the first reading stands in the middle of one. A slot without a reading is
a missed poll. A reading that is late stands early in the slot behind its own: if the one of that slot comes as well, no
poll was missed. Beyond that more readings than slots fill no gap.
"""

from __future__ import annotations

from typing import Final

LATE: Final = 0.4
"""A reading in this first part of a slot may be that of the slot before: it is late by half a period and more."""


class DueSlots:
    """Slots of ``period_ms`` from ``from_ms`` on."""

    def __init__(self, period_ms: float, from_ms: float) -> None:
        self._period_ms, self._from_ms = period_ms, from_ms
        self._zero_ms: float | None = None
        self._last, self._may_be_late = 0, False

    def read(self, time_ms: float) -> int:
        """A reading, in the order of time. Returns how many polls it shows to be missing since the one before; −1 where
        it shows that one was late, and not missing."""
        if self._zero_ms is None:
            self._zero_ms = time_ms - self._period_ms / 2
            return max(0, int((self._zero_ms - self._from_ms) / self._period_ms - LATE))
        slot, part = divmod((time_ms - self._zero_ms) / self._period_ms, 1)
        missing = int(slot) - self._last - 1
        if missing >= 0:
            self._may_be_late = part < LATE and (missing > 0 or self._may_be_late)
            self._last = int(slot)
            return missing
        if self._may_be_late:
            self._may_be_late = False
            return -1
        return 0

    def end(self, to_ms: float) -> int:
        """How many polls are missing behind the last reading, until then."""
        if self._zero_ms is None:
            return max(0, int((to_ms - self._from_ms) // self._period_ms))
        return max(0, int((to_ms - self._zero_ms) / self._period_ms - LATE) - 1 - self._last)
