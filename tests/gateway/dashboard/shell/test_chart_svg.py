"""Charts: what was not measured is a gap, what is not good is marked, and nothing is drawn in between."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from gateway.dashboard.shell import chart_svg
from gateway.dashboard.shell.chart_steps import Step
from gateway.dashboard.shell.chart_svg import Axis, Frame

MIN = 60_000
SVG = "{http://www.w3.org/2000/svg}"


def frame(minutes: int, zone: tzinfo = UTC) -> Frame:
    return Frame(0, minutes * MIN, lambda ms, span: str(ms // MIN), zone)


def step(minute: int, mean: float | None, verdict: str | None = "good", spread: float = 0.0) -> Step:
    low, high = (None, None) if mean is None else (mean - spread, mean + spread)
    return Step(minute * MIN, (minute + 1) * MIN, low, high, mean, verdict if mean is not None else None)


def elements(svg: Markup, kind: str) -> list[ElementTree.Element]:
    """Those whose class begins with ``kind``; whatever is drawn is well-formed XML."""
    root = ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    return [e for e in root.iter() if e.get("class", "").split(" ")[0] == kind]


def test_a_gap_breaks_the_line_and_is_hatched() -> None:
    svg = chart_svg.line([step(0, 1.0), step(1, 2.0), step(2, None), step(3, 1.0), step(4, 3.0)], frame(5), "x", "W")
    lines = [e.get("points", "").split() for e in elements(svg, "line")]
    assert [len(points) for points in lines] == [2, 2]
    (gap,) = elements(svg, "gap")
    assert float(gap.get("x", 0)) == pytest.approx(frame(5).x(2 * MIN), abs=0.06)
    assert float(gap.get("width", 0)) == pytest.approx(chart_svg.PLOT_W / 5, abs=0.06)


def test_before_the_first_and_behind_the_last_value_is_a_gap() -> None:
    svg = chart_svg.line([step(2, 1.0), step(3, 2.0)], frame(10), "x", "W")
    assert len(elements(svg, "gap")) == 2


def test_steps_that_do_not_touch_are_not_joined() -> None:
    svg = chart_svg.line([step(0, 1.0), step(1, 1.0), step(5, 1.0)], frame(6), "x", "W")
    assert len(elements(svg, "line")) == 1
    assert len(elements(svg, "dot")) == 1


def test_the_band_spans_least_and_greatest() -> None:
    svg = chart_svg.line([step(n, 5.0, spread=2.0) for n in range(4)], frame(4), "x", "W")
    (band,) = elements(svg, "band")
    heights = {float(pair.split(",")[1]) for pair in band.get("points", "").split()}
    scale = chart_svg.axis([3.0, 7.0, 5.0])
    assert heights == {round(scale.y(3.0), 1), round(scale.y(7.0), 1)}


def test_flags_stand_below_each_verdict_in_its_own_height() -> None:
    steps = [step(0, 1.0), step(1, 1.0, "uncertain"), step(2, 1.0, "uncertain"), step(3, 1.0, "bad"), step(4, None)]
    marks = elements(chart_svg.line(steps, frame(5), "x", "W"), "mark")
    assert [m.get("class") for m in marks] == ["mark uncertain", "mark bad"]
    assert float(marks[0].get("width", 0)) == pytest.approx(2 * chart_svg.PLOT_W / 5, abs=0.11)
    assert len({m.get("height") for m in marks}) == 2


def test_bars_begin_at_zero_and_what_is_not_known_is_hatched() -> None:
    steps = [step(0, 4.0), Step(MIN, 2 * MIN, None, None, None, note="counter reset"), step(2, 2.0)]
    svg = chart_svg.bars(steps, frame(3), "x", "kWh")
    feet = {float(b.get("y", 0)) + float(b.get("height", 0)) for b in elements(svg, "bar")}
    assert [round(foot, 1) for foot in feet] == [round(chart_svg.axis([4.0, 2.0], from_zero=True).y(0.0), 1)]
    (gap,) = elements(svg, "gap")
    assert gap.findtext(f"{SVG}title") == "counter reset"


def test_text_is_escaped() -> None:
    svg = chart_svg.bars([Step(0, MIN, 1.0, 1.0, 1.0, note="<script>")], frame(1), '"><script>', "<W>")
    assert "<script" not in svg


def test_nothing_at_all_is_one_gap() -> None:
    assert len(elements(chart_svg.line([], frame(5), "x", "W"), "gap")) == 1


numbers = st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 3)), min_size=1, max_size=20)


@given(numbers, st.booleans())
def test_an_axis_holds_its_numbers_and_has_few_round_ticks(values: list[float], from_zero: bool) -> None:
    axis: Axis = chart_svg.axis(values, from_zero=from_zero)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert axis.ticks[0][0] == axis.low
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@given(st.integers(1, 500 * 24 * 60), st.integers(-14 * 60, 14 * 60))
def test_ticks_of_time_are_few_round_and_inside(minutes: int, ahead_min: int) -> None:
    ticks = frame(minutes, timezone(timedelta(minutes=ahead_min))).ticks()
    assert len(ticks) <= chart_svg.MOST_TICKS + 1
    assert all(0 <= ms <= minutes * MIN and (ms + ahead_min * MIN) % MIN == 0 for ms in ticks)


@pytest.mark.parametrize("hours", [24, 25 * 24, 365 * 24])
def test_ticks_of_days_and_months_stand_at_midnight_when_the_clocks_are_changed(hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    end_ms = round(datetime(2026, 11, 8, 12, tzinfo=zone).timestamp() * 1000)
    ticks = Frame(end_ms - hours * 60 * MIN, end_ms, lambda ms, span: "", zone).ticks()
    shown = [datetime.fromtimestamp(ms / 1000, zone) for ms in ticks]
    assert 3 <= len(ticks) <= chart_svg.MOST_TICKS + 1
    assert {(one.minute, one.hour % (6 if hours == 24 else 24)) for one in shown} == {(0, 0)}
    assert hours != 365 * 24 or {one.day for one in shown} == {1}


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=300))
def test_the_table_says_the_same_in_fewer_rows(values: list[float | None]) -> None:
    rows = chart_svg.table([step(n, value) for n, value in enumerate(values)])
    known = [value for value in values if value is not None]
    assert len(rows) <= 100
    assert min((r.low for r in rows if r.low is not None), default=None) == min(known, default=None)
    assert max((r.high for r in rows if r.high is not None), default=None) == max(known, default=None)


def test_the_class_of_every_shape_is_styled() -> None:
    from gateway.dashboard.render.html import HTML

    found = HTML.static("style.css")
    assert found is not None
    sheet = found[0].decode()
    steps = [step(0, 1.0, spread=1.0), step(1, 2.0, "bad", spread=1.0), step(2, None), step(3, 1.0)]
    drawn = chart_svg.line(steps, frame(4), "x", "W") + chart_svg.bars(steps, frame(4), "x", "W")
    used = set(re.findall(r'class="([a-z]+)', drawn)) - {"y", "x", "u"}  # text is styled as such
    assert [name for name in used if not re.search(rf"\.{name}\b", sheet)] == []
