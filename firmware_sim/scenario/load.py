"""Scenario file: loading and checks; every error names the file, the key, the problem and the fix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.armed import Order
from firmware_sim.plant.curves import Curve
from firmware_sim.plant.model import PlantSpec
from firmware_sim.recorded.recording import Recording
from firmware_sim.scenario.complaints import Unfit, explained
from firmware_sim.scenario.curve_files import curves_of
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.faults import Places, ordered, traits_of, traits_of_factors, wire_of
from firmware_sim.scenario.hj212_schema import Hj212Table, StationTable
from firmware_sim.scenario.p1_schema import P1MeterTable, P1Table
from firmware_sim.scenario.places import MeterRow, check_meters, check_plant
from firmware_sim.scenario.plant_schema import PlantTable
from firmware_sim.scenario.replays import recordings_of
from firmware_sim.scenario.schema import BusTable, FileTable, RtuTable
from firmware_sim.scenario.shipped import scenario_file
from firmware_sim.scenario.table import EndTable
from gateway.devices.profile import NotToml, Profile, load_profile, toml_of


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario; ``profiles`` by meter name, and ``recordings`` of the meters that are replayed; ``faults`` in
    the order of the file, ``places`` where there can be more of them; ``digest``: SHA-256 of all that the plant and its
    meters depend on, its seed included, but neither of the ports that were replaced nor of the profiles."""

    source: str
    plant: PlantSpec
    buses: tuple[BusTable, ...]
    profiles: Mapping[str, Profile]
    recordings: Mapping[str, Recording]
    faults: tuple[Order, ...]
    places: Places
    digest: str


def load_scenario(
    path: Path, *, seed: int | None = None, ports: Mapping[str, str] | None = None, at: str | None = None
) -> Scenario:
    """Read a scenario.

    Args:
        path: the file, or the name of a plant that comes with Meterseal.
        seed: replaces that of the file.
        ports: by name of the bus, replace those of the file.
        at: replaces the moment at which the plant starts.

    Raises:
        ScenarioError: the file cannot be read, or has a mistake.
        ProfileError: the same of a profile that it names.
    """
    path = scenario_file(path)
    try:
        table = toml_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(str(path), "", error.strerror or str(error), "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(str(path), "", f"byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    except NotToml as error:
        raise ScenarioError(str(path), "", f"not valid TOML: {error}", "correct that line") from None
    table = _begun(table, seed, at)
    text = json.dumps(table, sort_keys=True, default=str)
    return _Check(path, text).scenario(_moved(table, path, ports or {}))


def _begun(table: dict[str, Any], seed: int | None, at: str | None) -> dict[str, Any]:
    """With another seed, and another start."""
    plant = table.get("plant", {})
    if isinstance(plant, dict):
        if seed is not None:
            plant = {**plant, "seed": seed}
        if at is not None:
            plant = {key: value for key, value in plant.items() if key != "start_hour"} | {"start": at}
        table = {**table, "plant": plant} if plant else table
    return table


def _moved(table: dict[str, Any], path: Path, ports: Mapping[str, str]) -> dict[str, Any]:
    """With other ports."""
    buses = [b for b in table.get("bus", []) if isinstance(b, dict)]
    for name, port in ports.items():
        mine = [b for b in buses if b.get("name") == name]
        if not mine:
            known = ", ".join(str(b.get("name")) for b in buses)
            raise ScenarioError(str(path), f"--port {name}", "no such bus", f"use one of {known}")
        numbered = mine[0].get("type") in ON_TCP or isinstance(mine[0].get("port"), int)
        mine[0]["port"] = int(port) if port.isdecimal() and numbered else port
    return table


class _Check:
    """One file's tables → Scenario. Every refusal leaves through ``refuse``. ``text``: all tables, for the digest."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._text = path, text

    def refuse(self, key: str, problem: str, fix: str) -> ScenarioError:
        return ScenarioError(str(self.path), key, problem, fix)

    def scenario(self, table: dict[str, Any]) -> Scenario:
        try:
            file = FileTable.model_validate(table)
        except ValidationError as error:
            raise self.refuse(*explained(error, form=FileTable)) from None
        self.fit(partial(check_plant, file.plant))
        self.unique([(f"bus[{n}].name", bus.name) for n, bus in enumerate(file.bus)])
        served = [(n, bus) for n, bus in enumerate(file.bus) if not isinstance(bus, Hj212Table)]
        self.unique([(f"bus[{n}].port", str(bus.port)) for n, bus in served if bus.port])
        meters: list[tuple[str, BusTable, MeterRow]] = []
        for number, bus in enumerate(file.bus):
            tables: Sequence[MeterRow] = bus.meter
            rows = [(f"bus[{number}].meter[{index}]", bus, meter) for index, meter in enumerate(tables)]
            if not _is_of_bits(bus):
                self.no_settings(rows)
                self.unique([(f"{where}.address", str(meter.address)) for where, _, meter in rows])
            meters += rows
        self.unique([(f"{where}.name", meter.name) for where, _, meter in meters])
        for where, bus, meter in meters:
            if bus.type in SERIAL and isinstance(meter.address, int) and not 1 <= meter.address <= 247:
                raise self.refuse(
                    f"{where}.address", f"{meter.address} is not a unit address of a serial line", "use 1 to 247"
                )
        asked = [
            (where, bus, meter) for where, bus, meter in meters if not isinstance(meter, StationTable | P1MeterTable)
        ]
        loaded = {ref: load_profile(ref, self.path.parent) for ref in dict.fromkeys(m.profile for _, _, m in asked)}
        profiles = {meter.name: loaded[meter.profile] for _, _, meter in asked}
        for where, bus, meter in asked:
            spoken = "dlt645" if profiles[meter.name].protocol == "dlt645" else "modbus"
            if not bus.type.startswith(spoken):
                problem = f"{meter.profile} is the profile of a device that does not speak {bus.type}"
                raise self.refuse(f"{where}.profile", problem, f"use it on a bus of type {spoken}")
        plant = file.plant.spec(self.curves(file.plant))
        self.fit(partial(check_meters, plant, [(where, meter) for where, _, meter in meters], profiles))
        recordings = self.recordings([(where, meter) for where, _, meter in meters], profiles)
        traits = {meter.name: traits_of(profiles[meter.name], getattr(meter, "show", {})) for _, _, meter in asked}
        for _, _, meter in meters:
            if isinstance(meter, StationTable):
                traits[meter.name] = traits_of_factors(meter.codes())
        bus_of = {meter.name: bus.name for _, bus, meter in meters}
        wires = {bus.name: wire_of(bus.port, dials=isinstance(bus, Hj212Table)) for bus in file.bus}
        p1 = [bus for bus in file.bus if isinstance(bus, P1Table)]
        places = Places(
            {bus.name: bus.type for bus in file.bus},
            bus_of,
            traits,
            wires,
            frozenset(recordings),
            unchecked=[bus.name for bus in p1 if not bus.is_checked],
            clockless=[bus.name for bus in p1 if bus.edition == 2],
            identifiers={bus.name: bus.spec().identifiers for bus in p1},
        )
        faults = [self.fault(f"fault[{number}]", row, places) for number, row in enumerate(file.fault)]
        shown = "".join(f"\n{name} {recording.digest}" for name, recording in recordings.items())
        digest = hashlib.sha256(f"{self._text}\n{plant!r}{shown}".encode()).hexdigest()
        return Scenario(str(self.path), plant, tuple(file.bus), profiles, recordings, tuple(faults), places, digest)

    def curves(self, plant: PlantTable) -> dict[str, Curve]:
        try:
            return curves_of(plant, self.path.parent)
        except Unfit as unfit:
            raise self.refuse(unfit.key, unfit.problem, unfit.fix) from None

    def recordings(
        self, meters: Sequence[tuple[str, MeterRow]], profiles: Mapping[str, Profile]
    ) -> dict[str, Recording]:
        try:
            return recordings_of(meters, profiles, self.path.parent)
        except Unfit as unfit:
            raise self.refuse(unfit.key, unfit.problem, unfit.fix) from None

    def fit(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Unfit as unfit:
            raise self.refuse(unfit.key, unfit.problem, unfit.fix) from None

    def fault(self, where: str, row: dict[str, Any], places: Places) -> Order:
        try:
            return ordered(row, places)
        except Unfit as unfit:
            raise self.refuse(f"{where}.{unfit.key}", unfit.problem, unfit.fix) from None

    def no_settings(self, rows: Sequence[tuple[str, BusTable, MeterRow]]) -> None:
        for where, _, meter in rows:
            if isinstance(meter, EndTable) and meter.differs:
                problem = f"{meter.name} has line settings of its own, and this line has no bits to misread"
                raise self.refuse(where, problem, "set rfc2217 = true or garbles = true on the bus, or remove them")

    def unique(self, names: list[tuple[str, str]]) -> None:
        seen: dict[str, str] = {}
        for key, name in names:
            if name in seen:
                raise self.refuse(key, f"{name} is already used by {seen[name]}", "use a different one for each")
            seen[name] = key


def _is_of_bits(bus: BusTable) -> bool:
    """Whether each end of the line has settings of its own; two devices may then have one address."""
    return isinstance(bus, RtuTable | Dlt645Table) and bus.uarts() is not None


SERIAL, ON_TCP = ("modbus-rtu", "modbus-rtu-over-tcp", "modbus-ascii"), ("modbus-rtu-over-tcp", "modbus-tcp", "hj212")
