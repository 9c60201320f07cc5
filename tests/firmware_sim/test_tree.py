"""A plant of units in a tree of nodes: nothing is left over at a node, neither of power nor of energy."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.signals import area
from firmware_sim.plant.tree import NodeSpec, Six, Tree
from firmware_sim.plant.units import Battery, Hydro, Load, Solar

NODES = (
    NodeSpec("transformer", rated_kw=400, loss=0.012),
    NodeSpec("hall", at="transformer", rated_kw=60, loss=0.03),
    NodeSpec("roof", at="hall"),
    NodeSpec("empty", at="transformer", rated_kw=1, loss=0.5),
)
UNITS = (
    Load("press", at="hall", kw=90),
    Load("offices", at="transformer", kw=20),
    Solar("panels", at="roof", kw=150),
    Hydro("turbine", kw=30),
    Battery("store", at="hall", spec=BatterySpec(kw=40, kwh=1, charged=0.9)),
)
SPEC = PlantSpec(seed=5, start_hour=9.99, units=UNITS, nodes=NODES)


def milliwatts(plant: Plant, second: int) -> dict[str, tuple[int, ...]]:
    """What flows at each place at a whole second: whole numbers, as the state's watts are thousandths of them."""
    flows = plant.at(second * 1000).flows
    return {name: tuple(round(value * 1000) for value in (*f.watts, *f.vars)) for name, f in flows.items()}


def test_each_node_is_what_hangs_at_it_and_its_losses() -> None:
    plant, lost = Plant(SPEC), set()
    for second in range(0, 120, 3):
        found = milliwatts(plant, second)
        for name, node in plant.tree.nodes.items():
            below = [sum(found[place][n] for place in plant.tree.below[name]) for n in range(6)]
            losses = [round(node.loss * p * p / (node.rated_kw * 1e6 / 3)) if node.loss else 0 for p in below[:3]]
            assert found[name] == tuple(b + loss for b, loss in zip(below, [*losses, 0, 0, 0], strict=True)), name
            lost.add((name, sum(losses) > 0))
    assert {("transformer", True), ("hall", True), ("roof", False), ("empty", False), ("grid", False)} == lost


def test_at_its_rated_power_a_node_loses_its_share_in_both_directions() -> None:
    node = NodeSpec("n", rated_kw=300, loss=0.02)
    assert [3 * node.lost_mw(p) for p in (100_000_000, -100_000_000, 50_000_000)] == [6_000_000, 6_000_000, 1_500_000]


@given(st.lists(st.integers(-(10**9), 10**9), min_size=12, max_size=12), st.integers(0, 999))
def test_energies_are_whole_too(milli: list[int], part_ms: int) -> None:
    """A node's counters, import less export, are those below it and its losses, to the last unit at any millisecond."""
    tree = Tree((NodeSpec("n", rated_kw=30, loss=0.02),), {"a": "n", "b": "n"})
    here, ahead = ([(p, q, p, 0, 0, 0), (q, p, q, 0, 0, 0)] for p, q in (milli[:2], milli[2:4]))
    first: list[Six] = tree.flows(here)
    last: list[Six] = tree.flows(ahead)

    def net(start: int, end: int) -> int:
        return area(start, end, part_ms) - area(-start, -end, part_ms)

    for n in range(3):
        losses = [tree.nodes["n"].lost_mw(sum(units[n] for units in moment)) for moment in (here, ahead)]
        below = [net(first[place][n], last[place][n]) for place in (2, 3)]
        assert net(first[1][n], last[1][n]) == sum(below) + net(*losses)
        assert net(first[0][n], last[0][n]) == net(first[1][n], last[1][n])


def test_two_units_of_a_kind_differ_and_the_same_seed_is_the_same_plant() -> None:
    twins = PlantSpec(seed=5, units=(Load("one", kw=10), Load("two", kw=10)))
    state = Plant(twins).at(5500)
    assert state.flows["one"] != state.flows["two"]
    assert state.units["one"].probe != state.units["two"].probe
    plant = Plant(SPEC)
    moments = (90_500, 1500, 61_000, 0)
    assert [plant.at(t_ms) for t_ms in moments] == [Plant(SPEC).at(t_ms) for t_ms in moments]


def test_a_battery_holds_what_its_own_meter_saw() -> None:
    plant = Plant(SPEC)
    states = [plant.at(t_ms) for t_ms in range(0, 180_000, 5000)]
    for state in states:
        flow, charge = state.flows["store"], state.units["store"].charge
        held_wh = 900 + sum(flow.imported_wh) * 0.95 - sum(flow.exported_wh) / 0.95
        assert charge == pytest.approx(held_wh / 1000)
    charges = [state.units["store"].charge or 0 for state in states]
    assert all(a <= b for a, b in pairwise(charges))
    assert charges[0] == pytest.approx(0.9)
    assert 0.93 < charges[-1] <= 1
    assert all(state.units[place].charge is None for state in states for place in ("panels", "hall", "grid"))


@pytest.mark.parametrize(
    ("nodes", "units"),
    [
        ([("a", "a")], {}),
        ([("a", "b"), ("b", "a")], {}),
        ([("a", "grid")], {"u": "b"}),
    ],
)
def test_what_is_no_tree_is_refused(nodes: list[tuple[str, str]], units: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tree"):
        Tree([NodeSpec(name, at) for name, at in nodes], units)
