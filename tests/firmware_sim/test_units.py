"""Scenarios of units and nodes: what their meters show, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.meters.register_image import Meter
from firmware_sim.plant.model import Plant
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.p1_schema import P1Table

WORKS = """
[plant]
seed = 3
start_hour = 12.0
[[plant.node]]
name = "transformer"
rated_kw = 400
loss = 0.012
[[plant.node]]
name = "hall"
at = "transformer"
rated_kw = 100
loss = 0.02
[[plant.unit]]
name = "press"
kind = "load"
at = "hall"
kw = 90
[[plant.unit]]
name = "roof"
kind = "solar"
at = "hall"
kw = 60
[[plant.unit]]
name = "boiler-1"
kind = "thermal"
at = "transformer"
fuel_kg_h = 200
[[plant.unit]]
name = "store"
kind = "battery"
kw = 20
kwh = 40
[[bus]]
name = "meters"
type = "modbus-tcp"
port = 0
meter = [
  { name = "main", profile = "eastron-sdm630", address = 1 },
  { name = "hall-meter", profile = "eastron-sdm630", address = 2, measures = "hall" },
  { name = "inverter-1", profile = "sunspec-inverter", address = 3, measures = "roof", part = 0.3, sleeps = true },
  { name = "inverter-2", profile = "sunspec-inverter", address = 4, measures = "roof", part = 0.7 },
  { name = "good", profile = "eastron-sdm630", address = 5, measures = "press", class = 0.2 },
  { name = "poor", profile = "eastron-sdm630", address = 6, measures = "press", class = 2.0 },
  { name = "gas", profile = "vaisala-gmp252", address = 7, measures = "press" },
  { name = "no-inverter", profile = "sunspec-inverter", address = 8, measures = "store" },
]
[[bus]]
name = "line"
type = "dlt645"
port = "line"
meter = [{ name = "dlt645", profile = "dlt645-three-phase", address = "000000000001", measures = "hall", class = 1.0 }]
[[bus]]
name = "cems"
type = "hj212"
port = 9001
meter = [{ name = "stack", address = "010000A8900016F000169DC0", measures = "boiler-1" }]
[[bus]]
name = "port"
type = "p1"
port = 0
meter = [{ name = "p1", address = "0-0", measures = "store", class = 0.5 }]
"""
T_MS = 90_500


def loaded(folder: Path, text: str = WORKS) -> Scenario:
    path = folder / "plant.toml"
    path.write_text(text)
    return load_scenario(path)


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return loaded(tmp_path_factory.mktemp("works"))


@pytest.fixture(scope="module")
def plant(works: Scenario) -> Plant:
    return Plant(works.plant)


@pytest.fixture(scope="module")
def meters(works: Scenario, plant: Plant) -> dict[str, Meter]:
    table = works.buses[0]
    assert not isinstance(table, Hj212Table | Dlt645Table | P1Table)
    rows = [row.spec(works.profiles[row.name], table.codes(row)) for row in table.meter]
    return {spec.name: Meter(spec, plant) for spec in rows}


def reading(meter: Meter, name: str, t_ms: int = T_MS) -> float:
    """A point of a meter, as a reader decodes it."""
    point = next(p for p in meter.spec.profile.points if p.name == name)
    value = meter.read(point.fc, point.address, point.registers, t_ms).values[name]
    assert value is not None
    return float(value)


def test_a_meter_at_a_node_sees_what_hangs_there_and_its_losses(meters: dict[str, Meter], plant: Plant) -> None:
    flows = plant.at(T_MS).flows
    hall = reading(meters["hall-meter"], "active_power_total")
    assert hall == pytest.approx(sum(flows["hall"].watts), rel=1e-6)
    losses = hall - sum(flows["press"].watts) - sum(flows["roof"].watts)
    phases = [sum(both) for both in zip(flows["press"].watts, flows["roof"].watts, strict=True)]
    assert losses == pytest.approx(sum(0.02 * watts**2 / (100_000 / 3) for watts in phases), abs=0.01)
    assert reading(meters["main"], "active_power_total") == pytest.approx(sum(flows["grid"].watts), rel=1e-6)


def test_parts_add_up_to_their_place(meters: dict[str, Meter], plant: Plant) -> None:
    roof, both = plant.at(T_MS), [meters["inverter-1"], meters["inverter-2"]]
    specs = [meter.spec for meter in both]
    for name in ("watts", "vars", "exported_wh", "imported_wh"):
        for n in range(3):
            parts = [getattr(spec.flow(roof), name)[n] for spec in specs]
            assert sum(parts) == pytest.approx(getattr(roof.flows["roof"], name)[n], rel=1e-12)
    dc_watts = [inverter.dc_watts for spec in specs if (inverter := spec.unit(roof).inverter)]
    whole = roof.units["roof"].inverter
    assert whole is not None
    assert sum(dc_watts) == pytest.approx(whole.dc_watts)


def test_a_meter_errs_by_one_number_within_its_class(meters: dict[str, Meter], plant: Plant) -> None:
    errors = []
    for name, percent in (("good", 0.2), ("poor", 2.0)):
        shown = [meters[name].spec.flow(plant.at(t_ms)) for t_ms in (0, 1500, T_MS)]
        true = [plant.at(t_ms).flows["press"] for t_ms in (0, 1500, T_MS)]
        found = {s / w - 1 for a, b in zip(shown, true, strict=True) for s, w in zip(a.watts, b.watts, strict=True)}
        found |= {shown[2].imported_wh[n] / true[2].imported_wh[n] - 1 for n in range(3)}
        assert max(found) - min(found) < 1e-12
        assert 0 < abs(max(found)) * 100 <= percent
        assert shown[2].volts == true[2].volts
        errors.append(max(found))
    assert errors[0] != pytest.approx(errors[1] / 10)


def test_what_does_not_stand_at_a_place_is_not_available(meters: dict[str, Meter]) -> None:
    assert {"dc_power", "operating_state"} <= set(meters["no-inverter"].unfilled)
    assert meters["inverter-1"].unfilled == ("serial_number",)
    assert not meters["gas"].unfilled
    assert not meters["inverter-1"].sleeps_at(T_MS)


def test_other_protocols_show_their_place(works: Scenario, plant: Plant) -> None:
    by_type = {type(bus): bus for bus in works.buses}
    line, cems, port = by_type[Dlt645Table], by_type[Hj212Table], by_type[P1Table]
    assert isinstance(line, Dlt645Table)
    assert isinstance(cems, Hj212Table)
    assert isinstance(port, P1Table)
    state = plant.at(T_MS)
    spec = line.meter[0].spec(works.profiles["dlt645"])
    values = Dlt645Meter(spec, plant, lambda t_ms: t_ms).read("02030000", T_MS).values
    shown, hall = 1000 * float(str(values["active_power_total"])), sum(state.flows["hall"].watts)
    assert shown == pytest.approx(sum(spec.flow(state).watts), abs=0.1)
    assert 1e-6 < abs(shown / hall - 1) <= 0.0101
    assert Dlt645Meter(spec, plant, lambda t_ms: t_ms).read("02800007", T_MS).values
    stack = state.units["boiler-1"].stack
    assert stack is not None
    assert Station(cems.meter[0].spec(), plant).moment(T_MS)["a01012-Rtd"] == f"{stack.gas_c:.1f}"
    store = sum(port.spec().flow(state).watts)
    telegram = P1Meter(port.spec(), plant, lambda t_ms: 1_780_000_000_000 + t_ms).telegram(T_MS).decode()
    assert f"1-0:1.7.0({store / 1000:06.3f}*kW)" in telegram
    assert store == pytest.approx(20_000, rel=0.005)
    assert store != 20_000


PRESS = 'name = "press"\nkind = "load"\nat = "hall"\nkw = 90'
HALL = 'name = "hall"\nat = "transformer"'


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        (HALL, 'name = "hall"\nat = "hall"', "plant.node[1].at", "itself"),
        ('name = "transformer"\n', 'name = "transformer"\nat = "hall"\n', "plant.node[0].at", "hall → transformer"),
        (PRESS, PRESS.replace('at = "hall"', 'at = "hal"'), "plant.unit[0].at", "did you mean 'hall'?"),
        (PRESS, PRESS.replace('at = "hall"', 'at = "roof"'), "plant.unit[0].at", "roof is a unit"),
        (PRESS, PRESS.replace('"press"', '"hall"'), "plant.unit[0].name", "plant.node[1].name"),
        (PRESS, PRESS.replace('"press"', '"load"'), "plant.unit[0].name", "load-1"),
        (PRESS, PRESS.replace('"press"', '"grid"'), "plant.unit[0].name", "place"),
        (PRESS, PRESS.replace('"load"', '"laod"'), "plant.unit[0].kind", "did you mean 'load'?"),
        (PRESS, PRESS.replace("kw = 90", "kww = 90"), "plant.unit[0].kw", "missing"),
        (PRESS, PRESS + "\nkwh = 90", "plant.unit[0].kwh", "did you mean 'kw'?"),
        (PRESS, PRESS + "\nload = 1", "plant.unit[0].load", "unknown key"),
        (PRESS, PRESS.replace("kw = 90", "kw = -1"), "plant.unit[0].kw", "-1"),
        ("rated_kw = 100\n", "", "plant.node[1]", "rated_kw"),
        ("loss = 0.02", "loss = 2", "plant.node[1].loss", "2"),
        ("rated_kw = 100", "rated_kw = 5", "plant.node[1].rated_kw", "150 kW"),
        ("seed = 3", "seed = 3\nload_kw = 18", "plant.load_kw", "[[plant.unit]]"),
        ("start_hour = 12.0", "[plant.battery]\nkw = 3", "plant.battery", "[[plant.unit]]"),
        ('measures = "press", class = 0.2', 'measures = "pres"', "bus[0].meter[4].measures", "did you mean 'press'?"),
        ('measures = "press", class = 0.2', 'measures = "load"', "bus[0].meter[4].measures", "no such place"),
        ("class = 0.2", "class = 0", "bus[0].meter[4].class", "greater than 0"),
        ("class = 0.2", "class = 11", "bus[0].meter[4].class", "11"),
        ("class = 0.2", "classs = 1", "bus[0].meter[4].classs", "did you mean 'class'?"),
        ("part = 0.3", "part = 0", "bus[0].meter[2].part", "greater than 0"),
        ("part = 0.3", "part = 1.5", "bus[0].meter[2].part", "1.5"),
        ("part = 0.7", "part = 0.70001", "bus[0].meter[3].part", "1.00001"),
        ('measures = "roof", part = 0.3, sleeps', "sleeps", "bus[0].meter[2].measures", '"roof"'),
        ('"store" },\n]', '"store", sleeps = true },\n]', "bus[0].meter[7].sleeps", "store has no inverter"),
        (', measures = "boiler-1"', "", "bus[2].meter[0].measures", '"boiler-1"'),
        ('measures = "store", class = 0.5', 'measures = "stor"', "bus[3].meter[0].measures", "'store'"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, old: str, new: str, key: str, says: str) -> None:
    assert old in WORKS
    with pytest.raises(ScenarioError) as refused:
        loaded(tmp_path, WORKS.replace(old, new, 1))
    assert refused.value.key == key
    assert says in f"{refused.value.problem} {refused.value.fix}"


def test_nodes_need_units_and_a_plant_of_the_old_keys_has_its_places(tmp_path: Path) -> None:
    bus = '[[bus]]\nname = "b"\ntype = "modbus-tcp"\nport = 0\n[[bus.meter]]\nname = "m"\nprofile = "eastron-sdm630"\n'
    with pytest.raises(ScenarioError) as refused:
        loaded(tmp_path, f'[[plant.node]]\nname = "n"\n{bus}address = 1\n')
    assert refused.value.key == "plant.unit"
    with pytest.raises(ScenarioError) as refused:
        loaded(tmp_path, f'{bus}address = 1\nmeasures = "hydo"\n')
    assert (refused.value.key, refused.value.fix) == ("bus[0].meter[0].measures", "did you mean 'hydro'?")
    assert loaded(tmp_path, f'{bus}address = 1\nmeasures = "hydro"\npart = 0.5\n').plant.units == ()
