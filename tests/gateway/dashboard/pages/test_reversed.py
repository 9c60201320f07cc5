"""A meter that hangs the wrong way round: pages, charts and live values turn it and say so; nothing else does."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import pytest

from gateway.config.bus import Meter
from gateway.config.limits import Limit
from gateway.config.load import load_config
from gateway.dashboard import live_events
from gateway.dashboard.pages import charts
from gateway.dashboard.pages.charts import Chart
from gateway.dashboard.pages.values import Beyond, beyond, headline, shown_as, turns
from gateway.dashboard.shell.chart_steps import Step
from gateway.devices.profile import load_profile
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from gateway.totals.reading import sources_of
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Number, Reading, Value
from tests.gateway.dashboard.looks import looker
from tests.support.commands import gateway_command
from tests.support.epochs import due_ms, epoch, until
from tests.support.samples import site

METER = {"meter": "export-main"}
RECORDED: dict[str, tuple[Number, str]] = {
    "active_power_total": (-1500.0, "W"),
    "power_factor_total": (Decimal("-0.98"), "/"),
    "current_l1": (6.5, "A"),
    "energy_import": (Decimal("12.5"), "kWh"),
    "energy_export": (Decimal("8754.25"), "kWh"),
}
TURNED = {
    "active_power_total": "1500", "power_factor_total": "0.98", "current_l1": "6.5", "energy_export": "12.5",
    "energy_import": "8754.25",
}  # fmt: skip
READINGS = 5


@dataclass(frozen=True)
class Seen:
    """What a site shows after some readings."""

    pages: dict[str, str]
    live: dict[str, Any]
    power: Chart
    energy: Chart
    recorded: dict[str, Any]
    status: str = ""
    marked: dict[str, bool] = field(default_factory=dict)
    readings: str = ""


def shown(text: str) -> dict[str, str]:
    """The table of values of a page: digits by point."""
    rows = re.findall(r'<span class="sub mono">(\w+)</span></th>\s*<td class="num"><b>([^<]*)</b>', text)
    return {name: digits.replace("\u202f", "").replace("−", "-") for name, digits in rows}


def seen(folder: Path, *, is_reversed: bool) -> Seen:
    """Run a site with a meter, and look at it from all sides."""
    key = "\nreversed = true" if is_reversed else ""
    points = ", ".join(f'"{name}"' for name in RECORDED)
    loaded = site(folder, {'name = "export-main"': f'name = "export-main"\npoints = [{points}]{key}'})

    async def look() -> Seen:
        async with epoch(loaded) as running:
            first_ms, every_ms = await due_ms(running, "export-main"), loaded.meters["export-main"].every
            now = Timestamp.now(running.clock)  # of all: where one came later, the chart would show a gap
            for n in range(READINGS):
                values = tuple(Value(name, value, unit) for name, (value, unit) in RECORDED.items())
                poll = PollResult("export-main", first_ms + n * every_ms, Reading(now.time_ms + n, values), now)
                running.recorder.put(poll)
            await until(lambda: running.live.meters["export-main"].recorded >= READINGS)
            store, see = Database(loaded.database, read_only=True), looker(running)
            row = store.records.newest("export-main", "reading")
            assert row is not None
            body = parse_record(row.data).body
            assert isinstance(body, Reading)
            name = METER | {"epoch": row.epoch.hex(), "seq": str(row.seq)}
            pages = {
                f"{path} {language}": see(path, store, params, {"quantity": quantity}, language).body.decode()
                for path, params, quantity in (
                    ("/", {}, ""),
                    ("/meters/{meter}", METER, "energy_import"),
                    ("/meters/{meter}/records/{epoch}/{seq}", name, ""),
                )
                for language in ("en", "zh")
            }
            meter, profile = loaded.meters["export-main"], loaded.profiles["export-main"]
            drawn = {q.point: q for q in charts.quantities(meter, profile)}
            now_ms = running.clock.now_ms() + 1000
            power, energy = (
                charts.chart(store, "export-main", drawn[point], "1h", now_ms, loaded.zone)
                for point in ("active_power_total", "energy_import")
            )
            live = live_events.source(running, sources_of)(store)["meters"]["export-main"]
            store.close()
            recorded = {value.name: value.value for value in body.values}
            return Seen(pages, dict(live), power, energy, recorded)

    found = asyncio.run(look())
    status, status_json, readings = (
        gateway_command(command, loaded.path, *options).output
        for command, *options in (("status",), ("status", "--json"), ("readings",))
    )
    marked = {each["name"]: each["reversed"] for each in json.loads(status_json)["meters"]}
    return replace(found, status=status, marked=marked, readings=readings)


@pytest.fixture(scope="module")
def turned_site(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return seen(tmp_path_factory.mktemp("turned") / "site", is_reversed=True)


@pytest.fixture(scope="module")
def usual_site(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return seen(tmp_path_factory.mktemp("usual") / "site", is_reversed=False)


@pytest.mark.parametrize(
    ("language", "sentence", "mark"),
    [
        ("en", "This meter hangs the wrong way round", "hangs the wrong way round: shown turned"),
        ("zh", "该电表方向装反", "电表装反：已换向显示"),
    ],
)
def test_pages_turn_the_values_and_say_so(
    turned_site: Seen, usual_site: Seen, language: str, sentence: str, mark: str
) -> None:
    page = turned_site.pages["/meters/{meter} " + language]
    assert shown(page) == TURNED
    assert sentence in page
    assert mark in turned_site.pages[f"/ {language}"]
    usual = usual_site.pages["/meters/{meter} " + language]
    assert shown(usual) == {name: str(value).removesuffix(".0") for name, (value, _) in RECORDED.items()}
    assert sentence not in usual
    assert mark not in usual_site.pages[f"/ {language}"]


def test_the_site_page_and_its_live_values_agree(turned_site: Seen, usual_site: Seen) -> None:
    page = turned_site.pages["/ en"]
    for point, (digits, unit, way) in turned_site.live["v"].items():
        shown = f'<span data-value="{point}"><b>{digits}</b> <i>{unit}</i>'
        assert f"{shown} <em>{way}</em>" in page if way else shown in page, point
    powers = [seen.live["v"]["active_power_total"] for seen in (turned_site, usual_site)]
    assert powers == [["1.500", "kW", "taken"], ["1.500", "kW", "given"]]
    assert turned_site.live["n"] == 1500.0
    assert usual_site.live["n"] == -1500.0


def test_charts_turn(turned_site: Seen, usual_site: Seen) -> None:
    assert {(step.low, step.mean, step.high) for step in turned_site.power.steps} == {(1500.0, 1500.0, 1500.0)}
    assert {step.mean for step in usual_site.power.steps} == {-1500.0}
    assert turned_site.energy.quantity.shown.name == "energy_export"
    assert {step.mean for step in turned_site.energy.steps} == {12.5}, "the register that the meter calls import"
    page = turned_site.pages["/meters/{meter} en"]
    assert '<option value="energy_import" selected>energy exported</option>' in page


def test_what_is_least_is_greatest_when_it_is_turned() -> None:
    step = Step(0, 1, -3.0, 5.0, -1.0)
    turn = shown_as(_meter(is_reversed=True), load_profile("eastron-sdm630").point("active_power_total"))
    turned_step = charts._turned(step, turn)
    assert (turned_step.low, turned_step.mean, turned_step.high) == (-5.0, 1.0, 3.0)
    assert charts._turned(replace(step, low=None, mean=None, high=None), turn).mean is None


def test_limits_are_of_what_the_meter_sends_and_shown_turned() -> None:
    meter, profile = _meter(is_reversed=True), load_profile("eastron-sdm630")
    read = Reading(0, (Value("active_power_total", -1500.0, "W"), Value("energy_import", Decimal("12.5"), "kWh")))
    limits = {"active_power_total": Limit(-1000.0, inf), "energy_import": Limit(-inf, 12.0)}
    assert beyond(read, limits, turns(meter, profile)) == (
        Beyond("active_power_total", True, 1000.0, "W"), Beyond("energy_export", True, 12.0, "kWh"),
    )  # fmt: skip
    assert beyond(read, limits, {})[0] == Beyond("active_power_total", False, -1000.0, "W")


def test_records_status_and_readings_are_as_the_meter_says(turned_site: Seen, usual_site: Seen) -> None:
    recorded = {name: value for name, (value, _) in RECORDED.items()}
    assert turned_site.recorded == usual_site.recorded == recorded
    for language, sentence in (("en", "These are the values as it says them"), ("zh", "此处为电表原值")):
        record = turned_site.pages["/meters/{meter}/records/{epoch}/{seq} " + language]
        assert shown(record)["energy_export"] == "8754.25"
        assert sentence in record
        assert sentence not in usual_site.pages["/meters/{meter}/records/{epoch}/{seq} " + language]
    assert "export-main (reversed)" in turned_site.status
    assert (turned_site.marked["export-main"], usual_site.marked["export-main"]) == (True, False)
    assert "reversed: as the meter says" in turned_site.readings
    assert re.search(r"energy_export\s+8754.25", turned_site.readings)
    assert "reversed" not in usual_site.status + usual_site.readings


def _meter(*, is_reversed: bool) -> Meter:
    return Meter(name="m", address=1, profile="eastron-sdm630", reversed=is_reversed, role="generation")


def test_the_energy_in_front_is_that_of_the_role_as_it_is_shown() -> None:
    profile = load_profile("eastron-sdm630")
    assert headline(_meter(is_reversed=False), profile)[1] == "energy_export"
    assert headline(_meter(is_reversed=True), profile)[1] == "energy_import", "which is shown as export"


def test_the_draft_of_a_plan_says_which_counter_is_which(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'name = "export-main"': 'name = "export-main"\nreversed = true'})
    drafted = gateway_command("plan", "init", loaded.path)
    text = "".join(path.read_text() for path in loaded.path.parent.rglob("*.toml")) + drafted.output
    assert text.count("(reversed): what it counts as import is export") == 1
    assert load_config(loaded.path).meters["export-main"].reversed
