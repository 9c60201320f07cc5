"""Phases of a meter whose power runs against that of both others. Pure.

One current transformer the wrong way round, or two phases whose voltages are exchanged, shows so, on meters of one
direction too; and so does a generator on one phase, which only somebody at the site can know.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

PHASES: Final = {"L1": "active_power_l1", "L2": "active_power_l2", "L3": "active_power_l3"}
"""The phases, with the points that hold their power."""
_SHARE: Final = 0.02
"""A phase with less than this part of the strongest one says nothing of its direction."""


def reversed_phases(powers: Mapping[str, int | float | Decimal]) -> tuple[str, ...]:
    """The phases (``L1``, ``L2``, ``L3``) that look reversed: at most one, by two others that agree.

    ``powers``: finite numbers by point, those of the phases in one unit; other points do not count.
    """
    found = {phase: float(powers[point]) for phase, point in PHASES.items() if point in powers}
    least = _SHARE * max(map(abs, found.values()), default=0.0)
    strong = {phase: power for phase, power in found.items() if abs(power) > least}
    if len(strong) < len(PHASES):
        return ()
    exporting = [phase for phase, power in strong.items() if power < 0]
    importing = [phase for phase, power in strong.items() if power > 0]
    fewer = min(exporting, importing, key=len)
    return tuple(fewer)
