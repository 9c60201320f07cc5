"""Stuck powers: measured powers that stand unchanged for an hour while other points of their meter move. Pure.

A register that a device has stopped to write shows so, whatever its profile calls lively. A power of 0 rests, and a
meter in which nothing moves is another matter (FROZEN, STALE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger_client.formats.senml import Number, Reading, Value

UNCHANGED_MS: Final = 3_600_000
LOOKS: Final = 5
"""Equal values in succession from which a power is stuck."""
LOOK_EVERY_MS: Final = 60_000
_PLACES: Final = ("", "_l1", "_l2", "_l3")
POWERS: Final = frozenset(
    {
        f"{kind}_power{way}{place}"
        for kind in ("active", "apparent")
        for way in ("", "_import", "_export")
        for place in _PLACES
    }
    | {"active_power_total", "apparent_power_total", "dc_power", "dc_input_power"}
    | {"grid_meter_active_power", "pcc_active_power"}
)
"""Names of powers as they are measured; others are limits, settings, means or peaks."""


@dataclass(slots=True)
class _Standing:
    value: Number
    since_ms: int
    others: Mapping[str, Number]
    """What the other points showed then."""
    looks: int = 1


@dataclass(slots=True)
class _Meter:
    looked_ms: int = 0
    standing: dict[str, _Standing] = field(default_factory=dict)
    stuck: Mapping[str, int] = field(default_factory=dict)


class StuckPowers:
    """What is remembered of each meter's powers, by a look at one reading a minute."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}

    def look(self, meter: str, reading: Reading) -> Mapping[str, int]:
        """The powers of a meter that are stuck, each with the record time in ms since which it is."""
        known = self._meters.setdefault(meter, _Meter())
        if reading.late or 0 <= reading.time_ms - known.looked_ms < LOOK_EVERY_MS:
            return known.stuck
        known.looked_ms = reading.time_ms
        numbers = {value.name: number for value in reading.values if (number := _number(value)) is not None}
        others = {name: number for name, number in numbers.items() if name not in POWERS}
        for name in numbers.keys() & POWERS:
            before = known.standing.get(name)
            if before is None or before.value != numbers[name] or before.since_ms > reading.time_ms:
                known.standing[name] = _Standing(numbers[name], reading.time_ms, others)
            else:
                before.looks += 1
        known.stuck = {
            name: power.since_ms
            for name, power in known.standing.items()
            if _is_stuck(power, reading.time_ms) and _moved(power.others, others)
        }
        return known.stuck


def _is_stuck(power: _Standing, now_ms: int) -> bool:
    return power.value != 0 and power.looks >= LOOKS and now_ms - power.since_ms >= UNCHANGED_MS


def _moved(before: Mapping[str, Number], now: Mapping[str, Number]) -> bool:
    return any(before[name] != now[name] for name in before.keys() & now.keys())


def _number(value: Value) -> Number | None:
    return value.value if isinstance(value.value, Number) and not isinstance(value.value, bool) else None
