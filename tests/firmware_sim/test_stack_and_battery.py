"""Boiler, stack and battery: no carbon and no energy comes from nowhere, and the wire shows what the plant holds."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.quantities import QUANTITIES, Scene
from firmware_sim.plant.stack import AIR_CO2, AIR_O2, FLOW_NOISE, GAS_NOISE, StackSpec, gas_of
from firmware_sim.plant.state import State
from firmware_sim.scenario.load import load_scenario
from firmware_sim.scenario.schema import TcpTable
from gateway.devices.profile import parse_profile
from tests.firmware_sim.sim_bench import PATIENCE_S

MONTH = Path(__file__).resolve().parents[2] / "configs" / "month" / "plant.toml"
DAY_S, STEP_S = 86_400, 10
CO2_PER_CARBON, KG_PER_NM3 = 44.01 / 12.011, 44.01 / 22.414
SPEC = PlantSpec(
    seed=3,
    start_hour=0.0,
    stack=StackSpec(fuel_kg_h=125_000, stops=((36_000, 43_200),)),
    battery=BatterySpec(kw=20, kwh=60),
)


@cache
def day() -> list[State]:
    """A day of the plant, every ten seconds, both ends included."""
    plant = Plant(SPEC)
    return [plant.at(second * 1000) for second in range(0, DAY_S + 1, STEP_S)]


def shown(state: State, name: str) -> float:
    return QUANTITIES[name].of(Scene(state, state.flows["battery"]))


def emitted_kg_s(state: State) -> float:
    """CO₂ as a gateway computes it: dry share × normal flow × (1 − H₂O) × density."""
    normal = shown(state, "stack_flow") * 273.15 / (273.15 + shown(state, "stack_temperature"))
    normal *= shown(state, "stack_pressure") / 101_325
    return shown(state, "stack_co2") * normal * (1 - shown(state, "stack_h2o")) * KG_PER_NM3


def test_the_carbon_of_a_day_is_that_of_its_fuel() -> None:
    states = day()
    by_stack = sum(emitted_kg_s(state) for state in states[:-1]) * STEP_S
    by_fuel = (shown(states[-1], "fuel_weight") - shown(states[0], "fuel_weight")) * SPEC.stack.carbon * CO2_PER_CARBON
    assert by_fuel > 1e6
    # The air brings 0.042 % of CO2, 0.3 % of what the fuel gives; the noise of the instruments is around 0.
    assert 1.002 < by_stack / by_fuel < 1.005


def test_at_each_moment_the_instruments_err_by_no_more_than_they_may() -> None:
    most = FLOW_NOISE + 2 * GAS_NOISE + 0.005  # temperature and pressure together are below the last
    for state in day():
        assert emitted_kg_s(state) == pytest.approx(state.stack.gas.co2_kg_s, rel=most)
    errors = {round(emitted_kg_s(state) / state.stack.gas.co2_kg_s - 1, 4) for state in day()}
    assert max(errors) > 0.005 > -0.005 > min(errors)


def test_oxygen_falls_where_carbon_dioxide_rises() -> None:
    burning = [state for state in day() if state.stack.firing_w > 0]
    for state in burning:
        co2, o2 = shown(state, "stack_co2"), shown(state, "stack_o2")
        assert 0.10 < co2 < 0.16
        assert 0.03 < o2 < 0.09
        # Each kmol of carbon takes one of oxygen, the fuel's hydrogen takes a little more.
        assert co2 + o2 < AIR_O2 + AIR_CO2
        assert co2 + o2 > 0.18
    assert len(burning) > 7000


def test_a_unit_that_is_stopped_burns_nothing_and_shows_air() -> None:
    stopped = day()[36_010 // STEP_S : 43_190 // STEP_S]
    assert len({shown(state, "fuel_weight") for state in stopped}) == 1
    for state in stopped:
        assert shown(state, "firing_power") == 0
        assert shown(state, "stack_co2") == pytest.approx(AIR_CO2, rel=GAS_NOISE)
        assert shown(state, "stack_o2") == pytest.approx(AIR_O2, rel=GAS_NOISE)
    cold, hot = shown(stopped[-1], "stack_temperature"), shown(stopped[0], "stack_temperature")
    assert cold < 20 < 90 < hot


def test_the_scale_never_falls_and_weighs_what_burns() -> None:
    weights = [shown(state, "fuel_weight") for state in day()]
    assert all(a <= b for a, b in pairwise(weights))
    ncv = SPEC.stack.ncv_mj_kg * 1e6
    for (a, b), (here, ahead) in zip(pairwise(weights[:600]), pairwise(day()[:600]), strict=True):
        mean = (here.stack.firing_w + ahead.stack.firing_w) / 2 / ncv
        assert (b - a) / STEP_S == pytest.approx(mean, rel=0.15)  # a pump starts within the ten seconds


def test_the_battery_holds_no_less_than_nothing_and_no_more_than_it_can() -> None:
    shares = [shown(state, "state_of_charge") for state in day()]
    assert min(shares) >= 0
    assert max(shares) <= 1
    assert min(shares) < 0.01 < 0.99 < max(shares)  # it meets both ends


def test_the_battery_loses_what_its_efficiency_says() -> None:
    battery = SPEC.battery
    for state in day():
        charged, discharged = shown(state, "energy_import"), shown(state, "energy_export")
        held = battery.kwh * 1000 * shown(state, "state_of_charge")
        assert held == pytest.approx(30_000 + charged * 0.95 - discharged / 0.95, abs=0.001)
    first, last = day()[0], day()[-1]
    assert shown(last, "energy_import") > 90_000
    lost = shown(last, "energy_import") - shown(last, "energy_export")
    lost -= (shown(last, "state_of_charge") - shown(first, "state_of_charge")) * 60_000
    assert lost > 0.08 * shown(last, "energy_export")


def test_the_battery_is_part_of_the_grid() -> None:
    drawn = {round(sum(state.flows["battery"].watts)) for state in day()}
    assert {20_000, -20_000, 0} <= drawn
    for state in day()[::100]:
        places = [sum(flow.watts) for name, flow in state.flows.items() if name != "grid"]
        assert sum(state.flows["grid"].watts) == pytest.approx(sum(places), abs=0.01)


@given(st.floats(0, 1), st.floats(0, 48), st.floats(0.1, 1), st.floats(0, 1e6), st.floats(0.1, 1e6))
def test_a_second_at_any_power_leaves_it_within_its_bounds(
    share: float, hour: float, efficiency: float, kw: float, kwh: float
) -> None:
    spec = BatterySpec(kw, kwh, efficiency, share)
    held = spec.held_wh(0, 0)
    power = spec.power_w(hour, held)
    after = spec.held_wh(max(0.0, power) / 3600, max(0.0, -power) / 3600)
    assert abs(power) <= kw * 1000
    assert -1e-9 * kwh <= after <= kwh * 1000 * (1 + 1e-12)


def test_without_a_boiler_nothing_flows() -> None:
    gas = gas_of(StackSpec(), 0.0, 1.3)
    assert gas.wet == 0
    state = Plant(PlantSpec()).at(1500)
    assert [shown(state, name) for name in ("stack_flow", "fuel_weight", "firing_power", "stack_co2")] == [0, 0, 0, 0]
    assert shown(state, "state_of_charge") == 0


def test_a_belt_scale_in_tonnes_and_a_flow_by_the_hour() -> None:
    points = """format = 2
    [points]
    coal = { fc = 3, address = 0, type = "uint32", unit = "kg", from_unit = "t", scale = -2, kind = "counter" }
    flow = { fc = 3, address = 2, type = "float32", unit = "m3/s", from_unit = "m3/h" }
    """
    profile = parse_profile(f'vendor = "V"\ndevice = "D"\nsource = "S"\n{points}', "own", "own.toml")
    plant = Plant(PlantSpec(stack=StackSpec(fuel_kg_h=7_200_000)))
    show = {"coal": "fuel_weight", "flow": "stack_flow"}
    meter = Meter(MeterSpec("scale", profile, 1, show=show, start_kg=5_000.0), plant)
    reply = meter.read(3, 0, 4, 60_000)
    weighed = 5_000 + plant.at(60_000).stack.fuel_kg
    assert reply.registers[1] == round(weighed / 10)
    assert Decimal(str(reply.values["coal"])) == round(weighed / 10) * 10
    (flow,) = struct.unpack(">f", struct.pack(">HH", *reply.registers[2:]))
    assert flow == pytest.approx(plant.at(60_000).stack.flow_m3_s * 3600, rel=1e-6)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[socket.socket, Path]]:
    """The month's plants behind a real socket, and their answer log."""
    folder = tmp_path_factory.mktemp("month")
    command = [sys.executable, "-m", "firmware_sim.cli", "run", str(MONTH), "--port", "site=0", "--ready"]
    command += [str(folder / "ready.json"), "--log", str(folder / "answers.jsonl"), "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("bus site: modbus-tcp at ")
        line = json.loads((folder / "ready.json").read_text())["lines"]["site"]
        with socket.create_connection((line["host"], line["port"]), PATIENCE_S) as wire:
            yield wire, folder / "answers.jsonl"
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_a_gateway_that_reads_the_months_plants_finds_the_carbon_of_the_coal(
    site: tuple[socket.socket, Path], tmp_path: Path
) -> None:
    for file in MONTH.parent.glob("*.toml"):
        shutil.copy(file, tmp_path)
    config = tmp_path / "gateway.toml"
    config.write_text(config.read_text().replace("port = 502", f"port = {site[0].getpeername()[1]}"))
    command = [sys.executable, "-m", "gateway.cli", "read", str(config), "unit", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = {one["name"]: float(one["value"]) for one in json.loads(done.stdout)["values"]}
    normal = read["flow"] * 273.15 / (273.15 + read["temperature"]) * read["pressure"] / 1013.25
    by_stack = read["co2"] / 100 * normal * (1 - read["h2o"] / 100) * KG_PER_NM3
    fuel = load_scenario(MONTH).plant.stack
    by_fuel = read["load"] / (1000 * fuel.ncv_mj_kg) * fuel.carbon * CO2_PER_CARBON
    assert by_stack == pytest.approx(by_fuel, rel=FLOW_NOISE + 2 * GAS_NOISE + 0.01)
    assert read["coal"] >= 1_000_000


def test_the_log_of_the_months_plants_has_what_the_plant_held(site: tuple[socket.socket, Path]) -> None:
    wire, log = site
    for unit, count in ((1, 2), (2, 10), (3, 2), (4, 5)):
        wire.sendall(struct.pack(">3H2B2H", unit, 0, 6, unit, 3, 0, count))
        head = wire.recv(9, socket.MSG_WAITALL)
        assert head[7:] == bytes((3, 2 * count))
        assert len(wire.recv(2 * count, socket.MSG_WAITALL)) == 2 * count
    entries = {entry["meter"]: entry for entry in map(json.loads, log.read_text().splitlines())}
    scenario = load_scenario(MONTH)
    (bus,) = scenario.buses
    assert isinstance(bus, TcpTable)
    steps = {"pressure": 0.1, "temperature": 0.1, "flow": 0.1, "state_of_charge": 0.1}
    plant = Plant(scenario.plant)
    for table in bus.meter:
        spec = table.spec(scenario.profiles[table.name], bus.codes(table))
        state = plant.at(entries[table.name]["at_ms"])
        scene = Scene(state, state.flows[spec.measures], spec.start_wh, spec.start_varh, spec.start_kg)
        wanted = {"state_of_charge": "state_of_charge", **spec.show}
        units = {"/100": 100.0, "hPa": 0.01, "kWh": 0.001, "kW": 0.001}
        for name, value in entries[table.name]["values"].items():
            recorded_in = next(point.unit for point in spec.profile.points if point.name == name)
            held = QUANTITIES[str(wanted[name])].of(scene) * units.get(str(recorded_in), 1.0)
            step = 0.01 if name in ("co2", "o2", "h2o") else steps.get(name, 1.0)
            assert abs(float(value) - held) <= step / 2 + 1e-9, name
    assert set(entries["unit"]["values"]) == {
        "co2", "o2", "h2o", "flow", "temperature", "pressure", "load", "coal"
    }  # fmt: skip
    assert set(entries["battery"]["values"]) == {"charge", "discharge", "state_of_charge"}
