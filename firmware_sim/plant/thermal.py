"""Thermal unit: electricity from the heat of what its boiler burns. Pure.

Fuel and electricity are one ramp: a µg/s of a fuel with one MJ/kg is a milliwatt of heat, so both are whole numbers at
a whole second and straight lines in between, and energy over fuel is the efficiency at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.plant.stack import StackSpec


@dataclass(frozen=True, slots=True)
class ThermalSpec:
    """``net_efficiency`` is electricity at the unit's meter over the heat of the fuel (net calorific value)."""

    stack: StackSpec
    net_efficiency: float

    @property
    def full_kw(self) -> float:
        """Electricity at full load."""
        return self.stack.fuel_kg_h * self.stack.ncv_mj_kg * self.net_efficiency / 3.6

    def burns_ug_s(self, second: int, kw: float) -> int:
        """Fuel for so much electricity; none while the unit is stopped."""
        return self.stack.burns_ug_s(second, kw / self.full_kw)

    def delivers_mw(self, burnt_ug_s: int) -> float:
        """Electricity of so much fuel, in milliwatts."""
        return burnt_ug_s * self.stack.ncv_mj_kg * self.net_efficiency
