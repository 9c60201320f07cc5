"""Exports of charts: the steps that a chart shows, as CSV, turned where it shows them turned."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.api.shapes.reading_writers import MEDIA, csv_end
from gateway.config.model import Config
from gateway.dashboard.pages import charts_page
from gateway.dashboard.pages.charts import Chart
from gateway.dashboard.pages.charts_page import ChartsFacts
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.csv_cells import text_cell
from ledger_client.times import rfc3339_ms

HEADER: Final = (
    "from", "to", "meter", "point", "recorded_as", "unit", "steps", "shows", "value", "low", "high", "quality", "note",
)  # fmt: skip
"""``point``: what the chart calls it, ``recorded_as`` its name in the records: of a reversed meter another one.
``steps``: of what length; ``shows``: mean or energy, of which ``value`` is the amount; there is none where the chart
draws none, and ``note`` says why, as far as it is known."""


class StepList:
    """The steps of one chart's page (``api.shapes.portions``): one portion, since charts have 480 steps at most."""

    over = False

    def __init__(self, config: Config, facts: ChartsFacts, headers: Mapping[str, str]) -> None:
        """``facts``: as ``charts_page.look`` gives them."""
        self._config, self._facts = config, facts
        self.media_type, self.headers = MEDIA["csv"], headers

    def begin(self, store: Database) -> None:
        """Nothing is to be found before it begins."""

    def portion(self, store: Database, most_bytes: int) -> bytes:
        """All of it: there are never many steps. Raises StoreError."""
        whole = charts_page.complete(self._facts, store, self._config.zone)
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(HEADER)
        for panel in whole.panels:
            for chart in panel.courses:
                rows.writerows(_rows(chart))
        self.over = True
        return text.getvalue().encode()

    def cut_short(self, error: GatewayError) -> bytes:
        """Why there is nothing."""
        return csv_end(error)


def _rows(chart: Chart) -> Iterator[tuple[str, ...]]:
    of = chart.meter, chart.quantity.shown.name, chart.quantity.point, chart.quantity.unit or "", chart.made_of
    named = *map(text_cell, of), "energy" if chart.bars else "mean"
    for step in chart.steps:
        ends = (step.low, step.high) if not chart.bars else (None, None)
        numbers = ("" if number is None else repr(number) for number in (step.mean, *ends))
        yield rfc3339_ms(step.from_ms), rfc3339_ms(step.to_ms), *named, *numbers, step.verdict or "missing", step.note
