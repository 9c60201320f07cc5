"""Hints that a meter hangs the wrong way round, each provoked alone, and none on a meter that is right."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from gateway.commissioning.wizard.direction import Place, hints, phase_hints
from gateway.messages.message import Message

BERLIN = ZoneInfo("Europe/Berlin")
NOON = Place(datetime(2026, 6, 21, 12, 0, tzinfo=BERLIN))
NIGHT = Place(datetime(2026, 6, 21, 23, 0, tzinfo=BERLIN))
WINTER_MORNING = datetime(2026, 12, 21, 9, 0, tzinfo=BERLIN)


def values(power: float, taken: float = 100, given: float = 100, phases: tuple[float, ...] = ()) -> dict[str, Decimal]:
    found = {"active_power_total": power, "energy_import": taken, "energy_export": given}
    found |= {f"active_power_l{n}": phase for n, phase in enumerate(phases, 1)}
    return {name: Decimal(str(value)) for name, value in found.items()}


@pytest.mark.parametrize(
    ("role", "shown", "place", "whole", "phases"),
    [
        ("generation", values(1000), NOON, ["wizard-generation-imports"], []),
        ("generation", values(1000), NIGHT, [], []),
        ("generation", values(-1000), NOON, [], []),
        ("generation", values(0, taken=500, given=1), NIGHT, ["wizard-generation-counted"], []),
        ("generation", values(0, taken=1, given=500), NIGHT, [], []),
        ("consumption", values(-1000), NIGHT, ["wizard-consumption-exports"], []),
        ("consumption", values(1000), NOON, [], []),
        ("consumption", values(10, taken=1, given=500), NOON, ["wizard-consumption-counted"], []),
        ("consumption", values(900, phases=(500, -400, 800)), NOON, [], ["wizard-phase-against"]),
        ("consumption", values(900, phases=(500, -1, 400)), NOON, [], []),
        ("consumption", values(900, phases=(500, 400)), NOON, [], []),
        ("generation", values(-900, phases=(-500, 400, -800)), NOON, [], ["wizard-phase-against"]),
        ("auxiliary", values(-900, 0, 500), NOON, [], []),
    ],
)
def test_each_hint_alone(
    role: str, shown: dict[str, Decimal], place: Place, whole: list[str], phases: list[str]
) -> None:
    assert [hint.code for hint in hints(role, shown, place)] == whole
    assert [hint.code for hint in phase_hints(shown)] == phases


@pytest.mark.parametrize(
    ("role", "power", "codes"),
    [
        ("generation", 1000, []),
        ("generation", -1000, ["wizard-generation-imports"]),
        ("consumption", 1000, ["wizard-consumption-exports"]),
        ("consumption", -1000, []),
    ],
)
def test_a_power_that_is_positive_in_export_is_held_against_the_role_as_that(
    role: str, power: float, codes: list[str]
) -> None:
    found = hints(role, values(power), NOON, "export")
    assert [(hint.code, hint.facts["power"]) for hint in found] == [(code, "1000") for code in codes]


def test_a_meter_of_one_direction_tells_nothing_of_it() -> None:
    inverter = {"active_power": Decimal(4000), "energy_export": Decimal(10)}
    assert hints("generation", inverter, NOON) == ()


def test_a_phase_of_a_meter_of_one_direction_can_be_reversed() -> None:
    shown = values(900, phases=(500, 700, -400))
    del shown["energy_export"]
    assert [hint.code for hint in phase_hints(shown)] == ["wizard-phase-against"]


def test_the_sun_of_the_site_decides_where_its_position_is_known() -> None:
    assert Place(WINTER_MORNING).by_day
    assert not Place(WINTER_MORNING, 53.5, 10.0).by_day
    assert Place(WINTER_MORNING.replace(hour=12), 53.5, 10.0).by_day


def test_the_phase_is_named_with_its_power() -> None:
    (hint,) = phase_hints(values(900, phases=(500, 700, -400)))
    assert hint == Message("wizard-phase-against", phase="L3", power="-400")
