"""Scenario as a test gives it: a file, a name, a text or a dict → a file for the simulator, with free ports."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from firmware_sim.errors import ScenarioError
from firmware_sim.scenario.shipped import scenario_file

Given = Path | str | Mapping[str, Any]
FILES = ("profile", "ca", "cert", "key", "curve")
"""Keys that name a file, relative to the scenario."""
DIALS = "hj212"
"""Type of a bus whose port is not its own, but the gateway's."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario file, and by the name of each bus that listens the port for ``--port``."""

    file: Path
    ports: dict[str, str]


def prepare(scenario: Given, base: Path, folder: Path) -> Prepared:
    """What a simulator is to run.

    Args:
        scenario: a path, relative to ``base`` or to the working directory; the name of a shipped plant; a text in TOML,
            which has more than one line or a "="; or the same as a dict.
        base: the folder of the test, where relative names of files in a text or dict lead.
        folder: where the file of a text or dict is written.

    Raises:
        ScenarioError: there is no such file, or it is not TOML.
    """
    if isinstance(scenario, Mapping):
        return _written(_plain(scenario, ""), base, folder)
    if isinstance(scenario, str) and ("\n" in scenario or "=" in scenario):
        return _written(_table(scenario, "the text given to meterseal_sim"), base, folder)
    file = _file(Path(scenario), base)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(str(file), "", error.strerror or str(error), "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(str(file), "", f"byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    return Prepared(file, dict(_ports(_table(text, str(file)))))


def _file(path: Path, base: Path) -> Path:
    for found in (base / path, path):
        if found.is_file():
            return found.absolute()
    if path.suffix or len(path.parts) != 1:
        fix = f"give a path relative to the test's folder ({base}) or to the working directory"
        raise ScenarioError(str(path), "", "no such file", fix)
    return scenario_file(path)


def _table(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, "", f"not valid TOML: {error}", "correct that line") from None


def _written(table: dict[str, Any], base: Path, folder: Path) -> Prepared:
    import tomlkit

    file = folder / "scenario.toml"
    file.write_text(tomlkit.dumps(_beside(table, base)), encoding="utf-8")
    return Prepared(file, dict(_ports(table)))


def _plain(value: Any, where: str) -> Any:
    """The same as TOML can say it. Raises ``ScenarioError`` with the key."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{where}.{key}".lstrip(".")) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{n}]") for n, each in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str | bool | int | float | datetime | date | time):
        return value
    fix = "leave the key out" if value is None else "use a text, a number, a list or a dict"
    raise ScenarioError("the dict given to meterseal_sim", where, f"{value!r} cannot stand in a scenario", fix)


def _beside(value: Any, base: Path, key: str = "") -> Any:
    """The same, with names of files that lie beside the test as whole paths."""
    if isinstance(value, dict):
        return {name: _beside(each, base, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_beside(each, base) for each in value]
    names_file = isinstance(value, str) and key in FILES and (key != "profile" or "/" in value or ".toml" in value)
    return str((base / value).absolute()) if names_file and (base / value).is_file() else value


def _ports(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A free TCP port in place of each, and a link of the bus's name in place of each path. What is no table, or has no
    port, is left to the simulator to complain about."""
    buses = table.get("bus")
    for bus in buses if isinstance(buses, list) else ():
        if isinstance(bus, dict) and "port" in bus and bus.get("type") != DIALS and (name := bus.get("name")):
            yield str(name), "0" if isinstance(bus["port"], int) else str(name)
