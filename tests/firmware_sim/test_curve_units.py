"""Units that follow a curve, stand under the sun of their place, or burn a fuel: what they do, and what is refused."""

from __future__ import annotations

import math
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.register_image import Meter
from firmware_sim.plant.model import Plant
from firmware_sim.plant.stack import AMBIENT_AIR, CO2_PER_CARBON, StackSpec
from firmware_sim.plant.state import SLEEPING, there
from firmware_sim.plant.units import Thermal
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.schema import RtuTcpTable, TcpTable
from tests.campaigns.simulator.plant_gas import GasBalance

START = "2026-06-22T08:00+08:00"  # a Monday
BUS = """
[[bus]]
name = "meters"
type = "modbus-tcp"
port = 0
meter = [{ name = "main", profile = "eastron-sdm630", address = 1 }]
"""
DAY, WEEK, DATES = (
    "time,kw\n07:00,0\n09:00,40\n17:00,-8\n",
    "time,kw\n2026-01-05T00:00:00Z,10\n2026-01-11T16:00:00Z,94\n",
    "time,kw\n2026-06-22T00:00:00Z,5\n2026-06-22T02:00:00Z,9\n",
)
FILES = {"day.csv": DAY, "week.csv": WEEK, "dates.csv": DATES, "double.csv": "time,kw\n07:00,0\n07:00:00,4\n"}


def scenario(folder: Path, *units: str, start: str | None = START) -> Scenario:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    rows = "".join(f"[[plant.unit]]\n{unit}\n" for unit in units)
    file = folder / "plant.toml"
    file.write_text(f"[plant]\nseed = 5\n{f'start = {start!r}' if start else ''}\n{rows}{BUS}")
    return load_scenario(file)


def kw(plant: Plant, unit: str, hours: float) -> float:
    return sum(plant.at(round(hours * 3_600_000)).flows[unit].watts) / 1000


def test_every_kind_of_unit_follows_its_curve(tmp_path: Path) -> None:
    found = scenario(
        tmp_path,
        'name = "works"\nkind = "load"\nkw = 40\ncurve = "day.csv"\nrepeats = "day"',
        'name = "roof"\nkind = "solar"\nkw = 100\ncurve = "week.csv"\nrepeats = "week"',
        'name = "mill"\nkind = "hydro"\nkw = 9\ncurve = "dates.csv"',
        'name = "store"\nkind = "battery"\nkw = 40\nkwh = 30\ncharged = 0.5\ncurve = "day.csv"',
        'name = "engine"\nkind = "thermal"\nfuel_kg_h = 40\nncv_mj_kg = 50\nnet_efficiency = 0.4\ncurve = "dates.csv"',
    )
    plant = Plant(found.plant)
    assert kw(plant, "works", 0) == pytest.approx(20, abs=0.5 * 20)  # phases of a load wander by 5 % each
    assert [kw(plant, "roof", hours) for hours in (0, 1)] == pytest.approx([-10, -10.525])  # 08:00 here is 00:00 there
    assert [kw(plant, "mill", hours) for hours in (0, 0.5, 1)] == pytest.approx([-5, -6, -7])
    assert [kw(plant, "engine", hours) for hours in (0, 0.5, 1)] == pytest.approx([-5, -6, -7])
    stack = there(plant.at(3_600_000).units["engine"].stack)
    assert stack.fuel_kg == pytest.approx(6 * 3.6 / 50 / 0.4, abs=1e-6)
    assert kw(plant, "store", 0.5) == pytest.approx(30, abs=0.01)
    assert 0.99 < there(plant.at(3_600_000).units["store"].charge) <= 1  # there is less room than the curve wants
    assert 0 <= kw(plant, "store", 1) < 4


def test_panels_stand_under_the_sun_of_their_place(tmp_path: Path) -> None:
    place = "latitude = 69.65\nlongitude = 18.96\nclouds = 0.2"
    units = (
        f'name = "north"\nkind = "solar"\nkw = 100\n{place}\nazimuth = 50\ntilt = 60',
        f'name = "south"\nkind = "solar"\nkw = 100\n{place}',
        f'name = "twin"\nkind = "solar"\nkw = 50\n{place}',
    )
    night, noon = (
        {name: -sum(flow.watts) for name, flow in Plant(scenario(tmp_path, *units, start=at).plant).at(0).flows.items()}
        for at in ("2026-06-21T03:44+02:00", "2026-06-21T12:44+02:00")
    )
    assert night["north"] > 2 * night["south"] > 1000  # in Tromsø it does not set in June, and stands in the north-east
    assert noon["north"] < noon["south"] > 50_000
    assert noon["twin"] == pytest.approx(noon["south"] / 2, rel=1e-6)
    winter = Plant(scenario(tmp_path, f'name = "s"\nkind = "solar"\nkw = 9\n{place}', start="2026-12-21T11:44Z").plant)
    assert sum(winter.at(0).flows["s"].watts) == 0
    assert there(winter.at(0).units["s"].inverter).state == SLEEPING


def test_the_gas_of_a_unit_has_the_carbon_of_its_fuel(tmp_path: Path) -> None:
    fuel = "carbon = 0.6\nhydrogen = 0.04\nmoisture = 0.1\nsulphur = 0.012\noxygen = 0.08\nnet_efficiency = 0.36"
    plant = Plant(scenario(tmp_path, f'name = "unit-1"\nkind = "thermal"\nfuel_kg_h = 125000\n{fuel}').plant)
    (unit,) = plant.units
    assert isinstance(unit, Thermal)
    balance = GasBalance(unit.boiler, AMBIENT_AIR)
    for second in range(1801):
        balance.add(there(plant.at(second * 1000).units["unit-1"].stack))
    assert balance.burnt_kg > 25_000
    assert abs(balance.carbon_off) < 1e-9
    assert abs(balance.measured_off) < 0.001
    state = plant.at(1_800_000)
    delivered_wh = sum(state.flows["unit-1"].exported_wh)
    assert delivered_wh == pytest.approx(balance.burnt_kg * 25.8e6 * 0.36 / 3600, rel=1e-9)
    assert unit.boiler == StackSpec(125_000, carbon=0.6, hydrogen=0.04, moisture=0.1, sulphur=0.012, oxygen=0.08)


PANEL = 'name = "roof"\nkind = "solar"\nkw = 9\n'
BOILER = 'name = "unit"\nkind = "thermal"\nfuel_kg_h = 100\n'


@pytest.mark.parametrize(
    ("unit", "start", "key", "problem"),
    [
        (PANEL + "latitude = 39.9\nlongitude = 116.4", None, "plant.unit[0].latitude", "the plant has none"),
        (PANEL + "latitude = 90.0\nlongitude = 116.4", START, "plant.unit[0].latitude", "89.8"),
        (PANEL + "latitude = 39.9\nlongitude = 181", START, "plant.unit[0].longitude", "180"),
        (PANEL + "latitude = 39.9", START, "plant.unit[0]", "a latitude and a longitude"),
        (PANEL + "tilt = 20", START, "plant.unit[0]", "a latitude and a longitude"),
        (PANEL + "latitude = 39.9\nlongitude = 116.4\ntilt = 91", START, "plant.unit[0].tilt", "90"),
        (PANEL + "latitude = 39.9\nlongitude = 116.4\nclouds = 1.1", START, "plant.unit[0].clouds", "1"),
        (PANEL + 'curve = "day.csv"\nlatitude = 39.9\nlongitude = 116.4', START, "plant.unit[0]", "remove latitude"),
        (PANEL + 'repeats = "day"', START, "plant.unit[0]", "there is none"),
        (PANEL + 'curve = "day.csv"\nrepeats = "month"', START, "plant.unit[0].repeats", "'month'"),
        (PANEL + 'curve = "none.csv"', START, "plant.unit[0].curve", "none.csv"),
        (PANEL + r'curve = "\u0000"', START, "plant.unit[0].curve", "pattern"),
        (PANEL + 'curve = "."', START, "plant.unit[0].curve", "directory"),
        (PANEL + 'curve = "double.csv"', START, "line 3", "07:00:00 is the time of line 2"),
        (PANEL + 'curve = "day.csv"', START, "line 3", "roof has no more than kw = 9"),
        (PANEL + 'curve = "dates.csv"', None, "plant.unit[0].curve", "the plant has none"),
        (PANEL + 'curve = "dates.csv"', "2026-06-22T12:00+08:00", "plant.unit[0].curve", "the plant starts at"),
        (PANEL + 'curve = "dates.csv"', "2026-06-21T12:00+08:00", "plant.unit[0].curve", "the plant starts at"),
        (BOILER + 'curve = "day.csv"', START, "line 4", "unit delivers 0 to"),
        (BOILER + "carbon = 0.8\nmoisture = 0.2", START, "plant.unit[0]", "103.6 % of it"),
        (BOILER + "carbon = 0.6\nsulphur = 0.2\noxygen = 0.2", START, "plant.unit[0]", "113.6 % of it"),
        (BOILER + "carbon = 0.1\nhydrogen = 0\noxygen = 0.5", START, "plant.unit[0]", "without air"),
        (BOILER + "sulphur = 1.5", START, "plant.unit[0].sulphur", "less than or equal to 1"),
        (BOILER + "net_efficiency = 38", START, "plant.unit[0].net_efficiency", "less than or equal"),
        (BOILER.replace("100", "0"), START, "plant.unit[0].fuel_kg_h", "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    tmp_path: Path, unit: str, start: str | None, key: str, problem: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario(tmp_path, unit, start=start)
    assert refused.value.key == key
    assert problem in refused.value.problem + refused.value.fix


def test_astral_is_imported_with_a_latitude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "astral"]:
        monkeypatch.delitem(sys.modules, name)
    moment = datetime.fromisoformat(START) + timedelta(hours=1)
    without = Plant(scenario(tmp_path, PANEL, start=moment.isoformat()).plant)
    assert sum(without.at(0).flows["roof"].watts) < 0
    assert "astral" not in sys.modules
    place = "latitude = 21.3\nlongitude = 121.2"
    assert sum(Plant(scenario(tmp_path, PANEL + place).plant).at(0).flows["roof"].watts) < 0
    assert "astral" in sys.modules


def test_the_coal_plant_shows_one_fire_in_its_generator_and_its_stack() -> None:
    found = load_scenario(Path("coal"))
    plant = Plant(found.plant)
    unit, (generator, stack) = plant.units[0], found.buses
    assert isinstance(unit, Thermal)
    assert isinstance(generator, TcpTable)
    assert isinstance(stack, Hj212Table)
    row = generator.meter[0]
    meter = Meter(row.spec(found.profiles[row.name], generator.codes(row)), plant)
    tariffs = [point for point in meter.spec.profile.points if point.name in ("energy_export_t1", "energy_export_t2")]

    def exported_kwh(t_ms: int) -> float:
        replies = [meter.read(point.fc, point.address, point.registers, t_ms) for point in tariffs]
        return sum(float(str(value)) for reply in replies for value in reply.values.values())

    texts = Station(stack.meter[0].spec(), plant).period(0, 600_000)
    fuel_kg = (exported_kwh(600_000) - exported_kwh(0)) * 3.6 / unit.net_efficiency / unit.boiler.ncv_mj_kg
    assert fuel_kg > 10_000
    assert float(texts["a05001-Cou"]) == pytest.approx(fuel_kg * unit.boiler.carbon * CO2_PER_CARBON, rel=0.01)
    assert float(texts["a21026-Cou"]) == pytest.approx(fuel_kg * 0.006 * 64.06 / 32.06, rel=0.01)


def test_the_main_meter_of_the_factory_shows_its_six_and_their_losses() -> None:
    found = load_scenario(Path("factory"))
    flows = Plant(found.plant).at(0).flows
    (bus,) = found.buses
    assert isinstance(bus, RtuTcpTable)
    main, *six = [sum(flows[row.measures or "grid"].watts) for row in bus.meter]
    assert len(six) == 6
    assert 0.005 < main / math.fsum(six) - 1 < 0.04
    assert sum(flows["presses"].watts) / 1000 == pytest.approx(83.5, rel=0.05)  # Monday, between 05:45 and 06:15


def test_the_inverters_of_the_park_are_the_whole_of_its_panels() -> None:
    found = load_scenario(Path("park"))
    state = Plant(found.plant).at(0)
    bus = found.buses[1]
    assert isinstance(bus, TcpTable)
    rows = [row.spec(found.profiles[row.name], bus.codes(row)) for row in bus.meter]
    assert len(rows) == 200
    shown = math.fsum(sum(row.flow(state).watts) for row in rows)
    assert shown == pytest.approx(sum(state.flows["panels"].watts), rel=1e-9)
    assert shown < -3_000_000
    inverter = there(rows[7].unit(state).inverter)
    assert inverter.dc_watts == pytest.approx(-sum(rows[7].flow(state).watts) / 0.975, rel=0.01)
