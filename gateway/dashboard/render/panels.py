"""Panels of charts: courses of a meter's quantities, in words and with the addresses of their records."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.dashboard.pages.charts import Chart, unit_of
from gateway.dashboard.pages.charts_page import Panel
from gateway.dashboard.pages.records import records_address
from gateway.dashboard.shell import plots
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.chart_steps import Step
from gateway.dashboard.shell.formats import Times
from gateway.dashboard.shell.plots import Course, Drawn, Plot


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
    courses = tuple(_course(chart, _name(words, chart, named=named)) for chart in panel.courses)
    plot = Plot(panel.unit, panel.bars, courses, panel.from_ms, panel.to_ms, panel.now_ms)
    return plots.draw(words, times, plot, _label(words, times, panel, [course.name for course in courses]), zoom)


def _course(chart: Chart, name: str) -> Course:
    return Course(
        name,
        chart.steps,
        chart.made_of,
        chart.from_ms,
        bars=chart.bars,
        part=unit_of(chart.quantity)[1],
        readings=chart.readings,
        covered=chart.covered,
        records=f"/meters/{chart.meter}/records?point={chart.quantity.point}",
        address=partial(_address, chart),
    )


def _name(words: Words, chart: Chart, *, named: bool) -> str:
    point = words.of("point", chart.quantity.shown.name)
    return f"{chart.meter} · {point}" if named else point


def _label(words: Words, times: Times, panel: Panel, names: Sequence[str]) -> str:
    if panel.courses[0].span:
        return words("meter.chart-of", name=names[0], span=words(f"span.{panel.courses[0].span}"))
    begin, end = (times.text(ms) for ms in (panel.from_ms, panel.to_ms))
    return words("charts.chart-of", names=", ".join(names), begin=begin, end=end)


def _address(chart: Chart, step: Step) -> str:
    point = chart.quantity.point
    if chart.bars:
        return records_address(chart.meter, step.from_ms, step.to_ms, point, edges="1")
    if step.at_ms is not None:
        return records_address(chart.meter, step.at_ms, step.at_ms + 1, point, one="1")
    return records_address(chart.meter, step.from_ms, step.to_ms, point)
