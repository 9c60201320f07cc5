"""`meterseal demo --month`: what its plants do, and a few hours of it from plan to recomputed statement."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_sim.plant.stack import NM3_PER_KMOL, gas_of
from firmware_sim.scenario.load import load_scenario
from gateway.accounting.statements.stating import Made
from gateway.cli.demo.books import books_of
from gateway.cli.demo.history import HistoryMaker
from gateway.cli.demo.month import last_month
from gateway.cli.demo.plants import (
    CARBON_AS_ANALYSED,
    MOISTURE_AS_ANALYSED,
    MOISTURE_AS_BURNT,
    SHOWN,
    Plants,
    Story,
)
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import parse_row, row_bytes
from ledger_client.accounting.statement import Choice
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.samples import START_S, site

ROOT = Path(__file__).resolve().parents[3]
MONTH_MIN, SHORT_MIN = 31 * 1440, 480


def test_a_few_hours_are_stated_and_recomputed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gateway.cli", "demo", "--month", "--for", "8h", "--json", "--dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"]
    assert found["answer"] == "YES"
    assert found["i8"]
    first, last = found["statements"]
    assert [first["version"], last["version"]] == [1, 2]
    assert first["findings"] == last["findings"] == {}
    assert first["nodes"] != last["nodes"]
    by_fuel = [{one["node"]: one["amount"] for one in each["nodes"]}["unit-co2-by-fuel"] for each in (first, last)]
    burnt_kg = 375 * 2000  # six hours of 125 t, from the edges' own looks
    assert [Decimal(kg) for kg in by_fuel] == [
        burnt_kg * Decimal("25.8") * Decimal("25.8") / 1000 * 11 / 3,
        pytest.approx(burnt_kg * Decimal("0.70") * 88 / 96 * 11 / 3, abs=Decimal("0.001")),
    ]
    shares = [abs(Decimal(each["by_fuel"][0]["share"])) for each in (first, last)]
    assert shares[1] < Decimal("0.015") < Decimal("0.022") < shares[0]
    (hour,) = last["one_regime"]
    assert (hour["valid"], hour["possible"]) == (46, 60)
    assert {(one["node"], one["status"]): one["intervals"] for one in last["nodes"]} == {
        ("battery-in", "measured"): 8,
        ("battery-out", "measured"): 8,
        ("hydro", "measured"): 8,
        ("factory", "measured"): 5,
        ("factory", "bridged"): 1,
        ("factory", "unallocated"): 1,
        ("factory-co2", "bridged"): 1,
        ("unit-co2", "valid"): 3,
        ("unit-co2", "stopped"): 2,
        ("unit-co2", "missing"): 3,
        ("unit-co2", "substituted"): 3,
        ("unit-co2-cn", "valid"): 4,
        ("unit-co2-cn", "stopped"): 2,
        ("unit-co2-cn", "missing"): 2,
        ("unit-co2-cn", "manual"): 2,
        ("unit-co2-by-fuel", "measured"): 1,
    }
    batches = sorted(Path(found["evidence"]).glob("*.m*"))
    assert all(path.name.startswith("demo-") for path in batches)
    paths = [found["evidence"], *(each["rows"] for each in (first, last))]
    recompute = [sys.executable, "-m", "ledger_client.cli", "recompute", *paths, "--trust", found["trust"]]
    stranger = json.loads(subprocess.run([*recompute, "--json"], capture_output=True, text=True).stdout)
    periods = [(one["version"], one["equal"], one["rows_compared"]) for one in stranger["gateways"][0]["periods"]]
    assert periods == [(1, True, True), (2, True, True)]
    again = [sys.executable, "-m", "gateway.cli", "demo", "--month", "--dir", str(folder)]
    assert subprocess.run(again, capture_output=True).returncode == 2


def test_books_with_a_thousandth_too_much_do_not_close(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms, to_ms = site.from_ms, site.from_ms + 2 * QUARTER_MS
    site.publish(fields := plan_fields(from_ms))
    site.polls(300)
    site.seal()
    statement, rows = site.state(from_ms, to_ms, (0, 0))
    choice = Choice(site.plan, 0, from_ms, to_ms, ((0, b""), (0, b"")))
    made = Made(parse_plan(fields), choice, statement, rows, b"", 0)
    assert books_of(made)["i8"] is True
    last = parse_row(statement.rows[-1])
    assert last.amount is not None
    changed = (*statement.rows[:-1], row_bytes(last._replace(amount=last.amount + 1)))
    assert books_of(replace(made, statement=replace(statement, rows=changed)))["i8"] is False


@pytest.mark.parametrize("minutes", [MONTH_MIN, SHORT_MIN])
def test_all_of_the_story_happens(minutes: int) -> None:
    story = Story.of(minutes)
    plants = Plants(story)
    hydro = [plants.hydro_kwh(minute) for minute in range(minutes)]
    falls = [(before, after) for before, after in pairwise(hydro) if after < before]
    assert len(falls) == 1
    assert falls[0][0] > SHOWN - 100
    assert story.checked.begin // 60 == (story.checked.end - 1) // 60
    ends = (story.checked, story.silent, story.failed, story.stopped, story.exchanged)
    assert all(stretch.end + 30 <= minutes for stretch in ends)
    coal = {plants.coal_kg(minute) for minute in range(story.stopped.begin, story.stopped.end)}
    assert len(coal) == 1
    assert plants.shown(story.silent.begin)["factory"] is None
    for stretch in (story.failed, story.checked):
        failed = plants.shown(stretch.begin)["unit"]
        assert failed is not None
        assert failed["co2"] is None
        assert failed["flow"]


def test_the_coal_units_gas_is_what_the_simulators_boiler_makes_of_this_coal() -> None:
    as_burnt = CARBON_AS_ANALYSED * (100 - MOISTURE_AS_BURNT) / (100 - MOISTURE_AS_ANALYSED)
    spec = load_scenario(ROOT / "configs" / "month" / "plant.toml").plant.stack
    assert spec.carbon == pytest.approx(float(as_burnt), abs=1e-6)
    assert spec.moisture * 100 == float(MOISTURE_AS_BURNT)
    plants = Plants(Story.of(MONTH_MIN))
    burnt_kg = plants.coal_kg(60) - plants.coal_kg(0)
    assert burnt_kg == spec.fuel_kg_h
    for minute, fuel_kg_s in ((0, burnt_kg / 3600), (plants.story.stopped.begin, 0.0)):
        gas, shown = gas_of(spec, fuel_kg_s, spec.excess_air), plants.unit(minute)
        raw = {name: float(number) for name, number in shown.items() if number is not None}
        assert raw["co2"] / 1e4 == pytest.approx(gas.co2 / gas.dry, abs=1e-4)
        assert raw["h2o"] / 1e4 == pytest.approx(gas.h2o / gas.wet, abs=1e-4)
        volume = gas.wet * NM3_PER_KMOL * (273.15 + raw["temperature"] / 10) / 273.15
        assert raw["flow"] / 10 == pytest.approx(volume * 10_132.5 / raw["pressure"], rel=0.005)


@pytest.mark.parametrize("minutes", [MONTH_MIN, SHORT_MIN])
def test_the_battery_gives_nine_tenths_of_what_it_has_taken(minutes: int) -> None:
    plants = Plants(Story.of(minutes))
    both = [plants.shown(minute)["battery"] for minute in range(minutes)]
    charged = [int(one["charge"] or 0) for one in both if one]
    discharged = [int(one["discharge"] or 0) for one in both if one]
    assert len(charged) == len(discharged) == minutes
    for counter in (charged, discharged):
        assert all(a <= b <= a + 10 for a, b in pairwise(counter))
        assert counter[-1] > counter[0]
    held = [0.9 * (c - charged[0]) - (d - discharged[0]) for c, d in zip(charged, discharged, strict=True)]
    assert min(held) >= -1
    assert max(held) == pytest.approx(1800, abs=1)


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        ("2026-11-27T12:00:00+08:00", "2026-10-01T00:00:00+08:00"),
        ("2026-11-01T12:00:00+08:00", "2026-08-01T00:00:00+08:00"),
        ("2026-03-15T12:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        ("2026-01-15T12:00:00+08:00", "2025-12-01T00:00:00+08:00"),
    ],
)
def test_the_month_has_31_days_and_has_been_over_for_a_day(now: str, begins: str) -> None:
    from_ms, to_ms = last_month(int(datetime.fromisoformat(now).timestamp() * 1000))
    assert from_ms == int(datetime.fromisoformat(begins).timestamp() * 1000)
    assert to_ms - from_ms == MONTH_MIN * 60_000


def test_no_other_gateway_signs_what_has_not_happened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test-gateway"):
        HistoryMaker(site(tmp_path), START_S * 1000)
