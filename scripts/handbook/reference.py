"""Pages that are made from the code: every key of gateway.toml, every command, every decision."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from control_room.cli.app import cli as control
from firmware_sim.cli.app import main as simulator
from gateway.cli.app import main as gateway
from gateway.config.model import Document
from gateway.field_types import duration_ms, size_bytes
from ledger_client.cli.app import cli as ledger

COMMANDS: dict[str, click.Command] = {
    "meterseal": gateway,
    "meterseal-control": control,
    "meterseal-ledger": ledger,
    "meterseal-sim": simulator,
}
PLAIN = {
    str: "text",
    int: "number",
    float: "number",
    bool: "`true` or `false`",
    Decimal: "number",
    Fraction: "fraction",
}
UNITS_MS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
UNITS_B = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


# — keys —


def keys_page(text: str) -> str:
    """Every key of gateway.toml: its type and default, from the model that checks it; what it is for, from ``text``."""
    lines = [
        "# Every key of gateway.toml",
        "",
        "Made from the model that `meterseal check` checks with. docs/configuration.md says more.",
    ]
    for title, model in tables(Document):
        lines += ["", f"## {title}", "", "| key | type | default | what |", "|---|---|---|---|"]
        known = meanings(text, title)
        for name, field in model.model_fields.items():
            if _table(field) is None:
                key = field.alias or name
                what = known.get(key, "")
                lines.append(f"| `{key}` | {type_words(field)} | {default_words(field)} | {what} |")
    return "\n".join(lines) + "\n"


def meanings(text: str, title: str) -> dict[str, str]:
    """What the document says of each key in the section of a table."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        if section.startswith(title):
            for keys, what in re.findall(r"^\| (`[^|]+) \| [^|]+ \| (.+) \|$", section, re.MULTILINE):
                found |= dict.fromkeys(re.findall(r"`(\w+)`", keys), what)
    return found


def tables(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table of the file with its model: ``[store]``, ``[[bus]]``, ``[[bus.meter]]`` …"""
    for name, field in model.model_fields.items():
        found = _table(field)
        if found is not None:
            inner, several = found
            where = f"{path}{name}"
            yield f"`[[{where}]]`" if several else f"`[{where}]`", inner
            yield from tables(inner, f"{where}.")


def _table(field: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """The model of a key that is a table, and whether there may be several of it."""
    for kind in _branches(field.annotation):
        several = get_origin(kind) is tuple
        inner = get_args(kind)[0] if several else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner, several
    return None


def _branches(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is typing.Annotated:
        return _branches(get_args(kind)[0])
    if get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(inner for branch in get_args(kind) for inner in _branches(branch))
    return (kind,)


def type_words(field: FieldInfo) -> str:
    """A key's type in words."""
    if unit := _unit(field):
        return f'{unit}, as `"{"10s" if unit == "duration" else "8GB"}"`'
    return " or ".join(dict.fromkeys(_words(kind) for kind in _branches(field.annotation) if kind is not type(None)))


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {' or '.join(_words(inner) for inner in _branches(get_args(kind)[0]))}s"
    if get_origin(kind) is Mapping:
        return "table"
    return PLAIN[kind]


def _unit(field: FieldInfo) -> Literal["duration", "size"] | None:
    """Whether a number stands in the file as a text with a unit."""
    written = str(field.metadata) + str(field.annotation)
    if duration_ms.__name__ in written:
        return "duration"
    return "size" if size_bytes.__name__ in written else None


def default_words(field: FieldInfo) -> str:
    """A key's default as the file would have it."""
    if field.is_required():
        return "must be given"
    value, unit = field.default, _unit(field)
    if value is None:
        return "–"
    if unit and isinstance(value, int):
        most = next((size, name) for size, name in (UNITS_MS if unit == "duration" else UNITS_B) if value % size == 0)
        return f'`"{value // most[0]}{most[1]}"`'
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "[]" if value == () else str(value)


# — commands —


def commands_page() -> str:
    """Every command with its arguments and options, as it says them itself."""
    lines = [
        "# Commands",
        "",
        "Exit codes: 0 done, 1 the answer is no (not verified, unhealthy), 2 wrong usage or configuration.",
    ]
    for name, command in COMMANDS.items():
        lines += ["", f"## {name}", *_command(name, command)]
        for path, each in commands(name, command):
            lines += ["", f"### {path}", *_command(path, each)]
    return "\n".join(lines) + "\n"


def commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command below one, by its full name."""
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield f"{path} {name}", command.commands[name]
            yield from commands(f"{path} {name}", command.commands[name])


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield ""
    yield (command.help or "").strip()
    yield ""
    yield "```"
    yield command.get_usage(context).removeprefix("Usage: ")
    yield "```"
    options = (param for param in command.params if isinstance(param, click.Option))  # the usage tells the arguments
    rows = [row for param in options if (row := param.get_help_record(context))]
    if rows:
        yield ""
        yield "| option | what |"
        yield "|---|---|"
        for option, what in rows:
            yield f"| `{_cell(option)}` | {_cell(what)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# — decisions —


def decisions_page(docs: Path) -> str:
    """All decision records by number and title."""
    lines = ["# Decisions", "", "Why it is so, half a page each.", ""]
    for path in sorted((docs / "decisions").glob("*.md")):
        title = re.sub(r"^#\s*", "", path.read_text().splitlines()[0])
        lines.append(f"- [{title}](decisions/{path.name})")
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", ":glob:", "", "decisions/*", "```"]) + "\n"
