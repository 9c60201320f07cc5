"""The plant's physics: what must hold at every moment, and between moments."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.plant import stepping
from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.model import PLACES, Plant, PlantSpec
from firmware_sim.plant.quantities import QUANTITIES, Scene, conversion
from firmware_sim.plant.state import MPPT, SLEEPING, State

SPECS = st.builds(
    PlantSpec,
    seed=st.integers(0, 2**63 - 1),
    start_hour=st.floats(0, 23.99),
    load_kw=st.sampled_from([0.0, 18.0, 400.0]),
    pv_kw=st.sampled_from([0.0, 15.0, 900.0]),
    hydro_kw=st.sampled_from([0.0, 10.0, 30.0]),
    battery=st.sampled_from([BatterySpec(), BatterySpec(kw=12, kwh=2), BatterySpec(kw=900, kwh=1800, charged=1)]),
)
MOMENTS = st.integers(0, 90_000)


def shown(state: State, place: str) -> dict[str, float]:
    scene = Scene(state, state.flows[place], (1_520_000.0, 4_821_500.0))
    return {name: quantity.of(scene) for name, quantity in QUANTITIES.items()}


@settings(max_examples=40)
@given(SPECS, MOMENTS, st.sampled_from(PLACES))
def test_phases_add_up_and_the_triangle_closes(spec: PlantSpec, t_ms: int, place: str) -> None:
    q = shown(Plant(spec).at(t_ms), place)
    sums = ("active_power", "reactive_power")
    for stem in sums:
        assert math.isclose(q[f"{stem}_total"], sum(q[f"{stem}_l{n}"] for n in (1, 2, 3)), abs_tol=1e-6)
    for stem in ("energy_import", "energy_export", "reactive_energy_import", "energy_sum"):
        assert math.isclose(q[stem], sum(q[f"{stem}_l{n}"] for n in (1, 2, 3)), rel_tol=1e-12)
    for part in ("l1", "l2", "l3", "total"):
        apparent = q[f"apparent_power_{part}"]
        assert math.isclose(apparent**2, q[f"active_power_{part}"] ** 2 + q[f"reactive_power_{part}"] ** 2)
        assert math.isclose(q[f"power_factor_{part}"] * apparent, q[f"active_power_{part}"], abs_tol=1e-6)
    for n in (1, 2, 3):
        assert math.isclose(q[f"current_l{n}"] * q[f"voltage_ln_l{n}"], q[f"apparent_power_l{n}"], abs_tol=1e-6)
    assert abs(q["frequency"] - 50) < 0.05
    assert all(217 < q[f"voltage_ln_l{n}"] < 243 for n in (1, 2, 3))


@settings(max_examples=25)
@given(SPECS, MOMENTS)
def test_the_grid_is_what_the_other_places_leave(spec: PlantSpec, t_ms: int) -> None:
    flows = Plant(spec).at(t_ms).flows
    for n in range(3):
        assert math.isclose(flows["grid"].watts[n], sum(flows[p].watts[n] for p in PLACES[1:]), abs_tol=1e-6)
        assert math.isclose(flows["grid"].vars[n], sum(flows[p].vars[n] for p in PLACES[1:]), abs_tol=1e-6)
        assert flows["load"].watts[n] >= 0 >= flows["pv"].watts[n]


@settings(max_examples=25)
@given(SPECS, MOMENTS, st.integers(1, 5000), st.sampled_from(PLACES))
def test_energy_is_the_integral_of_the_power_shown(spec: PlantSpec, t_ms: int, span_ms: int, place: str) -> None:
    """Over every stretch of straight lines; a trapezoid of 10 ms is within a sliver of it at a change of sign."""
    plant = Plant(spec)
    moments = [*range(t_ms, t_ms + span_ms, 10), t_ms + span_ms]
    states = [plant.at(t).flows[place] for t in moments]
    for n in range(3):
        for sign, counters in ((1, "imported_wh"), (-1, "exported_wh")):
            powers = [max(0.0, sign * state.watts[n]) for state in states]
            joules = sum((a + b) / 2 * (v - u) / 1000 for (a, u), (b, v) in pairwise(zip(powers, moments, strict=True)))
            counted = (getattr(states[-1], counters)[n] - getattr(states[0], counters)[n]) * 3600
            assert math.isclose(counted, joules, rel_tol=1e-3, abs_tol=0.5)


@settings(max_examples=25)
@given(SPECS, st.lists(MOMENTS, min_size=2, max_size=20))
def test_counters_never_fall(spec: PlantSpec, moments: list[int]) -> None:
    plant = Plant(spec)
    for place in PLACES:
        counters = [
            (s.imported_wh, s.exported_wh, s.imported_varh) for s in (plant.at(t).flows[place] for t in sorted(moments))
        ]
        assert all(a[k][n] <= b[k][n] for a, b in pairwise(counters) for k in range(3) for n in range(3))


@settings(max_examples=20)
@given(SPECS, st.lists(MOMENTS, min_size=1, max_size=8))
def test_the_state_is_a_function_of_seed_and_time(spec: PlantSpec, moments: list[int]) -> None:
    plant = Plant(spec)
    states = [plant.at(t) for t in moments]
    assert states == [Plant(spec).at(t) for t in moments]
    assert [plant.at(t) for t in reversed(moments)] == states[::-1]


def test_a_look_back_over_several_marks_finds_the_same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "MARK_EVERY", 300)
    monkeypatch.setattr(stepping, "KEPT_S", 60)
    plant, fresh = Plant(PlantSpec()), Plant(PlantSpec())
    early = fresh.at(310_500)
    plant.at(610_000)
    assert plant.at(310_500) == early
    assert plant.at(500) == fresh.at(500) == Plant(PlantSpec()).at(500)


def test_another_seed_is_another_plant() -> None:
    assert Plant(PlantSpec(seed=1)).at(5000) != Plant(PlantSpec(seed=2)).at(5000)


def test_carbon_dioxide_follows_the_load_with_a_lag() -> None:
    plant = Plant(PlantSpec(seed=5))
    series = [(s.flows["load"].watts, s.co2_ppm) for s in (plant.at(t * 1000) for t in range(1200))]
    load = [sum(watts) for watts, _ in series]
    co2 = [ppm for _, ppm in series]

    def correlation(shift: int) -> float:
        xs, ys = load[: len(load) - shift], co2[shift:]
        mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
        cov = sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True))
        return cov / math.sqrt(sum((x - mx) ** 2 for x in xs) * sum((y - my) ** 2 for y in ys))

    assert correlation(15) > 0.8
    assert correlation(15) > correlation(0) + 0.1
    assert max(abs(b - a) for a, b in pairwise(co2)) < 25
    assert all(420 < ppm < 5000 for ppm in co2)


@pytest.mark.parametrize(("hour", "state"), [(1.0, SLEEPING), (12.0, MPPT)])
def test_the_inverter_sleeps_at_night(hour: float, state: int) -> None:
    now = Plant(PlantSpec(start_hour=hour)).at(20_000)
    assert now.inverter.state == state
    assert (sum(now.flows["pv"].watts) == 0) == (state == SLEEPING)
    assert now.inverter.dc_watts >= -sum(now.flows["pv"].watts)


def test_a_plant_of_nothing_stands_still() -> None:
    state = Plant(PlantSpec(load_kw=0, pv_kw=0, hydro_kw=0)).at(10_000)
    assert state.flows["grid"].watts == (0, 0, 0)
    assert math.isclose(state.co2_ppm, 420)
    assert shown(state, "grid")["power_factor_total"] == 1.0


def test_units_convert_only_within_one_kind() -> None:
    assert conversion("Wh", "kWh") == 1e-3
    assert conversion("/", "/100") == 100
    assert conversion("Wh", "W") is None
    assert conversion(None, None) == 1.0
