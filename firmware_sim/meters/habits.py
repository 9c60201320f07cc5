"""Habits of devices beyond their profiles, by the name of the profile: what they show where a point has no quantity of
its own name, what they say of themselves, and which reads they answer. Data only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Stretch = tuple[int, int]
"""First and last address of registers that can be read together."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What one device does.

    ``shows``: a point's quantity, or its constant; ``objects``: what it answers to "read device identification", by
    object; ``zeros``: functions that answer 0 for every register that it does not have; ``blocks``: by function the
    stretches that a read must not leave.
    """

    shows: Mapping[str, str | int] = field(default_factory=dict)
    objects: Mapping[int, str] = field(default_factory=dict)
    zeros: tuple[int, ...] = ()
    blocks: Mapping[int, list[Stretch]] = field(default_factory=dict)


_GENERATES = {
    "active_power_total": "generated_power", "reactive_power_total": "generated_reactive_power",
    "power_factor_total": "generated_power_factor", "energy_yield_total": "energy_export",
}  # fmt: skip
"""An inverter counts what it delivers as positive."""
_GRID = {
    "pcc_active_power": "grid_power_delivered", "pcc_current_l1": "grid_current_l1",
    "pcc_current_l2": "grid_current_l2", "pcc_current_l3": "grid_current_l3",
}  # fmt: skip
_SCHNEIDER = "Schneider Electric"
_NONE = Habits()
_KNOWN: dict[str, Habits] = {
    "airoptic-gaseye": Habits(
        {
            "process_temperature": "stack_temperature", "process_pressure": "stack_pressure",
            "temperature_calculated": "stack_temperature", "x_gas101": "co2", "x_gas102": "co", "x_gas103": "ch4",
            "x_gas104": "nh3",
        }
    ),
    "carlo-gavazzi-em24": Habits({"x_energy_import_partial": "energy_import_t1"}),
    "eastron-sdm630": Habits(zeros=(3, 4)),  # volkszaehler/mbmd issue 63
    "epluse-ee872": Habits(
        {
            "x_co2_avg_i16": "co2", "x_co2_raw_i16": "co2", "x_pressure_i16": "pressure",
            "x_relative_humidity_i16": "relative_humidity", "x_temperature_i16": "temperature",
            "x_dew_point_i16": "dew_point",
        }
    ),
    "fox-ft2a": Habits(
        {
            "x_flow_n": "flow", "x_flow_x10_n": "flow", "x_flow_x100_n": "flow", "x_volume_total_n": "volume_total",
            "x_volume_total_2_n": "volume_total", "x_volume_total_x100_n": "volume_total",
        }
    ),
    "huawei-sun2000": Habits({**_GENERATES, "device_status": 512, "grid_meter_active_power": "grid_power_delivered"}),
    "schneider-iem3155": Habits(  # iEM3400/iEM3500 series manual, "Read Device Identification"
        objects={0: _SCHNEIDER, 1: "A9MEM3155", 2: "001.003.002"}
    ),
    "schneider-pm5560": Habits(  # PM3200 series manual, "Read Device Identification"; taken over for the PM5000
        {"meter_model": "PM5560"}, {0: _SCHNEIDER, 1: "METSEPM5560", 2: "2.2.0"}
    ),
    "siemens-mass6000": Habits(
        {
            "x_total_1": "mass_total", "x_total_2": "mass_total", "x_total_1_f32": "mass_total",
            "x_total_2_f32": "mass_total",
        }
    ),
    "siemens-pac3200": Habits(  # manual A5E01168664B-04, 3.9.12
        objects={0: "Siemens AG", 1: "SENTRON PAC3200", 2: "V2.4.7"}
    ),
    "sma-data-manager": Habits({**_GENERATES, **_GRID}),
    "sma-inverter": Habits({**_GENERATES, "condition": 307}),
    "vaisala-gmp252": Habits(  # M211799EN-K: a read inside a block is answered, one that leaves it gets exception 02
        blocks={3: [(0, 5), (0x100, 0x101), (0x200, 0x20F), (0x300, 0x302), (0x800, 0x801)]}
    ),
}  # fmt: skip

_SINGLE = "voltage_ln"
_OF_ALL = (
    "active_power", "apparent_power", "reactive_power", "power_factor", "phase_angle", "energy_import", "energy_export",
    "energy_sum", "reactive_energy_import", "reactive_energy_export", "reactive_energy_sum",
)  # fmt: skip


def habits_of(profile: str) -> Habits:
    """What a device with this profile does."""
    return _KNOWN.get(profile, _NONE)


def has_one_phase(points: Collection[str]) -> bool:
    """Whether a device with these points is a meter of a single phase."""
    return _SINGLE in points


def shows(profile: str, points: Collection[str]) -> dict[str, str | int]:
    """What fills points by other than their own name. A meter of a single phase hangs at L1 and shows only that."""
    found: dict[str, str | int] = dict(habits_of(profile).shows)
    if has_one_phase(points):
        for stem in _OF_ALL:
            found |= {name: f"{stem}_l1" for name in (stem, f"{stem}_total") if name in points}
    return found
