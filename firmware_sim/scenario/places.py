"""Places of a plant: what hangs where below the grid connection, and which meter sits at which place.

Each check raises ``Unfit`` for the first mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from firmware_sim.plant.model import PLACES, PlantSpec
from firmware_sim.plant.tree import GRID
from firmware_sim.scenario.complaints import Unfit, nearest
from firmware_sim.scenario.dlt645_schema import Dlt645MeterTable
from firmware_sim.scenario.hj212_schema import StationTable
from firmware_sim.scenario.p1_schema import P1MeterTable
from firmware_sim.scenario.plant_schema import OLD_KEYS, PlantTable
from firmware_sim.scenario.schema import MeterTable
from gateway.devices.profile import Profile

MeterRow = MeterTable | Dlt645MeterTable | StationTable | P1MeterTable
MOST_LOST = 0.5
"""Share of the power of all that hangs at a node: one that loses more is no transformer."""


def check_plant(plant: PlantTable) -> None:
    """Units and nodes are a tree below the grid connection, and stand in the place of the old keys."""
    rows = [(f"plant.node[{n}]", node.name, node.at) for n, node in enumerate(plant.node)]
    rows += [(f"plant.unit[{n}]", unit.name, unit.at) for n, unit in enumerate(plant.unit)]
    if not rows:
        return
    if beside := [key for key in OLD_KEYS if key in plant.model_fields_set]:
        fix = f"remove {beside[0]}, and write it as a unit" if plant.unit else "write it as [[plant.unit]]"
        raise Unfit(f"plant.{beside[0]}", "this key does not go with [[plant.unit]] and [[plant.node]]", fix)
    if not plant.unit:
        raise Unfit("plant.unit", "nodes, and no unit at them", "add [[plant.unit]]")
    seen: dict[str, str] = {}
    for where, name, _ in rows:
        if name in PLACES:
            problem = f"{name} is the name of a place of plants without units"
            raise Unfit(f"{where}.name", problem, f'use another name, as "{name}-1"')
        if name in seen:
            raise Unfit(f"{where}.name", f"{name} is already used by {seen[name]}", "use a different one for each")
        seen[name] = f"{where}.name"
    _hang(rows, nodes={node.name: node.at for node in plant.node})
    _carry(plant)


def _hang(rows: Sequence[tuple[str, str, str]], nodes: Mapping[str, str]) -> None:
    """Each at a node, and each node in the end at the grid connection."""
    units = {name for _, name, _ in rows if name not in nodes}
    for where, name, at in rows:
        if at == name:
            raise Unfit(f"{where}.at", f"{name} hangs at itself", f'set at = "{GRID}", or another node')
        if at in units:
            fix = f"add a [[plant.node]] for both, or use {_one_of([GRID, *nodes])}"
            raise Unfit(f"{where}.at", f"{at} is a unit, and only nodes have something below them", fix)
        if at != GRID and at not in nodes:
            raise Unfit(f"{where}.at", f"no such node: {at!r}", nearest(at, [GRID, *nodes]))
    for where, name, _ in rows:
        path = [name]
        while (at := nodes.get(path[-1], GRID)) != GRID:
            if at in path:
                ring = " → ".join([*path[path.index(at) :], at])
                raise Unfit(f"{where}.at", f"a ring that never reaches the grid: {ring}", f'set at = "{GRID}" in one')
            path.append(at)


def _carry(plant: PlantTable) -> None:
    """No node loses more than half of what all that hangs at it can take or deliver."""
    nodes = {node.name: node.at for node in plant.node}
    below = dict.fromkeys(nodes, 0.0)
    for unit in plant.unit:
        at = unit.at
        while at != GRID:
            below[at] += unit.most_kw
            at = nodes[at]
    for n, node in enumerate(plant.node):
        if node.rated_kw and node.loss * below[node.name] / node.rated_kw > MOST_LOST:
            problem = f"{below[node.name]:g} kW hang at {node.name}, which would lose more than half of them"
            raise Unfit(f"plant.node[{n}].rated_kw", problem, "raise rated_kw, or lower loss")


def check_meters(plant: PlantSpec, meters: Iterable[tuple[str, MeterRow]], profiles: Mapping[str, Profile]) -> None:
    """Each meter sits at a place that is there, and has what it shows; and parts of one place are no more than it.

    Args:
        plant: checked.
        meters: where each stands in the file, and its table.
        profiles: by the name of the meter, of those that have one.
    """
    places = [GRID, *(node.name for node in plant.nodes), *(unit.name for unit in plant.all_units)]
    parts: dict[str, Fraction] = {}
    for where, row in meters:
        if isinstance(row, MeterTable) and row.replay is not None:
            continue  # it was somewhere else
        place = _place(row, profiles)
        if place not in places:
            raise _nowhere(where, row, place, plant, places)
        sees = plant.has(place)
        if plant.units and isinstance(row, StationTable) and "stack" not in sees:
            raise Unfit(f"{where}.measures", f"{place} has no stack", _with_part(plant, "stack", "thermal"))
        if plant.units and isinstance(row, MeterTable | Dlt645MeterTable) and row.sleeps and "inverter" not in sees:
            raise Unfit(f"{where}.sleeps", f"{place} has no inverter that sleeps", "remove it, or measure a solar unit")
        if not isinstance(row, StationTable) and "part" in row.model_fields_set:
            parts[place] = parts.get(place, Fraction(0)) + Fraction(repr(row.part))
            if parts[place] > 1:
                problem = f"with this one the parts of {place} add up to {float(parts[place]):.12g}"
                raise Unfit(f"{where}.part", problem, "lower them: together they are at most 1")


def _place(row: MeterRow, profiles: Mapping[str, Profile]) -> str:
    if isinstance(row, MeterTable | Dlt645MeterTable):
        return row.place(profiles[row.name])
    return row.measures


def _nowhere(where: str, row: MeterRow, place: str, plant: PlantSpec, places: Sequence[str]) -> Unfit:
    if "measures" not in row.model_fields_set:
        return Unfit(
            f"{where}.measures", "missing: an inverter measures a unit", _with_part(plant, "inverter", "solar")
        )
    return Unfit(f"{where}.measures", f"no such place: {place!r}", nearest(place, places))


def _with_part(plant: PlantSpec, part: str, kind: str) -> str:
    found = [unit.name for unit in plant.units if part in unit.has]
    return f"set measures = {_one_of(found)}" if found else f'add a [[plant.unit]] with kind = "{kind}"'


def _one_of(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names[:3]) + (" …" if len(names) > 3 else "")
