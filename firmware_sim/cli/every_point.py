"""Every point of a scenario's meters at any moment, without a wire: what is measured, and what the meter shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.device import Changes, looking
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.logger_faults import acts_on_packet, text_at
from firmware_sim.meters.p1_meter import CLOCK, P1Meter
from firmware_sim.meters.packing import Value
from firmware_sim.meters.register_image import Meter, Reply
from firmware_sim.meters.register_map import Mismatch
from firmware_sim.plant.model import Plant
from firmware_sim.recorded.replay import ReplayedMeter
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.load import Scenario
from firmware_sim.scenario.p1_schema import P1Table

Values = Mapping[str, Value]


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


class Registers:
    """A Modbus meter; ``right`` is the same without its error."""

    clocks = frozenset[str]()

    def __init__(self, meter: Meter | ReplayedMeter, right: Meter | ReplayedMeter) -> None:
        self._meter, self._right = meter, right
        self.names, self.sleeps_at = (meter.spec.name,), meter.sleeps_at

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        return {self.names[0]: self._right.exact(t_ms)}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        return {self.names[0]: self._meter.points(t_ms, alter)}


class Identifiers:
    """A DL/T 645 meter; ``right`` is the same without its error."""

    def __init__(self, meter: Dlt645Meter, right: Dlt645Meter) -> None:
        self._meter, self._right, self.clocks = meter, right, meter.clock_points
        self.names, self.sleeps_at = (meter.spec.name,), meter.sleeps_at

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        return {self.names[0]: self._right.exact(t_ms)}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        return {self.names[0]: self._meter.points(t_ms, alter)}


class Instruments:
    """The instruments of a stack, as a logger shows them at a moment."""

    clocks = frozenset[str]()

    def __init__(self, station: Station) -> None:
        self._station, self.names = station, (station.spec.name,)

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        return {self.names[0]: self._station.exact(t_ms)}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        texts: dict[str, Value] = dict(self._station.moment(t_ms, None if alter is None else lambda _: alter))
        if alter is not None:
            texts = {name: alter.value(text_at(name), text) for name, text in texts.items()}
        return {self.names[0]: Reply((), texts)}

    def sleeps_at(self, t_ms: int) -> bool:
        return False


class Telegrams:
    """A P1 meter, and those that it passes on."""

    clocks = frozenset({CLOCK})

    def __init__(self, meter: P1Meter) -> None:
        self._meter = meter
        self._codes = {name: set(values) for name, values in meter.values(meter.telegram(0)).items()}
        self.names = tuple(self._codes)

    def exact(self, t_ms: int) -> Mapping[str, Values]:
        found = self._meter.exact(t_ms)
        return {name: {c: v for c, v in found[name].items() if c in self._codes[name]} for name in self.names}

    def shows(self, t_ms: int, alter: Alter | None = None) -> Mapping[str, Reply]:
        texts = self._meter.values(self._meter.telegram(t_ms))
        return {name: Reply((), dict(values)) for name, values in texts.items()}

    def sleeps_at(self, t_ms: int) -> bool:
        return False


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
        if isinstance(table, Hj212Table):
            yield from (Instruments(Station(row.spec(), plant)) for row in table.meter)
        elif isinstance(table, P1Table):
            yield Telegrams(P1Meter(table.spec(), plant, unix_ms))
        elif isinstance(table, Dlt645Table):
            for row in table.meter:
                spec = row.spec(scenario.profiles[row.name])
                made = partial(
                    Dlt645Meter,
                    plant=plant,
                    unix_ms=unix_ms,
                    single_phase=row.single_phase,
                    refuses=row.refuses,
                    goes_on=row.goes_on,
                )
                yield Identifiers(made(spec), made(replace(spec, class_percent=0.0)))
        else:
            for index, unit in enumerate(table.meter):
                unit_spec = unit.spec(scenario.profiles[unit.name], table.codes(unit))
                recording = scenario.recordings.get(unit.name)
                try:
                    if recording is not None:
                        replayed = ReplayedMeter(unit_spec, recording, repeats=unit.repeats)
                        yield Registers(replayed, replayed)
                        continue
                    yield Registers(Meter(unit_spec, plant), Meter(replace(unit_spec, class_percent=0.0), plant))
                except Mismatch as error:
                    where = f"bus[{number}].meter[{index}].{error.key}"
                    raise ScenarioError(scenario.source, where, error.problem, error.fix) from None


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
