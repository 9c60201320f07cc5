"""Phases that look reversed: one against both others, whatever the meter counts; and what says nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.knowledge.phases import PHASES, reversed_phases

POWERS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("powers", "found"),
    [
        ((500, -400, 800), ("L2",)),
        ((-500, 400, -800), ("L2",)),
        ((-500, 400, 800), ("L1",)),
        ((500, 400, 800), ()),
        ((-500, -400, -800), ()),
        ((500, -9, 400), ()),
        ((500, -11, 400), ("L2",)),
        ((500, -400), ()),
        ((0, 0, 0), ()),
        ((), ()),
    ],
)
def test_a_phase_against_both_others_is_found(powers: tuple[float, ...], found: tuple[str, ...]) -> None:
    assert reversed_phases(dict(zip(PHASES.values(), powers, strict=False))) == found


@given(st.tuples(POWERS, POWERS, POWERS))
def test_a_meter_that_is_turned_as_a_whole_has_the_same_phases(powers: tuple[float, float, float]) -> None:
    found = reversed_phases(dict(zip(PHASES.values(), powers, strict=True)))
    assert found == reversed_phases(dict(zip(PHASES.values(), [-power for power in powers], strict=True)))
    assert len(found) <= 1
    for phase in found:
        (one,) = (math.copysign(1, p) for name, p in zip(PHASES, powers, strict=True) if name == phase)
        assert [math.copysign(1, p) for name, p in zip(PHASES, powers, strict=True) if name != phase] == [-one, -one]
