"""Base units of Prometheus for the dimensions of the vocabulary: what a value is called and multiplied by there.

Prometheus wants one unit a metric, without prefixes (prometheus.io/docs/practices/naming): watts, joules, grams. A
dimension has one metric, a concentration two, for shares and masses of a volume cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MetricUnit:
    """What a metric of values is called, without its beginning and ``_total``, and what a value is multiplied by."""

    metric: str
    factor: float


_HOUR = 3600.0
_MILLI, _KILO = 1e-3, 1e3

_SHARE = {"/": 1.0, "/100": 0.01, "ppm": 1e-6, "ppb": 1e-9, "%RH": 0.01}
_DENSITY = {"kg/m3": _KILO, "ug/m3": 1e-6}

BASE_UNITS: Mapping[tuple[str, str], tuple[str, float]] = MappingProxyType(
    {
        (dimension, unit): (name, factor)
        for dimension, name, units in (
            ("active power", "watts", {"W": 1.0, "kW": _KILO}),
            ("reactive power", "vars", {"var": 1.0, "kvar": _KILO}),
            ("apparent power", "volt_amperes", {"VA": 1.0, "kVA": _KILO}),
            ("active energy", "joules", {"J": 1.0, "Wh": _HOUR, "kWh": _KILO * _HOUR}),
            ("reactive energy", "var_seconds", {"varh": _HOUR, "kvarh": _KILO * _HOUR}),
            ("apparent energy", "volt_ampere_seconds", {"VAh": _HOUR, "kVAh": _KILO * _HOUR}),
            ("voltage", "volts", {"V": 1.0, "mV": _MILLI}),
            ("current", "amperes", {"A": 1.0, "mA": _MILLI}),
            ("frequency", "hertz", {"Hz": 1.0}),
            ("angle", "radians", {"rad": 1.0, "deg": math.pi / 180}),
            ("ratio", "ratio", _SHARE),
            ("temperature", "celsius", {"Cel": 1.0}),
            ("temperature", "kelvins", {"K": 1.0}),
            ("relative humidity", "ratio", _SHARE),
            ("concentration", "ratio", _SHARE),
            ("concentration", "grams_per_cubic_meter", _DENSITY),
            ("pressure", "pascals", {"Pa": 1.0, "hPa": 100.0}),
            ("flow", "cubic_meters_per_second", {"m3/s": 1.0, "l/s": _MILLI}),
            ("velocity", "meters_per_second", {"m/s": 1.0}),
            ("volume", "cubic_meters", {"m3": 1.0, "l": _MILLI}),
            ("mass", "grams", {"kg": _KILO}),
            ("heat", "joules", {"J": 1.0, "Wh": _HOUR, "kWh": _KILO * _HOUR}),
            ("density", "grams_per_cubic_meter", _DENSITY),
            ("area", "square_meters", {"m2": 1.0}),
            ("time", "seconds", {"s": 1.0, "min": 60.0, "h": _HOUR, "ms": _MILLI}),
        )
        for unit, factor in units.items()
    }
)
"""By dimension and SenML unit: the unit's word in the name of a metric, and what a value is multiplied by."""


def metric_unit(dimension: str, unit: str) -> MetricUnit | None:
    """The base unit of a value of this dimension with this SenML unit; None: there is none."""
    found = BASE_UNITS.get((dimension, unit))
    return None if found is None else MetricUnit(_metric(dimension, found[0]), found[1])


def metrics() -> Mapping[str, tuple[str, ...]]:
    """By dimension: the metrics of its values."""
    found: dict[str, list[str]] = {}
    for (dimension, _), (base, _) in BASE_UNITS.items():
        found.setdefault(dimension, []).append(_metric(dimension, base))
    return {dimension: tuple(dict.fromkeys(names)) for dimension, names in found.items()}


def _metric(dimension: str, base: str) -> str:
    return "_".join(dict.fromkeys([*dimension.split(), base]))
