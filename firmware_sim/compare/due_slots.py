"""Due polls of one point of a meter, counted from the times of its readings. Pure.

Time is cut into slots of the period. A slot without a reading is a missed poll, and more readings than slots fill no
gap. When polls are due nobody says, and the first reading may have been on time or late: where it stands in its slot is
one of ``PHASES``, and that counts by which the least is missing. They differ by one poll at most, however many are.

With the first reading in the middle of its slot a further one may be late: it stands early in the slot behind its own,
and if the one of that slot comes as well, no poll was missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

MIDDLE: Final = 0.5
PHASES: Final = (0.02, 0.25, MIDDLE, 0.75, 0.98)
LATE: Final = 0.4
"""A reading in this first part of a slot may be that of the slot before."""
BEGUN: Final = 0.9
"""Of a period: the first reading may be so late behind the beginning, and the end so late behind the last one."""


class DueSlots:
    """Slots of ``period_ms`` from ``from_ms`` on."""

    def __init__(self, period_ms: float, from_ms: float) -> None:
        self._courses = [_Course(period_ms, from_ms, phase) for phase in PHASES]

    def read(self, time_ms: float, fault: Callable[[], str]) -> None:
        """A reading, in the order of time; ``fault`` says what acted since the one before."""
        found: str | None = None
        for course in self._courses:
            missing = course.read(time_ms)
            if missing > 0:
                course.gap = found = fault() if found is None else found
            if missing:
                course.missing[course.gap] += missing

    def end(self, to_ms: float, fault: Callable[[], str]) -> None:
        """No more come until then; ``fault`` says what acted since the last."""
        for course in self._courses:
            if missing := course.end(to_ms):
                course.missing[fault()] += missing

    @property
    def missing(self) -> Mapping[str, int]:
        """Missed polls by fault."""
        return min((course.missing for course in self._courses), key=Counter.total)


class _Course:
    """Slots of which the first reading stands at this part; ``gap`` is the fault of the newest missed polls."""

    def __init__(self, period_ms: float, from_ms: float, phase: float) -> None:
        self._period_ms, self._from_ms, self._phase = period_ms, from_ms, phase
        self._zero_ms: float | None = None
        self._last, self._may_be_late, self._at_ms = 0, False, from_ms
        self.missing, self.gap = Counter[str](), ""

    def read(self, time_ms: float) -> int:
        """How many polls a reading shows to be missing since the one before; −1 where it shows that one was late, and
        not missing."""
        before_ms, self._at_ms = self._at_ms, time_ms
        if self._zero_ms is None:
            self._zero_ms = time_ms - self._period_ms * self._phase
            return max(0, int((time_ms - before_ms) / self._period_ms - BEGUN))
        slot, part = divmod((time_ms - self._zero_ms) / self._period_ms, 1)
        missing = int(slot) - self._last - 1
        if missing >= 0:
            self._may_be_late = self._phase == MIDDLE and part < LATE and (missing > 0 or self._may_be_late)
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
        return max(0, int((to_ms - self._at_ms) / self._period_ms - BEGUN))
