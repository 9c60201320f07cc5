"""Measured quantities: name, unit and derivation from the plant. Pure.

A point of a device profile is filled from the quantity of the same name, converted to the point's own unit. Relations
between quantities hold by construction: totals are sums over the phases, S² = P² + Q², power factor = P / S, I = S / V.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from firmware_sim.plant.signals import total
from firmware_sim.plant.stack import Stack
from firmware_sim.plant.state import Flow, Inverter, Probe, State, UnitState, there


@dataclass(frozen=True, slots=True)
class Scene:
    """One meter's view of one moment: the plant, its own place in it, and what its counters showed at the start."""

    state: State
    flow: Flow
    start_wh: tuple[float, float] = (0.0, 0.0)
    start_varh: tuple[float, float] = (0.0, 0.0)
    start_kg: float = 0.0
    stands: Callable[[], UnitState] | None = None
    """What stands at its place beside the flow, for those that ask; None: of a plant of the old keys, what it has
    anywhere."""

    @property
    def inverter(self) -> Inverter:
        """Of its place."""
        return self.state.inverter if self.stands is None else there(self.stands().inverter)

    @property
    def stack(self) -> Stack:
        """Of its place."""
        return self.state.stack if self.stands is None else there(self.stands().stack)

    @property
    def charge(self) -> float:
        """Of its place."""
        return self.state.charge if self.stands is None else there(self.stands().charge)

    @property
    def probe(self) -> Probe:
        """Of its place."""
        return self.state.probe if self.stands is None else self.stands().probe

    @property
    def consumption(self) -> Flow:
        """Of the works: the load of a plant of the old keys, else of its place."""
        return self.state.flows.get("load", self.flow)


Number = Callable[[Scene], float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity: SenML unit (None: a plain code), its value in a scene, and the part of ``UnitState`` that
    must stand at the place (None: every place has it)."""

    unit: str | None
    of: Number
    part: str | None = None


_SAME = {
    "V": ("V", 1.0), "mV": ("V", 1e-3), "kV": ("V", 1e3), "A": ("A", 1.0), "mA": ("A", 1e-3),
    "W": ("W", 1.0), "kW": ("W", 1e3), "VA": ("VA", 1.0), "kVA": ("VA", 1e3), "var": ("var", 1.0), "kvar": ("var", 1e3),
    "Wh": ("Wh", 1.0), "kWh": ("Wh", 1e3), "J": ("Wh", 1 / 3600), "varh": ("varh", 1.0), "kvarh": ("varh", 1e3),
    "VAh": ("VAh", 1.0), "kVAh": ("VAh", 1e3),
    "/": ("/", 1.0), "/100": ("/", 1e-2), "/1000": ("/", 1e-3), "ppm": ("/", 1e-6), "ppb": ("/", 1e-9),
    "Hz": ("Hz", 1.0), "Cel": ("Cel", 1.0), "deg": ("deg", 1.0), "hPa": ("Pa", 100.0), "Pa": ("Pa", 1.0),
    "%RH": ("%RH", 1.0), "m3": ("m3", 1.0), "l": ("m3", 1e-3), "m/s": ("m/s", 1.0), "h": ("h", 1.0),
    "kg/m3": ("kg/m3", 1.0), "m3/s": ("m3/s", 1.0), "l/s": ("m3/s", 1e-3), "kg": ("kg", 1.0), "g": ("kg", 1e-3),
}  # fmt: skip


def conversion(have: str | None, want: str | None) -> float | None:
    """The factor from unit ``have`` to unit ``want``; None when they measure different things."""
    if have == want:
        return 1.0
    here, there = _SAME.get(have or ""), _SAME.get(want or "")
    return here[1] / there[1] if here and there and here[0] == there[0] else None


def _apparent(watts: float, reactive: float) -> float:
    return math.hypot(watts, reactive)


def _ampere(flow: Flow, n: int) -> float:
    """The current of phase ``n`` + 1."""
    return _apparent(flow.watts[n], flow.vars[n]) / flow.volts[n] if flow.volts[n] > 0 else 0.0


def _factor(watts: float, reactive: float) -> float:
    apparent = math.hypot(watts, reactive)
    return watts / apparent if apparent > 0 else 1.0


_GAS_J_M3, _GAS_KG_M3 = 3.6e7, 0.75


def _gas_m3(s: Scene) -> float:
    """What has flown through the line of gas since the start."""
    return total(s.consumption.imported_wh) * 3600 / _GAS_J_M3


def _humidity(s: Scene) -> float:
    """Of air that was at 45 % and 20 °C, and is warmer."""
    return 45 * math.exp(-0.06 * (s.probe.gas_c - 20))


def _dew_point(celsius: float, humidity: float) -> float:
    """Magnus, over water."""
    drawn = math.log(humidity / 100) + 17.62 * celsius / (243.12 + celsius)
    return 243.12 * drawn / (17.62 - drawn)


def _oxygen(s: Scene) -> float:
    """Air, less what stands in it as carbon dioxide and water."""
    return 0.2095 - 2.5 * s.probe.co2_ppm * 1e-6


def _trace(share: float) -> Quantity:
    return Quantity("ppm", lambda s: share * s.probe.co2_ppm)


def _of_phase(n: int) -> dict[str, Quantity]:
    """The quantities of phase ``n`` + 1."""
    following = (n + 1) % 3
    label, pair = f"_l{n + 1}", f"_l{n + 1}{following + 1}"

    def across(s: Scene) -> float:  # two phasors 120 degrees apart
        a, b = s.flow.volts[n], s.flow.volts[following]
        return math.sqrt(a * a + b * b + a * b)

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
        f"current{label}": Quantity("A", lambda s: _ampere(s.flow, n)),
        f"active_power{label}": Quantity("W", lambda s: s.flow.watts[n]),
        f"reactive_power{label}": Quantity("var", lambda s: s.flow.vars[n]),
        f"apparent_power{label}": Quantity("VA", lambda s: _apparent(s.flow.watts[n], s.flow.vars[n])),
        f"power_factor{label}": Quantity("/", lambda s: _factor(s.flow.watts[n], s.flow.vars[n])),
        f"phase_angle{label}": Quantity("deg", lambda s: math.degrees(math.atan2(s.flow.vars[n], s.flow.watts[n]))),
        f"thd_current{label}": Quantity("/100", lambda s: 2 * s.state.thd[n]),
        f"grid_current{label}": Quantity("A", lambda s: _ampere(s.state.flows["grid"], n)),
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
    return Quantity(parts[0].unit, lambda s: total(part.of(s) for part in parts) / share)


def _mean_across() -> Quantity:
    parts = [phase[f"voltage_ll_{pair}"] for phase, pair in zip(_PHASES, ("l12", "l23", "l31"), strict=True)]
    return Quantity("V", lambda s: total(part.of(s) for part in parts) / 3)


def _neutral(s: Scene) -> float:
    """What three currents leave over that stand 120 degrees apart."""
    a, b, c = (_ampere(s.flow, n) for n in (0, 1, 2))
    return math.sqrt(max(0.0, a * a + b * b + c * c - a * b - b * c - c * a))


def _net() -> Quantity:
    taken, given = _over_phases("energy_import"), _over_phases("energy_export")
    return Quantity("Wh", lambda s: taken.of(s) - given.of(s))


def _tariffs() -> dict[str, Quantity]:
    """Two tariffs, which share a counter evenly."""
    found: dict[str, Quantity] = {}
    for name in ("energy_import", "energy_export", "reactive_energy_import", "reactive_energy_export"):
        found |= dict.fromkeys((f"{name}_t1", f"{name}_t2"), _half(_over_phases(name)))
    return found | dict.fromkeys(
        ("apparent_energy_t1", "apparent_energy_t2"), _half(_over_phases("apparent_energy_import"))
    )


def _half(whole: Quantity) -> Quantity:
    return Quantity(whole.unit, lambda s: whole.of(s) / 2)


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
    "current_neutral": Quantity("A", _neutral),
    "energy_net": _net(),
    **_tariffs(),
    **{f"reactive_energy_q{n}": _over_phases(f"reactive_energy_q{n}") for n in (1, 2, 3, 4)},
    "apparent_energy_import": _over_phases("apparent_energy_import"),
    "apparent_energy_export": _over_phases("apparent_energy_export"),
    "frequency": Quantity("Hz", lambda s: s.state.hertz),
}

_GENERATOR = {  # a generator counts what it delivers as positive
    "generated_power": Quantity("W", lambda s: -_watts.of(s)),
    "generated_reactive_power": Quantity("var", lambda s: -_vars.of(s)),
    "generated_power_factor": Quantity("/", lambda s: _factor(-_watts.of(s), -_vars.of(s))),
    "energy_yield_day": Quantity("Wh", lambda s: total(s.flow.exported_wh)),  # the day is that of the start
    "active_power_peak_day": Quantity("W", lambda s: -_watts.of(s)),
}

_INVERTER = {
    "efficiency": Quantity("/", lambda s: -_watts.of(s) / s.inverter.dc_watts if s.inverter.dc_watts else 0.0),
    "internal_temperature": Quantity("Cel", lambda s: s.inverter.cabinet_c),
    "dc_input_power": Quantity("W", lambda s: s.inverter.dc_watts),
    "pv1_voltage": Quantity("V", lambda s: s.inverter.dc_volts),
    "pv1_current": Quantity("A", lambda s: s.inverter.dc_watts / s.inverter.dc_volts),
    "dc_power": Quantity("W", lambda s: s.inverter.dc_watts),
    "dc_voltage": Quantity("V", lambda s: s.inverter.dc_volts),
    "dc_current": Quantity("A", lambda s: s.inverter.dc_watts / s.inverter.dc_volts),
    "temperature_cabinet": Quantity("Cel", lambda s: s.inverter.cabinet_c),
    "temperature_heat_sink": Quantity("Cel", lambda s: s.inverter.sink_c),
    "temperature_transformer": Quantity("Cel", lambda s: s.inverter.cabinet_c),
    "temperature_other": Quantity("Cel", lambda s: s.inverter.cabinet_c),
    "operating_state": Quantity(None, lambda s: s.inverter.state),
    "vendor_state": Quantity(None, lambda s: s.inverter.state),
}

_EVENTS = {
    "events": Quantity(None, lambda s: 0),
    "events_2": Quantity(None, lambda s: 0),
    **{f"vendor_events_{n}": Quantity(None, lambda s: 0) for n in (1, 2, 3, 4)},
}

_GRID = {  # as an inverter's own meter at the grid connection counts, what is delivered as positive
    "grid_power_delivered": Quantity("W", lambda s: -total(s.state.flows["grid"].watts)),
    "grid_meter_reactive_power": Quantity("var", lambda s: -total(s.state.flows["grid"].vars)),
    "grid_energy_import": Quantity("Wh", lambda s: total(s.state.flows["grid"].imported_wh)),
    "grid_energy_export": Quantity("Wh", lambda s: total(s.state.flows["grid"].exported_wh)),
}

_LINE = {  # a line with gas that holds what the load takes: 10 kWh a normal cubic metre, 0.75 kg of it, 10 cm² of pipe
    "flow": Quantity("m3/s", lambda s: total(s.consumption.watts) / _GAS_J_M3),
    "volume_flow": Quantity("m3/s", lambda s: total(s.consumption.watts) / _GAS_J_M3),
    "velocity": Quantity("m/s", lambda s: total(s.consumption.watts) / _GAS_J_M3 / 0.001),
    "volume_total": Quantity("m3", lambda s: _gas_m3(s)),
    "mass_total": Quantity("kg", lambda s: _gas_m3(s) * _GAS_KG_M3),
    "density": Quantity("kg/m3", lambda s: _GAS_KG_M3),
    "gas_temperature": Quantity("Cel", lambda s: s.probe.gas_c),
    "sensor_temperature": Quantity("Cel", lambda s: s.probe.gas_c),
    "flow_reverse": Quantity("m3/s", lambda s: 0),
    "velocity_reverse": Quantity("m/s", lambda s: 0),
    "volume_total_reverse": Quantity("m3", lambda s: 0),
    "elapsed_time": Quantity("h", lambda s: s.state.t_ms / 3_600_000),
}

_AIR = {
    "pressure": Quantity("Pa", lambda s: s.stack.pressure_pa, "stack"),
    "relative_humidity": Quantity("%RH", lambda s: _humidity(s)),
    "dew_point": Quantity("Cel", lambda s: _dew_point(s.probe.gas_c, _humidity(s))),
    "co2_avg": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "co2_raw": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "co2_concentration": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "o2_concentration": Quantity("/", lambda s: _oxygen(s)),
    "o2_cell_temperature": Quantity("Cel", lambda s: 50.0),
    "co2_slope": Quantity("/", lambda s: 1.0),
    "co2_offset": Quantity("/", lambda s: 0.0),
}

_TRACES = {"so2": 0.05, "no": 0.04, "no2": 0.004, "nox": 0.044, "nh3": 0.001, "co": 0.02, "ch4": 0.002, "voc": 0.003}
_GASES = {  # in the diluted gas: shares of its carbon dioxide, water as from oil, and the oxygen that both leave
    **{name: _trace(share) for name, share in _TRACES.items()},
    "h2o": _trace(1.5),
    "o2": Quantity("/", lambda s: _oxygen(s)),
    "x_ratio_so2_co2": Quantity("/", lambda s: _TRACES["so2"]),
}

_QUIET = (
    "malfunction", "maintenance_request", "maintenance", "out_of_specification", "zero_check", "span_check",
    "zero_or_span_check", "sample_flow_warning", "sample_pressure_warning", "invalid_concentration",
    "in_zero_calibration", "in_low_span_calibration", "in_span_calibration", "in_multipoint_calibration", "status",
    "system_status", "parity_errors", "crc_errors", "response_delay",
)  # fmt: skip
_SOUND = ("data_live", "system_ok", "active_sampling_point", "shown_sampling_point")
_STATES = {
    **dict.fromkeys(_QUIET, Quantity(None, lambda s: 0)),
    **dict.fromkeys(_SOUND, Quantity(None, lambda s: 1)),
}

_STACK = {
    "co2": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "co2_i16": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "co2_i16_x10": Quantity("ppm", lambda s: s.probe.co2_ppm),
    "temperature": Quantity("Cel", lambda s: s.probe.gas_c),
    "compensation_temperature": Quantity("Cel", lambda s: s.probe.gas_c),
    "device_status": Quantity(None, lambda s: 0),
    "co2_status": Quantity(None, lambda s: 0),
    "comp_pressure_volatile": Quantity("hPa", lambda s: 1013.25),
    "comp_temperature_volatile": Quantity("Cel", lambda s: 25.0),
    "comp_humidity_volatile": Quantity("%RH", lambda s: 0.0),
    "comp_oxygen_volatile": Quantity("/100", lambda s: 0.0),
}

_BOILER = {
    "stack_co2": Quantity("/", lambda s: s.stack.co2),
    "stack_o2": Quantity("/", lambda s: s.stack.o2),
    "stack_so2": Quantity("/", lambda s: s.stack.so2),
    "stack_h2o": Quantity("/", lambda s: s.stack.h2o),
    "stack_flow": Quantity("m3/s", lambda s: s.stack.flow_m3_s),
    "stack_temperature": Quantity("Cel", lambda s: s.stack.gas_c),
    "stack_pressure": Quantity("Pa", lambda s: s.stack.pressure_pa),
    "firing_power": Quantity("W", lambda s: s.stack.firing_w),
    "fuel_weight": Quantity("kg", lambda s: s.start_kg + s.stack.fuel_kg),
}

_BATTERY = {"state_of_charge": Quantity("/", lambda s: s.charge)}


def _standing(part: str, quantities: dict[str, Quantity]) -> dict[str, Quantity]:
    """Quantities of what stands only at some places."""
    return {name: replace(quantity, part=part) for name, quantity in quantities.items()}


QUANTITIES: dict[str, Quantity] = {
    **_PHASES[0], **_PHASES[1], **_PHASES[2], **_TOTALS, **_GENERATOR, **_standing("inverter", _INVERTER), **_EVENTS,
    **_GRID, **_LINE, **_AIR, **_GASES, **_STATES, **_STACK, **_standing("stack", _BOILER),
    **_standing("charge", _BATTERY), "voltage_ln": _PHASES[0]["voltage_ln_l1"], "current": _PHASES[0]["current_l1"],
}  # fmt: skip
"""Every quantity by its name."""
