"""Boiler with its stack: fuel burnt, flue gas that follows from it, and what instruments show of that gas. Pure.

Burning is complete and at once, so the carbon in the gas is that of the fuel, and of the air, at each moment. The fuel
is carbon, hydrogen, sulphur, oxygen, water and ash; gases are ideal, 22.414 Nm³ a kmol at 273.15 K and 101.325 kPa.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.plant.signals import noise

MICROGRAMS = 10**9
"""In a kilogram: in µg/s a ramp over a second is a whole number even of a small burner."""
NM3_PER_KMOL = 22.414
CO2_KG_PER_KMOL, SO2_KG_PER_KMOL, CARBON_KG_PER_KMOL = 44.01, 64.06, 12.011
SO2_MG_PER_NM3 = SO2_KG_PER_KMOL / NM3_PER_KMOL * 1e6
"""Of the pure gas."""
CO2_PER_CARBON = CO2_KG_PER_KMOL / CARBON_KG_PER_KMOL
AIR_O2, AIR_CO2, AIR_H2O = 0.2095, 0.00042, 0.012
"""Of dry air; water as a share of it."""
AMBIENT_C, AMBIENT_PA = 15.0, 101_325.0
FLOW_NOISE, GAS_NOISE, TEMPERATURE_NOISE_K, PRESSURE_NOISE_PA = 0.01, 0.003, 1.0, 20.0
"""The most by which an instrument errs; flow and gases as a share of what they show. All err around 0."""
TRACE_SO2_MG_M3 = 250.0
"""SO₂ behind the cleaning for each unit of the CO₂ that the fuel gives, where the fuel's sulphur is not known."""
_HYDROGEN_KG_PER_KMOL, _OXYGEN_KG_PER_KMOL, _SULPHUR_KG_PER_KMOL, _WATER_KG_PER_KMOL = 2.016, 31.998, 32.06, 18.015
_LEAK = 0.05
"""Air that always gets into the stack, as a share of what full load needs: the draught of a unit that is stopped."""


@dataclass(frozen=True, slots=True)
class StackSpec:
    """Boiler and fuel. Shares are of the fuel's mass as burnt; without ``fuel_kg_h`` there is no boiler.

    ``fuel_kg_h`` is burnt at full load; ``excess_air`` is air over the least that burns; ``gas_c`` is the gas at full
    load; ``stops``: seconds [from, to) without fire. ``sulphur`` that is not known (None) is not in the gas either.
    """

    fuel_kg_h: float = 0.0
    ncv_mj_kg: float = 25.8
    carbon: float = 0.6656
    hydrogen: float = 0.036
    moisture: float = 0.10
    excess_air: float = 1.3
    gas_c: float = 130.0
    stops: tuple[tuple[float, float], ...] = ()
    sulphur: float | None = None
    oxygen: float = 0.0

    def burns_ug_s(self, second: int, share: float) -> int:
        """Fuel in µg/s at a share of full load."""
        stopped = any(begin <= second < end for begin, end in self.stops)
        return 0 if stopped else round(self.fuel_kg_h * share / 3600 * MICROGRAMS)

    def target_c(self, burnt_ug_s: int) -> float:
        """Where the gas temperature would settle: air while nothing burns."""
        if burnt_ug_s == 0:
            return AMBIENT_C
        share = burnt_ug_s * 3600 / MICROGRAMS / self.fuel_kg_h
        return AMBIENT_C + (self.gas_c - AMBIENT_C) * (0.7 + 0.3 * share)

    @property
    def oxygen_kmol(self) -> float:
        """What a kg of the fuel needs, beside what it brings."""
        burnt = self.carbon / CARBON_KG_PER_KMOL + self.hydrogen / _HYDROGEN_KG_PER_KMOL / 2
        return burnt + (self.sulphur or 0.0) / _SULPHUR_KG_PER_KMOL - self.oxygen / _OXYGEN_KG_PER_KMOL


@dataclass(frozen=True, slots=True)
class Air:
    """What a fuel burns in: shares of dry air, water as a share of it."""

    o2: float = AIR_O2
    co2: float = AIR_CO2
    h2o: float = AIR_H2O


AMBIENT_AIR = Air()


@dataclass(frozen=True, slots=True)
class Gas:
    """Flue gas in kmol/s; ``air`` is the dry air that it was made with."""

    co2: float
    o2: float
    inert: float
    h2o: float
    so2: float
    air: float

    @property
    def dry(self) -> float:
        return self.co2 + self.o2 + self.inert + self.so2

    @property
    def wet(self) -> float:
        return self.dry + self.h2o

    @property
    def co2_kg_s(self) -> float:
        return self.co2 * CO2_KG_PER_KMOL


@dataclass(frozen=True, slots=True)
class Stack:
    """The boiler at one moment: fuel as weighed, the gas as it is, and what the instruments show: CO₂, O₂ and SO₂ as
    shares of dry gas, H₂O of wet gas, flow in m³/s of wet gas as it is, pressure absolute."""

    fuel_kg: float
    firing_w: float
    gas: Gas
    co2: float
    o2: float
    so2: float
    h2o: float
    flow_m3_s: float
    gas_c: float
    pressure_pa: float


def gas_of(spec: StackSpec, fuel_kg_s: float, excess_air: float, air_in: Air = AMBIENT_AIR) -> Gas:
    """The gas of so much fuel, with the air that leaks in."""
    need = spec.oxygen_kmol * fuel_kg_s
    air = (need * excess_air + spec.oxygen_kmol * spec.fuel_kg_h / 3600 * _LEAK) / air_in.o2
    water = spec.hydrogen / _HYDROGEN_KG_PER_KMOL + spec.moisture / _WATER_KG_PER_KMOL
    return Gas(
        co2=spec.carbon / CARBON_KG_PER_KMOL * fuel_kg_s + air_in.co2 * air,
        o2=air_in.o2 * air - need,
        inert=(1 - air_in.o2 - air_in.co2) * air,
        h2o=water * fuel_kg_s + air_in.h2o * air,
        so2=(spec.sulphur or 0.0) / _SULPHUR_KG_PER_KMOL * fuel_kg_s,
        air=air,
    )


def stack_at(spec: StackSpec, seed: int, t_s: float, fuel_kg_s: float, fuel_kg: float, gas_c: float) -> Stack:
    """The boiler at one moment.

    Args:
        spec: the boiler.
        seed: of the plant.
        t_s: the plant's time in seconds.
        fuel_kg_s: what burns.
        fuel_kg: what has been burnt since the start.
        gas_c: temperature of the gas.
    """

    def errs(instrument: str, period_s: float) -> float:
        return noise(seed, f"stack-{instrument}", t_s, period_s)

    gas = gas_of(spec, fuel_kg_s, spec.excess_air + 0.05 * errs("air", 240))
    pressure_pa = AMBIENT_PA + 600 * errs("weather", 40_000) - 150
    flow = gas.wet * NM3_PER_KMOL * (273.15 + gas_c) / 273.15 * 101_325 / pressure_pa
    dry, wet = gas.dry or 1.0, gas.wet or 1.0  # without a boiler there is no gas
    co2 = gas.co2 / dry * (1 + GAS_NOISE * errs("co2", 11))
    if spec.sulphur is None:
        so2 = TRACE_SO2_MG_M3 * max(0.0, co2 - AIR_CO2) / SO2_MG_PER_NM3
    else:
        so2 = gas.so2 / dry * (1 + GAS_NOISE * errs("so2", 11))
    return Stack(
        fuel_kg=fuel_kg,
        firing_w=fuel_kg_s * spec.ncv_mj_kg * 1e6,
        gas=gas,
        co2=co2,
        o2=gas.o2 / dry * (1 + GAS_NOISE * errs("o2", 11)),
        so2=so2,
        h2o=gas.h2o / wet * (1 + GAS_NOISE * errs("h2o", 31)),
        flow_m3_s=flow * (1 + FLOW_NOISE * errs("flow", 7)),
        gas_c=gas_c + TEMPERATURE_NOISE_K * errs("temperature", 19),
        pressure_pa=pressure_pa + PRESSURE_NOISE_PA * errs("pressure", 5),
    )
