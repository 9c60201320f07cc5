"""Plant model: one physics behind every meter, a function of (seed, milliseconds since the start). No I/O.

The plant is known exactly at whole seconds and moves in straight lines between them. So energy is not estimated: it
is the exact integral of the power that the meters show, and a counter can never fall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.signals import AREA_PER_JOULE, AREA_PER_UNIT, area, lag, noise
from firmware_sim.plant.stack import MICROGRAMS, StackSpec
from firmware_sim.plant.state import NOTHING, PARTS, ByPlace, Flow, Phases, State, UnitState
from firmware_sim.plant.stepping import Steps
from firmware_sim.plant.tree import GRID, NodeSpec, Tree
from firmware_sim.plant.units import OLD_UNITS, Battery, Counted, Hydro, Load, Moment, Solar, Unit, World

PLACES = (GRID, *OLD_UNITS)
"""Where an energy meter can sit in a plant of the old keys; at the grid connection the other four add up."""
JOULES_PER_WH = 3600
STATES = 16
"""Most states kept, as meters that renew their registers together ask for the same moment."""
_L1, _L2, _L3 = 0, 1, 2


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """What the plant is made of: ``units`` in a tree of ``nodes``, or without units one of each kind at the grid
    connection, by the old keys. ``start_hour`` is the plant's time of day when the simulator starts; ``start`` is that
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
    units: tuple[Unit, ...] = ()
    nodes: tuple[NodeSpec, ...] = ()
    start: datetime | None = None

    @property
    def start_ms(self) -> int | None:
        """``start`` as Unix time in ms."""
        return None if self.start is None else round(self.start.timestamp() * 1000)

    @property
    def all_units(self) -> tuple[Unit, ...]:
        """The units, those of the old keys included."""
        return self.units or (
            Load("load", kw=self.load_kw, boiler=self.stack),
            Solar("pv", kw=self.pv_kw),
            Hydro("hydro", kw=self.hydro_kw),
            Battery("battery", spec=self.battery),
        )

    def has(self, place: str) -> frozenset[str]:
        """Which parts of ``UnitState`` a meter at a place can show: in a plant of the old keys all, from anywhere."""
        if not self.units:
            return PARTS
        return next((unit.has for unit in self.units if unit.name == place), frozenset())


@dataclass(frozen=True, slots=True)
class _Drive:
    """What the world does at a whole second; of the history it needs what a battery's meter counted. ``levels`` are
    those of the units; ``flows`` are in mW and mvar, six numbers a place, and then the fuels burnt, in µg/s."""

    volts: Phases
    hertz: float
    levels: tuple[float, ...]
    flows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A whole second with its history: the units' slow quantities one behind the other, and counters in units of
    ``area``, import of all flows, then export of all."""

    second: int
    drive: _Drive
    ahead: _Drive
    slow: tuple[float, ...]
    totals: tuple[int, ...] = field(repr=False)


class Plant:
    """The plant over time; ``at`` gives the same state for the same moment, in whatever order it is asked.

    Raises ``ValueError`` where its nodes are no tree.
    """

    def __init__(self, spec: PlantSpec) -> None:
        self.spec, self.units = spec, spec.all_units
        self.tree = Tree(spec.nodes, {unit.name: unit.at for unit in self.units})
        self._world = World(spec.seed, spec.start_hour, spec.start)
        self._first_unit = len(self.tree.places) - len(self.units)
        self._taus = tuple(tau for unit in self.units for tau in unit.taus_s)
        burning = (unit.name for unit in self.units if unit.burns)
        self._fuels = {name: 6 * len(self.tree.places) + n for n, name in enumerate(burning)}
        nothing = (0,) * (2 * (6 * len(self.tree.places) + len(self._fuels)))
        first = self._drive(0, nothing)
        zero = Step(0, first, self._drive(1, nothing), self._targets(first), nothing)
        self._steps = Steps(zero, self._follow)
        self._states: dict[int, State] = {}

    def at(self, t_ms: int) -> State:
        """The state ``t_ms`` milliseconds after the start (from 0)."""
        if (state := self._states.get(t_ms)) is None:
            if len(self._states) == STATES:
                del self._states[next(iter(self._states))]
            state = self._states[t_ms] = self._state(t_ms)
        return state

    def step_to(self, second: int, most: int | None = None) -> bool:
        """Make the steps up to a second, at most so many at once, so that whoever asks for a moment before it does not
        wait for them. Returns whether all of them are made."""
        return self._steps.make(second, most)

    def kept(self, second: int) -> Step:
        """The last step up to a second from which another run of this plant can go on."""
        return self._steps.kept(second)

    def resume(self, step: Step) -> None:
        """Go on from a step that another run of this plant has made."""
        self._steps.resume(step)

    def _state(self, t_ms: int) -> State:
        second, part_ms = divmod(t_ms, 1000)
        step, part, places = self._steps.at(second), part_ms / 1000, self.tree.places
        a, b = step.drive, step.ahead
        volts = _phases(_between(a.volts[n], b.volts[n], part) for n in (_L1, _L2, _L3))

        def flow(place: str) -> Flow:
            return _flow(volts, step, places.index(place) * 6, part_ms)

        flows = ByPlace(places, flow)

        def unit(place: str) -> UnitState:
            return self._shown(t_ms, step, flows, place)

        return State(t_ms, self.spec.seed, _between(a.hertz, b.hertz, part), flows, ByPlace(places, unit))

    def _shown(self, t_ms: int, step: Step, flows: Mapping[str, Flow], place: str) -> UnitState:
        """What stands at a place beside its flow; a plant of the old keys shows all of it everywhere."""
        part_ms = t_ms % 1000
        slow = self._slow(step, part_ms / 1000)
        found, first = dict[str, UnitState](), 0
        for unit, here, ahead in zip(self.units, step.drive.levels, step.ahead.levels, strict=True):
            end = first + len(unit.taus_s)
            if unit.name == place or not self.spec.units:
                fuel_kg_s = fuel_kg = 0.0
                if (fuel := self._fuels.get(unit.name)) is not None:
                    burnt_ug_s, imported, _ = _passed(step, fuel, part_ms)
                    fuel_kg_s, fuel_kg = burnt_ug_s / MICROGRAMS, imported / (AREA_PER_UNIT * MICROGRAMS)
                level = _between(here, ahead, part_ms / 1000)
                moment = Moment(t_ms / 1000, flows[unit.name], level, fuel_kg_s, fuel_kg, slow[first:end])
                found[unit.name] = unit.shown(self._world, moment)
            first = end
        if self.spec.units:
            return found.get(place, NOTHING)
        load, pv, battery = found["load"], found["pv"], found["battery"]
        return UnitState(pv.inverter, load.stack, battery.charge, load.probe)

    def _follow(self, step: Step) -> Step:
        totals = _count(step, 1000)
        ahead = self._drive(step.second + 2, totals)
        return Step(step.second + 1, step.ahead, ahead, self._slow(step, 1.0), totals)

    def _drive(self, second: int, totals: tuple[int, ...]) -> _Drive:
        spec, seed = self.spec, self.spec.seed
        driven = [
            unit.drive(self._world, second, _counted(totals, 6 * place) if unit.remembers else Counted())
            for place, unit in enumerate(self.units, start=self._first_unit)
        ]
        flows = self.tree.flows([each.flows for each in driven])
        fuels = [each.fuel_ug_s for unit, each in zip(self.units, driven, strict=True) if unit.burns]
        volts = _phases(
            spec.volts
            + 1.5 * noise(seed, f"volts{n}", second, 300)
            + 0.4 * noise(seed, f"flicker{n}", second, 17)
            - max(-10.0, min(10.0, 0.05 * flows[0][n] / 1e6))  # a stiff grid gives way by 0.05 V a kW
            for n in (_L1, _L2, _L3)
        )
        hertz = spec.hertz + 0.03 * noise(seed, "hertz", second, 45) + 0.004 * noise(seed, "governor", second, 3)
        levels = tuple(each.level for each in driven)
        return _Drive(volts, hertz, levels, (*(flow for place in flows for flow in place), *fuels))

    def _targets(self, drive: _Drive) -> tuple[float, ...]:
        """Where the slow quantities would settle if the drive stood still."""
        found: list[float] = []
        for unit, level in zip(self.units, drive.levels, strict=True):
            found += unit.targets(level, drive.flows[self._fuels[unit.name]] if unit.burns else 0)
        return tuple(found)

    def _slow(self, step: Step, part: float) -> tuple[float, ...]:
        here, ahead = self._targets(step.drive), self._targets(step.ahead)
        rows = zip(step.slow, here, ahead, self._taus, strict=True)
        return tuple(lag(now, target, later - target, tau, part) for now, target, later, tau in rows)


def _count(step: Step, part_ms: int) -> tuple[int, ...]:
    ramps = list(zip(step.drive.flows, step.ahead.flows, strict=True))
    grown = [area(a, b, part_ms) for a, b in ramps] + [area(-a, -b, part_ms) for a, b in ramps]
    return tuple(t + g if g else t for t, g in zip(step.totals, grown, strict=True))


def _counted(counters: tuple[int, ...], first: int) -> Counted:
    """What the meter of the place has counted whose flows begin at ``first``."""
    half = len(counters) // 2
    return Counted(*(sum(counters[at : at + 3]) / (AREA_PER_JOULE * JOULES_PER_WH) for at in (first, half + first)))


def _passed(step: Step, n: int, part_ms: int) -> tuple[float, int, int]:
    """The ``n``th flow at a moment after a step, and its counters of import and of export."""
    a, b, half = step.drive.flows[n], step.ahead.flows[n], len(step.drive.flows)
    imported, exported = area(a, b, part_ms), area(-a, -b, part_ms)
    return a + (b - a) * (part_ms / 1000), step.totals[n] + imported, step.totals[half + n] + exported


def _flow(volts: Phases, step: Step, first: int, part_ms: int) -> Flow:
    """The six flows of one place, from ``first`` on: W of three phases, then var of three phases."""
    powers, imported, exported = zip(*[_passed(step, first + n, part_ms) for n in range(6)], strict=True)
    kilo = [power / 1000 for power in powers]
    taken, given = ([count / (AREA_PER_JOULE * JOULES_PER_WH) for count in counts] for counts in (imported, exported))
    return Flow(
        volts=volts,
        watts=(kilo[0], kilo[1], kilo[2]),
        vars=(kilo[3], kilo[4], kilo[5]),
        imported_wh=(taken[0], taken[1], taken[2]),
        exported_wh=(given[0], given[1], given[2]),
        imported_varh=(taken[3], taken[4], taken[5]),
        exported_varh=(given[3], given[4], given[5]),
    )


def _between(a: float, b: float, part: float) -> float:
    return a + (b - a) * part


def _phases(values: Iterable[float]) -> Phases:
    l1, l2, l3 = values
    return l1, l2, l3
