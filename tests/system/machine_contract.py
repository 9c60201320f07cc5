"""The machine contract: what programs of others rely on, collected from the running code.

``machine_contract.json`` holds the list as it was published: commands and options, keys of gateway.toml with their
defaults, names of journal and log fields, metrics with their labels, alarm codes, errors of verification. The test
compares the two. A difference is a change of a contract: whoever means it writes it into CHANGELOG.md and makes the
list again in the same commit::

    python -m tests.system.machine_contract
    python -m tests.system.machine_answers      # the keys of answers under --json, from running commands

Nothing here depends on where a module lies: commands come from ``[project.scripts]`` of pyproject.toml, and what is
found by reading source text is searched for in whole packages.
"""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.model import Document
from gateway.devices.knowledge.base_units import metrics
from gateway.messages.alarm_kinds import KINDS
from gateway.process.log_setup import FIELDS, Json, entry
from gateway.status.metric_names import FIGURES
from ledger_client.errors import STEPS, VerificationError

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_suffix(".json")
PACKAGES = ("control_room", "gateway", "firmware_sim", "ledger_client")
MUST = "(must be given)"
PART = "json keys"
MAPS = {"asked", "facts", "kinds", "missed", "ratios", "settings", "states"}
"""Objects whose keys are data: names of ledgers, facts of a machine, kinds of records, reasons, ratios, settings,
states."""
Keys = dict[str, list[str]]


def contract() -> dict[str, Any]:
    """The whole list, as plain data in the order in which it is written."""
    return {
        "commands": {path: words for name, group in programs().items() for path, words in commands(name, group)},
        "configuration": dict(keys_of(Document)),
        "environment": environment(),
        "journal fields": journal_fields(),
        "json log keys": json_log_keys(),
        "log parts": log_parts(),
        "alarm codes": {code: kind.severity for code, kind in sorted(KINDS.items())},
        "gateway metrics": {figure.name: [figure.kind, *figure.labels] for figure in FIGURES},
        "gateway metrics of values": {name: list(found) for name, found in metrics().items()},
        "verification steps": {str(number): step for number, step in STEPS.items()},
        "verification errors": verification_errors(),
    }


def published() -> dict[str, Any]:
    """The list as it stands in the file."""
    found: dict[str, Any] = json.loads(LIST.read_text())
    return found


def write(parts: dict[str, Any]) -> None:
    """Replace these parts of the file, and keep the others."""
    merged = (published() if LIST.exists() else {}) | parts
    LIST.write_text("{\n" + ",\n".join(f"{json.dumps(part)}: {_lines(merged[part])}" for part in merged) + "\n}\n")


def _lines(names: dict[str, Any] | list[str]) -> str:
    """One name a line."""
    if isinstance(names, list):
        return "[\n" + ",\n".join("  " + json.dumps(name, ensure_ascii=False) for name in names) + "\n]"
    rows = (f"  {json.dumps(name)}: {json.dumps(facts, ensure_ascii=False)}" for name, facts in names.items())
    return "{\n" + ",\n".join(rows) + "\n}"


# — commands —


def programs() -> dict[str, click.Group]:
    """The command of each installed program; of a function that runs one, the one that it runs."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return {name: _group(scripts[name]) for name in sorted(scripts)}


def _group(place: str) -> click.Group:
    module, _, name = place.partition(":")
    main = getattr(importlib.import_module(module), name)
    if isinstance(main, click.Group):
        return main
    (group,) = {x for name in main.__code__.co_names if isinstance(x := main.__globals__.get(name), click.Group)}
    return group


def commands(path: str, command: click.Command) -> Iterator[tuple[str, list[str]]]:
    """Each command with its arguments in order and its options, sorted."""
    arguments = [_written(x) for x in command.params if isinstance(x, click.Argument)]
    options = (name for x in command.params if isinstance(x, click.Option) for name in (*x.opts, *x.secondary_opts))
    yield path, [*arguments, *sorted(options)]
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from commands(f"{path} {name}", child)


def _written(argument: click.Argument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required else f"[{name}]"


# — configuration —


def keys_of(model: type[BaseModel], where: str = "") -> Iterator[tuple[str, Any]]:
    """Each key of gateway.toml, as ``bus.meter.every``, with its default; ``MUST`` where it has none."""
    for name, field in model.model_fields.items():
        inner = next(_models(field.annotation), None)
        if inner is not None:
            yield from keys_of(inner, f"{where}{name}.")
        else:
            yield where + name, _default(field)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def _default(field: FieldInfo) -> Any:
    return MUST if field.default is PydanticUndefined else json.loads(json.dumps(field.default))


# — environment and log —


def environment() -> list[str]:
    """The variables of our own that the code reads."""
    return _named(r'environ\b[^\n]*?"(METERSEAL_\w+)"')


def log_parts() -> list[str]:
    """The names of our loggers, which are METERSEAL_PART in the journal."""
    return _named(r'getLogger\("(meterseal[^"]*)"\)')


def _named(pattern: str) -> list[str]:
    texts = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted({name for text in texts for name in re.findall(pattern, text)})


def _event() -> logging.LogRecord:
    """An event that is about everything an event may be about, with a traceback."""
    try:
        raise ValueError("a mistake")
    except ValueError:
        record = logging.LogRecord("meterseal.part", logging.ERROR, __file__, 1, "text", (), sys.exc_info())
    record.__dict__ |= dict.fromkeys(FIELDS, "x")
    return record


def journal_fields() -> list[str]:
    """The names of the fields of an event in the journal."""
    return sorted(re.findall(r"^([A-Z_]+)(?==|$)", entry(_event()).decode(errors="replace"), re.MULTILINE))


def json_log_keys() -> list[str]:
    """The keys of an event under ``--log json``."""
    return sorted(json.loads(Json().format(_event())))


# — verification —


def verification_errors() -> list[str]:
    """What ``error`` of ``meterseal-ledger … --json`` may be: the classes below VerificationError, in any module."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return sorted({error.__name__ for error in _below(VerificationError)})


def _below(error: type[VerificationError]) -> Iterator[type[VerificationError]]:
    yield error
    for child in error.__subclasses__():
        yield from _below(child)


# — answers (machine_answers.py) —


def _keys_in(value: Any, where: str = "") -> Iterator[str]:
    """Each key in an answer, as ``meters[].last``; of an object whose keys are data ``missed.*``."""
    if isinstance(value, list):
        for item in value:
            yield from _keys_in(item, where + "[]")
    elif isinstance(value, dict) and where.rpartition(".")[2] in MAPS:
        yield where + ".*"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"{where}.{key}".lstrip(".")
            yield from _keys_in(inner, f"{where}.{key}".lstrip("."))


def answer_keys(*answers: Any) -> list[str]:
    """The keys of what one command answers under ``--json``, sorted."""
    return sorted({key for answer in answers for key in _keys_in(answer)})


def published_keys(command: str) -> list[str]:
    """The keys that the list has for a command's answer."""
    return list(published()[PART][command])


if __name__ == "__main__":
    write(contract())
