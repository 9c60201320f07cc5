"""State of the plant at one moment: what flows at each place, and what stands there beside. Pure.

Signs are those of a meter at the grid connection: power drawn from the grid is positive, generation is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from firmware_sim.plant.signals import noise, uniform
from firmware_sim.plant.stack import Gas, Stack

Phases = tuple[float, float, float]
SLEEPING, MPPT, THROTTLED = 2, 4, 5  # SunSpec model 103, point St


def times(phases: Phases, factor: float) -> Phases:
    """Each phase, multiplied."""
    return phases[0] * factor, phases[1] * factor, phases[2] * factor


def negative(phases: Phases) -> Phases:
    """The other sign of each phase."""
    return -phases[0], -phases[1], -phases[2]


@dataclass(frozen=True, slots=True)
class Flow:
    """Three phases at one place: V, W and var now; Wh and varh since the start, counted apart by direction."""

    volts: Phases
    watts: Phases
    vars: Phases
    imported_wh: Phases
    exported_wh: Phases
    imported_varh: Phases
    exported_varh: Phases

    @property
    def turned(self) -> Flow:
        """As a meter sees it that is installed the wrong way round."""
        return Flow(
            self.volts,
            negative(self.watts),
            negative(self.vars),
            self.exported_wh,
            self.imported_wh,
            self.exported_varh,
            self.imported_varh,
        )

    def scaled(self, factor: float) -> Flow:
        """A share of it, or what a meter shows of it that errs: powers and energies alike, at the same voltage."""
        return Flow(
            self.volts,
            times(self.watts, factor),
            times(self.vars, factor),
            times(self.imported_wh, factor),
            times(self.exported_wh, factor),
            times(self.imported_varh, factor),
            times(self.exported_varh, factor),
        )


@dataclass(frozen=True, slots=True)
class Inverter:
    """The DC side of a PV inverter, its temperatures in °C and its SunSpec operating state."""

    dc_watts: float
    dc_volts: float
    cabinet_c: float
    sink_c: float
    state: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe finds in the diluted gas of a burner: CO₂ in ppm, and its temperature in °C."""

    co2_ppm: float
    gas_c: float


OUTDOORS = Probe(420.0, 18.0)
"""Where nothing burns."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """What stands at a place beside its flow; None: it has none. ``charge`` is a share of what a battery can hold."""

    inverter: Inverter | None = None
    stack: Stack | None = None
    charge: float | None = None
    probe: Probe = OUTDOORS

    @property
    def is_asleep(self) -> bool:
        """Whether its inverter sleeps."""
        return self.inverter is not None and self.inverter.state == SLEEPING

    def scaled(self, part: float) -> UnitState:
        """What stands at a part of the unit, as at one of many inverters: power, fuel and gas are its share."""
        inverter, stack = self.inverter, self.stack
        if inverter is not None:
            inverter = replace(inverter, dc_watts=inverter.dc_watts * part)
        if stack is not None:
            stack = replace(
                stack,
                fuel_kg=stack.fuel_kg * part,
                firing_w=stack.firing_w * part,
                flow_m3_s=stack.flow_m3_s * part,
                gas=Gas(*(getattr(stack.gas, name) * part for name in Gas.__dataclass_fields__)),
            )
        return replace(self, inverter=inverter, stack=stack)


PARTS = frozenset({"inverter", "stack", "charge"})
"""What only some units have, by its name in ``UnitState``."""
NOTHING = UnitState()


_Value = TypeVar("_Value")


class ByPlace(Mapping[str, _Value]):
    """Something of each place, made when it is first asked for: a meter looks at one place, and a plant has many."""

    def __init__(self, places: Sequence[str], made: Callable[[str], _Value]) -> None:
        self._places, self._make = places, made
        self._made: dict[str, _Value] = {}

    def __getitem__(self, place: str) -> _Value:
        if (found := self._made.get(place)) is None:
            if place not in self._places:
                raise KeyError(place)
            found = self._made[place] = self._make(place)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, slots=True)
class State:
    """Everything a meter of the plant can see at one moment; ``flows`` by place, ``units`` by place, those that have
    nothing beside their flow included."""

    t_ms: int
    seed: int
    hertz: float
    flows: Mapping[str, Flow]
    units: Mapping[str, UnitState]

    def seen(self, place: str, meter: str, part: Fraction, class_percent: float) -> Flow:
        """The flow at a place as a meter shows it.

        Args:
            place: where it sits.
            meter: its name. Each has one error, by the seed, of powers and energies alike.
            part: the share of the place that it sees.
            class_percent: the most by which it errs; 0: not at all.
        """
        flow = self.flows[place]
        if part == 1 and not class_percent:
            return flow
        error = class_percent / 100 * (2 * uniform(self.seed, f"class of {meter}", 0) - 1) if class_percent else 0.0
        return flow.scaled(float(part) * (1 + error))

    @property
    def thd(self) -> Phases:
        """Total harmonic distortion of the voltages in %."""
        l1, l2, l3 = (2.0 + 0.6 * noise(self.seed, f"thd{n}", self.t_ms / 1000, 23) for n in (1, 2, 3))
        return l1, l2, l3

    @property
    def inverter(self) -> Inverter:
        """Of a plant of the old keys, seen from anywhere."""
        return there(self.units["grid"].inverter)

    @property
    def stack(self) -> Stack:
        """Of a plant of the old keys, seen from anywhere."""
        return there(self.units["grid"].stack)

    @property
    def charge(self) -> float:
        """Of a plant of the old keys, seen from anywhere."""
        return there(self.units["grid"].charge)

    @property
    def probe(self) -> Probe:
        """Of a plant of the old keys, seen from anywhere."""
        return self.units["grid"].probe

    @property
    def co2_ppm(self) -> float:
        """Of ``probe``."""
        return self.probe.co2_ppm

    @property
    def gas_c(self) -> float:
        """Of ``probe``."""
        return self.probe.gas_c


_Part = TypeVar("_Part")


def there(part: _Part | None) -> _Part:
    """What a unit has. Raises ``LookupError`` where it has none; a meter's layout knows that, and does not ask."""
    if part is None:
        raise LookupError("the unit has no such part")
    return part
