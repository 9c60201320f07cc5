"""What drives a unit: the sun of its place, the gas of its fuel, and curves of its user's own."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pytest

from firmware_sim.errors import ScenarioError
from firmware_sim.plant.curves import Curve, Limits, curve_of
from firmware_sim.plant.stack import (
    CO2_KG_PER_KMOL,
    SO2_KG_PER_KMOL,
    SO2_MG_PER_NM3,
    TRACE_SO2_MG_M3,
    Air,
    StackSpec,
    gas_of,
    stack_at,
)
from firmware_sim.plant.sun import Panel, PanelSpec, clear_sky
from firmware_sim.plant.units import Counted, Thermal, World
from tests.campaigns.simulator.plant_gas import methane_co2_percent
from tests.campaigns.simulator.plant_sun import compared
from tests.firmware_sim.oracles.tables import rows

DRY_AIR = Air(co2=0.0, h2o=0.0)
WEEK = (
    "time,kw\n2026-06-22T00:00+08:00,100\n2026-06-22T12:00+08:00,200\n2026-06-27T00:00+08:00,10\n"
    "2026-06-29T00:00+08:00,100\n"
)


def unix(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp())


def test_the_sun_stands_where_the_algorithm_of_nrel_has_it() -> None:
    found = compared()
    assert (len({row.place for row in found}), len({row.day for row in found})) >= (12, 4)
    assert max(row.between for row in found) < 0.05


def test_a_tilted_panel_gets_what_pvlib_computes() -> None:
    found = compared()
    assert max(row.apart for row in found) < 0.5
    assert len([row for row in found if row.pvlib.tilted > 500]) > 20


def test_at_night_and_at_the_horizon_no_light_falls() -> None:
    assert clear_sky(0.0) == clear_sky(-0.5) == 0.0
    dark = Panel(PanelSpec(39.9, 116.4, 30, 180)).irradiance(unix("2026-06-21T16:00Z"), 0.0)
    assert (dark.horizontal, dark.beam, dark.diffuse, dark.tilted) == (0, 0, 0, 0)


def test_gas_of_a_fuel_is_what_chemicals_computes() -> None:
    table = rows("gas.csv")
    assert len({row["fuel"] for row in table}) >= 9
    for row in table:
        wanted = {name: float(text) for name, text in row.items() if name != "fuel"}
        fuel = StackSpec(
            carbon=wanted["carbon"],
            hydrogen=wanted["hydrogen"],
            oxygen=wanted["oxygen"],
            sulphur=wanted["sulphur"],
            moisture=wanted["moisture"],
        )
        gas = gas_of(fuel, 1.0, wanted["excess_air"], DRY_AIR)
        got = {"co2": gas.co2, "o2": gas.o2, "so2": gas.so2, "h2o": gas.h2o}
        for name, kmol in got.items():
            assert kmol / gas.dry == pytest.approx(wanted[name], abs=1e-5), (row["fuel"], name)
        assert gas.air == pytest.approx(wanted["air"], rel=2e-4), row["fuel"]  # its atoms weigh by 0.00002 otherwise


def test_methane_with_three_percent_of_oxygen() -> None:
    assert methane_co2_percent() == pytest.approx(10.03, abs=0.01)


def test_sulphur_of_the_fuel_is_in_the_gas_and_takes_part_in_the_air() -> None:
    with_sulphur = StackSpec(fuel_kg_h=36_000, sulphur=0.01, oxygen=0.08)
    stack = stack_at(with_sulphur, 1, 100.0, 8.0, 0.0, 130.0)
    gas = stack.gas
    assert gas.so2 * SO2_KG_PER_KMOL == pytest.approx(8.0 * 0.01 * 64.06 / 32.06)
    assert (gas.co2 - gas.air * 0.00042) * CO2_KG_PER_KMOL == pytest.approx(8.0 * with_sulphur.carbon * 44.01 / 12.011)
    assert stack.so2 == pytest.approx(gas.so2 / gas.dry, rel=0.003)
    assert 500 < stack.so2 * SO2_MG_PER_NM3 < 5000
    unknown = stack_at(StackSpec(fuel_kg_h=36_000), 1, 100.0, 8.0, 0.0, 130.0)
    assert unknown.gas.so2 == 0
    assert unknown.so2 * SO2_MG_PER_NM3 == pytest.approx(TRACE_SO2_MG_M3 * (unknown.co2 - 0.00042))
    assert stack_at(StackSpec(fuel_kg_h=36_000, sulphur=0.0), 1, 100.0, 8.0, 0.0, 130.0).so2 == 0


def test_electricity_is_the_efficiency_times_the_heat_of_the_fuel() -> None:
    boiler = StackSpec(fuel_kg_h=125_000, ncv_mj_kg=24.0, stops=((10, 20),))
    unit = Thermal("unit", boiler=boiler, net_efficiency=0.4, curve=made("time,kw\n00:00,1e5\n12:00,2e5\n"))
    assert unit.full_kw == pytest.approx(125 * 24 / 3.6 * 0.4 * 1000)
    driven = unit.drive(World(1, 6.0), 0, Counted())
    assert -sum(driven.flows[:3]) == pytest.approx(1.5e5 * 1e6, abs=2)
    assert driven.fuel_ug_s == pytest.approx(1.5e8 / 0.4 / 24e6 * 1e9)
    assert unit.drive(World(1, 6.0), 15, Counted()).flows == (0,) * 6


def made(text: str, repeats: Literal["day", "week"] | None = None, offset_s: int | None = None) -> Curve:
    return curve_of(text, "curve.csv", repeats=repeats, offset_s=offset_s)


def test_a_curve_of_the_day_is_linear_around_midnight() -> None:
    curve = made("time,kw\r\n06:00,10\r\n18:00,34\r\n\r\n")
    hours = (6, 9, 12, 18, 0, 24, 30, 3)
    assert [curve.at(3600 * hour) for hour in hours] == [10, 16, 22, 34, 22, 22, 10, 16]
    whole = made("\ufefftime,kw\n00:00,1\n12:00,5\n24:00,3\n")
    assert [whole.at(3600 * hour) for hour in (0, 6, 18, 24)] == [1, 3, 4, 1]


def test_a_curve_of_dates_holds_its_last_value() -> None:
    curve = made("time,kw\n2026-06-21T04:00:00+08:00,10\n2026-06-20T21:00:00Z,20\n")
    begin = unix("2026-06-20T20:00Z")
    assert [curve.at(begin + s) for s in (0, 900, 3600, 10**6)] == [10, 12.5, 20, 20]


def test_a_week_repeats_by_the_clock_of_the_plant() -> None:
    monday = made(WEEK, "week", 8 * 3600)
    hours = (0, 6, 12, 120, 144, 168, 180)
    assert [monday.at(3600 * hour) for hour in hours] == [100, 150, 200, 10, 55, 100, 200]
    # A record that begins on a Thursday, and is cut at midnight of Monday; the plant stands one hour east of it.
    thursday = made("time,kw\n2026-06-25T06:00Z,6\n2026-06-28T22:00Z,94\n2026-06-29T06:00Z,102\n", "week", 3600)
    assert [thursday.at(3600 * hour) for hour in (79, 80, 167, 0, 7)] == [6, 7, 94, 95, 102]
    assert thursday.at(3600 * 43) == pytest.approx(102 - 96 * 36 / 72)  # and falls evenly until Thursday
    same = made("time,kw\n2026-06-25T06:00Z,6\n2026-06-25T18:00Z,94\n2026-06-26T06:00Z,30\n", "day")
    assert [same.at(3600 * hour) for hour in (6, 18, 0)] == [6, 94, 62]
    assert same.at(6 * 3600 - 0.001) == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("", "", "empty"),
        ("\n\n", "", "empty"),
        ("time,kw\n", "", "no rows"),
        ("time,kw\n00:00,5\n", "", "1 rows"),
        ("00:00,5\n01:00,6\n", "line 1", "'00:00,5' is not the header"),
        ("time;kw\n00:00;5\n", "line 1", "'time;kw' is not the header"),
        ("time,kw\n00:00,5\n01:00,6,5\n", "line 3", "6,5 has a decimal comma"),
        ('time,kw\n00:00,"-6,5"\n', "line 2", "-6,5 has a decimal comma"),
        ("time,kw\n00:00;6,5\n", "line 2", "'00:00;6' is no time"),
        ("time,kw\n00:00,5\n00:15,6\n00:15:00,7\n", "line 4", "00:15:00 is the time of line 3 as well (00:15)"),
        ("time,kw\n00:15,5\n00:00,6\n", "line 3", "00:00 is before 00:15 of line 2"),
        ("time,kw\n2026-06-21T04:00+08:00,5\n2026-06-20T20:00Z,6\n", "line 3", "is the time of line 2 as well"),
        ("time,kw\n00:00,5\n2026-06-20T20:00Z,6\n", "line 3", "2026-06-20T20:00Z beside 00:00 of line 2"),
        ("time,kw\n2026-06-20T20:00,5\n", "line 2", "has no offset from UTC"),
        ("time,kw\n2026-06-31T20:00Z,5\n", "line 2", "2026-06-31T20:00Z: day"),
        ("time,kw\n1970-01-01T00:00Z,5\n", "line 2", "is a date of no plant"),
        ("time,kw\n24:01,5\n", "line 2", "24:01 is no time of day"),
        ("time,kw\n7:15,5\n", "line 2", "'7:15' is no time"),
        ("time,kw\n00:00,nan\n", "line 2", "'nan' is no number"),
        ("time,kw\n00:00,\n", "line 2", "'' is no number"),
        ("time,kw\n00:00,1_0\n", "line 2", "'1_0' is no number"),
        ("time,kw\n00:00,1e10\n", "line 2", "1e10 kW: no unit"),
        ("time,kw\n00:00\n", "line 2", "1 values"),
        ('time,kw\n00:00,"5\n', "line 2", "not CSV"),
    ],
)
def test_a_file_that_is_no_curve_is_refused_where_it_is_wrong(text: str, key: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        made(text)
    assert refused.value.key == key
    assert problem in refused.value.problem
    assert "curve.csv" in str(refused.value)


def test_a_curve_longer_than_it_repeats_is_refused() -> None:
    with pytest.raises(ScenarioError) as refused:
        made("time,kw\n2026-06-21T00:00Z,1\n2026-06-22T00:01Z,2\n", "day")
    assert refused.value.key == "line 3"
    with pytest.raises(ScenarioError):
        made(WEEK, "day")
    with pytest.raises(ScenarioError):
        made("time,kw\n00:00,1\n06:00,2\n", "week")


def test_a_curve_beyond_what_the_unit_can_is_refused() -> None:
    limits = Limits(0.0, 350.0, "the unit delivers 0 to 350 kW")
    for kw in ("-0.1", "350.5"):
        with pytest.raises(ScenarioError) as refused:
            curve_of(f"time,kw\n00:00,0\n06:00,{kw}\n", "curve.csv", repeats=None, offset_s=None, limits=limits)
        assert refused.value.key == "line 3"
        assert "0 to 350" in refused.value.problem
