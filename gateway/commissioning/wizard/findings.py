"""Units that scans found and gateway.toml does not have: kept in the data folder until somebody says what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import tomlkit

from gateway.commissioning.scan.bus_toml import bus_sections
from gateway.commissioning.scan.found import Candidate, FoundLine, FoundUnit, ScanResult
from gateway.commissioning.wizard.config_edit import with_meter, with_sections
from gateway.commissioning.wizard.progress import make_folder
from gateway.config.bus import Bus
from gateway.config.model import Config
from gateway.devices.profile import load_profile
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder
from ledger_client.durable_files import whole_file
from ledger_client.text_file import toml_of

FILE: Final = "scanned.json"
_PLACE: Final = ("type", "port", "host")
"""Keys of a bus by which a line is known again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A unit on its line."""

    line: FoundLine
    unit: FoundUnit

    @property
    def where(self) -> str:
        """Its line, for people."""
        return self.line.port or f"{self.line.host}:{self.line.tcp_port}"


def keep(data: Path, result: ScanResult) -> None:
    """Keep what a scan found, in place of what an earlier one found on the same lines. Raises GatewayError."""
    places = {_place_of(line) for line in result.lines}
    before = tuple(line for line in found(data).lines if _place_of(line) not in places)
    path = data / FILE
    try:
        make_folder(data)
        with whole_file(path) as file:
            file.write(json.dumps(replace(result, lines=(*before, *result.lines)).as_json()).encode())
        as_its_folder(path)
    except OSError as error:
        raise GatewayError(Message("path-not-writable", path=str(path), error=os_error(error))) from None


def found(data: Path) -> ScanResult:
    """What scans have found; a file that cannot be read holds nothing, for a scan can be made again."""
    try:
        return ScanResult.of_json(json.loads((data / FILE).read_bytes()))
    except (OSError, ValueError, GatewayError):
        return ScanResult()


def unconfigured(result: ScanResult, config: Config) -> list[Finding]:
    """The units that no bus of the configuration has."""
    known = {(*_place(bus), meter.address) for bus in config.document.bus for meter in bus.meter}
    return [
        Finding(line, unit)
        for line in result.lines
        for unit in line.units
        if (*_place_of(line), unit.address) not in known
    ]


def added(finding: Finding, profile: str, config: Config) -> dict[str, Any]:
    """The keys of the bus and of the meter that a unit would be, as plain data: ``{"bus": {…}, "meter": {…}}``.

    What only somebody before the device can say (ratios, word order) is left out, to be asked.
    """
    asks = bool(load_profile(profile, config.path.parent).ask)
    candidate = Candidate(profile, 1.0, word_order="big" if asks else None)
    line = replace(finding.line, units=(replace(finding.unit, candidates=(candidate,)),))
    taken = {*config.meters, *(bus.name for bus in config.document.bus)}
    (bus,) = toml_of(bus_sections(ScanResult((line,)), taken))["bus"]
    (meter,) = bus.pop("meter")
    return {"bus": bus, "meter": {key: value for key, value in meter.items() if key not in ("word_order", "ct", "pt")}}


def with_added(text: str, new: Mapping[str, Any]) -> str:
    """The text of gateway.toml with that meter: on its bus, or with a new one. One that is there already stays."""
    buses = [bus for bus in toml_of(text).get("bus", ()) if isinstance(bus, dict)]
    if any(meter.get("name") == new["meter"]["name"] for bus in buses for meter in bus.get("meter", ())):
        return text
    for bus in buses:
        if all(bus.get(key) == new["bus"].get(key) for key in _PLACE):
            return with_meter(text, bus["name"], new["meter"])
    rows = ["[[bus]]", *_rows(new["bus"]), "", "  [[bus.meter]]", *(f"  {row}" for row in _rows(new["meter"]))]
    return with_sections(text, "\n".join(rows))


def _rows(keys: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key} = {tomlkit.item(value).as_string()}" for key, value in keys.items())


def _place(bus: Bus) -> tuple[object, ...]:
    return bus.type, bus.port if bus.serial else bus.tcp_port, bus.host


def _place_of(line: FoundLine) -> tuple[object, ...]:
    return line.type, line.port if line.port is not None else line.tcp_port, line.host
