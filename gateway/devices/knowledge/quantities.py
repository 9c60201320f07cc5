"""Vocabulary of point names: what each name of the catalog measures, from ``gateway/devices/quantities.toml``.

A name of the vocabulary has one meaning everywhere. Units differ between devices (W, kW), so a point is compared by
dimension: ``UNITS`` lists the SenML units of each.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Direction = Literal["import", "export"]
"""As seen from the grid: taken from it, or given to it."""
PROFILE_PREFIX = "x_"
"""Begin of the names that a profile gives to values without a name of the vocabulary."""
_STATISTICS = {"avg": "mean of the period", "min": "least of the period", "max": "greatest of the period"}
_SIGNED_POWER = re.compile(r"active_power(_total|_l[123])?")
_KINDS = {
    "gauge": ("gauge",), "counter": ("counter",), "status": ("status", "text"), "text": ("text", "status"),
    "scale": ("scale", "gauge", "status"),
}  # fmt: skip
"""Kinds of points by the kind of their quantity: a serial number is a text in one device and a number in another."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a name means.

    ``unit``: the SenML unit (RFC 8428, RFC 8798) that it usually has; None: no number. ``obis``: code of IEC 62056-61
    where one exists. ``direction``: as seen from the grid, ``import`` is taken from it. ``phase``: 1 to 3, None: all of
    them, or none. ``same_as``: the name under which other devices have the same quantity.
    """

    name: str
    meaning: str
    unit: str | None = None
    dimension: str | None = None
    obis: str | None = None
    direction: Direction | None = None
    phase: Literal[1, 2, 3] | None = None
    kind: Literal["gauge", "counter", "status", "text", "scale"] = "gauge"
    same_as: str | None = None

    def fits(self, unit: str | None, kind: str) -> bool:
        """Whether a point with this unit and kind may have this name."""
        if kind not in _KINDS[self.kind]:
            return False
        return kind not in ("gauge", "counter") or unit in UNITS[self.dimension or ""]


def _read() -> tuple[dict[str, tuple[str, ...]], dict[str, Quantity]]:
    table = tomllib.loads((Path(__file__).parents[1] / "quantities.toml").read_text())
    units = {dimension: tuple(units) for dimension, units in table["dimensions"].items()}
    found = [quantity for name, row in table["quantities"].items() for quantity in _quantities(name, row)]
    return units, {quantity.name: quantity for quantity in found}


def _quantities(name: str, row: dict[str, Any]) -> Iterator[Quantity]:
    """A row's quantity; with ``statistics`` those of a period too."""
    statistics = row.pop("statistics", False)
    quantity = Quantity(name, **row)
    yield quantity
    for end, words in _STATISTICS.items() if statistics else ():
        yield Quantity(f"{name}_{end}", f"{quantity.meaning}, {words}", quantity.unit, quantity.dimension)


_units, _named = _read()
UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(_units)
"""SenML units by dimension."""
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(_named)
"""The vocabulary, by name."""


def one_name(name: str) -> str:
    """The name that stands for one quantity: ``active_power`` of ``active_power_total``. Records have both."""
    quantity = QUANTITIES.get(name)
    return name if quantity is None or quantity.same_as is None else quantity.same_as


def has_sign(name: str) -> bool:
    """Whether a name is an active power that is below 0 in one of its directions, as ``positive`` of a profile says."""
    return _SIGNED_POWER.fullmatch(name) is not None
