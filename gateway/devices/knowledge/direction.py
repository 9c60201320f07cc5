"""Direction of a meter that is installed the wrong way round: what its values are, seen from the grid.

Import and export of the vocabulary exchange their names, powers and power factors their sign, quadrants turn by two
(IEC 62053-23, annex C: 1 is opposite to 3, 2 to 4), and a phase angle by half a turn. For display only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.devices.knowledge.quantities import QUANTITIES
from ledger_client.formats.senml import Number

_SIGNED = re.compile(r"((grid_meter_)?(active|reactive)_power|power_factor)(_total|_l[123]|_minute)?|energy_net")
_CURRENT = re.compile(r"current(_l[123]|_avg|_total)?")
_ANGLE = re.compile(r"phase_angle(_total|_l[123])?")
_QUADRANTS = {"q1": "q3", "q2": "q4", "q3": "q1", "q4": "q2"}


@dataclass(frozen=True, slots=True)
class Turned:
    """A value of a meter that is turned: the name that it gets, and what becomes of the number."""

    name: str
    becomes: Literal["same", "negative", "half a turn"] = "same"
    unit: str | None = None

    def of(self, value: Number) -> Number:
        """The number, turned: a decimal keeps its places, and 0 has no sign."""
        if self.becomes == "same" or (value == 0 and self.becomes == "negative"):
            return value
        if self.becomes == "negative":
            return -value
        half = 180 if self.unit != "rad" else math.pi if isinstance(value, float) else Decimal("3.141592653589793")
        return value - half if value > 0 else value + half  # type: ignore[operator]  # one kind of number with itself


def turned(name: str, *, signed: bool = False, unit: str | None = None) -> Turned:
    """What a point of a reversed meter is to be shown as; names that are not in the vocabulary stay as they are.

    Args:
        name: of the point.
        signed: the device can show it below 0: a current without a sign is the same in both directions.
        unit: of the point, where it is an angle.
    """
    if _SIGNED.fullmatch(name) or (signed and _CURRENT.fullmatch(name)):
        return Turned(name, "negative")
    if _ANGLE.fullmatch(name):
        return Turned(name, "half a turn", unit)
    return Turned(_opposite(name))


def has_direction(name: str, *, signed: bool = False, unit: str | None = None) -> bool:
    """Whether a point is shown as something else of a reversed meter. Arguments as of ``turned``."""
    return turned(name, signed=signed, unit=unit) != Turned(name)


def _opposite(name: str) -> str:
    quantity = QUANTITIES.get(name)
    if quantity is None:
        return name
    if quantity.direction:
        other = "export" if quantity.direction == "import" else "import"
        found = QUANTITIES.get(name.replace(quantity.direction, other))
        return found.name if found and found.direction == other else name
    opposite = re.sub(r"(?<=_)q[1-4](?=_|$)", lambda match: _QUADRANTS[match[0]], name)
    return opposite if opposite in QUANTITIES else name
