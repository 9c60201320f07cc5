"""A day of each plant that comes with Meterseal: nothing is left over at a node, counters are the area under their
power, parts sum to their place; its sun beside pvlib, its gas beside the fuel. duckdb judges what ``truth`` writes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from firmware_sim.cli.truth import rows, write
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant
from firmware_sim.plant.stack import AMBIENT_AIR
from firmware_sim.plant.state import Flow
from firmware_sim.plant.tree import NodeSpec, Tree
from firmware_sim.plant.units import Load, Thermal
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.schema import MeterTable
from firmware_sim.scenario.shipped import plants as shipped
from gateway.devices.profile import Profile
from tests.campaigns.simulator.plant_gas import GasBalance, methane_co2_percent
from tests.campaigns.simulator.plant_sun import sun_figures

TRUTH_S = 900
"""Of each plant this long goes through duckdb, second by second; less where it has more than ten meters."""
J_PER_WH = 3600


class Area:
    """Counters of one place beside the trapezoids under its powers, phase by phase: what was imported less what was
    exported, for within a second the power may cross zero."""

    def __init__(self) -> None:
        self._before: Sequence[float] = ()
        self._joules = [0.0] * 3

    def add(self, flow: Flow) -> None:
        """The flow one second after the last that was added."""
        if self._before:
            ramps = zip(self._joules, self._before, flow.watts, strict=True)
            self._joules = [joules + (a + b) / 2 for joules, a, b in ramps]
        self._before = flow.watts

    def off_wh(self, flow: Flow) -> float:
        """How far the counters are from it."""
        net = (taken - given for taken, given in zip(flow.imported_wh, flow.exported_wh, strict=True))
        return max(abs(joules / J_PER_WH - wh) for joules, wh in zip(self._joules, net, strict=True))


def left_over_mw(tree: Tree, flows: Mapping[str, Flow]) -> int:
    """The most that is left over at a node: what flows into it, less what flows to all below, less its losses."""
    most = 0
    for name, below in tree.below.items():
        node = tree.nodes[name]
        for phase in range(3):
            down = sum(round(flows[place].watts[phase] * 1000) for place in below)
            down_var = sum(round(flows[place].vars[phase] * 1000) for place in below)
            into, into_var = round(flows[name].watts[phase] * 1000), round(flows[name].vars[phase] * 1000)
            most = max(most, abs(into - down - _lost_mw(node, down)), abs(into_var - down_var))
    return most


def _lost_mw(node: NodeSpec, down_mw: int) -> int:
    """The square law, in words of its own: the loss at the rated power of a phase, by the square of the share of it."""
    if not node.loss:
        return 0
    rated_mw = node.rated_kw / 3 * 1e6
    return round(node.loss * rated_mw * (down_mw / rated_mw) ** 2)


def of_plant(scenario: Scenario, seconds: int) -> dict[str, float]:
    """The figures of one plant over a time."""
    plant = Plant(scenario.plant)
    cpu_s = time.process_time()
    plant.step_to(seconds)
    cpu_s = time.process_time() - cpu_s
    plant = Plant(scenario.plant)
    areas = {place: Area() for place in plant.tree.places}
    boilers = {unit.name: unit.boiler for unit in plant.units if isinstance(unit, Load | Thermal) and unit.boiler}
    gases = {name: GasBalance(boiler, AMBIENT_AIR) for name, boiler in boilers.items() if boiler.fuel_kg_h}
    left = 0
    for second in range(seconds + 1):
        state = plant.at(second * 1000)
        flows = {place: state.flows[place] for place in plant.tree.places}
        left = max(left, left_over_mw(plant.tree, flows))
        for place, flow in flows.items():
            areas[place].add(flow)
        for name, gas in gases.items():
            stack = state.units[name].stack
            assert stack is not None
            gas.add(stack)
    off = {place: area.off_wh(flows[place]) for place, area in areas.items()}
    return {
        "left_over_mw": left,
        "counters_off_wh": max(off.values()),
        "carbon_off": max((abs(gas.carbon_off) for gas in gases.values()), default=0.0),
        "measured_off": max((abs(gas.measured_off) for gas in gases.values()), default=0.0),
        "plant_s_per_cpu_s": seconds / cpu_s,
    }


def parts_off(scenario: Scenario, seconds: int) -> float:
    """How far the parts that meters see are from their place, where they add up to one: of its counters, in Wh, and of
    its power, in W."""
    plant, found = Plant(scenario.plant), dict[str, list[MeterSpec]]()
    state = plant.at(seconds * 1000)
    for bus in scenario.buses:
        for row in bus.meter:
            if isinstance(row, MeterTable) and row.name in scenario.profiles:
                spec = row.spec(scenario.profiles[row.name], {})
                if spec.part != 1:
                    found.setdefault(spec.measures, []).append(spec)
    off = 0.0
    for place, specs in found.items():
        if sum(spec.part for spec in specs) == 1:
            flow = state.flows[place]
            for name in ("watts", "imported_wh", "exported_wh"):
                parts = sum(sum(getattr(state.seen(place, s.name, s.part, 0.0), name)) for s in specs)
                off = max(off, abs(parts - sum(getattr(flow, name))))
    return off


AREAS = """
with powers as (select meter, at_ms, sum(greatest(plant * factor, 0)) taken, sum(greatest(-plant * factor, 0)) given
  from truth join units using (meter, point) where is_power group by all),
ramps as (select *, at_ms - lag(at_ms) over w ms, lag(taken) over w taken_before, lag(given) over w given_before
  from powers window w as (partition by meter order by at_ms)),
areas as (select meter, sum((taken + taken_before) / 2 * ms) / 3.6e6 taken, sum((given + given_before) / 2 * ms) / 3.6e6
  given from ramps group by meter),
counters as (select meter, point, (max_by(plant, at_ms) - min_by(plant, at_ms)) * factor grown
  from truth join units using (meter, point) where not is_power group by meter, point, factor)
select count(*), coalesce(max(abs(grown - if(point = 'energy_import', taken, given))), 0)
  from areas join counters using (meter)
"""
"""Each counter of a meter, in Wh, beside the trapezoids under the powers of its phases."""
IN_WATTS = {"W": 1.0, "kW": 1000.0, "Wh": 1.0, "kWh": 1000.0, "MWh": 1e6}
POWERS, COUNTERS = ("active_power_l1", "active_power_l2", "active_power_l3"), ("energy_import", "energy_export")


def of_truth(scenario: Scenario) -> dict[str, float]:
    """What duckdb finds in the rows of ``truth``, of each second, of meters that show powers of phases and energies."""
    units = [row for name, profile in scenario.profiles.items() for row in _units(name, profile)]
    seconds = max(60, TRUTH_S * 10 // max(10, len(scenario.profiles)))
    with tempfile.TemporaryDirectory(prefix="plant-truth-") as folder:
        path = Path(folder) / "truth.csv"
        write(path, rows(scenario, seconds * 1000, 1000))
        with duckdb.connect() as base:
            base.execute("create table units (meter text, point text, factor double, is_power bool)")
            if units:
                base.executemany("insert into units values (?, ?, ?, ?)", units)
            base.execute(f"create table texts as from read_csv('{path}', all_varchar = true)")
            base.execute(
                "create table truth as select meter, point, cast(at_ms as bigint) at_ms, "
                "try_cast(plant as double) plant from texts"
            )
            (lines,) = base.execute("select count(*) from truth").fetchall()[0]
            counters, off = base.execute(AREAS).fetchall()[0]
    return {"truth_rows": lines, "truth_counters": counters, "truth_off_wh": off}


def _units(meter: str, profile: Profile) -> Iterator[tuple[str, str, float, bool]]:
    """The powers and counters of a meter, and what makes W and Wh of them; an inverter has signs of its own."""
    points = {point.name: point.unit for point in profile.points}
    if not profile.may_sleep and all(points.get(name) in IN_WATTS for name in POWERS):
        for name in (*POWERS, *COUNTERS):
            if (unit := points.get(name)) in IN_WATTS:
                yield meter, name, IN_WATTS[str(unit)], name in POWERS


SMALLEST = ({"hours": 0.02, "plants": "factory"},)


def run(hours: float = 24.0, plants: str = "") -> dict[str, object]:
    """A day of each plant, or of those named with commas between them."""
    known = shipped()
    figures: dict[str, object] = {}
    worst: dict[str, float] = {}
    for name in plants.split(",") if plants else known:
        scenario = load_scenario(known[name])
        found = {
            **of_plant(scenario, round(hours * 3600)),
            "parts_off": parts_off(scenario, round(hours * 3600)),
            **of_truth(scenario),
        }
        figures |= {f"{name}_{key}": value for key, value in found.items()}
        for key, value in found.items():
            if key in LEAST:
                worst[key] = min(value, worst.get(key, value))
            elif not key.startswith("truth_rows"):
                worst[key] = max(value, worst.get(key, 0.0))
    gas: dict[str, object] = {"methane_co2_percent": round(methane_co2_percent(), 4)}
    return {**worst, **gas, **sun_figures(), **figures}


LEAST = ("plant_s_per_cpu_s",)
"""Figures of which the smallest is the worst."""
