"""Direction of a reversed meter: each name of the vocabulary that has one is turned, and turned twice is as before."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from gateway.devices.knowledge.direction import Turned, turned
from gateway.devices.knowledge.quantities import QUANTITIES
from ledger_client.formats.senml import Number

BOTH_WAYS_ALIKE = {
    "active_power_peak_day", "power_limit", "dc_power", "dc_input_power", "pcc_active_power",
    "load_active_power", "battery_power",
}  # fmt: skip
"""Powers that have no direction at the meter's terminals: limits, and sides of a device that is no meter."""


def test_what_has_a_direction_is_exchanged_with_its_opposite() -> None:
    for name, quantity in QUANTITIES.items():
        if quantity.direction is None:
            continue
        other = QUANTITIES[turned(name).name]
        assert {quantity.direction, other.direction} == {"import", "export"}, name
        assert (quantity.unit, quantity.kind, quantity.phase) == (other.unit, other.kind, other.phase), name
        assert turned(name).becomes == "same"
        assert turned(other.name).name == name


def test_every_power_of_the_vocabulary_changes_its_sign_or_is_named_here() -> None:
    alike = {
        name
        for name, quantity in QUANTITIES.items()
        if quantity.dimension in ("active power", "reactive power")
        and quantity.direction is None
        and turned(name).becomes != "negative"
    }
    assert alike <= BOTH_WAYS_ALIKE
    assert all(turned(f"power_factor{end}").becomes == "negative" for end in ("", "_total", "_l1", "_l2", "_l3"))


@pytest.mark.parametrize(
    ("name", "value", "signed", "expected"),
    [
        ("active_power_total", -1234.5, False, ("active_power_total", 1234.5)),
        ("active_power_l2", Decimal("12.340"), False, ("active_power_l2", Decimal("-12.340"))),
        ("reactive_power", 7, False, ("reactive_power", -7)),
        ("power_factor_total", Decimal("0.00"), False, ("power_factor_total", Decimal("0.00"))),
        ("current_l1", 12.5, False, ("current_l1", 12.5)),
        ("current_l1", -12.5, True, ("current_l1", 12.5)),
        ("current_neutral", 0.5, True, ("current_neutral", 0.5)),
        ("energy_import_t2", 100, False, ("energy_export_t2", 100)),
        ("reactive_energy_q2_l1", 5, False, ("reactive_energy_q4_l1", 5)),
        ("energy_net", Decimal("-3.1"), False, ("energy_net", Decimal("3.1"))),
        ("phase_angle_total", -30.0, False, ("phase_angle_total", 150.0)),
        ("phase_angle_l1", Decimal("30.0"), False, ("phase_angle_l1", Decimal("-150.0"))),
        ("voltage_ln_l1", 230.0, True, ("voltage_ln_l1", 230.0)),
        ("apparent_power_total", 10.0, True, ("apparent_power_total", 10.0)),
        ("x_energy_import", 10, True, ("x_energy_import", 10)),
        ("my_power", -1, True, ("my_power", -1)),
    ],
)
def test_a_value_is_turned(name: str, value: Number, signed: bool, expected: tuple[str, Number]) -> None:
    found = turned(name, signed=signed, unit="deg")
    assert (found.name, found.of(value)) == expected
    assert str(found.of(value)) == str(expected[1])
    assert turned(found.name, signed=signed, unit="deg").of(found.of(value)) == value


def test_an_angle_in_radians() -> None:
    assert turned("phase_angle_total", unit="rad").of(1.0) == 1.0 - math.pi
    assert turned("phase_angle_total", unit="rad").of(Decimal(-1)) == Decimal("2.141592653589793")


def test_a_point_that_is_not_turned_is_itself() -> None:
    assert Turned("anything").of(-5) == -5
