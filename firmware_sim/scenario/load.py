"""Scenario file: loading and checks; every error names the file, the key, the problem and the fix."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.answer_faults import KINDS, Fault
from firmware_sim.meters.device import Armed, Choice
from firmware_sim.meters.logger_faults import LOGGER_KINDS, misfit
from firmware_sim.plant.model import PlantSpec
from firmware_sim.scenario.dlt645_schema import Dlt645MeterTable, Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table, StationTable
from firmware_sim.scenario.p1_schema import P1MeterTable
from firmware_sim.scenario.schema import BusTable, ChoiceTable, FaultTable, FileTable, MeterTable, RtuTable
from firmware_sim.scenario.table import EndTable
from gateway.devices.profile import NotToml, Profile, load_profile, toml_of


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario; ``profiles`` by meter name, ``faults`` by meter name in the order of the file."""

    source: str
    plant: PlantSpec
    buses: tuple[BusTable, ...]
    profiles: Mapping[str, Profile]
    faults: Mapping[str, tuple[Armed, ...]]


_Table = TypeVar("_Table", bound=BaseModel)


def load_scenario(path: Path, *, seed: int | None = None, ports: Mapping[str, str] | None = None) -> Scenario:
    """Read a scenario.

    Args:
        path: the file.
        seed: replaces that of the file.
        ports: by name of the bus, replace those of the file.

    Raises:
        ScenarioError: the file cannot be read, or has a mistake.
        ProfileError: the same of a profile that it names.
    """
    try:
        table = toml_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(str(path), "", error.strerror or str(error), "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(str(path), "", f"byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    except NotToml as error:
        raise ScenarioError(str(path), "", f"not valid TOML: {error}", "correct that line") from None
    return _Check(path).scenario(_overridden(table, path, seed, ports or {}))


def _overridden(table: dict[str, Any], path: Path, seed: int | None, ports: Mapping[str, str]) -> dict[str, Any]:
    if seed is not None and isinstance(table.get("plant", {}), dict):
        table = {**table, "plant": {**table.get("plant", {}), "seed": seed}}
    buses = [b for b in table.get("bus", []) if isinstance(b, dict)]
    for name, port in ports.items():
        mine = [b for b in buses if b.get("name") == name]
        if not mine:
            known = ", ".join(str(b.get("name")) for b in buses)
            raise ScenarioError(str(path), f"--port {name}", "no such bus", f"use one of {known}")
        numbered = mine[0].get("type") in ON_TCP or isinstance(mine[0].get("port"), int)
        mine[0]["port"] = int(port) if port.isdecimal() and numbered else port
    return table


_MeterTable = MeterTable | Dlt645MeterTable | StationTable | P1MeterTable


class _Check:
    """One file's tables → Scenario. Every refusal leaves through ``refuse``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, key: str, problem: str, fix: str) -> ScenarioError:
        return ScenarioError(str(self.path), key, problem, fix)

    def scenario(self, table: dict[str, Any]) -> Scenario:
        try:
            file = FileTable.model_validate(table)
        except ValidationError as error:
            raise self.refuse(*_explained(error)) from None
        self.unique([(f"bus[{n}].name", bus.name) for n, bus in enumerate(file.bus)])
        served = [(n, bus) for n, bus in enumerate(file.bus) if not isinstance(bus, Hj212Table)]
        self.unique([(f"bus[{n}].port", str(bus.port)) for n, bus in served if bus.port])
        meters: list[tuple[str, BusTable, _MeterTable]] = []
        for number, bus in enumerate(file.bus):
            tables: Sequence[_MeterTable] = bus.meter
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
        profiles = {meter.name: load_profile(meter.profile, self.path.parent) for _, _, meter in asked}
        for where, bus, meter in asked:
            spoken = "dlt645" if profiles[meter.name].protocol == "dlt645" else "modbus"
            if not bus.type.startswith(spoken):
                problem = f"{meter.profile} is the profile of a device that does not speak {bus.type}"
                raise self.refuse(f"{where}.profile", problem, f"use it on a bus of type {spoken}")
        types = {meter.name: bus.type for _, bus, meter in meters}
        faults: dict[str, tuple[Armed, ...]] = {}
        for number, row in enumerate(file.fault):
            name, armed = self.fault(f"fault[{number}]", row, types, f"{file.plant.seed}/{number}")
            faults[name] = (*faults.get(name, ()), armed)
        return Scenario(str(self.path), file.plant.spec(), tuple(file.bus), profiles, faults)

    def no_settings(self, rows: Sequence[tuple[str, BusTable, _MeterTable]]) -> None:
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

    def fault(self, where: str, row: dict[str, Any], types: Mapping[str, str], seed: str) -> tuple[str, Armed]:
        if row.get("kind") == ONE_OF:
            row = dict(row)
            rows = row.pop("choice", [])
            table = self.read(where, FaultTable, row)
            if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
                raise self.refuse(f"{where}.choice", "no choices", "add [[fault.choice]] tables")
            choices = []
            for number, each in enumerate(rows):
                one, fault = self.split(f"{where}.choice[{number}]", ChoiceTable, each)
                choices.append(Choice(one.kind, fault, one.share))
            if sum(choice.share for choice in choices) > 1 + 1e-9:
                raise self.refuse(f"{where}.choice", "the shares add up to more than 1", "lower them")
        else:
            table, fault = self.split(where, FaultTable, row)
            choices = [Choice(table.kind, fault)]
        if table.meter not in types:
            raise self.refuse(f"{where}.meter", f"no such meter: {table.meter!r}", _nearest(table.meter, list(types)))
        if table.above and not types[table.meter].startswith("modbus"):
            raise self.refuse(f"{where}.above", "only Modbus reads ask for registers", "remove it")
        for choice in choices:
            bus_type = types[table.meter]
            if refusal := choice.fault.impossible.get(bus_type) or misfit(choice.kind, bus_type):
                raise self.refuse(f"{where}.kind", f"{choice.kind}: {refusal[0]}", refusal[1])
        return table.meter, Armed(choices, table.when(), seed)

    def split(self, where: str, form: type[_Table], row: dict[str, Any]) -> tuple[_Table, Fault]:
        """What every fault has, and the fault itself by its kind."""
        kind = row.get("kind")
        if not isinstance(kind, str) or kind not in ALL_KINDS:
            raise self.refuse(f"{where}.kind", f"no such fault: {kind!r}", _nearest(str(kind or ""), KNOWN))
        common = {f.alias or name for name, f in form.model_fields.items()}
        table = self.read(where, form, {k: v for k, v in row.items() if k in common})
        of_kind = json.dumps({k: v for k, v in row.items() if k not in common}, default=str)
        try:
            return table, TypeAdapter(ALL_KINDS[kind]).validate_json(
                of_kind
            )  # the mode that is strict and takes a table
        except ValidationError as error:
            key, problem, fix = _explained(error)
            raise self.refuse(f"{where}.{key}", problem, fix) from None

    def read(self, where: str, form: type[_Table], row: dict[str, Any]) -> _Table:
        """A table of this form."""
        try:
            return form.model_validate(row)
        except ValidationError as error:
            key, problem, fix = _explained(error)
            raise self.refuse(f"{where}.{key}", problem, fix) from None


def _is_of_bits(bus: BusTable) -> bool:
    """Whether each end of the line has settings of its own; two devices may then have one address."""
    return isinstance(bus, RtuTable | Dlt645Table) and bus.uarts() is not None


ONE_OF = "one-of"
ALL_KINDS = {**KINDS, **LOGGER_KINDS}
KNOWN = [*ALL_KINDS, ONE_OF]
SERIAL, ON_TCP = ("modbus-rtu", "modbus-rtu-over-tcp", "modbus-ascii"), ("modbus-rtu-over-tcp", "modbus-tcp", "hj212")
TAGS = (
    "modbus-rtu", "modbus-rtu-over-tcp", "modbus-tcp", "modbus-ascii", "dlt645", "hj212", "p1", "noise",
    "second-master", "str", "int",
)  # fmt: skip
"""What pydantic adds to the path of a table that differs from others by its type or kind."""


def _explained(error: ValidationError) -> tuple[str, str, str]:
    """The first complaint as key, problem and fix."""
    first = error.errors(include_url=False)[0]
    key = ""
    for part in first["loc"]:
        if part not in TAGS:
            key += f"[{part}]" if isinstance(part, int) else f".{part}"
    key = key.lstrip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return key, "unknown key", "use a key listed in docs/simulator.md"
    if first["type"] in ("missing", "union_tag_not_found"):
        return key if first["type"] == "missing" else f"{key}.{_tag(first)}", "missing", "add it"
    if first["type"] == "union_tag_invalid":
        return (
            f"{key}.{_tag(first)}",
            f"no such type: {first['ctx']['tag']!r}",
            f"use one of {first['ctx']['expected_tags']}",
        )
    rule = first["msg"][0].lower() + first["msg"][1:]
    return key, f"{first['input']!r} is not allowed: {rule}", "correct it; docs/simulator.md describes the key"


def _tag(error: Mapping[str, Any]) -> str:
    """The key that tells tables apart, quoted in pydantic's context."""
    return str(error["ctx"]["discriminator"]).strip("'")


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
