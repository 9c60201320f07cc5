"""Battery: when it charges and discharges, what it holds, and what it loses. Pure.

Charging is power drawn and so positive. It follows the hour of the day, or a curve, within what there is room or energy
for: near full and near empty the power fades out, so that it never holds more than it can, nor less than nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

_FADES_S = 300.0
"""In which, at the power allowed, what is left would be used up."""
CHARGES, DISCHARGES = ((10.0, 15.0), (23.0, 24.0), (0.0, 5.0)), ((6.0, 9.0), (17.0, 22.0))
"""Hours of the day: charging at noon and at night, discharging in the peaks of the morning and the evening."""


@dataclass(frozen=True, slots=True)
class BatterySpec:
    """``efficiency`` is that of one conversion: a kWh that goes in and comes out again is its square. ``charged``:
    state of charge at the start, a share. Without ``kw`` or ``kwh`` there is no battery."""

    kw: float = 0.0
    kwh: float = 0.0
    efficiency: float = 0.95
    charged: float = 0.5

    def held_wh(self, charged_wh: float, discharged_wh: float) -> float:
        """What it holds after so much through its meter since the start."""
        return self.charged * self.kwh * 1000 + charged_wh * self.efficiency - discharged_wh / self.efficiency

    def power_w(self, hour: float, held_wh: float) -> float:
        """Power at its meter at an hour of the day, while it holds so much."""
        hour %= 24
        if any(begin <= hour < end for begin, end in CHARGES):
            return self.limited_w(self.kw * 1000, held_wh)
        if any(begin <= hour < end for begin, end in DISCHARGES):
            return self.limited_w(-self.kw * 1000, held_wh)
        return 0.0

    def limited_w(self, wanted_w: float, held_wh: float) -> float:
        """As much of a power as there is room or energy for."""
        if wanted_w > 0:
            room_j = (self.kwh * 1000 - held_wh) * 3600
            return max(0.0, min(wanted_w, room_j / self.efficiency / _FADES_S))
        return -max(0.0, min(-wanted_w, held_wh * 3600 * self.efficiency / _FADES_S))
