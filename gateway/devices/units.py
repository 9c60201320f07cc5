"""Register units that SenML does not have: the recorded unit and the exact factor for each.

SenML's own units are in RFC 8428 and RFC 8798; 1 m3/h = 1/3600 m3/s, 1 MJ = 5/18 kWh, K and degF by their definitions
(BIPM SI brochure; NIST SP 811).
"""

from __future__ import annotations

from fractions import Fraction

from gateway.messages.message import Message

Conversion = tuple[Fraction, Fraction]
"""Value in the recorded unit = number × the first + the second."""

NORMAL = "_n"
"""End of the names of points at normal conditions: SenML cannot say so in a unit."""

_FACTORS: dict[str, dict[str, Fraction]] = {
    "m3/h": {"m3/s": Fraction(1, 3600)},
    "l/min": {"m3/s": Fraction(1, 60_000)},
    "l/h": {"m3/s": Fraction(1, 3_600_000)},
    "L": {"l": Fraction(1), "m3": Fraction(1, 1000)},
    "bar": {"Pa": Fraction(100_000), "hPa": Fraction(1000)},
    "MPa": {"Pa": Fraction(1_000_000), "hPa": Fraction(10_000)},
    "kPa": {"Pa": Fraction(1000), "hPa": Fraction(10)},
    "GJ": {"kWh": Fraction(2500, 9)},
    "MJ": {"kWh": Fraction(5, 18)},
    "MWh": {"kWh": Fraction(1000)},
    "MW": {"kW": Fraction(1000)},
    "Mvarh": {"kvarh": Fraction(1000)},
    "Mvar": {"kvar": Fraction(1000)},
    "t": {"kg": Fraction(1000)},
    "g": {"kg": Fraction(1, 1000)},
    "mg/m3": {"ug/m3": Fraction(1000)},
    "g/m3": {"ug/m3": Fraction(1_000_000)},
    "%": {"/100": Fraction(1)},
    "vol%": {"/100": Fraction(1)},
    "%O2": {"/100": Fraction(1)},
    "Nm3": {"m3": Fraction(1)},
    "Nm3/h": {"m3/s": Fraction(1, 3600)},
    "mg/Nm3": {"ug/m3": Fraction(1000)},
}
_TEMPERATURES: dict[str, Conversion] = {
    "degF": (Fraction(5, 9), Fraction(-160, 9)),
    "K": (Fraction(1), Fraction(-27315, 100)),
}
CONVERSIONS: dict[str, dict[str, Conversion]] = {
    **{unit: {to: (factor, Fraction(0)) for to, factor in ways.items()} for unit, ways in _FACTORS.items()},
    **{unit: {"Cel": conversion} for unit, conversion in _TEMPERATURES.items()},
}
"""For each ``from_unit`` the units that it can be recorded in."""

NORMAL_UNITS = ("Nm3", "Nm3/h", "mg/Nm3")
COUNTED = ("Wh", "kWh", "varh", "kvarh", "VAh", "kVAh", "m3", "l", "kg")
"""Units of which most points are counters, and some are not: their kind must be said."""


def line_to_write(unit: str) -> Message | None:
    """What a profile says in place of a unit that SenML does not have; None if it is not known here."""
    ways = CONVERSIONS.get(unit)
    if ways is None:
        return None
    to = next(iter(ways))
    if unit in NORMAL_UNITS:
        return Message("profile-write-unit-and-name", unit_new=to, unit_old=unit, suffix=NORMAL)
    return Message("profile-write-unit", unit_new=to, unit_old=unit)
