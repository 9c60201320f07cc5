"""Measured quantities: name, unit and derivation from the plant. Pure.

A point of a device profile is filled from the quantity of the same name, converted to the point's own unit. Relations
between quantities hold by construction: totals are sums over the phases, S² = P² + Q², power factor = P / S, I = S / V.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.plant.model import Flow, State


@dataclass(frozen=True, slots=True)
class Scene:
    """One meter's view of one moment: the plant, its own place in it, and what its counters showed at the start."""

    state: State
    flow: Flow
    start_wh: tuple[float, float] = (0.0, 0.0)
    start_varh: tuple[float, float] = (0.0, 0.0)
    start_kg: float = 0.0


Number = Callable[[Scene], float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity: SenML unit (None: a plain code) and its value in a scene."""

    unit: str | None
    of: Number


_SAME = {
    "V": ("V", 1.0), "mV": ("V", 1e-3), "kV": ("V", 1e3), "A": ("A", 1.0), "mA": ("A", 1e-3),
    "W": ("W", 1.0), "kW": ("W", 1e3), "VA": ("VA", 1.0), "kVA": ("VA", 1e3), "var": ("var", 1.0), "kvar": ("var", 1e3),
    "Wh": ("Wh", 1.0), "kWh": ("Wh", 1e3), "J": ("Wh", 1 / 3600), "varh": ("varh", 1.0), "kvarh": ("varh", 1e3),
    "VAh": ("VAh", 1.0), "kVAh": ("VAh", 1e3),
    "/": ("/", 1.0), "/100": ("/", 1e-2), "/1000": ("/", 1e-3), "ppm": ("/", 1e-6),
    "Hz": ("Hz", 1.0), "Cel": ("Cel", 1.0), "deg": ("deg", 1.0), "hPa": ("Pa", 100.0), "Pa": ("Pa", 1.0),
    "%RH": ("%RH", 1.0), "m3/s": ("m3/s", 1.0), "l/s": ("m3/s", 1e-3), "kg": ("kg", 1.0), "g": ("kg", 1e-3),
}  # fmt: skip


def conversion(have: str | None, want: str | None) -> float | None:
    """The factor from unit ``have`` to unit ``want``; None when they measure different things."""
    if have == want:
        return 1.0
    here, there = _SAME.get(have or ""), _SAME.get(want or "")
    return here[1] / there[1] if here and there and here[0] == there[0] else None


def _apparent(watts: float, reactive: float) -> float:
    return math.hypot(watts, reactive)


def _factor(watts: float, reactive: float) -> float:
    apparent = math.hypot(watts, reactive)
    return watts / apparent if apparent > 0 else 1.0


def _of_phase(n: int) -> dict[str, Quantity]:
    """The quantities of phase ``n`` + 1."""
    following = (n + 1) % 3
    label, pair = f"_l{n + 1}", f"_l{n + 1}{following + 1}"

    def across(s: Scene) -> float:  # two phasors 120 degrees apart
        a, b = s.flow.volts[n], s.flow.volts[following]
        return math.sqrt(a * a + b * b + a * b)

    def current(s: Scene) -> float:
        return _apparent(s.flow.watts[n], s.flow.vars[n]) / s.flow.volts[n] if s.flow.volts[n] > 0 else 0.0

    def imported(s: Scene) -> float:
        return s.start_wh[0] / 3 + s.flow.imported_wh[n]

    def exported(s: Scene) -> float:
        return s.start_wh[1] / 3 + s.flow.exported_wh[n]

    def imported_var(s: Scene) -> float:
        return s.start_varh[0] / 3 + s.flow.imported_varh[n]

    def exported_var(s: Scene) -> float:
        return s.start_varh[1] / 3 + s.flow.exported_varh[n]

    return {
        f"voltage_ln{label}": Quantity("V", lambda s: s.flow.volts[n]),
        f"voltage_ll{pair}": Quantity("V", across),
        f"current{label}": Quantity("A", current),
        f"active_power{label}": Quantity("W", lambda s: s.flow.watts[n]),
        f"reactive_power{label}": Quantity("var", lambda s: s.flow.vars[n]),
        f"apparent_power{label}": Quantity("VA", lambda s: _apparent(s.flow.watts[n], s.flow.vars[n])),
        f"power_factor{label}": Quantity("/", lambda s: _factor(s.flow.watts[n], s.flow.vars[n])),
        f"thd_voltage{label}": Quantity("/100", lambda s: s.state.thd[n]),
        f"energy_import{label}": Quantity("Wh", imported),
        f"energy_export{label}": Quantity("Wh", exported),
        f"energy_sum{label}": Quantity("Wh", lambda s: imported(s) + exported(s)),
        f"reactive_energy_import{label}": Quantity("varh", imported_var),
        f"reactive_energy_export{label}": Quantity("varh", exported_var),
        f"reactive_energy_sum{label}": Quantity("varh", lambda s: imported_var(s) + exported_var(s)),
        f"reactive_energy_q1{label}": Quantity("varh", imported_var),
        f"reactive_energy_q2{label}": Quantity("varh", lambda s: 0),
        f"reactive_energy_q3{label}": Quantity("varh", exported_var),
        f"reactive_energy_q4{label}": Quantity("varh", lambda s: 0),
        f"apparent_energy_import{label}": Quantity("VAh", lambda s: math.hypot(imported(s), imported_var(s))),
        f"apparent_energy_export{label}": Quantity("VAh", lambda s: math.hypot(exported(s), exported_var(s))),
    }


_PHASES = [_of_phase(n) for n in (0, 1, 2)]


def _over_phases(stem: str, *, mean: bool = False) -> Quantity:
    parts = [phase[f"{stem}_l{n}"] for n, phase in enumerate(_PHASES, 1)]
    share = 3 if mean else 1
    return Quantity(parts[0].unit, lambda s: sum(part.of(s) for part in parts) / share)


def _mean_across() -> Quantity:
    parts = [phase[f"voltage_ll_{pair}"] for phase, pair in zip(_PHASES, ("l12", "l23", "l31"), strict=True)]
    return Quantity("V", lambda s: sum(part.of(s) for part in parts) / 3)


_watts, _vars = _over_phases("active_power"), _over_phases("reactive_power")

_TOTALS = {
    "voltage_ln_avg": _over_phases("voltage_ln", mean=True),
    "voltage_ll_avg": _mean_across(),
    "current_avg": _over_phases("current", mean=True),
    "current_total": _over_phases("current"),
    "thd_voltage_avg": _over_phases("thd_voltage", mean=True),
    "active_power_total": _watts,
    "reactive_power_total": _vars,
    "apparent_power_total": Quantity("VA", lambda s: _apparent(_watts.of(s), _vars.of(s))),
    "power_factor_total": Quantity("/", lambda s: _factor(_watts.of(s), _vars.of(s))),
    "phase_angle_total": Quantity("deg", lambda s: math.degrees(math.atan2(_vars.of(s), _watts.of(s)))),
    "energy_import": _over_phases("energy_import"),
    "energy_export": _over_phases("energy_export"),
    "energy_sum": _over_phases("energy_sum"),
    "reactive_energy_import": _over_phases("reactive_energy_import"),
    "reactive_energy_export": _over_phases("reactive_energy_export"),
    "reactive_energy_sum": _over_phases("reactive_energy_sum"),
    **{f"reactive_energy_q{n}": _over_phases(f"reactive_energy_q{n}") for n in (1, 2, 3, 4)},
    "apparent_energy_import": _over_phases("apparent_energy_import"),
    "apparent_energy_export": _over_phases("apparent_energy_export"),
    "frequency": Quantity("Hz", lambda s: s.state.hertz),
}

_GENERATOR = {  # a generator counts what it delivers as positive
    "generated_power": Quantity("W", lambda s: -_watts.of(s)),
    "generated_reactive_power": Quantity("var", lambda s: -_vars.of(s)),
    "generated_power_factor": Quantity("/", lambda s: _factor(-_watts.of(s), -_vars.of(s))),
    "dc_power": Quantity("W", lambda s: s.state.inverter.dc_watts),
    "dc_voltage": Quantity("V", lambda s: s.state.inverter.dc_volts),
    "dc_current": Quantity("A", lambda s: s.state.inverter.dc_watts / s.state.inverter.dc_volts),
    "temperature_cabinet": Quantity("Cel", lambda s: s.state.inverter.cabinet_c),
    "temperature_heat_sink": Quantity("Cel", lambda s: s.state.inverter.sink_c),
    "temperature_transformer": Quantity("Cel", lambda s: s.state.inverter.cabinet_c),
    "temperature_other": Quantity("Cel", lambda s: s.state.inverter.cabinet_c),
    "operating_state": Quantity(None, lambda s: s.state.inverter.state),
    "vendor_state": Quantity(None, lambda s: s.state.inverter.state),
    "events": Quantity(None, lambda s: 0),
    "events_2": Quantity(None, lambda s: 0),
    **{f"vendor_events_{n}": Quantity(None, lambda s: 0) for n in (1, 2, 3, 4)},
}

_STACK = {
    "co2": Quantity("ppm", lambda s: s.state.co2_ppm),
    "co2_i16": Quantity("ppm", lambda s: s.state.co2_ppm),
    "co2_i16_x10": Quantity("ppm", lambda s: s.state.co2_ppm),
    "temperature": Quantity("Cel", lambda s: s.state.gas_c),
    "compensation_temperature": Quantity("Cel", lambda s: s.state.gas_c),
    "device_status": Quantity(None, lambda s: 0),
    "co2_status": Quantity(None, lambda s: 0),
    "comp_pressure_volatile": Quantity("hPa", lambda s: 1013.25),
    "comp_temperature_volatile": Quantity("Cel", lambda s: 25.0),
    "comp_humidity_volatile": Quantity("%RH", lambda s: 0.0),
    "comp_oxygen_volatile": Quantity("/100", lambda s: 0.0),
}

_BOILER = {
    "stack_co2": Quantity("/", lambda s: s.state.stack.co2),
    "stack_o2": Quantity("/", lambda s: s.state.stack.o2),
    "stack_h2o": Quantity("/", lambda s: s.state.stack.h2o),
    "stack_flow": Quantity("m3/s", lambda s: s.state.stack.flow_m3_s),
    "stack_temperature": Quantity("Cel", lambda s: s.state.stack.gas_c),
    "stack_pressure": Quantity("Pa", lambda s: s.state.stack.pressure_pa),
    "firing_power": Quantity("W", lambda s: s.state.stack.firing_w),
    "fuel_weight": Quantity("kg", lambda s: s.start_kg + s.state.stack.fuel_kg),
}

_BATTERY = {"state_of_charge": Quantity("/", lambda s: s.state.charge)}

QUANTITIES: dict[str, Quantity] = {
    **_PHASES[0], **_PHASES[1], **_PHASES[2], **_TOTALS, **_GENERATOR, **_STACK, **_BOILER, **_BATTERY
}  # fmt: skip
"""Every quantity by its name."""
