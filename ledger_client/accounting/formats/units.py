"""Units of accounting: counters in Wh, kg or m³, gauges in the units of their quantity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from ledger_client.accounting.formats.refusal import refuse


class Unit(NamedTuple):
    """``factor`` of the base unit are one of this unit."""

    base: str
    factor: Fraction


COUNTER_UNITS: Final[Mapping[str, Unit]] = {
    "J": Unit("Wh", Fraction(1, 3600)),
    "Wh": Unit("Wh", Fraction(1)),
    "kWh": Unit("Wh", Fraction(1000)),
    "MWh": Unit("Wh", Fraction(1_000_000)),
    "g": Unit("kg", Fraction(1, 1000)),
    "kg": Unit("kg", Fraction(1)),
    "t": Unit("kg", Fraction(1000)),
    "l": Unit("m3", Fraction(1, 1000)),
    "m3": Unit("m3", Fraction(1)),
}
"""What a register may count. MWh and t stand in plans and entries; SenML has no name for them in a record."""
ENERGY_FACTORS: Final[Mapping[str, Fraction]] = {
    "kg/kWh": Fraction(1, 1000),
    "kg/MWh": Fraction(1, 1_000_000),
    "t/MWh": Fraction(1, 1000),
    "g/kWh": Fraction(1, 1_000_000),
}
"""Units of factors of electricity, in kg for a Wh."""

CONCENTRATION, FLOW, TEMPERATURE, PRESSURE, WATER = "c", "Q", "t", "p", "w"
"""Letters of the inputs of a measured emission: concentration, flow, temperature, pressure, H₂O."""
FLOWS: Final[Mapping[str, Fraction]] = {"m3/s": Fraction(3600), "l/s": Fraction(36, 10)}
"""m³/h for one of the unit."""
PRESSURES: Final[Mapping[str, Fraction]] = {"Pa": Fraction(1, 1000), "hPa": Fraction(1, 10)}
"""kPa for one of the unit."""
CONTENTS: Final[Mapping[str, Fraction]] = {
    "g/l": Fraction(1000), "mg/l": Fraction(1), "ug/l": Fraction(1, 1000), "ug/m3": Fraction(1, 1_000_000),
    "kg/m3": Fraction(1000),
}  # fmt: skip
"""g/m³ for one of the unit."""
SHARES: Final[Mapping[str, Fraction]] = {
    "/": Fraction(1), "%": Fraction(1), "/100": Fraction(1, 100), "ppm": Fraction(1, 1_000_000),
}  # fmt: skip
"""Of 1, by volume. SenML's % is a ratio from 0 to 1 (RFC 8428 §12.1, note 1)."""
INPUT_UNITS: Final[Mapping[str, frozenset[str]]] = {
    CONCENTRATION: frozenset({*CONTENTS, *SHARES}),
    FLOW: frozenset(FLOWS),
    TEMPERATURE: frozenset({"Cel", "K"}),
    PRESSURE: frozenset(PRESSURES),
    WATER: frozenset(SHARES),
}


def counter_unit(name: object, where: str) -> Unit:
    """A register's unit. Refuses one that no register counts in."""
    unit = COUNTER_UNITS.get(name) if isinstance(name, str) else None
    if unit is None:
        refuse("P3", where, f"{name!r} is not a unit of a counter", f"give one of {', '.join(COUNTER_UNITS)}")
    return unit
