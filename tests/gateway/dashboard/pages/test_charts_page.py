"""The page Charts: several quantities over any time, in steps that are asked for, with gaps as gaps."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest

from gateway.api.exports import export
from gateway.api.shapes.portions import PORTION_BYTES
from gateway.config.model import Config
from gateway.dashboard.pages import charts_page
from gateway.dashboard.pages.charts_page import ChartsFacts
from gateway.dashboard.routes import contents
from gateway.dashboard.shell.page import NotFound
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.asked_range import BadQuery, Bounds
from gateway.history.aggregates import Aggregate
from gateway.history.rollup import Forms
from gateway.local_calendar import DAY_MS, HOUR_MS, MINUTE_MS, moment_of
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.times import rfc3339_ms
from tests.support.epochs import epoch
from tests.support.samples import site

BERLIN = ZoneInfo("Europe/Berlin")
METER = "export-main"
BEGIN_MS = moment_of("2026-10-01", BERLIN, 0).ms
END_MS = moment_of("2026-11-10", BERLIN, 0).ms
SPRING_MS = moment_of("2026-03-28", BERLIN, 0).ms, moment_of("2026-03-31", BERLIN, 0).ms
GAP_MS = moment_of("2026-10-12T06:00", BERLIN, 0).ms, moment_of("2026-10-12T09:00", BERLIN, 0).ms
MINUTES_MS = moment_of("2026-11-08", BERLIN, 0).ms
"""Since when minutes are kept."""


def watts(ms: int) -> float:
    return 1000.0 + (ms // HOUR_MS) % 24


def register(ms: int) -> int:
    """The counter at a moment, in Wh: every hour counts as many as its number in Unix time modulo 7, times 60."""
    sevens, hour = divmod(ms // HOUR_MS - SPRING_MS[0] // HOUR_MS // 7 * 7, 7)
    return 60 * (21 * sevens + sum(range(hour))) + hour * (ms % HOUR_MS // MINUTE_MS)


def span(start_ms: int, length_ms: int) -> Aggregate:
    """What a span of readings is summarised to; the last one stands just in front of its end."""
    found = Aggregate(start_ms)
    for ms in (start_ms, start_ms + length_ms - 1000):
        flags = int(Quality.CLOCK_UNSYNC) if start_ms == BEGIN_MS else 0
        end = ms if ms == start_ms else start_ms + length_ms
        values = (
            Value("active_power_total", watts(ms), "W", flags),
            Value("energy_import", register(end), "Wh"),
            Value("energy_export", 2 * register(end), "Wh"),
        )
        found.waiting.append(Reading(ms, values))
    return found.fold()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Hours of three days of spring and forty of autumn with a gap, minutes of the last two days, and no record."""
    zone = {"[gateway]": '[gateway]\ntimezone = "Europe/Berlin"'}
    made = site(tmp_path_factory.mktemp("charts") / "site", zone)
    store = Database(made.database)
    forms = Forms(store.summaries)
    with store.transaction():
        autumn = [ms for ms in range(BEGIN_MS, END_MS, HOUR_MS) if not GAP_MS[0] <= ms < GAP_MS[1]]
        hours = [*range(*SPRING_MS, HOUR_MS), *autumn]
        store.summaries.put([forms.row(METER, HOUR_MS, span(ms, HOUR_MS)) for ms in hours])
        minutes = range(MINUTES_MS, END_MS, MINUTE_MS)
        store.summaries.put([forms.row(METER, MINUTE_MS, span(ms, MINUTE_MS)) for ms in minutes])
    store.close()
    return made


@pytest.fixture
def store(loaded: Config) -> Iterator[Database]:
    found = Database(loaded.database, read_only=True)
    yield found
    found.close()


def look(loaded: Config, names: list[str], by: str = "auto", more: str = "", **query: str) -> ChartsFacts:
    bounds = Bounds.of(query, BERLIN, END_MS)
    window = bounds.window(DAY_MS, END_MS, BERLIN)
    return charts_page.look(loaded, names, more, by, bounds, window)


def drawn(loaded: Config, store: Database, names: list[str], by: str = "auto", **query: str) -> ChartsFacts:
    return charts_page.complete(look(loaded, names, by, **query), store, BERLIN)


POWER, IMPORT, EXPORT = (f"{METER}:{point}" for point in ("active_power_total", "energy_import", "energy_export"))


def of_days(first: str, count: int) -> list[tuple[int, int]]:
    """Midnights, by the calendar's own arithmetic."""
    days = [datetime.fromisoformat(first).replace(tzinfo=BERLIN) + timedelta(days=n) for n in range(count + 1)]
    midnights = [int(day.timestamp() * 1000) for day in days]
    return list(pairwise(midnights))


@pytest.mark.parametrize(
    ("first", "end", "lengths"),
    [("2026-03-28", "2026-03-31", [24, 23, 24]), ("2026-10-24", "2026-10-27", [24, 25, 24])],
)
def test_days_of_23_and_25_hours_are_sums_of_their_own_hours(
    loaded: Config, store: Database, first: str, end: str, lengths: list[int]
) -> None:
    query = {"from": first, "to": end}
    days = of_days(first, 3)
    (chart,) = drawn(loaded, store, [IMPORT], "day", **query).panels[0].courses
    assert [(step.from_ms, step.to_ms) for step in chart.steps] == days
    assert [(b - a) // HOUR_MS for a, b in days] == lengths
    sums = [sum(60 * (ms // HOUR_MS % 7) for ms in range(a, b, HOUR_MS)) for a, b in days]
    assert [step.mean for step in chart.steps] == sums
    (power,) = drawn(loaded, store, [POWER], "day", **query).panels[0].courses
    assert [(step.from_ms, step.to_ms) for step in power.steps] == days
    means = [sum(watts(ms) for ms in range(a, b, HOUR_MS)) / ((b - a) // HOUR_MS) for a, b in days]
    assert [step.mean for step in power.steps] == pytest.approx(means, abs=0.01)


def test_a_month_is_the_difference_of_its_registers(loaded: Config, store: Database) -> None:
    (month,) = drawn(loaded, store, [IMPORT], "month", **{"from": "2026-11-01", "to": "2026-11-10"}).panels[0].courses
    begin_ms = moment_of("2026-11-01", BERLIN, 0).ms
    assert [step.mean for step in month.steps] == [register(END_MS) - register(begin_ms)]


def test_a_gap_stays_a_gap_in_every_kind_of_steps(loaded: Config, store: Database) -> None:
    query = {"from": "2026-10-12", "to": "2026-10-13"}
    for names, by in (([POWER], "auto"), ([POWER], "hour"), ([IMPORT], "hour"), ([IMPORT], "auto")):
        (chart,) = drawn(loaded, store, names, by, **query).panels[0].courses
        empty = [step for step in chart.steps if step.mean is None]
        assert (empty[0].from_ms, empty[-1].to_ms) == GAP_MS, (names, by)
        assert sum(step.to_ms - step.from_ms for step in empty) == 3 * HOUR_MS
    (day,) = drawn(loaded, store, [IMPORT], "day", **query).panels[0].courses
    assert [(step.verdict, step.note) for step in day.steps] == [("uncertain", "partly")]


def exported(loaded: Config, store: Database, *query: tuple[str, str]) -> list[dict[str, str]]:
    """The rows of an export of steps."""
    listing = export(loaded, [("form", "steps"), *query], END_MS)
    listing.begin(store)
    return list(csv.DictReader(io.StringIO(listing.portion(store, PORTION_BYTES).decode())))


def test_exported_steps_are_those_of_the_chart_and_what_is_not_known_is_no_zero(
    loaded: Config, store: Database
) -> None:
    days = exported(loaded, store, ("s", IMPORT), ("from", "2026-10-24"), ("to", "2026-10-27"), ("by", "day"))
    expected = [register(end) - register(begin) for begin, end in of_days("2026-10-24", 3)]
    assert [float(row["value"]) for row in days] == expected
    assert {(row["shows"], row["steps"]) for row in days} == {("energy", "day")}
    assert [row["to"] for row in days] == [rfc3339_ms(end) for _, end in of_days("2026-10-24", 3)]
    hours = exported(
        loaded, store, ("s", POWER), ("s", EXPORT), ("from", "2026-10-12T05:00"), ("to", "2026-10-12T10:00")
    )
    power = [row for row in hours if row["point"] == "active_power_total"]
    assert [row["value"] for row in power] == [repr(watts(GAP_MS[0] - HOUR_MS)), "", "", "", repr(watts(GAP_MS[1]))]
    assert [row["quality"] for row in power][1:4] == ["missing"] * 3
    assert {row["point"] for row in hours} == {"active_power_total", "energy_export"}


def test_quarters_of_an_hour_are_made_of_minutes_where_these_are_kept(loaded: Config, store: Database) -> None:
    kept = drawn(loaded, store, [IMPORT, POWER], "15m", **{"from": "2026-11-08T12:00", "to": "2026-11-08T13:00"})
    assert kept.notes == ()
    energy, power = (panel.courses[0] for panel in kept.panels)
    noon = moment_of("2026-11-08T12:00", BERLIN, 0).ms
    assert [step.mean for step in energy.steps] == [15 * (noon // HOUR_MS % 7)] * 4
    assert [step.from_ms for step in power.steps] == [noon + n * 900_000 for n in range(4)]
    gone = drawn(loaded, store, [IMPORT], "15m", **{"from": "2026-11-07T12:00", "to": "2026-11-08T13:00"})
    assert [note.code for note in gone.notes] == ["chart-minutes-gone"]
    assert len(gone.panels[0].courses[0].steps) == 25
    many = drawn(loaded, store, [POWER], "hour", **{"from": "2026-10-01", "to": "2026-11-10"})
    assert [note.code for note in many.notes] == ["chart-steps-too-many"]
    assert len(many.panels[0].courses[0].steps) == 40


def test_courses_of_one_unit_share_a_plot_and_all_plots_share_their_time(loaded: Config, store: Database) -> None:
    found = drawn(loaded, store, [EXPORT, POWER, IMPORT], **{"from": "2026-11-01T10:20", "to": "2026-11-02T10:20"})
    assert [[chart.quantity.point for chart in panel.courses] for panel in found.panels] == [
        ["energy_export", "energy_import"],
        ["active_power_total"],
    ]
    assert len({(panel.from_ms, panel.to_ms) for panel in found.panels}) == 1
    exported, imported = found.panels[0].courses
    assert [step.mean for step in exported.steps] == [2 * (step.mean or 0) for step in imported.steps]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([f"{METER}:{p}" for p in ("voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3", "current_l1", "current_l2")],
         "chart-too-many"),
        ([POWER, IMPORT, f"{METER}:frequency"], "chart-units"),
        ([f"{METER}:nonsense"], "chart-no-quantity"),
    ],
)  # fmt: skip
def test_what_does_not_fit_on_the_page_is_refused(loaded: Config, names: list[str], code: str) -> None:
    with pytest.raises(BadQuery) as caught:
        look(loaded, names)
    assert caught.value.message is not None
    assert caught.value.message.code == code


def test_without_a_quantity_there_is_the_first_and_one_more_may_be_a_meter(loaded: Config) -> None:
    assert [one.meter for one in look(loaded, []).picked] == [next(iter(loaded.meters))]
    assert [one.name for one in look(loaded, [POWER, "", POWER], more=METER).picked] == [POWER]
    with pytest.raises(NotFound):
        look(loaded, ["nobody:power"])


@dataclass(frozen=True, slots=True)
class Shown:
    """A page, and the addresses and plots on it."""

    text: str

    @property
    def plots(self) -> list[dict[str, Any]]:
        return [json.loads(html.unescape(found)) for found in re.findall(r'data-plot="([^"]*)"', self.text)]

    def links(self, label: str) -> Mapping[str, list[str]]:
        """The query of the link with this label, by its keys."""
        found = re.search(rf'href="([^"]*)" aria-label="{label}"', self.text)
        assert found is not None, label
        query: dict[str, list[str]] = {}
        for key, value in parse_qsl(urlsplit(html.unescape(found[1])).query):
            query.setdefault(key, []).append(value)
        return query


def shown(loaded: Config, language: str, *query: tuple[str, str]) -> Shown:
    async def show() -> Shown:
        async with epoch(loaded) as running:
            store = Database(loaded.database, read_only=True)
            asked = Asked("/charts", {}, dict(query), languages=language, user="vera", role="viewer", several=query)
            made = contents(running).views["/charts"](asked)(store)
            store.close()
            return Shown(made.body.decode())

    return asyncio.run(show())


def test_the_page_keeps_what_is_drawn_while_one_goes_on_and_is_in_both_languages(loaded: Config) -> None:
    series = (("s", IMPORT), ("s", POWER), ("by", "day"))
    page = shown(loaded, "en", *series, ("from", "2026-10-24T00:00Z"), ("to", "2026-10-26T00:00Z"))
    for label in ("Earlier", "Later", "Half the time", "Twice the time", "As long up to now"):
        found = page.links(label)
        assert (found["s"], found["by"]) == ([IMPORT, POWER], ["day"]), label
    assert page.links("Earlier")["from"] == ["2026-10-22T00:00:00Z"]
    assert page.links("As long up to now")["from"] == ["-2d"]
    assert [len(plot["courses"]) for plot in page.plots] == [1, 1]
    assert "edges=1" in page.text
    chinese = shown(loaded, "zh", *series)
    assert "曲线" in chinese.text
    again = re.search(r'href="(\?[^"]*language=en[^"]*)"', chinese.text)
    assert again is not None
    assert parse_qsl(html.unescape(again[1])[1:]) == [*series, ("language", "en")]


def test_what_the_script_tells_is_what_is_drawn(loaded: Config, store: Database) -> None:
    query = (("s", POWER), ("from", "2026-10-25T00:00+02:00"), ("to", "2026-10-26T00:00+01:00"), ("by", "hour"))
    (plot,) = shown(loaded, "en", *query).plots
    (chart,) = drawn(loaded, store, [POWER], "hour", **{"from": "2026-10-25", "to": "2026-10-26"}).panels[0].courses
    (course,) = plot["courses"]
    assert [course["begin"] + step[0] for step in course["steps"]] == [step.from_ms for step in chart.steps]
    assert [step[1] for step in course["steps"]] == [round((step.mean or 0) / 1000, 3) for step in chart.steps]
    changed_ms = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp() * 1000)
    assert plot["ahead"] == [[plot["from"], 2 * HOUR_MS], [changed_ms, HOUR_MS]]
