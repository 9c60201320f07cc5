"""Flue gas of the simulator: its carbon is that of the fuel, what instruments show of it is the gas, and methane burns
as the textbook has it."""

from __future__ import annotations

from firmware_sim.meters.emission_station import dry_flow_nm3_s
from firmware_sim.plant.stack import CO2_KG_PER_KMOL, CO2_PER_CARBON, NM3_PER_KMOL, Air, Stack, StackSpec, gas_of

METHANE = StackSpec(carbon=12.011 / 16.043, hydrogen=4.032 / 16.043, moisture=0.0)
AIR_WITHOUT_CO2 = Air(co2=0.0)


class GasBalance:
    """One stack over a day: add its state of every whole second, in order, from the first to the last.

    Between them fuel moves in straight lines, so the trapezoid rule is exact where the gas follows the fuel.
    """

    def __init__(self, spec: StackSpec, air: Air) -> None:
        self._spec, self._air = spec, air
        self._first: Stack | None = None
        self._last: Stack | None = None
        self._before = (0.0, 0.0, 0.0)
        self._of_fuel_kg = self._in_gas_kg = self._measured_kg = 0.0

    def add(self, stack: Stack) -> None:
        """The state one second after the last that was added."""
        gas = stack.gas
        measured = stack.co2 * dry_flow_nm3_s(stack) / NM3_PER_KMOL
        now = (gas.co2 - gas.air * self._air.co2, gas.co2, measured)
        if self._first is None:
            self._first = stack
        else:
            of_fuel, in_gas, shown = ((a + b) / 2 * CO2_KG_PER_KMOL for a, b in zip(self._before, now, strict=True))
            self._of_fuel_kg += of_fuel
            self._in_gas_kg += in_gas
            self._measured_kg += shown
        self._before, self._last = now, stack

    @property
    def burnt_kg(self) -> float:
        """By the scale."""
        return self._last.fuel_kg - self._first.fuel_kg if self._first and self._last else 0.0

    @property
    def carbon_off(self) -> float:
        """CO₂ of the gas less that of its air, against the carbon of the fuel by the scale: the relative difference."""
        return self._of_fuel_kg / (self.burnt_kg * self._spec.carbon * CO2_PER_CARBON) - 1

    @property
    def measured_off(self) -> float:
        """What the instruments show against the gas as it is: the relative difference."""
        return self._measured_kg / self._in_gas_kg - 1


def methane_co2_percent(o2: float = 0.03) -> float:
    """CO₂ in the dry gas of methane that has so much oxygen left, burnt in air without CO₂."""
    low, high = 1.0, 10.0
    for _ in range(100):
        excess_air = (low + high) / 2
        gas = gas_of(METHANE, 1.0, excess_air, AIR_WITHOUT_CO2)
        low, high = (excess_air, high) if gas.o2 / gas.dry < o2 else (low, excess_air)
    return 100 * gas.co2 / gas.dry
