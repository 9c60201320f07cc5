"""Facts of the page Charts: up to four quantities of meters over any time, in one plot a unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from typing import Final

from gateway.config.model import Config
from gateway.dashboard.pages.charts import Chart, Quantity, courses, differences, quantities, unit_of
from gateway.dashboard.shell.page import NotFound
from gateway.dashboard.shell.time.asked_range import BadQuery, Bounds, Window
from gateway.dashboard.shell.time.steps import MOST, By, by_of, fitting, natural, stretches
from gateway.history.series import has_minutes, history, history_by
from gateway.local_calendar import HOUR_MS, Stretch
from gateway.messages.message import Message
from gateway.storage.database import Database

MOST_SERIES, MOST_UNITS = 4, 2
ENERGY_FROM_MS: Final = 6 * HOUR_MS
"""A shorter time shows the registers of a counter themselves, unless steps are asked for."""


@dataclass(frozen=True, slots=True)
class Picked:
    """One quantity of one meter."""

    meter: str
    quantity: Quantity

    @property
    def name(self) -> str:
        """As an address says it."""
        return f"{self.meter}:{self.quantity.point}"


@dataclass(frozen=True, slots=True)
class Panel:
    """Courses of one unit over [from_ms, to_ms), energy or not; nothing is known behind ``now_ms``."""

    unit: str | None
    bars: bool
    courses: tuple[Chart, ...]
    from_ms: int
    to_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class ChartsFacts:
    """All that the page shows. ``by``: the steps that were asked for; ``notes``: where others are shown; ``known``: all
    quantities of the meters that are drawn."""

    picked: tuple[Picked, ...]
    known: Mapping[str, tuple[Quantity, ...]]
    bounds: Bounds
    window: Window
    by: By
    notes: tuple[Message, ...] = ()
    panels: tuple[Panel, ...] = ()


def look(
    config: Config, names: Sequence[str], more: str, by: str | None, bounds: Bounds, window: Window
) -> ChartsFacts:
    """What an address asks for.

    Args:
        config: the configuration.
        names: of quantities, ``METER:POINT``, or of meters, each for its most important one; empty ones are left out.
            None: that of the first meter.
        more: one more meter (``""``: none).
        by: steps, as the address says them.
        bounds: times in the address.
        window: what they make of a chart.

    Raises:
        NotFound: there is no such meter.
        BadQuery: a meter has no such quantity, there are too many, or they have too many units.
    """
    asked = [name for name in (*names, more) if name] or list(config.meters)[:1]
    known: dict[str, tuple[Quantity, ...]] = {}
    picked: dict[str, Picked] = {}
    for name in asked:
        meter, _, point = name.partition(":")
        if meter not in config.meters:
            raise NotFound(Message("page-no-meter", meter=meter))
        found = known.setdefault(meter, tuple(quantities(config.meters[meter], config.profiles[meter])))
        quantity = next((one for one in found if point in ("", one.point)), None)
        if quantity is None:
            raise BadQuery(Message("chart-no-quantity", meter=meter, point=point))
        picked.setdefault(f"{meter}:{quantity.point}", Picked(meter, quantity))
    if len(picked) > MOST_SERIES:
        raise BadQuery(Message("chart-too-many", n=len(picked), most=MOST_SERIES))
    units = dict.fromkeys(unit_of(one.quantity)[0] or "1" for one in picked.values())
    if len(units) > MOST_UNITS:
        raise BadQuery(Message("chart-units", units=tuple(units), most=MOST_UNITS))
    return ChartsFacts(tuple(picked.values()), known, bounds, window, by_of(by))


def complete(facts: ChartsFacts, store: Database, zone: tzinfo) -> ChartsFacts:
    """The same with its courses. Raises StoreError."""
    window, notes = facts.window, []
    by = fitting(facts.by, window.from_ms, window.to_ms) if facts.by != "auto" else facts.by
    if by != facts.by:
        notes.append(Message("chart-steps-too-many", most=MOST))
    if by == "15m" and not all(has_minutes(store, meter, window.from_ms) for meter in facts.known):
        by = fitting("hour", window.from_ms, window.to_ms)
        notes.append(Message("chart-minutes-gone"))
    made = [*_lines(facts, store, by, zone), *_bars(facts, store, by, zone)]
    order = [one.name for one in facts.picked]
    made.sort(key=lambda chart: order.index(f"{chart.meter}:{chart.quantity.point}"))
    return ChartsFacts(
        facts.picked, facts.known, facts.bounds, window, facts.by, tuple(notes), tuple(_panels(made, window))
    )


def _is_energy(one: Picked, by: By, window: Window) -> bool:
    return one.quantity.energy and (by != "auto" or window.length_ms >= ENERGY_FROM_MS)


def _steps(by: By, window: Window, zone: tzinfo) -> list[Stretch]:
    """Whole steps, those that have not begun apart."""
    found = stretches(by, window.from_ms, window.to_ms, zone)
    return [step for step in found if step[0] < window.now_ms] or found[:1]


def _lines(facts: ChartsFacts, store: Database, by: By, zone: tzinfo) -> Iterable[Chart]:
    window = facts.window
    chosen = [one for one in facts.picked if not _is_energy(one, by, window)]
    for meter, ones in groupby(sorted(chosen, key=lambda one: one.meter), key=lambda one: one.meter):
        drawn = [one.quantity for one in ones]
        points = [quantity.point for quantity in drawn]
        if by == "auto":
            series = history(store, meter, points, window.from_ms, window.to_ms, MOST, zone)
        else:
            series = history_by(store, meter, points, _steps(by, window, zone), of_minutes=by == "15m")
        yield from courses(store, series, drawn)


def _bars(facts: ChartsFacts, store: Database, by: By, zone: tzinfo) -> Iterable[Chart]:
    window = facts.window
    made_of = natural(window.from_ms, window.to_ms) if by == "auto" else by
    for one in facts.picked:
        if _is_energy(one, by, window):
            steps = _steps(made_of, window, zone)
            yield differences(store, one.meter, one.quantity, made_of, steps, window.now_ms)


def _panels(made: Sequence[Chart], window: Window) -> Iterable[Panel]:
    """One a unit and kind, all over the same time: that of the range and of the steps that reach beyond it."""
    from_ms = min([window.from_ms, *(chart.from_ms for chart in made)])
    to_ms = max([window.to_ms, *(chart.to_ms for chart in made)])
    kinds: dict[tuple[str | None, bool], list[Chart]] = {}
    for chart in made:
        kinds.setdefault((unit_of(chart.quantity)[0], chart.bars), []).append(chart)
    for (unit, bars), found in kinds.items():
        yield Panel(unit, bars, tuple(found), from_ms, to_ms, window.now_ms)
