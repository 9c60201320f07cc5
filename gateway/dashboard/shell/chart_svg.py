"""SVG charts of time series and energy, with gaps where nothing was measured.

A line never runs over a step without a value, and nothing is interpolated. Flags stand below the line, each verdict
with a form of its own beside its colour. All styling is in the sheet, so that no page needs inline style.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from markupsafe import Markup

from gateway.dashboard.shell.chart_steps import DAY, HOUR, MIN, Step, worst_of
from gateway.local_calendar import ahead_ms, days, hours, months

WIDTH: Final = 480
HEIGHT: Final = 200
LEFT: Final = 54
RIGHT: Final = 6
TOP: Final = 18
BOTTOM: Final = 34
FLAGS_Y: Final = HEIGHT - BOTTOM + 4
LANE: Final = 7
"""Height of the flags of one course."""
PLOT_W: Final = WIDTH - LEFT - RIGHT
PLOT_H: Final = HEIGHT - TOP - BOTTOM
_TICKS: Final = (
    MIN, 5 * MIN, 10 * MIN, 15 * MIN, 30 * MIN, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
    DAY, 2 * DAY, 7 * DAY, 14 * DAY,
)  # fmt: skip
_MONTHS: Final = (1, 2, 3, 6, 12)
MOST_TICKS: Final = 7
HATCH: Final = Markup(
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path class="hatch" d="M0 0V7"/></pattern></defs>'
)
_PLOT: Final = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>')


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis of values runs over, its ticks and how they are written."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def y(self, value: float) -> float:
        """The height of a value."""
        return TOP + PLOT_H * (self.high - value) / (self.high - self.low)


def axis(numbers: Sequence[float], *, from_zero: bool = False) -> Axis:
    """An axis over some numbers with three to six round ticks."""
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        pad = max(abs(high) * 0.01, 0.5)
        low, high = low - (0 if from_zero and low == 0 else pad), high + pad
    step = _round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((n * step, _number(n * step, decimals)) for n in range(first, last + 1))
    return Axis(first * step, last * step, ticks)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))


def _number(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    whole, point, rest = text.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", "\u202f")
    return f"{'−' if value < 0 and float(text) else ''}{whole}{point}{rest}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The time that a chart runs over. ``tick`` writes a moment, ``zone``: whose days and hours are round; nothing is
    known behind ``known_ms``, so that there is no gap; ``lanes``: number of its courses."""

    from_ms: int
    to_ms: int
    tick: Callable[[int, int], str]
    zone: tzinfo = UTC
    known_ms: int = 1 << 62
    lanes: int = 1

    @property
    def height(self) -> int:
        """Of the whole chart: each course has a lane of its own for its flags."""
        return HEIGHT + LANE * (self.lanes - 1)

    def x(self, ms: float) -> float:
        """Where a moment stands."""
        return LEFT + PLOT_W * (ms - self.from_ms) / (self.to_ms - self.from_ms)

    def ticks(self) -> list[int]:
        """Round moments of the zone, at most ``MOST_TICKS`` or one more."""
        return [ms for ms in self._round() if self.from_ms <= ms <= self.to_ms]

    def _round(self) -> Iterable[int]:
        begin, end, span = self.from_ms, self.to_ms + 1, self.to_ms - self.from_ms
        step = next((step for step in _TICKS if span / step <= MOST_TICKS), None)
        if step is None:
            together = next((n for n in _MONTHS if span / (n * 30 * DAY) <= MOST_TICKS), _MONTHS[-1])
            return (ms for ms, _ in months(begin, end, self.zone, together))
        if step >= DAY:
            return (ms for ms, _ in days(begin, end, self.zone, step // DAY))
        if step > HOUR:
            return hours(begin, end, self.zone, step // HOUR)
        ahead = ahead_ms(begin, self.zone)
        return range(-(-(begin + ahead) // step) * step - ahead, end, step)


def line(steps: Sequence[Step], frame: Frame, label: str, unit: str) -> Markup:
    """The course of a value: its mean as a line, the span between least and greatest as a band, gaps hatched."""
    return lines([steps], frame, label, unit, axis_of([steps]))


def bars(steps: Sequence[Step], frame: Frame, label: str, unit: str) -> Markup:
    """A bar for the ``mean`` of each step, from zero; a step without one is hatched over its whole height."""
    return bar_groups([steps], frame, label, unit, axis_of([steps], bars=True))


def axis_of(courses: Sequence[Sequence[Step]], *, bars: bool = False) -> Axis:
    """An axis for some courses, or (from zero) for their bars."""
    known = [step for steps in courses for step in steps if step.mean is not None]
    if bars:
        return axis([step.mean for step in known if step.mean is not None], from_zero=True)
    return axis([n for step in known for n in (step.low, step.high, step.mean) if n is not None])


def lines(courses: Sequence[Sequence[Step]], frame: Frame, label: str, unit: str, scale: Axis) -> Markup:
    """The courses of some values of one unit. Hatched is where none of them has a value; of several courses, flags tell
    of the gaps of each."""
    parts = [*_grid(scale, frame, unit), *_gaps(courses, frame)]
    for n, steps in enumerate(courses):
        for piece in _pieces(steps):
            parts += _piece(piece, frame, scale, f" s{n}" if n else "")
        parts += _flags(steps, frame, n)
    return _PLOT.format(WIDTH, frame.height, label, HATCH, Markup("").join(parts))


def bar_groups(courses: Sequence[Sequence[Step]], frame: Frame, label: str, unit: str, scale: Axis) -> Markup:
    """The bars of some courses of one unit, those of a step side by side."""
    parts = [*_grid(scale, frame, unit)]
    for n, steps in enumerate(courses):
        for step in steps:
            whole = frame.x(step.to_ms) - frame.x(step.from_ms)
            width = whole / len(courses)
            x, gap = frame.x(step.from_ms) + n * width, min(1.5, whole * 0.15)
            place = f'x="{x + gap / 2:.1f}" width="{max(0.5, width - gap):.1f}"'
            if step.mean is None:
                parts.append(_shape(f'<rect class="gap" {place} y="{TOP}" height="{PLOT_H}">', step.note))
                continue
            top, bottom = sorted((scale.y(step.mean), scale.y(0.0)))
            kind = f"bar {step.verdict}" if step.verdict and step.verdict != "good" else f"bar s{n}" if n else "bar"
            size = f'y="{top:.1f}" height="{max(0.5, bottom - top):.1f}"'
            parts.append(_shape(f'<rect class="{kind}" {place} {size}>', step.note))
        parts += _flags(steps, frame, n)
    return _PLOT.format(WIDTH, frame.height, label, HATCH, Markup("").join(parts))


def _shape(opening: str, note: str) -> Markup:
    title = Markup("<title>{}</title>").format(note) if note else Markup("")
    return Markup(opening) + title + Markup("</rect>")


def _grid(scale: Axis, frame: Frame, unit: str) -> Iterator[Markup]:
    for value, text in scale.ticks:
        y = scale.y(value)
        yield Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT)
        yield Markup('<text class="y" x="{}" y="{:.1f}" dy=".35em" text-anchor="end">{}</text>').format(
            LEFT - 6, y, text
        )
    yield Markup('<text class="u" x="{}" y="{}">{}</text>').format(LEFT, TOP - 6, unit)
    span = frame.to_ms - frame.from_ms
    for n, ms in enumerate(frame.ticks()):
        x = frame.x(ms)
        yield Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4)
        anchor = "end" if x > WIDTH - 24 else "start" if x < LEFT + 10 else "middle"
        yield Markup('<text class="x{}" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            " odd" if n % 2 else "", x, frame.height - 6, anchor, frame.tick(ms, span)
        )


def _gaps(courses: Sequence[Sequence[Step]], frame: Frame) -> Iterator[Markup]:
    """Every stretch in which no course has a value, also before the first step and behind the last one."""
    known = [(step.from_ms, step.to_ms) for steps in courses for step in steps if step.mean is not None]
    begin = frame.from_ms
    for from_ms, to_ms in known if len(courses) == 1 else sorted(known):
        yield from _gap(begin, from_ms, frame)
        begin = max(begin, to_ms)
    yield from _gap(begin, min(frame.to_ms, frame.known_ms), frame)


def _gap(from_ms: int, to_ms: int, frame: Frame) -> Iterator[Markup]:
    x, end = frame.x(from_ms), frame.x(to_ms)
    if end - x >= 0.75:
        yield Markup('<rect class="gap" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(x, TOP, end - x, PLOT_H)


def _pieces(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps that follow one another without a gap."""
    piece: list[Step] = []
    for step in steps:
        if step.mean is not None and (not piece or step.from_ms <= piece[-1].to_ms):
            piece.append(step)
            continue
        if piece:
            yield piece
        piece = [step] if step.mean is not None else []
    if piece:
        yield piece


def _piece(piece: Sequence[Step], frame: Frame, scale: Axis, of: str) -> Iterator[Markup]:
    means = [(frame.x(s.x_ms), scale.y(s.mean)) for s in piece if s.mean is not None]
    if any(step.low != step.high for step in piece):
        upper = [(x, scale.y(s.high)) for (x, _), s in zip(means, piece, strict=True) if s.high is not None]
        lower = [(x, scale.y(s.low)) for (x, _), s in zip(means, piece, strict=True) if s.low is not None]
        if len(piece) > 1:
            yield Markup('<polygon class="band{}" points="{}"/>').format(of, _points([*upper, *reversed(lower)]))
    if len(means) == 1:
        yield Markup('<circle class="dot{}" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(of, *means[0])
    else:
        yield Markup('<polyline class="line{}" points="{}"/>').format(of, _points(means))


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _flags(steps: Sequence[Step], frame: Frame, lane: int) -> Iterator[Markup]:
    """A strip below the chart where values are not simply good: low for uncertain, high for bad, and of one course
    among several a frame where it has none."""
    run: list[Step] = []
    word = ""
    for step in [*steps, Step(0, 0, None, None, None)]:
        verdict = step.verdict or ("missing" if frame.lanes > 1 and step.mean is None and step.to_ms else "")
        if run and (verdict != word or step.from_ms > run[-1].to_ms):
            x, end = frame.x(run[0].from_ms), frame.x(run[-1].to_ms)
            high = 6 if word in ("bad", "missing") else 3
            yield Markup('<rect class="mark {}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
                word, x, FLAGS_Y + lane * LANE, max(1.0, end - x), high
            )
            run = []
        if verdict not in ("", "good"):
            run.append(step)
            word = verdict


def table(steps: Sequence[Step], most: int = 100) -> list[Step]:
    """The same in at most ``most`` rows, neighbours put together: for readers of tables."""
    size = max(1, -(-len(steps) // most))
    return [_together(steps[n : n + size]) for n in range(0, len(steps), size)]


def _together(steps: Sequence[Step]) -> Step:
    means = [step.mean for step in steps if step.mean is not None]
    return Step(
        steps[0].from_ms,
        steps[-1].to_ms,
        min((s.low for s in steps if s.low is not None), default=None),
        max((s.high for s in steps if s.high is not None), default=None),
        sum(means) / len(means) if means else None,
        worst_of(steps),
        next((step.note for step in steps if step.note), ""),
    )
