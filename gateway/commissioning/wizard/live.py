"""Live values of a meter under commissioning: what it answers now, with the frames that carried it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from gateway.commissioning.record.content import Shown
from gateway.config.model import Config


@dataclass(frozen=True, slots=True)
class LiveValue:
    """One point of an answer. ``unit`` as recorded, "" without one; ``counter``: it only goes up; ``at_ms``: when the
    answer was complete, Unix ms."""

    point: str
    unit: str
    value: Shown
    counter: bool
    request: bytes
    answer: bytes
    at_ms: int

    @property
    def number(self) -> Decimal | None:
        """The value as a decimal number, None if it is none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float | Decimal):
            return None
        number = Decimal(str(self.value))
        return number if number.is_finite() else None

    @property
    def energy(self) -> bool:
        """It is a register of active energy."""
        return self.counter and self.unit.endswith("Wh")


@dataclass(frozen=True, slots=True)
class Live:
    """What a meter answered. ``identity``: what it says that it is, as ``serial_number=4711``; None: it does not."""

    identity: str | None
    values: Mapping[str, LiveValue]

    @property
    def numbers(self) -> dict[str, Decimal]:
        """The values that are numbers, powers in W and counters of energy in kWh."""
        return {
            name: number.scaleb(_SCALED.get(live.unit, 0))
            for name, live in self.values.items()
            if (number := live.number) is not None
        }

    def with_newer(self, newer: Live) -> Live:
        """These values with newer ones of some points."""
        return Live(newer.identity or self.identity, {**self.values, **newer.values})

    def to_compare(self) -> tuple[list[LiveValue], list[LiveValue]]:
        """What a display may show: registers of energy, and others; those that are not 0 first."""
        numeric = [live for live in self.values.values() if live.number is not None and live.unit]
        numeric.sort(key=lambda live: live.number == 0)
        return [live for live in numeric if live.energy], list(_others(numeric))


class Reader(Protocol):
    """Asks a meter of a configuration now."""

    def __call__(self, config: Config, meter: str, points: tuple[str, ...] = ()) -> Live:
        """``points``: these alone, as far as that is less work; none: all. Raises GatewayError: why nothing came."""


_SCALED = {"kW": 3, "MW": 6, "Wh": -3, "MWh": 3}
_FIRST = ("voltage", "frequency", "active_power", "current")
"""What most displays show without a menu."""


def _others(values: list[LiveValue]) -> Iterator[LiveValue]:
    others = [live for live in values if not live.energy]
    for begin in _FIRST:
        yield from (live for live in others if live.point.startswith(begin))
    yield from (live for live in others if not live.point.startswith(_FIRST))
