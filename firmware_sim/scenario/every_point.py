"""Every point of a scenario's meters at any moment, without a wire: what is measured, and what the meter shows.

Whoever asks what is true has it from here: the command ``truth`` of a whole plant, a running simulator of one point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import cached_property, partial
from typing import NamedTuple, Protocol

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.device import Changes, looking
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.logger_faults import CLOCK as LOGGER_CLOCK
from firmware_sim.meters.logger_faults import LABEL, acts_on_packet, text_at
from firmware_sim.meters.p1_meter import CLOCK, P1Meter
from firmware_sim.meters.packing import Value
from firmware_sim.meters.register_image import Meter, Reply
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.plant.model import Plant
from firmware_sim.recorded.recording import Recording
from firmware_sim.recorded.replay import ReplayedMeter
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table, zone
from firmware_sim.scenario.load import Scenario
from firmware_sim.scenario.p1_schema import P1Table
from firmware_sim.scenario.schema import BusTable
from firmware_sim.wire.hj212.messages import LABEL_PLACE, to_local, written

Values = Mapping[str, Value]


class Form(NamedTuple):
    """How a point is said: whether as a number, and in which unit; None: none is said."""

    is_number: bool
    unit: str | None


class Source(Protocol):
    """One meter."""

    @property
    def clocks(self) -> frozenset[str]:
        """The points that show date or time."""

    @property
    def names(self) -> Sequence[str]:
        """Of the meters whose points these are: itself, and those that it passes on."""

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        """By meter and point: what is measured, without the meter's error, before it is laid out in digits."""

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        """By meter: the readings of all points, and what they consist of."""

    def sleeps_at(self, t_ms: int) -> bool:
        """Whether it is off."""

    def form(self, name: str) -> Form:
        """How it says one of its points."""


class Polled:
    """A meter that is asked, Modbus or DL/T 645; ``made`` makes it of a spec."""

    def __init__(self, spec: MeterSpec, made: Callable[[MeterSpec], Meter | ReplayedMeter | Dlt645Meter]) -> None:
        self._spec, self._made, self._meter = spec, made, made(spec)
        self.names, self.sleeps_at = (spec.name,), self._meter.sleeps_at
        self.clocks = self._meter.clock_points if isinstance(self._meter, Dlt645Meter) else frozenset[str]()

    @cached_property
    def _right(self) -> Meter | ReplayedMeter | Dlt645Meter:
        """The same without its error."""
        return self._made(replace(self._spec, class_percent=0.0)) if self._spec.class_percent else self._meter

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        return {self.names[0]: self._right.exact(t_ms)}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        return {self.names[0]: self._meter.points(t_ms, alter)}

    def form(self, name: str) -> Form:
        point = next(point for point in self._spec.profile.points if point.name == name)
        return Form(point.at.form != "text", point.unit)


class Instruments:
    """The instruments of a stack, as realtime data of its logger show them at a moment; ``unix_ms`` and ``tz`` are of
    its clock."""

    clocks = frozenset({LABEL_PLACE})

    def __init__(self, station: Station, unix_ms: Callable[[int], int], tz: tzinfo) -> None:
        self._station, self.names = station, (station.spec.name,)
        self._unix_ms, self._tz, self._numbers = unix_ms, tz, station.exact(0).keys()

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        return {self.names[0]: self._station.exact(t_ms)}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        texts: dict[str, Value] = dict(self._station.moment(t_ms, None if alter is None else lambda _: alter))
        label: Value = to_local(self._unix_ms(t_ms), self._tz)
        if alter is not None:
            texts = {name: alter.value(text_at(name), text) for name, text in texts.items()}
            label = alter.value(LABEL, alter.value(LOGGER_CLOCK, label))
        assert isinstance(label, int)
        return {self.names[0]: Reply((), {LABEL_PLACE: written(label)[:14], **texts})}

    def sleeps_at(self, t_ms: int) -> bool:
        return False

    def form(self, name: str) -> Form:
        return Form(name in self._numbers, None)


class Telegrams:
    """A P1 meter, and those that it passes on."""

    clocks = frozenset({CLOCK})

    def __init__(self, meter: P1Meter) -> None:
        self._meter, first = meter, meter.telegram(0)
        self._codes = {name: set(values) for name, values in meter.values(first).items()}
        self.names, self._units = tuple(self._codes), meter.units(first)

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        found = self._meter.exact(t_ms)
        return {name: {c: v for c, v in found[name].items() if c in self._codes[name]} for name in self.names}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        texts = self._meter.values(self._meter.telegram(t_ms, alter))
        return {name: Reply((), dict(values)) for name, values in texts.items()}

    def sleeps_at(self, t_ms: int) -> bool:
        return False

    def form(self, name: str) -> Form:
        return Form(name in self._units, self._units.get(name))


Maker = Callable[[], Source]


def sources(scenario: Scenario, plant: Plant, unix_ms: Callable[[int], int]) -> Iterator[Source]:
    """The meters of a scenario in its order.

    Args:
        scenario: whose.
        plant: what they measure.
        unix_ms: Unix time of a moment of the plant's time, for their clocks.

    Raises:
        ScenarioError: a meter's profile or ``show`` asks for what is not simulated.
    """
    for number, table in enumerate(scenario.buses):
        for index, (_, make) in enumerate(_makers(scenario, table, plant, unix_ms)):
            try:
                yield make()
            except Mismatch as error:
                where = f"bus[{number}].meter[{index}].{error.key}"
                raise ScenarioError(scenario.source, where, error.problem, error.fix) from None


class EveryPoint(Mapping[str, Source]):
    """The meters of a running scenario by their names, each made when it is first asked for.

    Args:
        scenario: whose.
        plant: what they measure.
        unix_ms: Unix time of a moment of the plant's time, for their clocks.
    """

    def __init__(self, scenario: Scenario, plant: Plant, unix_ms: Callable[[int], int]) -> None:
        made = [each for table in scenario.buses for each in _makers(scenario, table, plant, unix_ms)]
        self._makers = {name: make for names, make in made for name in names}
        self._made: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        if name not in self._made:
            source = self._makers[name]()
            self._made.update(dict.fromkeys(source.names, source))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def modbus_meter(spec: MeterSpec, plant: Plant, recording: Recording | None, *, repeats: bool) -> Meter | ReplayedMeter:
    """A meter of a plant, or one that shows a recording. Raises ``Mismatch``."""
    return Meter(spec, plant) if recording is None else ReplayedMeter(spec, recording, repeats=repeats)


def _makers(
    scenario: Scenario, table: BusTable, plant: Plant, unix_ms: Callable[[int], int]
) -> list[tuple[Sequence[str], Maker]]:
    """What makes the meters of a bus, with their names."""
    if isinstance(table, Hj212Table):
        tz = zone(table.timezone)
        return [((row.name,), partial(lambda of: Instruments(Station(of, plant), unix_ms, tz), row.spec()))
                for row in table.meter]  # fmt: skip
    if isinstance(table, P1Table):
        return [([row.name for row in table.meter], lambda: Telegrams(P1Meter(table.spec(), plant, unix_ms)))]
    if isinstance(table, Dlt645Table):
        found: list[tuple[Sequence[str], Maker]] = []
        for row in table.meter:
            made = partial(
                Dlt645Meter,
                plant=plant,
                unix_ms=unix_ms,
                single_phase=row.single_phase,
                refuses=row.refuses,
                goes_on=row.goes_on,
            )
            found.append(((row.name,), partial(Polled, row.spec(scenario.profiles[row.name]), made)))
        return found
    modbus: list[tuple[Sequence[str], Maker]] = []
    for unit in table.meter:
        recording = scenario.recordings.get(unit.name)
        of_spec = partial(modbus_meter, plant=plant, recording=recording, repeats=unit.repeats)
        spec = unit.spec(scenario.profiles[unit.name], table.codes(unit))
        modbus.append(((unit.name,), partial(Polled, spec, of_spec)))
    return modbus


def seen(source: Source, faults: Sequence[Armed], t_ms: int) -> Mapping[str, Values]:
    """What a reader sees at a moment of the plant's time, by meter and point; nothing where the meter is silent.

    Of the faults those act that change what the device knows and shows; what happens to an answer on its way does not.
    """
    struck = [found[0].fault for armed in faults if (found := armed.strikes(t_ms))]
    acting = [fault for fault in struck if not acts_on_packet(fault)]
    if source.sleeps_at(t_ms) or not all(fault.hears(t_ms) for fault in acting):
        return {}
    return {name: _look(source, name, acting, t_ms).values for name in source.names}


def _look(source: Source, name: str, faults: Sequence[Fault], t_ms: int) -> Reply:
    def now(at_ms: int) -> Reply:
        return source.shows(at_ms, Changes(faults, at_ms) if faults else None)[name]

    return looking(faults, now)(t_ms)
