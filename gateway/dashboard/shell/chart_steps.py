"""Steps of a course, as charts show it: the spread of its values over a time, and the worst verdict on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.verdicts import VERDICTS

MIN: Final = 60_000
HOUR: Final = 60 * MIN
DAY: Final = 24 * HOUR
_FROM_GOOD: Final[list[str]] = list(VERDICTS)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a course: [from_ms, to_ms), the least, the greatest and the mean value (None: there was none), and
    the worst verdict on them. ``note``: text that is shown when it is pointed at."""

    from_ms: int
    to_ms: int
    low: float | None
    high: float | None
    mean: float | None
    verdict: str | None = None
    note: str = ""
    at_ms: int | None = None
    """When the value was read, where the step is one reading."""

    @property
    def x_ms(self) -> float:
        """Where it is drawn: at its moment, or in its middle."""
        return (self.from_ms + self.to_ms) / 2 if self.at_ms is None else self.at_ms


def worst_of(steps: Iterable[Step]) -> str | None:
    """The worst verdict on some steps; None where none has any."""
    return max((step.verdict for step in steps if step.verdict is not None), key=_FROM_GOOD.index, default=None)
