"""Edits of gateway.toml: keys of a meter, meters and buses, with comments, order and every other value kept.

The new text is validated as a configuration before it replaces the file, and the old file stays beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Item, Table

from gateway.config.load import parse_config
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.durable_files import whole_file
from ledger_client.text_file import NotToml, toml_of

Value = str | int | bool | dict[str, list[int | float]]

_HEADER: Final = re.compile(r"""^[ \t]*\[{1,2}[ \t]*("[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*\]{1,2}""", re.MULTILINE)


def with_settings(text: str, meter: str, settings: Mapping[str, Value]) -> str:
    """``text`` with these keys of a meter. A key that has its value already stays as it is written.

    Raises GatewayError: no meter has the name, or the file has a form that cannot be edited.
    """

    def edit(piece: Any) -> bool:
        entry = _meter(piece, meter)
        if entry is None:
            return False
        for key, value in settings.items():
            if key in entry and _plain(entry[key]) == (type(value), value):
                continue
            if isinstance(entry, Table):
                _set_key(entry, key, value)
            else:  # plain data; or an inline table, which has neither lines nor comments of its own
                entry[key] = value
        return True

    edited = _edited(text, edit, meter)
    if edited is None:
        raise GatewayError(Message("wizard-no-meter", meter=meter))
    return edited


def with_meter(text: str, bus: str, settings: Mapping[str, Value]) -> str:
    """``text`` with one more ``[[bus.meter]]`` at the end of a bus.

    Raises GatewayError: no bus has the name, or the file has a form that cannot be edited.
    """

    def edit(piece: Any) -> bool:
        found = (one["meter"] for one in piece.get("bus", ()) if one.get("name") == bus and "meter" in one)
        meters = next(found, None)
        if meters is None:
            return False
        if isinstance(meters, AoT):
            _append_table(meters, settings)
        elif isinstance(meters, Array):
            inline = tomlkit.inline_table()
            inline.update(settings)
            meters.append(inline)
        else:
            meters.append(dict(settings))
        return True

    edited = _edited(text, edit, bus)
    if edited is None:
        raise GatewayError(Message("wizard-no-bus", bus=bus))
    return edited


def with_value(text: str, key: Sequence[str], value: Value) -> str:
    """``text`` with another value of one key, by table and name: ``("bus", "rs485-1", "meter", "a", "role")``.

    Raises GatewayError: there is no such table, or the file has a form that cannot be edited.
    """

    def edit(piece: Any) -> bool:
        table = piece
        for step in key[:-1]:
            if isinstance(table, list):
                table = next((one for one in table if one.get("name") == step), None)
            else:
                table = table.get(step)
            if table is None:
                return False
        if isinstance(table, Table):
            _set_key(table, key[-1], value)
        else:
            table[key[-1]] = value
        return True

    edited = _edited(text, edit, ", ".join(key))
    if edited is None:
        raise GatewayError(Message("wizard-not-editable", place=", ".join(key)))
    return edited


def with_gateway(text: str, settings: Mapping[str, str | None]) -> str:
    """``text`` with these keys of ``[gateway]``; None takes one out. Raises GatewayError: it cannot be edited."""

    def edit(piece: Any) -> bool:
        table = piece.get("gateway")
        if table is None:
            return False
        for key, value in settings.items():
            if value is None:
                table.pop(key, None)
            elif isinstance(table, Table):
                _set_key(table, key, value)
            else:
                table[key] = value
        return True

    edited = _edited(text, edit, "gateway")
    if edited is None:
        raise GatewayError(Message("wizard-not-editable", place="gateway"))
    return edited


def with_sections(text: str, sections: str) -> str:
    """``text`` with further ``[[bus]]`` sections, written as they are, at its end."""
    gap = "" if text.endswith("\n") else "\n"
    return f"{text}{gap}\n{sections.strip()}\n"


def replace(path: Path, text: str, now: datetime, config: Config | None = None) -> Path | None:
    """Replacement of the configuration at ``path``; gives where the old file stays.

    Nothing is written where the text is the old one (None). The new file has the owner and the permissions of the old.

    Args:
        path: of the configuration.
        text: what it is to be.
        now: local time, for the name of the old file.
        config: the text as a configuration, where it has been validated otherwise than a gateway does at its start.

    Raises:
        ConfigError: the new text is no configuration, or the folder cannot be written; the file is as it was.
    """
    if config is None:
        parse_config(path, text.encode())
    kept = None
    try:
        old, facts = path.read_bytes(), path.stat()
        if old == text.encode():
            return None
        kept = _beside(path, now)
        for target, data in ((kept, old), (path, text.encode())):
            with whole_file(target) as file:
                file.write(data)
                os.fchmod(file.fileno(), facts.st_mode & 0o777)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), facts.st_uid, facts.st_gid)
    except OSError as error:
        if kept is not None:  # the file is as it was: a copy beside it would be of nothing
            with contextlib.suppress(OSError):
                kept.unlink()
        raise ConfigError(path, "", Message("wizard-config-not-written", error=os_error(error))) from None
    return kept


def _beside(path: Path, now: datetime) -> Path:
    """A name beside the file that no file has: ``gateway.toml.20261124-101500``."""
    stamp = path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S}")
    free = (stamp if n == 1 else stamp.with_name(f"{stamp.name}-{n}") for n in range(1, 1000))
    return next(name for name in free if not name.exists())


def _edited(text: str, edit: Callable[[Any], bool], place: str) -> str | None:
    """The text after ``edit``, which is given documents until it finds its place in one; None: it finds none.

    The same edit of the plain data says what the text has to mean afterwards. Raises GatewayError where it does not.
    """
    meant = toml_of(text)
    if not edit(meant):
        return None
    pieces = _pieces(text)
    try:
        for at, piece in enumerate(pieces):
            document = tomlkit.parse(piece)
            if edit(document):
                pieces[at] = document.as_string()
                break
        edited = "".join(pieces)
        right = toml_of(edited) == meant
    except (TOMLKitError, NotToml):
        right = False
    if not right:
        raise GatewayError(Message("wizard-not-editable", place=place))
    return edited


def _pieces(text: str) -> list[str]:
    """The text cut in front of its top-level tables: the library moves those of one name together."""
    cuts = [0, *(found.start() for found in _HEADER.finditer(text) if found.start()), len(text)]
    pieces, begun = [], ""
    for start, end in pairwise(cuts):
        begun += text[start:end]
        if _whole(begun):  # else the line looks like a header, and stands in a text or a list
            pieces.append(begun)
            begun = ""
    return [*pieces, begun] if begun else pieces


def _whole(text: str) -> bool:
    try:
        toml_of(text)
    except NotToml:
        return False
    return True


def _plain(value: Any) -> tuple[type, Any]:
    """Type and value: in TOML 1 is not true."""
    bare = value.unwrap() if isinstance(value, Item) else value
    return type(bare), bare


def _meter(document: Mapping[str, Any], name: str) -> Any:
    meters = (meter for bus in document.get("bus", ()) for meter in bus.get("meter", ()))
    return next((meter for meter in meters if meter.get("name") == name), None)


def _set_key(table: Table, key: str, value: Value) -> None:
    """A key of a table: in its place, or behind the last one, in front of the comments before the next table."""
    if key in table:
        table[key] = _item(value)
        return
    rest = _cut_rest(table.value)
    table.append(key, _item(value))
    table.value.body.extend(rest)


def _item(value: Value) -> Any:
    """A value as it is written: a table on the line of its key."""
    if not isinstance(value, dict):
        return value
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline


def _append_table(meters: AoT, settings: Mapping[str, Value]) -> None:
    """One more table behind the last one, in front of the comments that end it."""
    last, new = meters.body[-1], tomlkit.table()
    new.trivia.indent = last.trivia.indent
    for key, value in settings.items():
        new.append(key, value)
    rest = _cut_rest(last.value)
    last.value.append(None, tomlkit.nl())
    meters.append(new)
    new.value.body.extend(rest)


def _cut_rest(container: Container) -> list[Any]:
    """The blank lines and comments at the end of a table, taken out of it."""
    body = container.body
    keys = [at for at, (key, _) in enumerate(body) if key is not None]
    first = keys[-1] + 1 if keys else 0
    rest = body[first:]
    del body[first:]
    return rest
