"""Facts of charts: quantities of meters over a period, as courses or as energy in steps of the local calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo
from itertools import pairwise
from statistics import median_low
from typing import Final

from gateway.config.bus import Meter
from gateway.dashboard.pages.values import headline, shown_as
from gateway.dashboard.shell.chart_steps import DAY, HOUR, Step, worst_of
from gateway.devices.knowledge.direction import Turned
from gateway.devices.points import Point, Profile
from gateway.history.energy import NEAR_MS, Energy, energy_of
from gateway.history.series import Covered, Series, covered, history
from gateway.local_calendar import Stretch, day_ms, days, later, local, months
from gateway.storage.database import Database
from gateway.verdicts import verdict

SPANS: Final = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "1y": 365 * DAY}
USUAL: Final = "24h"
MOST: Final = 480
ENERGY: Final = ("Wh", "kWh", "MWh", "varh", "kvarh", "VAh", "kVAh")
_SHORT: Final = ("15m", "hour")
"""Steps of which none has more than one part."""
SHOWN_DAYS, SHOWN_MONTHS = 30, 12
"""Energy of a month is shown by day, that of a year by month, the running ones included."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What can be drawn of a meter: a point as recorded, what it is shown as, and for a counter of energy whether it is
    drawn as energy by time."""

    point: str
    unit: str | None
    energy: bool
    shown: Turned


@dataclass(frozen=True, slots=True)
class Chart:
    """One course: steps of [from_ms, to_ms). ``made_of``: reading, minute, hour, day or month, of energy also 15m.
    ``readings``: how many it is made of; ``covered``: number of polls that were missed, as far as coverage records go;
    ``bars``: it shows the energy of each step, the difference of two registers."""

    meter: str
    quantity: Quantity
    span: str
    from_ms: int
    to_ms: int
    made_of: str
    steps: tuple[Step, ...]
    readings: int = 0
    covered: Covered | None = None
    bars: bool = False

    @property
    def empty(self) -> bool:
        """There is nothing to draw."""
        return all(step.mean is None for step in self.steps)


def quantities(meter: Meter, profile: Profile) -> list[Quantity]:
    """Everything of a meter that has a course, what matters most first."""
    points = [p for p in profile.select(meter.points or None) if _has_course(p)]
    first = headline(meter, profile)
    ordered = sorted(points, key=lambda p: first.index(p.name) if p.name in first else len(first))
    return [Quantity(p.name, p.unit, p.kind == "counter" and p.unit in ENERGY, shown_as(meter, p)) for p in ordered]


def unit_of(quantity: Quantity) -> tuple[str | None, float]:
    """The unit in which a quantity is drawn, and by what its numbers are divided for it: a power factor that is
    recorded in percent is drawn as a part of 1."""
    if quantity.unit == "/100" and quantity.point.startswith("power_factor"):
        return "/", 100.0
    return quantity.unit, 1.0


def _has_course(point: Point) -> bool:
    return point.kind in ("gauge", "counter") and point.at.form not in ("text", "switch")


def chart(store: Database, meter: str, quantity: Quantity, span: str, now_ms: int, zone: tzinfo) -> Chart:
    """The chart of a quantity up to now.

    Args:
        store: read-only, in one snapshot.
        meter: its name.
        quantity: one of ``quantities``.
        span: a key of ``SPANS``.
        now_ms: end of the chart, in record time.
        zone: whose calendar makes its days and months.

    Raises:
        StoreError: the database cannot be read.
    """
    length = SPANS[span]
    if quantity.energy and length >= DAY:
        return _energy(store, meter, quantity, span, now_ms, zone)
    series = history(store, meter, [quantity.point], now_ms - length, now_ms, MOST, zone)
    return courses(store, series, [quantity], span)[0]


def courses(store: Database, series: Series, drawn: Sequence[Quantity], span: str = "") -> list[Chart]:
    """The courses of some quantities of a meter, as pages show them. Raises StoreError."""
    coverage, readings = covered(store, series), sum(series.readings)
    return [
        Chart(
            series.meter,
            quantity,
            span,
            series.from_ms,
            series.to_ms,
            series.made_of,
            tuple(_turned(step, quantity.shown) for step in steps_of(series, quantity.point)),
            readings,
            coverage,
        )
        for quantity in drawn
    ]


def steps_of(series: Series, name: str) -> list[Step]:
    """The steps of one point; a step without a value is there, too."""
    course = series.courses.get(name)
    times = series.times
    usual = series.step_ms or (median_low([b - a for a, b in pairwise(times)]) if len(times) > 1 else 60_000)
    steps = []
    for n, start_ms in enumerate(times):
        end_ms = series.until_ms or start_ms + usual
        if n + 1 < len(times):
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


def _turned(step: Step, turn: Turned) -> Step:
    """A step as it is shown: what was least is greatest where the sign is another."""
    if turn.becomes == "same" or step.low is None or step.high is None or step.mean is None:
        return step
    low, mean, high = (float(turn.of(number)) for number in (step.low, step.mean, step.high))
    return replace(step, low=min(low, high), mean=mean, high=max(low, high))


def _energy(store: Database, meter: str, quantity: Quantity, span: str, now_ms: int, zone: tzinfo) -> Chart:
    return differences(store, meter, quantity, *_stretches(SPANS[span], now_ms, zone), now_ms, span)


def differences(
    store: Database,
    meter: str,
    quantity: Quantity,
    made_of: str,
    stretches: Sequence[Stretch],
    now_ms: int,
    span: str = "",
) -> Chart:
    """The energy of quarters of an hour, hours, days or months that lie end to end, the running one up to now. Raises
    StoreError."""
    until_now = [(from_ms, min(to_ms, max(now_ms, from_ms + 1))) for from_ms, to_ms in stretches]
    energy = energy_of(store, meter, quantity.point, stretches if made_of in _SHORT else until_now)
    steps = [
        _hour(parts[0]) if made_of in _SHORT else _sum(stretch, [_hour(part) for part in parts])
        for stretch, parts in zip(stretches, energy, strict=True)
    ]
    return Chart(meter, quantity, span, stretches[0][0], stretches[-1][1], made_of, tuple(steps), bars=True)


def _stretches(length_ms: int, now_ms: int, zone: tzinfo) -> tuple[str, list[Stretch]]:
    """The hours, days or months of a chart of energy, with beginning and end."""
    today = local(now_ms, zone).date()
    if length_ms > SHOWN_DAYS * DAY:
        first = later(date(today.year, today.month, 1), 1 - SHOWN_MONTHS)
        return "month", list(months(day_ms(first, zone), now_ms + 1, zone))
    if length_ms == SHOWN_DAYS * DAY:
        first = today - timedelta(days=SHOWN_DAYS - 1)
        return "day", list(days(day_ms(first, zone), now_ms + 1, zone))
    from_ms = (now_ms - length_ms) // HOUR * HOUR + HOUR
    return "hour", [(start_ms, start_ms + HOUR) for start_ms in range(from_ms, now_ms + 1, HOUR)]


def _hour(hour: Energy) -> Step:
    energy = None if hour.energy is None else float(hour.energy)
    found = verdict(hour.quality) if energy is not None else None
    note = " ".join(hour.breaks) or _whole(hour)
    return Step(hour.start_ms, hour.until_ms, energy, energy, energy, found, note)


def _whole(hour: Energy) -> str:
    return "" if hour.whole else "partly"


def _sum(stretch: Stretch, hours: Sequence[Step]) -> Step:
    """Hours put together; a day or month in which one hour is not known is the sum of the others, and says so. In the
    first minutes of an hour there may be nothing yet."""
    if len(hours) > 1 and hours[-1].mean is None and hours[-1].to_ms - hours[-1].from_ms < NEAR_MS:
        hours = hours[:-1]
    known = [step for step in hours if step.mean is not None]
    total = sum(step.mean or 0.0 for step in known) if known else None
    worst = worst_of(known)
    note = "partly" if known and len(known) < len(hours) else next((s.note for s in hours if s.note), "")
    whole = Step(*stretch, total, total, total, worst, note)
    return replace(whole, verdict="uncertain") if note == "partly" and worst in (None, "good") else whole
