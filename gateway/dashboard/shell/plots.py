"""Plots of courses in the words and the zone of a page: drawing, rows of a table, and the same data for chart.js.

The script gets what it shows, no more: each step's beginning, mean, least and greatest value and verdict, how far
clocks are ahead of UTC, and where the records of a step are listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Final, Protocol

from markupsafe import Markup

from gateway.dashboard.shell import chart_svg, formats
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.chart_steps import Step
from gateway.dashboard.shell.chart_svg import PLOT_H, TOP, Axis, Frame
from gateway.dashboard.shell.formats import Times
from gateway.local_calendar import DAY_MS, MINUTE_MS, ahead_ms
from gateway.verdicts import VERDICTS

ROWS: Final = 100
"""Of all tables of a plot."""
_PLACES: Final[dict[str, int]] = {verdict: n for n, verdict in enumerate(VERDICTS)}


class Missed(Protocol):
    """How many polls were missed in the time that coverage records speak of."""

    @property
    def missed(self) -> int:
        """Polls."""

    @property
    def from_ms(self) -> int:
        """Where that time begins."""

    @property
    def to_ms(self) -> int:
        """And where it ends."""


@dataclass(frozen=True, slots=True)
class Course:
    """One course. ``made_of``: reading, minute, hour, day or month, of energy also 15m; ``bars``: it shows differences
    of a register; ``readings``: how many it is made of, 0: not known; ``part``: what its numbers are divided by."""

    name: str
    steps: tuple[Step, ...]
    made_of: str
    from_ms: int
    bars: bool = False
    part: float = 1.0
    readings: int = 0
    covered: Missed | None = None
    records: str = ""
    """Where its records are listed, for the script to add a time; "": nowhere."""
    address: Callable[[Step], str] = lambda step: ""
    """Where the records of a step are listed."""

    @property
    def empty(self) -> bool:
        """There is nothing to draw."""
        return all(step.mean is None for step in self.steps)


@dataclass(frozen=True, slots=True)
class Plot:
    """Courses of one unit, by its SenML name, over a time; nothing is known behind ``now_ms``."""

    unit: str | None
    bars: bool
    courses: tuple[Course, ...]
    from_ms: int
    to_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: some steps together, and where their records are listed."""

    step: Step
    address: str


@dataclass(frozen=True, slots=True)
class DrawnCourse:
    """One course of a plot, and its rows in the unit of the plot."""

    course: Course
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.course.name


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
        return all(drawn.course.empty for drawn in self.courses)


def draw(words: Words, times: Times, plot: Plot, label: str, zoom: str) -> Drawn:
    """A plot.

    Args:
        words: language of the page.
        times: zone of the page.
        plot: what is drawn.
        label: what it shows, for those who do not see it.
        zoom: address of the page with these quantities, to which the script adds a time.
    """
    peaks = [
        max((abs(n) for s in course.steps for n in (s.low, s.high) if n is not None), default=0.0) / course.part
        for course in plot.courses
    ]
    divisor, unit_name = formats.scale(max(peaks), plot.unit)
    unit = formats.unit(unit_name)
    scaled = [[_scaled(words, step, divisor * course.part) for step in course.steps] for course in plot.courses]
    frame = Frame(plot.from_ms, plot.to_ms, times.tick, times.tz, plot.now_ms, len(scaled))
    scale = chart_svg.axis_of(scaled, bars=plot.bars)
    made = chart_svg.bar_groups if plot.bars else chart_svg.lines
    most = max(10, ROWS // len(scaled))
    drawn = [
        DrawnCourse(course, tuple(Row(step, course.address(step)) for step in chart_svg.table(steps, most)))
        for course, steps in zip(plot.courses, scaled, strict=True)
    ]
    data = {
        "from": plot.from_ms,
        "to": plot.to_ms,
        "y": _heights(scale),
        "unit": unit,
        "ahead": list(_offsets(plot.from_ms, plot.to_ms, times.tz)),
        "verdicts": [words(f"verdict.{verdict}") for verdict in VERDICTS],
        "none": words("meter.key-gap"),
        "zoom": zoom,
        "courses": [_course(course, steps) for course, steps in zip(plot.courses, scaled, strict=True)],
    }
    svg = made(scaled, frame, label, unit, scale)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Drawn(svg, unit, plot.bars, tuple(drawn), text)


def _heights(scale: Axis) -> list[float]:
    """Greatest and least value of the axis, and where they stand."""
    return [scale.high, scale.low, TOP, TOP + PLOT_H]


def _scaled(words: Words, step: Step, divisor: float) -> Step:
    note = ", ".join(words.of("break", why) for why in step.note.split()) if step.note else ""
    if step.mean is None or divisor == 1:
        return replace(step, note=note) if note else step
    low, high, mean = (_over(number, divisor) for number in (step.low, step.high, step.mean))
    return replace(step, low=low, high=high, mean=mean, note=note)


def _over(value: float | None, divisor: float) -> float | None:
    return None if value is None else value / divisor


def _course(course: Course, steps: Sequence[Step]) -> dict[str, Any]:
    """A course for the script: ``steps`` as [begin, mean, verdict, least, greatest, note], times from the first on,
    what is usual left out at the end; ``made``: what it is made of; ``until``: end of the last step."""
    begin_ms = steps[0].from_ms if steps else course.from_ms
    return {
        "name": course.name,
        "records": course.records,
        "made": course.made_of,
        "bars": course.bars,
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
