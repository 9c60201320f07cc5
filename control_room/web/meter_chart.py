"""Chart of a meter: one point over a time up to now, as recorded. Steps without a reading are gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_room.store import meters as rows
from control_room.store.connection import Database
from control_room.store.meters import MeterRow
from gateway.dashboard.shell.chart_steps import DAY, HOUR, MIN, Step
from gateway.dashboard.shell.plots import Course, Plot
from gateway.verdicts import verdict

SPANS: Final = {
    "1h": (HOUR, 10_000),
    "24h": (DAY, 5 * MIN),
    "7d": (7 * DAY, HOUR),
    "30d": (30 * DAY, 2 * HOUR),
    "1y": (365 * DAY, DAY),
}
"""Length and step of each chart in ms: at most 365 steps."""
USUAL: Final = "24h"


@dataclass(frozen=True, slots=True)
class MeterChart:
    """What is drawn of a meter."""

    point: str
    unit: str | None
    span: str
    from_ms: int
    to_ms: int
    made_of: str
    steps: tuple[Step, ...]

    def plot(self, name: str) -> Plot:
        """The same to be drawn under this name."""
        course = Course(name, self.steps, self.made_of, self.from_ms)
        return Plot(self.unit, False, (course,), self.from_ms, self.to_ms, self.to_ms)


def chart(
    db: Database, meter: MeterRow, points: Sequence[tuple[str, str | None]], point: str, span: str, now_ms: int
) -> MeterChart | None:
    """The chart that an address asks for; None: the meter has no point.

    Args:
        db: in one snapshot.
        meter: of which.
        points: those of its newest reading, each with its unit.
        point: one of them; any other text: the first one.
        span: a key of ``SPANS``; any other text: a day.
        now_ms: where it ends, Unix ms.
    """
    if not points:
        return None
    units = dict(points)
    point = point if point in units else points[0][0]
    span = span if span in SPANS else USUAL
    length_ms, step_ms = SPANS[span]
    to_ms = -(-now_ms // step_ms) * step_ms
    found = rows.steps(db, meter.id, point, to_ms - length_ms, to_ms, step_ms)
    steps = tuple(_step(one, step_ms) for one in found)
    made_of = "hour" if step_ms >= HOUR else "minute"
    return MeterChart(point, units[point], span, to_ms - length_ms, to_ms, made_of, steps)


def _step(one: rows.Step, step_ms: int) -> Step:
    known = one.bits is not None and (one.mean is not None or one.bits)
    found = verdict(one.bits or 0) if known else None
    return Step(one.start_ms, one.start_ms + step_ms, one.low, one.high, one.mean, found)
