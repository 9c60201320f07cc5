"""Hints that a meter hangs the wrong way round: what it shows against what it is there for. Pure.

Import and export are as seen from the grid. A meter that knows both shows import as positive power, unless its profile
says otherwise (``positive``); one with an export counter alone, such as an inverter, shows what it gives and tells
nothing of its direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from gateway.commissioning.record.rows import plain
from gateway.daylight import daylight
from gateway.devices.knowledge.phases import PHASES, reversed_phases
from gateway.devices.knowledge.quantities import Direction
from gateway.messages.message import Message

_POWER: Final = ("active_power_total", "active_power")
_IMPORT, _EXPORT = "energy_import", "energy_export"
_DAY_HOURS: Final = range(9, 16)
"""Hours of the day in which a generator is expected to feed in, where the site's position is not known."""
_MOSTLY: Final = 20
"""A counter counts against the role if it stands at so many times the other one."""


@dataclass(frozen=True, slots=True)
class Place:
    """When and where a meter was looked at: ``local`` time of the site, its position if it is known."""

    local: datetime
    latitude: float | None = None
    longitude: float | None = None

    @property
    def by_day(self) -> bool:
        """The sun is well up, or it is around noon."""
        if self.latitude is None or self.longitude is None:
            return self.local.hour in _DAY_HOURS
        now_ms = round(self.local.timestamp() * 1000)
        sun = daylight(self.latitude, self.longitude, now_ms)
        margin_ms = sun.long_ms // 6
        return sun.sunrise_ms + margin_ms <= now_ms <= sun.sunset_ms - margin_ms


def hints(
    role: str, values: Mapping[str, Decimal], place: Place, positive: Direction | None = None
) -> tuple[Message, ...]:
    """What speaks against the direction of a meter. ``values`` by point, powers in W, in the meter's own direction;
    ``positive``: which way its profile says that power is above 0; None: import."""
    return tuple(_whole(role, values, place, positive)) if _knows_both(values) else ()


def phase_hints(values: Mapping[str, Decimal]) -> tuple[Message, ...]:
    """What speaks against the direction of single phases. ``values`` as of ``hints``."""
    return tuple(
        Message("wizard-phase-against", phase=phase, power=_text(values[PHASES[phase]]))
        for phase in reversed_phases(values)
    )


def _knows_both(values: Mapping[str, Decimal]) -> bool:
    return any(name.startswith(_IMPORT) for name in values) and any(name.startswith(_EXPORT) for name in values)


def _whole(role: str, values: Mapping[str, Decimal], place: Place, positive: Direction | None) -> Iterator[Message]:
    shown = next((values[name] for name in _POWER if name in values), None)
    power = -shown if shown is not None and positive == "export" else shown
    if power is not None and role == "generation" and power > 0 and place.by_day:
        yield Message("wizard-generation-imports", power=_text(power), at=place.local.strftime("%H:%M"))
    if power is not None and role == "consumption" and power < 0:
        yield Message("wizard-consumption-exports", power=_text(-power))
    taken, given = _total(values, _IMPORT), _total(values, _EXPORT)
    if taken is None or given is None:
        return
    if role == "generation" and taken > _MOSTLY * given:
        yield Message("wizard-generation-counted", taken=_text(taken), given=_text(given))
    if role == "consumption" and given > _MOSTLY * taken:
        yield Message("wizard-consumption-counted", taken=_text(taken), given=_text(given))


def _total(values: Mapping[str, Decimal], what: str) -> Decimal | None:
    return values.get(what, values.get(f"{what}_total"))


def _text(value: Decimal) -> str:
    return plain(float(value), 6)
