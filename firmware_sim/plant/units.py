"""Units of a plant: loads, generators and batteries, each with its own meter. Pure.

A unit says what flows at its meter at a whole second, from the plant's time alone; a battery also needs what its meter
has counted. With a ``curve`` that is its power by the clock; in kW, drawn by loads and batteries, delivered by
generators. What it shows beside its flow (an inverter's DC side, a stack) follows from that and from slow quantities,
which run behind their targets with a lag.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import ClassVar, Protocol

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.curves import DAY_S, MONDAY_S, Curve
from firmware_sim.plant.signals import cloud_cover, daylight, demand, noise, total, uniform
from firmware_sim.plant.stack import StackSpec, stack_at
from firmware_sim.plant.state import MPPT, SLEEPING, THROTTLED, Flow, Inverter, Phases, Probe, UnitState
from firmware_sim.plant.sun import PanelSpec, panel_of
from firmware_sim.plant.tree import GRID, Six

OLD_UNITS = ("load", "pv", "hydro", "battery")
"""Names of the units that the old keys of ``[plant]`` make."""
NO_BOILER, NO_BATTERY = StackSpec(), BatterySpec()
PROBE_TAUS_S, STACK_TAU_S = (25.0, 90.0), 240.0
"""Of CO₂ and temperature at a probe; of the gas in a stack."""


@dataclass(frozen=True, slots=True)
class World:
    """What all units share: the seed, the plant's time of day at the start, and that moment in its calendar (None:
    nobody says of which day the hour is)."""

    seed: int
    start_hour: float
    start: datetime | None = None

    def hour(self, second: float) -> float:
        """The time of day, without end: 24 and more are later days."""
        return self.start_hour + second / 3600

    def unix_s(self, second: int) -> int:
        """Unix seconds in the plant's calendar. Raises ``ValueError`` where it has none."""
        if self.start is None:
            raise ValueError("the plant has no date")
        return math.floor(self.start.timestamp()) + second

    def by(self, curve: Curve, second: int) -> float:
        """What a curve has at a second, in kW. Raises ``ValueError`` for one of dates where the plant has no date."""
        if curve.period_s == DAY_S:
            return curve.at(self.start_hour * 3600 + second)
        unix_s = self.unix_s(second)
        if curve.period_s is None or self.start is None:
            return curve.at(unix_s)
        away = self.start.utcoffset()
        return curve.at(unix_s - MONDAY_S + (away.total_seconds() if away else 0.0))

    def seed_of(self, unit: str) -> int:
        """The seed of one unit's signals. Those of the old keys have that of the plant."""
        return self.seed if unit in OLD_UNITS else _seed(self.seed, unit)


@lru_cache(maxsize=4096)
def _seed(seed: int, unit: str) -> int:
    return (seed * 0x9E3779B97F4A7C15 + zlib.crc32(unit.encode())) % 2**63


@dataclass(frozen=True, slots=True)
class Counted:
    """What a unit's own meter has counted since the start, over all phases."""

    imported_wh: float = 0.0
    exported_wh: float = 0.0


@dataclass(frozen=True, slots=True)
class Driven:
    """A unit at a whole second: what flows at its meter, ``level`` (0 to 1: how much of what it could do the world asks
    or offers; it moves in a straight line to that of the next second), and the fuel that it burns, in µg/s."""

    flows: Six
    level: float = 0.0
    fuel_ug_s: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A unit at any moment: the plant's time in seconds, what flows, and what is between two whole seconds."""

    t_s: float
    flow: Flow
    level: float
    fuel_kg_s: float
    fuel_kg: float
    slow: tuple[float, ...]


class Unit(Protocol):
    """A load, a generator or a store.

    ``name`` and the node ``at`` which it hangs; ``has``: which parts of ``UnitState`` it shows; ``remembers``: whether
    what it does depends on what its meter has counted; ``burns``: whether it has fuel to weigh; ``taus_s``: time
    constants of its slow quantities.
    """

    @property
    def name(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def has(self) -> frozenset[str]: ...
    @property
    def remembers(self) -> bool: ...
    @property
    def burns(self) -> bool: ...
    @property
    def taus_s(self) -> tuple[float, ...]: ...

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """What it does at a whole second."""

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """Where its slow quantities would settle, in the order of ``taus_s``."""

    def shown(self, world: World, moment: Moment) -> UnitState:
        """What it shows beside its flow."""


@dataclass(frozen=True, slots=True)
class Load:
    """A works: ``kw`` installed, used by the hour of a working day. It has a burner, whose diluted gas a probe finds;
    ``boiler``: one with a stack, that burns by the share of the load in use (the old ``[plant.stack]``)."""

    name: str
    at: str = GRID
    kw: float = 0.0
    boiler: StackSpec | None = None
    curve: Curve | None = None

    remembers = False

    @property
    def has(self) -> frozenset[str]:
        """With a boiler a stack."""
        return frozenset() if self.boiler is None else frozenset({"stack"})

    @property
    def burns(self) -> bool:
        """Whether there is a scale for its fuel."""
        return self.boiler is not None

    @property
    def taus_s(self) -> tuple[float, ...]:
        """CO₂ and temperature at the probe, then of the stack."""
        return PROBE_TAUS_S if self.boiler is None else (*PROBE_TAUS_S, STACK_TAU_S)

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """Three unequal phases of an inductive load, power factor 0.89 to 0.95."""
        seed = world.seed_of(self.name)
        if self.curve is not None:
            kw = world.by(self.curve, second)
            return Driven(inductive(seed, second, kw * 1000), kw / self.kw if self.kw else 0.0)
        share = demand(world.hour(second)) * (
            1 + 0.06 * noise(seed, "load", second, 97) + 0.03 * noise(seed, "hum", second, 11)
        )
        if uniform(seed, "pump", second // 40) < 0.4:
            share += 0.08
        burnt = self.boiler.burns_ug_s(second, share) if self.boiler else 0
        return Driven(inductive(seed, second, share * self.kw * 1000), share, burnt)

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """Of ``taus_s``."""
        burning = level if self.kw > 0 else 0.0
        probe = 420 + 3600 * burning, 18 + 30 * burning
        return probe if self.boiler is None else (*probe, self.boiler.target_c(fuel_ug_s))

    def shown(self, world: World, moment: Moment) -> UnitState:
        """The probe, and the stack."""
        probe = Probe(*moment.slow[:2])
        if self.boiler is None:
            return UnitState(probe=probe)
        seed = world.seed_of(self.name)
        stack = stack_at(self.boiler, seed, moment.t_s, moment.fuel_kg_s, moment.fuel_kg, moment.slow[2])
        return UnitState(probe=probe, stack=stack)


@dataclass(frozen=True, slots=True)
class Solar:
    """Panels and their inverter, ``kw`` of AC power: it sleeps at night, and limits its output when the sun offers
    more. ``panel``: where they stand; without, the sun rises at 6 and sets at 18 o'clock, every day."""

    name: str
    at: str = GRID
    kw: float = 0.0
    panel: PanelSpec | None = None
    curve: Curve | None = None

    has = frozenset({"inverter"})
    remembers = burns = False
    taus_s: ClassVar[tuple[float, ...]] = (300.0, 120.0)

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """Delivery by the light on the panels: 1 is 1000 W/m², where they give 1.15 of what the inverter can."""
        if self.curve is not None:
            watts = world.by(self.curve, second) * 1000
            light = max(0.0, watts / (1.15 * self.kw * 1000)) if self.kw else 0.0
        else:
            light = self._light(world, second)
            watts = min(self.kw, 1.15 * self.kw * light) * 1000 if light > 0.02 else 0.0
        return Driven(generation(watts, (0.335, 0.333, 0.332), 0.02), light)

    def _light(self, world: World, second: int) -> float:
        if self.panel is None:
            clear = daylight(world.hour(second))
            return clear * (0.78 + 0.22 * noise(world.seed_of(self.name), "cloud", second, 140))
        cover = cloud_cover(world.seed, second)
        return panel_of(self.panel).irradiance(world.unix_s(second), cover).tilted / 1000

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """Of the cabinet and the heat sink."""
        sun = min(1.0, 1.15 * level) if self.kw > 0 else 0.0
        return 20 + 22 * sun, 20 + 38 * sun

    def shown(self, world: World, moment: Moment) -> UnitState:
        """The inverter."""
        ac_watts = -total(moment.flow.watts)
        state = SLEEPING if ac_watts <= 0 else THROTTLED if ac_watts >= self.kw * 1000 * 0.9999 else MPPT
        dc_watts = ac_watts / 0.975 + 18 if ac_watts > 0 else 0.0
        cabinet_c, sink_c = moment.slow
        dc_volts = 380 + 270 * min(1.0, 4 * moment.level)
        return UnitState(inverter=Inverter(dc_watts, dc_volts, cabinet_c, sink_c, state))


@dataclass(frozen=True, slots=True)
class Hydro:
    """A run-of-river turbine with ``kw``, which has about 80 % of its water."""

    name: str
    at: str = GRID
    kw: float = 0.0
    curve: Curve | None = None

    has = frozenset[str]()
    remembers = burns = False
    taus_s: ClassVar[tuple[float, ...]] = ()

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """Delivery by the water."""
        seed = world.seed_of(self.name)
        if self.curve is not None:
            kw = world.by(self.curve, second)
            return Driven(generation(kw * 1000, (0.334, 0.334, 0.332), 0.05), kw / self.kw if self.kw else 0.0)
        water = 0.8 + 0.06 * noise(seed, "water", second, 900) + 0.01 * noise(seed, "gate", second, 13)
        return Driven(generation(water * self.kw * 1000, (0.334, 0.334, 0.332), 0.05), water)

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """None."""
        return ()

    def shown(self, world: World, moment: Moment) -> UnitState:
        """Nothing."""
        return UnitState()


@dataclass(frozen=True, slots=True)
class Thermal:
    """A boiler with its stack, and the generator that its heat drives: it delivers ``net_efficiency`` of that heat, the
    net calorific value of what burns. Both move in one straight line, so energy over fuel is the same at any time."""

    name: str
    at: str = GRID
    boiler: StackSpec = NO_BOILER
    net_efficiency: float = 0.0
    curve: Curve | None = None

    has = frozenset({"stack"})
    remembers, burns = False, True
    taus_s: ClassVar[tuple[float, ...]] = (STACK_TAU_S,)

    @property
    def full_kw(self) -> float:
        """Electricity at full load."""
        return self.boiler.fuel_kg_h * self.boiler.ncv_mj_kg * self.net_efficiency / 3.6

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """Fuel by the hour of the day, and what it delivers: a µg/s of a fuel with 1 MJ/kg is a mW of heat."""
        if self.curve is not None:
            share = world.by(self.curve, second) / self.full_kw if self.full_kw else 0.0
        else:
            share = demand(world.hour(second)) * (1 + 0.03 * noise(world.seed_of(self.name), "fire", second, 97))
        burnt = self.boiler.burns_ug_s(second, share)
        watts = burnt * self.boiler.ncv_mj_kg * self.net_efficiency / 1000
        return Driven(generation(watts, (1 / 3, 1 / 3, 1 / 3), 0.2), share, burnt)

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """Of the gas in the stack."""
        return (self.boiler.target_c(fuel_ug_s),)

    def shown(self, world: World, moment: Moment) -> UnitState:
        """The stack."""
        seed = world.seed_of(self.name)
        stack = stack_at(self.boiler, seed, moment.t_s, moment.fuel_kg_s, moment.fuel_kg, moment.slow[0])
        return UnitState(stack=stack)


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery, by the hour of the day (or a curve) and what it holds."""

    name: str
    at: str = GRID
    spec: BatterySpec = NO_BATTERY
    curve: Curve | None = None

    has = frozenset({"charge"})
    remembers, burns = True, False
    taus_s: ClassVar[tuple[float, ...]] = ()

    def drive(self, world: World, second: int, counted: Counted) -> Driven:
        """Charging is drawn, discharging delivered."""
        held_wh = self.spec.held_wh(counted.imported_wh, counted.exported_wh)
        if self.curve is not None:
            watts = self.spec.limited_w(world.by(self.curve, second) * 1000, held_wh)
        else:
            watts = self.spec.power_w(world.hour(second), held_wh)
        return Driven(generation(-watts, (1 / 3, 1 / 3, 1 / 3), 0.0))

    def targets(self, level: float, fuel_ug_s: int) -> tuple[float, ...]:
        """None."""
        return ()

    def shown(self, world: World, moment: Moment) -> UnitState:
        """The state of charge."""
        if not self.spec.kwh:
            return UnitState(charge=0.0)
        held_wh = self.spec.held_wh(total(moment.flow.imported_wh), total(moment.flow.exported_wh))
        return UnitState(charge=held_wh / (self.spec.kwh * 1000))


def inductive(seed: int, second: int, watts: float) -> Six:
    """What an inductive load takes: three unequal phases, power factor 0.89 to 0.95."""
    powers = [
        watts * base * (1 + 0.05 * noise(seed, f"phase{n}", second, 60)) for n, base in enumerate((0.36, 0.33, 0.31))
    ]
    tangents = [math.tan(math.acos(0.92 + 0.03 * noise(seed, f"pf{n}", second, 80))) for n in (0, 1, 2)]
    return _milli([*powers, *(p * t for p, t in zip(powers, tangents, strict=True))])


def generation(watts: float, shares: Phases, q_over_p: float) -> Six:
    """What a generator delivers, phase by phase."""
    return _milli([*(-watts * s for s in shares), *(-watts * s * q_over_p for s in shares)])


def _milli(values: Iterable[float]) -> Six:
    p1, p2, p3, q1, q2, q3 = (round(value * 1000) for value in values)
    return p1, p2, p3, q1, q2, q3
