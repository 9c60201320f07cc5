"""Fault kinds of what a device measures and counts, and of how it lays that out: one class each. No I/O.

They are as physical as the plant. What is wrong at the terminals (a phase, a direction, a transformer) changes what
the meter sees, so that all of its points follow and counters stay sums of powers: they go on from what they showed at
``since_ms``, when the fault begins, and never fall while it lasts. When it ends, the meter shows again what it would
have shown without it. What is wrong inside (drift, spike, a register) changes single points.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Annotated, ClassVar, cast

from pydantic import Field

from firmware_sim.meters.answer_faults import Fault, Refusal, See, Trait
from firmware_sim.meters.answers import Place
from firmware_sim.meters.packing import Cell, Value, ordered
from firmware_sim.plant.quantities import Scene
from firmware_sim.plant.state import ByPlace, Flow, Phases, Probe, UnitState
from firmware_sim.plant.tree import GRID

MS_PER_HOUR = 3_600_000
AIR_O2 = 0.2095
ZERO_AIR_CO2_PPM = 0.01
"""What is left of it: an analyser never shows exactly 0, which some have as code for "not available"."""
SO2_IN_SPAN_GAS = 0.001
"""Of its CO2."""
CALIBRATES, UNREACHABLE = "C", "B"
"""Data flags of HJ 212-2017: in calibration, no connection to the instrument."""
_ELECTRIC = re.compile(r"^(voltage|current|power|active_|reactive_|apparent_|energy_|generated_|grid_|phase_)")
_GAS = re.compile(r"(^|_)(co2|o2|so2|no|no2|nox|nh3|co|ch4|voc)(_|$)")
_GAS_CODES = ("a19001", "a05001", "a21026", "a21002", "S01", "30", "02", "03")
"""Of HJ 212, in both styles; dust is no gas."""
_IN_ZERO = ("in_zero_calibration", "zero_check", "zero_or_span_check")
_IN_SPAN = ("in_span_calibration", "span_check", "zero_or_span_check")
Percent = Annotated[float, Field(ge=-100_000, le=100_000)]
_NOT_ELECTRIC = "it measures no electricity", "move it to an electricity meter or an inverter"


def _named(point: str, traits: Mapping[str, Trait], numbers: bool = True) -> Refusal | None:
    """Why this point of a meter cannot be meant."""
    if not point:
        return None
    if point not in traits:
        return "point", f"no such point: {point!r}", f"use one of its points: {', '.join(traits)}"
    if numbers and traits[point].kind not in ("gauge", "counter"):
        return "point", f"{point} is no measured value", "use a gauge or a counter"
    return None


@dataclass(kw_only=True)
class _OfPoints:
    """A fault of one ``point``, or of all gauges."""

    point: str = ""

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        return _named(self.point, traits)

    def is_of(self, cell: Place) -> bool:
        """Whether a point is meant."""
        if cell.type == "string":
            return False
        return cell.name == self.point if self.point else cell.kind == "gauge"


@dataclass(kw_only=True)
class Drift(_OfPoints, Fault):
    """Gauges, or one ``point``, leave what is true by ``percent_per_hour`` of it, from when it begins."""

    percent_per_hour: Percent = 10.0

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if value is None or isinstance(value, str) or t_ms < self.since_ms or not self.is_of(cell):
            return value
        hours = Fraction(t_ms - self.since_ms, MS_PER_HOUR)
        return cell.within(_times(value, 1 + hours * Fraction(self.percent_per_hour) / 100))


@dataclass(kw_only=True)
class Spike(_OfPoints, Fault):
    """Gauges, or one ``point``, show ``times`` what is true, or as much as they can."""

    times: Percent = 10.0

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if value is None or isinstance(value, str) or not self.is_of(cell):
            return value
        return cell.within(_times(value, Fraction(self.times)))


def _times(value: float | Fraction, factor: Fraction) -> float | Fraction:
    return value * float(factor) if isinstance(value, float) else Fraction(value) * factor


@dataclass(kw_only=True)
class StuckRegister(_OfPoints, Fault):
    """One ``point``, by default the first gauge that is read, goes on showing what it first showed."""

    _held: dict[str | None, Value] = field(default_factory=dict, init=False)

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if not self.is_of(cell) or (self._held and cell.name not in self._held):
            return value
        return self._held.setdefault(cell.name, value)


@dataclass(kw_only=True)
class NotAvailable(_OfPoints, Fault):
    """Gauges and counters, or one ``point``, show their code for "not available"; those without a code stay."""

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        if (refusal := _named(self.point, traits)) is not None:
            return refusal
        meant = [self.point] if self.point else list(traits)
        if any(traits[name].can_lack and traits[name].kind in ("gauge", "counter") for name in meant):
            return None
        which = self.point or "none of its points"
        return "point" if self.point else "kind", f'{which} has a code for "not available"', "use zero-counters or dead"

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if cell.kind == "flag":
            return UNREACHABLE if self.point in ("", cell.name) else value
        is_of = self.is_of(cell) or (not self.point and cell.kind == "counter" and cell.type != "string")
        return None if is_of and cell.can_lack else value


def _no_counters(traits: Mapping[str, Trait]) -> Refusal | None:
    if any(trait.kind == "counter" for trait in traits.values()):
        return None
    return "kind", "it has no counter", "move it to a meter with counters"


@dataclass(kw_only=True)
class CounterReset(Fault):
    """Counters begin at 0 when it begins, and count on."""

    _begin = cast("Scene | None", None)  # no field: it is found again, and needs no place in a state file

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        return _no_counters(traits)

    def scene(self, see: See, t_ms: int) -> Scene:
        now = see(t_ms)
        if t_ms < self.since_ms:
            return now
        begin = self._begin = self._begin or see(self.since_ms)
        flows, units = now.state.flows, now.state.units
        state = replace(
            now.state,
            flows=ByPlace(tuple(flows), lambda place: _grown(flows[place], begin.state.flows[place])),
            units=ByPlace(tuple(units), lambda place: _refuelled(units[place], begin.state.units[place])),
        )
        return replace(
            now,
            state=state,
            flow=_grown(now.flow, begin.flow),
            start_wh=(0.0, 0.0),
            start_varh=(0.0, 0.0),
            start_kg=0.0,
            stands=lambda: _refuelled(_standing(now), _standing(begin)),
        )


def _standing(scene: Scene) -> UnitState:
    """What stands at the meter's place."""
    return scene.state.units[GRID] if scene.stands is None else scene.stands()


def _less(now: Phases, begin: Phases) -> Phases:
    return max(0.0, now[0] - begin[0]), max(0.0, now[1] - begin[1]), max(0.0, now[2] - begin[2])


def _plus(begin: Phases, grown: Phases, times: float = 1.0) -> Phases:
    return begin[0] + times * grown[0], begin[1] + times * grown[1], begin[2] + times * grown[2]


def _grown(now: Flow, begin: Flow) -> Flow:
    """A flow whose counters show what they have counted since ``begin``."""
    return replace(
        now,
        imported_wh=_less(now.imported_wh, begin.imported_wh),
        exported_wh=_less(now.exported_wh, begin.exported_wh),
        imported_varh=_less(now.imported_varh, begin.imported_varh),
        exported_varh=_less(now.exported_varh, begin.exported_varh),
    )


def _counted_on(begin: Flow, flow: Flow, times: float = 1.0) -> Flow:
    """``flow``, whose counters show growth, as counters that go on from ``begin``."""
    return replace(
        flow,
        imported_wh=_plus(begin.imported_wh, flow.imported_wh, times),
        exported_wh=_plus(begin.exported_wh, flow.exported_wh, times),
        imported_varh=_plus(begin.imported_varh, flow.imported_varh, times),
        exported_varh=_plus(begin.exported_varh, flow.exported_varh, times),
    )


def _refuelled(unit: UnitState, begin: UnitState) -> UnitState:
    """A unit whose scale shows what was weighed since ``begin``."""
    if unit.stack is None or begin.stack is None:
        return unit
    return replace(unit, stack=replace(unit.stack, fuel_kg=max(0.0, unit.stack.fuel_kg - begin.stack.fuel_kg)))


@dataclass(kw_only=True)
class Rollover(Fault):
    """Counters begin anew at 0 behind the largest number of their registers, or of so many ``digits`` before the
    decimal point, in the unit of the point."""

    digits: Annotated[int, Field(ge=0, le=18)] = 0

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        if (refusal := _no_counters(traits)) is not None:
            return refusal
        counters = [trait for trait in traits.values() if trait.kind == "counter"]
        if self.digits or not all(trait.type.startswith("float") for trait in counters):
            return None
        return "digits", "missing: its counters are floats, which have no largest number", "add digits = 6, or so"

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if cell.kind != "counter" or value is None or isinstance(value, str):
            return value
        end = cell.ceiling(self.digits)
        return value if end is None else value % (float(end) if isinstance(value, float) else end)


class _AtTerminals:
    """Something is wrong with what reaches the meter: what it counts from then on is of what it sees."""

    since_ms: int
    _begin = cast("Flow | None", None)

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        return None if any(trait.is_electric for trait in traits.values()) else ("kind", *_NOT_ELECTRIC)

    def scene(self, see: See, t_ms: int) -> Scene:
        now = see(t_ms)
        if t_ms < self.since_ms:
            return now
        self._begin = self._begin or see(self.since_ms).flow
        return replace(now, flow=self.seen(now.flow, self._begin))

    def seen(self, now: Flow, begin: Flow) -> Flow:
        """What it sees now; ``begin`` is what it saw when the fault began."""
        raise NotImplementedError


@dataclass(kw_only=True)
class PhaseLost(_AtTerminals, Fault):
    """No voltage reaches the meter on one ``phase``: it shows no voltage, current and power of it, and does not count
    it."""

    phase: Annotated[int, Field(ge=1, le=3)] = 1

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        if self.phase != 1 and "voltage_ln" in traits:
            return "phase", f"it has phase 1 alone, no {self.phase}", "use phase = 1"
        return super().unfit(traits)

    def seen(self, now: Flow, begin: Flow) -> Flow:
        def without(phases: Phases, held: Phases = (0.0, 0.0, 0.0)) -> Phases:
            a, b, c = (held[n] if n == self.phase - 1 else phases[n] for n in (0, 1, 2))
            return a, b, c

        return Flow(
            without(now.volts),
            without(now.watts),
            without(now.vars),
            without(now.imported_wh, begin.imported_wh),
            without(now.exported_wh, begin.exported_wh),
            without(now.imported_varh, begin.imported_varh),
            without(now.exported_varh, begin.exported_varh),
        )


@dataclass(kw_only=True)
class Reversed(_AtTerminals, Fault):
    """Its current transformers are turned round: powers have the other sign, and it counts import as export."""

    def seen(self, now: Flow, begin: Flow) -> Flow:
        return _counted_on(begin, _grown(now, begin).turned)


@dataclass(kw_only=True)
class Ratio(_AtTerminals, Fault):
    """Its current transformers have another ratio than it believes: currents, powers and what it counts are ``times``
    what is true."""

    times: Annotated[float, Field(gt=0, le=10_000)] = 2.0

    def seen(self, now: Flow, begin: Flow) -> Flow:
        return _counted_on(begin, _grown(now, begin).scaled(self.times))


@dataclass(kw_only=True)
class SwappedWords(Fault):
    """Numbers of several registers have them in the other order."""

    impossible: ClassVar = {
        "dlt645": ("the digits of a DL/T 645 value have no words", "use a meter on a Modbus bus"),
    }

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        if any(trait.is_long for trait in traits.values()):
            return None
        return "kind", "none of its numbers has several registers", "move it to a meter with longer numbers"

    def laid(self, cell: Cell) -> Cell:
        if cell.registers == 1 or cell.type == "string":
            return cell
        return ordered(cell, "little" if cell.word_order == "big" else "big")


@dataclass(kw_only=True)
class Calibrating(Fault):
    """Gas analysers get a test gas, and what they have to say so is set: air without CO2 and pollutants, or a span gas
    of so much ``co2_ppm``, a thousandth of it SO2 and no oxygen."""

    impossible: ClassVar = {
        "dlt645": ("an electricity meter gets no test gas", "use it on a gas analyser, or on a logger"),
    }
    co2_ppm: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        if any(trait.is_gas for trait in traits.values()):
            return None
        return "kind", "it measures no gas", "use it on a gas analyser, or on a logger"

    def scene(self, see: See, t_ms: int) -> Scene:
        now = see(t_ms)
        units = now.state.units
        state = replace(now.state, units=ByPlace(tuple(units), lambda place: self._fed(units[place])))
        return replace(now, state=state, stands=lambda: self._fed(_standing(now)))

    def _fed(self, unit: UnitState) -> UnitState:
        co2_ppm = self.co2_ppm or ZERO_AIR_CO2_PPM
        share, o2, stack = co2_ppm / 1_000_000, 0.0 if self.co2_ppm else AIR_O2, unit.stack
        if stack is not None:
            stack = replace(stack, co2=share, o2=o2, so2=SO2_IN_SPAN_GAS * share)
        return replace(unit, stack=stack, probe=Probe(co2_ppm, unit.probe.gas_c))

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if cell.kind == "flag":
            return CALIBRATES if cell.name in _GAS_CODES else value
        return 1 if cell.name in (_IN_SPAN if self.co2_ppm else _IN_ZERO) else value


def electric(name: str) -> bool:
    """Whether a point or quantity of this name is electric."""
    return bool(_ELECTRIC.match(name))


def gas(name: str) -> bool:
    """Whether a point or quantity of this name, or an HJ 212 factor of this code, is of a gas."""
    return name in _GAS_CODES or bool(_GAS.search(name))


VALUE_KINDS: dict[str, type[Fault]] = {
    "drift": Drift,
    "spike": Spike,
    "stuck-register": StuckRegister,
    "not-available": NotAvailable,
    "counter-reset": CounterReset,
    "rollover": Rollover,
    "phase-lost": PhaseLost,
    "reversed": Reversed,
    "ratio": Ratio,
    "swapped-words": SwappedWords,
    "calibrating": Calibrating,
}
"""The kinds by their name in a scenario."""
