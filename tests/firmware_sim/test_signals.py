"""The arithmetic under the plant: seeded noise, exact integrals, lags."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.plant.signals import area, daylight, demand, lag, noise, uniform

MILLIWATTS = st.integers(-(10**9), 10**9)
MOMENTS = st.integers(0, 1000)


def exact_area(start: int, end: int, after_ms: int) -> Fraction:
    """The positive part under the ramp, by cutting it where it crosses zero; 2000 units a mW·ms."""
    slope = Fraction(end - start, 1000)
    cuts = [Fraction(0), Fraction(after_ms)]
    if slope and 0 < (zero := -start / slope) < after_ms:
        cuts.insert(1, zero)
    total = Fraction(0)
    for a, b in pairwise(cuts):
        total += max(Fraction(0), (start + slope * a + start + slope * b) / 2) * (b - a)
    return total * 2000


@given(MILLIWATTS, MILLIWATTS, MOMENTS)
def test_area_is_the_exact_integral_rounded_down(start: int, end: int, after_ms: int) -> None:
    assert area(start, end, after_ms) == math.floor(exact_area(start, end, after_ms))


@given(MILLIWATTS, MILLIWATTS, MOMENTS, MOMENTS)
def test_area_never_falls(start: int, end: int, one: int, other: int) -> None:
    assert area(start, end, min(one, other)) <= area(start, end, max(one, other))


@given(MILLIWATTS, MILLIWATTS)
def test_what_is_imported_less_what_is_exported_is_the_whole_area(start: int, end: int) -> None:
    assert abs(area(start, end, 1000) - area(-start, -end, 1000) - 1_000_000 * (start + end)) <= 1


@given(st.integers(0, 2**63 - 1), st.integers(-(2**40), 2**40))
def test_uniform_depends_on_its_arguments_only(seed: int, number: int) -> None:
    value = uniform(seed, "a", number)
    assert 0 <= value < 1
    assert value == uniform(seed, "a", number)
    assert value != uniform(seed, "b", number)
    assert value != uniform(seed, "a", number + 1)


@given(st.integers(0, 2**32), st.floats(0, 1e6), st.floats(0, 0.01))
def test_noise_stays_in_bounds_and_does_not_jump(seed: int, t_s: float, step: float) -> None:
    here, there = noise(seed, "n", t_s, 10.0), noise(seed, "n", t_s + step, 10.0)
    assert -1 <= here <= 1
    assert abs(here - there) < 0.01


def test_noise_wanders() -> None:
    values = [noise(3, "n", t, 10.0) for t in range(1000)]
    assert min(values) < -0.5 < 0.5 < max(values)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-10, 10), st.floats(0.1, 300), st.floats(0, 5))
def test_a_lag_in_two_steps_is_a_lag_in_one(start: float, target: float, slope: float, tau: float, step: float) -> None:
    once = lag(start, target, slope, tau, 2 * step)
    half = lag(start, target, slope, tau, step)
    twice = lag(half, target + slope * step, slope, tau, step)
    assert math.isclose(once, twice, rel_tol=1e-9, abs_tol=1e-6)


def test_a_lag_reaches_63_percent_after_its_time_constant() -> None:
    assert math.isclose(lag(0.0, 100.0, 0.0, 25.0, 25.0), 63.212, abs_tol=1e-3)
    assert lag(0.0, 100.0, 0.0, 25.0, 0.0) == 0.0


def test_the_day_has_a_night_and_the_load_never_rests() -> None:
    assert [daylight(hour) for hour in (0, 5.9, 18.1, 23)] == [0, 0, 0, 0]
    assert math.isclose(daylight(12), 1.0)
    assert all(0.3 < demand(hour / 4) < 1 for hour in range(96))
