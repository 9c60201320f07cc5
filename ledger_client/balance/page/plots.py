"""Plots of a balance as SVG: carpet, duration curve, bars of months, waterfall. Pure.

A plot is a picture of figures that stand in a table beside it; its numbers are rounded to pixels, those of tables not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from ledger_client.accounting.formats.civil_time import civil
from ledger_client.balance.result import Hour

LEVELS: Final = 6
"""Steps of darkness of a carpet."""
HOUR_MS, DAY_MS, MINUTE_MS = 3_600_000, 86_400_000, 60_000
WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 74, 10, 24, 28
_PLOT_W: Final = WIDTH - LEFT - RIGHT
_PLOT_H: Final = HEIGHT - TOP - BOTTOM
_CARPET_H: Final = 150
_POINTS: Final = 480
"""Of a duration curve, at most."""
HATCH: Final = (
    '<svg width="0" height="0" class="defs" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6"'
    ' patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="under" width="6" height="6"/>'
    '<rect class="over" width="3" height="6"/></pattern></defs></svg>'
)
"""The pattern of what is not simply a height; once a page."""


class Bar(NamedTuple):
    """One month: its name and a height for each method."""

    name: str
    location: int
    market: int


class Step(NamedTuple):
    """One step of a waterfall; ``total``: it begins at 0."""

    name: str
    amount: int
    sentence: str
    total: bool


def days_of(hours: Sequence[Hour], civil_min: int) -> tuple[int, int]:
    """The first civil day of some hours, counted since 1970, and how many days they take."""
    numbers = [(hour.from_ms + civil_min * MINUTE_MS) // DAY_MS for hour in hours]
    return (min(numbers), max(numbers) - min(numbers) + 1) if numbers else (0, 0)


def carpet(hours: Sequence[Hour], amounts: Sequence[int], step: int, civil_min: int, kind: str, label: str) -> str:
    """Hour of the day over days; the more, the darker. ``step``: from one of LEVELS to the next; ``kind``: the class
    that bears its colour."""
    first, days = days_of(hours, civil_min)
    paths: list[list[str]] = [[] for _ in range(LEVELS + 1)]
    numbers = [(hour.from_ms + civil_min * MINUTE_MS) // HOUR_MS - first * 24 for hour in hours]
    levels = [-(-amount // step) for amount in amounts]
    for (begin, level), count in _runs(zip(numbers, levels, strict=True)):
        paths[level].append(f"M{begin // 24}.5 {24 - begin % 24}v-{count}")  # a line as wide as a day
    cells = "".join(f'<path class="l{n}" d="{"".join(path)}"/>' for n, path in enumerate(paths) if n and path)
    height = TOP + _CARPET_H + BOTTOM
    inner = (
        f'<svg x="{LEFT}" y="{TOP}" width="{_PLOT_W}" height="{_CARPET_H}" viewBox="0 0 {max(days, 1)} 24"'
        f' preserveAspectRatio="none" class="cells {kind}">{cells}</svg>'
    )
    marks = [
        _text("y", LEFT - 6, TOP + _CARPET_H * (24 - h) / 24, f"{h:02d}:00", "end") for h in (0, 6, 12, 18, 24)
    ]  # fmt: skip
    for day in range(days):
        date = civil((first + day) * DAY_MS, 0)
        if date.day == 1 or day == 0:
            x = LEFT + _PLOT_W * day / days
            marks.append(f'<path class="grid" d="M{x:.1f} {TOP}V{TOP + _CARPET_H + 4}"/>')
            marks.append(_text("x", x, height - 8, f"{date:%Y-%m}" if day == 0 or date.month == 1 else f"{date:%m}"))
    frame = f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{_PLOT_W}" height="{_CARPET_H}"/>'
    data = f' data-first="{first}" data-days="{days}" data-civil="{civil_min}"'
    return _svg(height, label, frame + inner + "".join(marks), "carpet", data)


def _runs(levels: Iterable[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], int]]:
    """Hours of a day that follow one another with the same level: the first with its level, and how many."""
    run, count = None, 0
    for number, level in levels:
        if run == (number - count, level) and number % 24:
            count += 1
            continue
        if run is not None:
            yield run, count
        run, count = (number, level), 1
    if run is not None:
        yield run, count


def duration(load: Sequence[int], uncovered: Sequence[int], label: str, unit: str) -> str:
    """Hours in order of their load, the largest first: the load as a line, what is uncovered as a dashed one."""
    scale = _Scale(max((*load, 0)), 10**6)
    lines = [f'<path class="line {kind}" d="{_steps(sorted(of, reverse=True), scale)}"/>'
             for of, kind in ((load, "load"), (uncovered, "uncovered"))]  # fmt: skip
    ends = [
        _text("x", LEFT, HEIGHT - 8, "1"), _text("x", WIDTH - RIGHT, HEIGHT - 8, f"{len(load):,} h", "end"),
    ]  # fmt: skip
    return _svg(HEIGHT, label, "".join((*scale.grid(unit), *lines, *ends)))


def bars(months: Sequence[Bar], label: str, unit: str) -> str:
    """Two bars a month: location-based plain, market-based hatched."""
    scale = _Scale(max((value for month in months for value in month[1:]), default=0), 1000)
    parts, wide = list(scale.grid(unit)), _PLOT_W / max(len(months), 1)
    for n, month in enumerate(months):
        x = LEFT + wide * n
        for place, (kind, amount) in enumerate((("location", month.location), ("market", month.market))):
            y = scale.y(amount)
            parts.append(
                f'<rect class="bar {kind}" x="{x + wide * (0.12 + 0.4 * place):.1f}" y="{y:.1f}"'
                f' width="{wide * 0.36:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"/>'
            )
        if n % max(1, len(months) // 12) == 0:
            parts.append(_text("x", x + wide / 2, HEIGHT - 8, month.name, "middle"))
    return _svg(HEIGHT, label, "".join(parts))


def waterfall(steps: Sequence[Step], label: str, unit: str) -> str:
    """Steps from what is emitted to what is left: what adds is plain, what takes away is hatched."""
    reached, spans = 0, []
    for step in steps:
        begin = 0 if step.total else reached
        reached = begin + step.amount
        spans.append((begin, reached))
    scale = _Scale(max((value for span in spans for value in span), default=0), 1000)
    parts, wide = list(scale.grid(unit)), _PLOT_W / len(steps)
    for n, (step, (begin, end)) in enumerate(zip(steps, spans, strict=True)):
        x, top, below = LEFT + wide * n, scale.y(max(begin, end, 0)), scale.y(max(min(begin, end), 0))
        kind = "total" if step.total else "less" if step.amount < 0 else "more"
        parts.append(
            f'<rect class="fall {kind}" x="{x + wide * 0.15:.1f}" y="{top:.1f}" width="{wide * 0.7:.1f}"'
            f' height="{max(below - top, 1):.1f}"/>'
        )
        if n + 1 < len(steps) and not steps[n + 1].total:
            y = scale.y(max(end, 0))
            parts.append(f'<path class="join" d="M{x + wide * 0.85:.1f} {y:.1f}H{x + wide * 1.15:.1f}"/>')
        parts.append(_text("v", x + wide / 2, top - 5, step.sentence, "middle"))
        parts.append(_text("x", x + wide / 2, HEIGHT - 8, step.name, "middle"))
    return _svg(HEIGHT, label, "".join(parts))


def round_step(peak: int, parts: int) -> int:
    """The least of 1, 2, 5, 10, 20 … of which so many reach the peak."""
    step = 1
    while step * parts < peak:
        step = step * 2 if str(step)[0] in "15" else step * 5 // 2
    return step


class _Scale:
    """Heights from 0 to a peak; ``one``: so many are one of the unit that is written."""

    def __init__(self, peak: int, one: int) -> None:
        step = round_step(peak, 5)
        self._one, self._step, self._top = one, step, max(-(-peak // step), 1) * step

    def y(self, amount: int) -> float:
        """Where an amount is."""
        return HEIGHT - BOTTOM - _PLOT_H * amount / self._top

    def grid(self, unit: str) -> Iterator[str]:
        """Lines with their amounts."""
        for amount in range(0, self._top + 1, self._step):
            y = self.y(amount)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield _text("y", LEFT - 6, y, f"{amount / self._one:,.15g}" if amount else "0", "end")
        yield _text("u", 2, 12, unit)


def _steps(amounts: Sequence[int], scale: _Scale) -> str:
    count = len(amounts)
    if not count:
        return f"M{LEFT} {HEIGHT - BOTTOM}"
    places = sorted({n * count // _POINTS for n in range(_POINTS)} | {count - 1})
    points = [(LEFT + _PLOT_W * n / count, scale.y(amounts[n])) for n in places]
    points.append((WIDTH - RIGHT, scale.y(amounts[-1])))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    shift = ' dy=".35em"' if kind == "y" else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{shift}>{escape(text)}</text>'


def _svg(height: int, label: str, content: str, kind: str = "", data: str = "") -> str:
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}"><svg class="plot {kind}" role="img"'
        f' viewBox="0 0 {WIDTH} {height}" aria-label="{escape(label)}"{data}>'
        f"<title>{escape(label)}</title>{content}</svg></div>"
    )


def ranks(count: int) -> Iterable[int]:
    """Places in an order of ``count`` that stand in the table beside a duration curve."""
    if not count:
        return []
    return sorted({0, count - 1, *(min(count * share // 100, count - 1) for share in (1, 5, 10, 25, 50, 75, 90))})
