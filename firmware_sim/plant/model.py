"""Plant model: one physics behind every meter, a function of (seed, milliseconds since the start). No I/O.

The plant is known exactly at whole seconds and moves in straight lines between them. So energy is not estimated: it
is the exact integral of the power that the meters show, and a counter can never fall.

Signs are those of a meter at the grid connection: power drawn from the grid is positive, generation is negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.signals import AREA_PER_JOULE, AREA_PER_UNIT, area, daylight, demand, lag, noise, uniform
from firmware_sim.plant.stack import MICROGRAMS, Stack, StackSpec, stack_at

Phases = tuple[float, float, float]
PLACES = ("grid", "load", "pv", "hydro", "battery")
"""Where an energy meter can sit; at the grid connection the other four add up."""
JOULES_PER_WH = 3600
MARK_EVERY = 3600  # seconds between the states that are kept, so that a look back costs at most an hour of steps
_L1, _L2, _L3 = 0, 1, 2
SLEEPING, MPPT, THROTTLED = 2, 4, 5  # SunSpec model 103, point St


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """What the plant is made of. ``start_hour`` is the plant's time of day when the simulator starts; ``start`` is that
    moment in its calendar, with an offset, None: nobody says of which day the hour is."""

    seed: int = 1
    start_hour: float = 10.0
    load_kw: float = 18.0
    pv_kw: float = 15.0
    hydro_kw: float = 30.0
    volts: float = 230.0
    hertz: float = 50.0
    stack: StackSpec = field(default_factory=StackSpec)
    battery: BatterySpec = field(default_factory=BatterySpec)
    start: datetime | None = None

    @property
    def start_ms(self) -> int | None:
        """``start`` as Unix time in ms."""
        return None if self.start is None else round(self.start.timestamp() * 1000)


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


@dataclass(frozen=True, slots=True)
class Inverter:
    """The DC side of the PV inverter, its temperatures in °C and its SunSpec operating state."""

    dc_watts: float
    dc_volts: float
    cabinet_c: float
    sink_c: float
    state: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything a meter of the plant can see at one moment."""

    t_ms: int
    hertz: float
    thd: Phases
    flows: Mapping[str, Flow]
    inverter: Inverter
    co2_ppm: float
    gas_c: float
    stack: Stack
    charge: float


@dataclass(frozen=True, slots=True)
class _Drive:
    """What the world does at a whole second; of the history it needs what the battery holds. Flows are in mW and mvar,
    six numbers a place, and then the fuel burnt, in µg/s."""

    volts: Phases
    hertz: float
    light: float
    load_share: float
    flows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Lags:
    """The slow quantities, in the order of ``_targets``."""

    co2_ppm: float
    gas_c: float
    cabinet_c: float
    sink_c: float
    stack_c: float


_TAU_S = _Lags(co2_ppm=25.0, gas_c=90.0, cabinet_c=300.0, sink_c=120.0, stack_c=240.0)
_SLOW = tuple(f.name for f in fields(_Lags))


@dataclass(frozen=True, slots=True)
class _Step:
    """A whole second with its history: counters in units of ``area``, import of all flows, then export of all."""

    second: int
    drive: _Drive
    ahead: _Drive
    lags: _Lags
    totals: tuple[int, ...] = field(repr=False)


class Plant:
    """The plant over time; ``at`` gives the same state for the same moment, in whatever order it is asked."""

    def __init__(self, spec: PlantSpec) -> None:
        self.spec = spec
        held = spec.battery.held_wh(0, 0)
        first = self._drive(0, held)
        start = _Lags(**{name: _targets(spec, first)[name] for name in _SLOW})
        self._step = _Step(0, first, self._drive(1, held), start, (0,) * (2 * len(first.flows)))
        self._marks = [self._step]

    def at(self, t_ms: int) -> State:
        """The state ``t_ms`` milliseconds after the start (from 0)."""
        second, part_ms = divmod(t_ms, 1000)
        step = self._find(second)
        part = part_ms / 1000
        a, b = step.drive, step.ahead
        light = _between(a.light, b.light, part)
        volts = _phases(_between(a.volts[n], b.volts[n], part) for n in (_L1, _L2, _L3))
        powers = [x + (y - x) * part for x, y in zip(a.flows, b.flows, strict=True)]
        counters = _count(step, part_ms)
        flows = {place: _flow(volts, powers, counters, index * 6) for index, place in enumerate(PLACES)}
        lags = self._lags(step, part)
        fuel_kg = counters[len(powers) - 1] / (AREA_PER_UNIT * MICROGRAMS)
        spec = self.spec
        return State(
            t_ms=t_ms,
            hertz=_between(a.hertz, b.hertz, part),
            thd=_phases(2.0 + 0.6 * noise(self.spec.seed, f"thd{n}", t_ms / 1000, 23) for n in (1, 2, 3)),
            flows=flows,
            inverter=self._inverter(-sum(flows["pv"].watts), light, lags),
            co2_ppm=lags.co2_ppm,
            gas_c=lags.gas_c,
            stack=stack_at(spec.stack, spec.seed, t_ms / 1000, powers[-1] / MICROGRAMS, fuel_kg, lags.stack_c),
            charge=_held_wh(spec, counters) / (spec.battery.kwh * 1000) if spec.battery.kwh else 0.0,
        )

    def _find(self, second: int) -> _Step:
        step = self._step
        if second < step.second:
            step = self._marks[min(second // MARK_EVERY, len(self._marks) - 1)]
        while step.second < second:
            totals = _count(step, 1000)
            ahead = self._drive(step.second + 2, _held_wh(self.spec, totals))
            step = _Step(step.second + 1, step.ahead, ahead, self._lags(step, 1.0), totals)
            if step.second == len(self._marks) * MARK_EVERY:
                self._marks.append(step)
        self._step = step
        return step

    def _drive(self, second: int, held_wh: float) -> _Drive:
        spec, seed = self.spec, self.spec.seed
        hour = spec.start_hour + second / 3600
        share = demand(hour) * (1 + 0.06 * noise(seed, "load", second, 97) + 0.03 * noise(seed, "hum", second, 11))
        if uniform(seed, "pump", second // 40) < 0.4:
            share += 0.08
        light = daylight(hour) * (0.78 + 0.22 * noise(seed, "cloud", second, 140))
        pv_w = min(spec.pv_kw, 1.15 * spec.pv_kw * light) * 1000 if light > 0.02 else 0.0
        water = 0.8 + 0.06 * noise(seed, "water", second, 900) + 0.01 * noise(seed, "gate", second, 13)
        load = self._load(second, share * spec.load_kw * 1000)
        pv = _generation(pv_w, (0.335, 0.333, 0.332), 0.02)
        hydro = _generation(water * spec.hydro_kw * 1000, (0.334, 0.334, 0.332), 0.05)
        battery = _generation(-spec.battery.power_w(hour, held_wh), (1 / 3, 1 / 3, 1 / 3), 0.0)
        grid = tuple(map(sum, zip(load, pv, hydro, battery, strict=True)))
        fuel = spec.stack.burns_ug_s(second, share)
        volts = _phases(
            spec.volts
            + 1.5 * noise(seed, f"volts{n}", second, 300)
            + 0.4 * noise(seed, f"flicker{n}", second, 17)
            - max(-10.0, min(10.0, 0.05 * grid[n] / 1e6))  # a stiff grid gives way by 0.05 V a kW
            for n in (_L1, _L2, _L3)
        )
        hertz = spec.hertz + 0.03 * noise(seed, "hertz", second, 45) + 0.004 * noise(seed, "governor", second, 3)
        return _Drive(volts, hertz, light, share, (*grid, *load, *pv, *hydro, *battery, fuel))

    def _load(self, second: int, watts: float) -> tuple[int, ...]:
        """Three unequal phases of an inductive load, power factor 0.89 to 0.95."""
        seed = self.spec.seed
        powers = [
            watts * base * (1 + 0.05 * noise(seed, f"phase{n}", second, 60))
            for n, base in enumerate((0.36, 0.33, 0.31))
        ]
        tangents = [math.tan(math.acos(0.92 + 0.03 * noise(seed, f"pf{n}", second, 80))) for n in (_L1, _L2, _L3)]
        return (*_milli(powers), *_milli(p * t for p, t in zip(powers, tangents, strict=True)))

    def _lags(self, step: _Step, part: float) -> _Lags:
        here, ahead = _targets(self.spec, step.drive), _targets(self.spec, step.ahead)
        return _Lags(
            **{
                name: lag(getattr(step.lags, name), here[name], ahead[name] - here[name], getattr(_TAU_S, name), part)
                for name in _SLOW
            }
        )

    def _inverter(self, ac_watts: float, light: float, lags: _Lags) -> Inverter:
        rated = self.spec.pv_kw * 1000
        state = SLEEPING if ac_watts <= 0 else THROTTLED if ac_watts >= rated * 0.9999 else MPPT
        dc_watts = ac_watts / 0.975 + 18 if ac_watts > 0 else 0.0
        dc_volts = 380 + 270 * min(1.0, 4 * light)
        return Inverter(dc_watts, dc_volts, lags.cabinet_c, lags.sink_c, state)


def _targets(spec: PlantSpec, drive: _Drive) -> dict[str, float]:
    """Where the slow quantities would settle if the drive stood still."""
    burning = drive.load_share if spec.load_kw > 0 else 0.0
    sun = min(1.0, 1.15 * drive.light) if spec.pv_kw > 0 else 0.0
    return {
        "co2_ppm": 420 + 3600 * burning,
        "gas_c": 18 + 30 * burning,
        "cabinet_c": 20 + 22 * sun,
        "sink_c": 20 + 38 * sun,
        "stack_c": spec.stack.target_c(drive.flows[-1]),
    }


def _generation(watts: float, shares: Phases, q_over_p: float) -> tuple[int, ...]:
    return (*_milli(-watts * s for s in shares), *_milli(-watts * s * q_over_p for s in shares))


def _milli(values: Iterable[float]) -> tuple[int, ...]:
    return tuple(round(v * 1000) for v in values)


def _count(step: _Step, part_ms: int) -> tuple[int, ...]:
    ramps = list(zip(step.drive.flows, step.ahead.flows, strict=True))
    grown = [area(a, b, part_ms) for a, b in ramps] + [area(-a, -b, part_ms) for a, b in ramps]
    return tuple(t + g for t, g in zip(step.totals, grown, strict=True))


def _held_wh(spec: PlantSpec, counters: tuple[int, ...]) -> float:
    """What the battery holds by its own meter."""
    first, half = PLACES.index("battery") * 6, len(counters) // 2
    both = (sum(counters[at : at + 3]) / (AREA_PER_JOULE * JOULES_PER_WH) for at in (first, half + first))
    return spec.battery.held_wh(*both)


def _flow(volts: Phases, powers: list[float], counters: tuple[int, ...], first: int) -> Flow:
    """The six flows of one place, from ``first`` on: W of three phases, then var of three phases."""
    half = len(counters) // 2

    def kilo(values: list[float], start: int) -> Phases:
        return _phases(v / 1000 for v in values[start : start + 3])

    def hours(start: int) -> Phases:
        return _phases(c / (AREA_PER_JOULE * JOULES_PER_WH) for c in counters[start : start + 3])

    return Flow(
        volts=volts,
        watts=kilo(powers, first),
        vars=kilo(powers, first + 3),
        imported_wh=hours(first),
        exported_wh=hours(half + first),
        imported_varh=hours(first + 3),
        exported_varh=hours(half + first + 3),
    )


def _between(a: float, b: float, part: float) -> float:
    return a + (b - a) * part


def _phases(values: Iterable[float]) -> Phases:
    l1, l2, l3 = values
    return l1, l2, l3
