"""The course of one quantity of one meter over a span of time: what a chart of the meter page draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low
from typing import Final, Literal

from gateway.config import Meter
from gateway.dashboard.charts import DAY, HOUR, Step, worst_of
from gateway.dashboard.views.values import headline
from gateway.devices.points import Point, Profile
from gateway.energy import Energy, energy_by_hour
from gateway.history import Covered, Series, covered, history
from gateway.quality import verdict
from gateway.store import Store

SPANS: Final = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "1y": 365 * DAY}
USUAL: Final = "24h"
MOST: Final = 480
ENERGY: Final = ("Wh", "kWh", "MWh", "varh", "kvarh", "VAh", "kVAh")
DAILY_MS: Final = 8 * DAY
"""From this span on energy is summed up by day."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What can be drawn of a meter: a point, and for a counter of energy whether it is drawn as energy by time."""

    point: str
    unit: str | None
    energy: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: steps of [from_ms, to_ms). ``made_of``: reading, minute, hour or day. ``readings``: how many it
    is made of; ``covered``: how many polls were missed, as far as coverage records tell."""

    quantity: Quantity
    span: str
    from_ms: int
    to_ms: int
    made_of: str
    steps: tuple[Step, ...]
    readings: int = 0
    covered: Covered | None = None

    @property
    def empty(self) -> bool:
        """There is nothing to draw."""
        return all(step.mean is None for step in self.steps)


def quantities(meter: Meter, profile: Profile) -> list[Quantity]:
    """Everything of a meter that has a course, what matters most first."""
    points = [p for p in profile.select(meter.points or None) if _has_course(p)]
    first = headline(meter, profile)
    ordered = sorted(points, key=lambda p: first.index(p.name) if p.name in first else len(first))
    return [Quantity(p.name, p.unit, p.kind == "counter" and p.unit in ENERGY) for p in ordered]


def _has_course(point: Point) -> bool:
    return point.kind in ("gauge", "counter") and point.type not in ("string", "bit")


def chart(store: Store, meter: str, quantity: Quantity, span: str, now_ms: int) -> Chart:
    """The chart of a quantity up to now. Raises StoreError."""
    length = SPANS[span]
    if quantity.energy and length >= DAY:
        return _energy(store, meter, quantity, span, now_ms)
    series = history(store, meter, [quantity.point], now_ms - length, now_ms, MOST)
    steps = steps_of(series, quantity.point)
    told = covered(store, series)
    return Chart(quantity, span, series.from_ms, series.to_ms, series.made_of, tuple(steps), sum(series.readings), told)


def steps_of(series: Series, name: str) -> list[Step]:
    """The steps of one point; a step without a value is there, too."""
    course = series.courses.get(name)
    times = series.times
    usual = series.step_ms or (median_low([b - a for a, b in pairwise(times)]) if len(times) > 1 else 60_000)
    steps = []
    for n, start_ms in enumerate(times):
        end_ms = start_ms + usual
        if series.step_ms == 0 and n + 1 < len(times):
            end_ms = times[n + 1]
        mean = course.mean[n] if course else None
        steps.append(
            Step(
                start_ms,
                end_ms,
                course.low[n] if course else None,
                course.high[n] if course else None,
                mean,
                (course.verdict[n] if course else None) if mean is not None else None,
                at_ms=start_ms if series.step_ms == 0 else None,
            )
        )
    return steps


def _energy(store: Store, meter: str, quantity: Quantity, span: str, now_ms: int) -> Chart:
    length = SPANS[span]
    by_day = length >= DAILY_MS
    from_ms = (now_ms - length) // HOUR * HOUR + HOUR
    hours = energy_by_hour(store, meter, quantity.point, from_ms, now_ms)
    steps = [_hour(hour) for hour in hours]
    to_ms = now_ms // HOUR * HOUR + HOUR
    if by_day:
        steps = list(_days(steps))
    return Chart(quantity, span, from_ms, to_ms, "day" if by_day else "hour", tuple(steps))


def _hour(hour: Energy) -> Step:
    energy = None if hour.energy is None else float(hour.energy)
    found = verdict(hour.quality) if energy is not None else None
    return Step(
        hour.start_ms, hour.start_ms + HOUR, energy, energy, energy, found, " ".join(hour.breaks) or _whole(hour)
    )


def _whole(hour: Energy) -> str:
    return "" if hour.whole else "partly"


def _days(hours: Sequence[Step]) -> Iterable[Step]:
    """Hours put together by twenty-four; a day in which one hour is not known is the sum of the others, and says so."""
    for n in range(0, len(hours), 24):
        day = hours[n : n + 24]
        known = [step for step in day if step.mean is not None]
        total = sum(step.mean or 0.0 for step in known) if known else None
        worst = worst_of(known)
        note = "partly" if known and len(known) < len(day) else next((s.note for s in day if s.note), "")
        first = Step(day[0].from_ms, day[-1].to_ms, total, total, total, worst, note)
        yield replace(first, verdict="uncertain") if note == "partly" and worst in (None, "good") else first


Kind = Literal["line", "bars"]


def kind_of(chart: Chart) -> Kind:
    """How it is drawn."""
    return "bars" if chart.made_of in ("hour", "day") and chart.quantity.energy and chart.span != "1h" else "line"
