"""Plots of courses in the words and the zone of a page: drawing, rows of a table, and the same data for chart.js.

The script gets what it shows, no more: each step's beginning, mean, least and greatest value and verdict, how far
clocks are ahead of UTC, and where the records of a step are listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Final

from markupsafe import Markup

from gateway.dashboard.pages.charts import Chart, Step, unit_of
from gateway.dashboard.pages.charts_page import Panel
from gateway.dashboard.pages.records import records_address
from gateway.dashboard.render import chart_svg, formats
from gateway.dashboard.render.catalog import Words
from gateway.dashboard.render.chart_svg import PLOT_H, TOP, Axis, Frame
from gateway.dashboard.render.formats import Times
from gateway.history.local_calendar import DAY_MS, MINUTE_MS, ahead_ms
from gateway.verdicts import VERDICTS

ROWS: Final = 100
"""Of all tables of a plot."""
_PLACES: Final[dict[str, int]] = {verdict: n for n, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: some steps together, and where their records are listed."""

    step: Step
    address: str


@dataclass(frozen=True, slots=True)
class DrawnCourse:
    """One course of a plot: what it is called, and its rows in the unit of the plot."""

    chart: Chart
    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plot. ``data``: JSON for the script."""

    svg: Markup
    unit: str
    bars: bool
    courses: tuple[DrawnCourse, ...]
    data: str

    @property
    def empty(self) -> bool:
        """There is nothing to draw."""
        return all(course.chart.empty for course in self.courses)


def alone(chart: Chart, now_ms: int) -> Panel:
    """The plot of one course."""
    return Panel(unit_of(chart.quantity)[0], chart.bars, (chart,), chart.from_ms, chart.to_ms, now_ms)


def draw(words: Words, times: Times, panel: Panel, zoom: str, *, named: bool = False) -> Drawn:
    """A plot.

    Args:
        words: language of the page.
        times: zone of the page.
        panel: what is drawn.
        zoom: address of the page Charts with these quantities, to which the script adds a time.
        named: whether names say the meter, too.
    """
    parts = [unit_of(chart.quantity)[1] for chart in panel.courses]
    peaks = [
        max((abs(n) for s in chart.steps for n in (s.low, s.high) if n is not None), default=0.0)
        for chart in panel.courses
    ]
    divisor, unit_name = formats.scale(max(peak / part for peak, part in zip(peaks, parts, strict=True)), panel.unit)
    unit = formats.unit(unit_name)
    scaled = [
        [_scaled(words, step, divisor * part) for step in chart.steps]
        for chart, part in zip(panel.courses, parts, strict=True)
    ]
    names = [_name(words, chart, named=named) for chart in panel.courses]
    frame = Frame(panel.from_ms, panel.to_ms, times.tick, times.tz, panel.now_ms, len(scaled))
    scale = chart_svg.axis_of(scaled, bars=panel.bars)
    made = chart_svg.bar_groups if panel.bars else chart_svg.lines
    most = max(10, ROWS // len(scaled))
    drawn = [
        DrawnCourse(chart, name, tuple(_row(chart, step) for step in chart_svg.table(steps, most)))
        for chart, name, steps in zip(panel.courses, names, scaled, strict=True)
    ]
    courses = [_course(chart, name, steps) for chart, name, steps in zip(panel.courses, names, scaled, strict=True)]
    data = {
        "from": panel.from_ms,
        "to": panel.to_ms,
        "y": _heights(scale),
        "unit": unit,
        "ahead": list(_offsets(panel.from_ms, panel.to_ms, times.tz)),
        "verdicts": [words(f"verdict.{verdict}") for verdict in VERDICTS],
        "none": words("meter.key-gap"),
        "zoom": zoom,
        "courses": courses,
    }
    svg = made(scaled, frame, _label(words, times, panel, names), unit, scale)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Drawn(svg, unit, panel.bars, tuple(drawn), text)


def _heights(scale: Axis) -> list[float]:
    """Greatest and least value of the axis, and where they stand."""
    return [scale.high, scale.low, TOP, TOP + PLOT_H]


def _name(words: Words, chart: Chart, *, named: bool) -> str:
    point = words.of("point", chart.quantity.shown.name)
    return f"{chart.meter} · {point}" if named else point


def _label(words: Words, times: Times, panel: Panel, names: Sequence[str]) -> str:
    if panel.courses[0].span:
        return words("meter.chart-of", name=names[0], span=words(f"span.{panel.courses[0].span}"))
    begin, end = (times.text(ms) for ms in (panel.from_ms, panel.to_ms))
    return words("charts.chart-of", names=", ".join(names), begin=begin, end=end)


def _scaled(words: Words, step: Step, divisor: float) -> Step:
    note = ", ".join(words.of("break", why) for why in step.note.split()) if step.note else ""
    if step.mean is None or divisor == 1:
        return replace(step, note=note) if note else step
    low, high, mean = (_over(number, divisor) for number in (step.low, step.high, step.mean))
    return replace(step, low=low, high=high, mean=mean, note=note)


def _over(value: float | None, divisor: float) -> float | None:
    return None if value is None else value / divisor


def _row(chart: Chart, step: Step) -> Row:
    point = chart.quantity.point
    if chart.bars:
        return Row(step, records_address(chart.meter, step.from_ms, step.to_ms, point, edges="1"))
    if step.at_ms is not None:
        return Row(step, records_address(chart.meter, step.at_ms, step.at_ms + 1, point, one="1"))
    return Row(step, records_address(chart.meter, step.from_ms, step.to_ms, point))


def _course(chart: Chart, name: str, steps: Sequence[Step]) -> dict[str, Any]:
    """A course for the script: ``steps`` as [begin, mean, verdict, least, greatest, note], times from the first on,
    what is usual left out at the end; ``made``: what it is made of; ``until``: end of the last step."""
    begin_ms = steps[0].from_ms if steps else chart.from_ms
    return {
        "name": name,
        "records": f"/meters/{chart.meter}/records?point={chart.quantity.point}",
        "made": chart.made_of,
        "bars": chart.bars,
        "begin": begin_ms,
        "until": steps[-1].to_ms - begin_ms if steps else 0,
        "steps": [_short(step, begin_ms) for step in steps],
    }


def _short(step: Step, begin_ms: int) -> list[Any]:
    verdict = _PLACES.get(step.verdict or "", None if step.mean is None else 0)
    same = step.low == step.high
    spread = () if same else (_digits(step.low), _digits(step.high))
    short = [step.from_ms - begin_ms, _digits(step.mean), verdict, *spread]
    if step.note:
        return [*short, *([None, None] if same else []), step.note]
    return short if not same or verdict else short[: 1 if verdict is None else 2]


def _digits(number: float | None) -> float | None:
    """With the digits that are shown."""
    return None if number is None else float(formats.fixed(number))


def _offsets(from_ms: int, to_ms: int, zone: tzinfo) -> Iterator[tuple[int, int]]:
    """From when on clocks are how far ahead of UTC, in ms."""
    at_ms, ahead = from_ms, ahead_ms(from_ms, zone)
    yield at_ms, ahead
    while at_ms < to_ms:
        next_ms = min(at_ms + 7 * DAY_MS, to_ms)
        if (other := ahead_ms(next_ms, zone)) != ahead:
            low, high = at_ms, next_ms
            while high - low > MINUTE_MS:
                middle = (low + high) // 2
                low, high = (middle, high) if ahead_ms(middle, zone) == ahead else (low, middle)
            ahead = other
            yield high // MINUTE_MS * MINUTE_MS, ahead
        at_ms = next_ms
