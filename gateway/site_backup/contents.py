"""Files of a site: what gateway.toml names and the data folder keeps, each with its place in a restored folder.

A place is a path relative to the folder of the restored gateway.toml. A file that lies in the folder of gateway.toml
keeps its place; one that lies elsewhere gets a place of its own, and ``Moved`` says which key has to name it there.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.model import Config
from gateway.field_types import Model

CONFIG_FILE: Final = "gateway.toml"
DATABASE: Final = "meterseal.db"
_KEPT: Final = ("commissioning", "statements", "documents")
"""Folders of the data folder: records of commissioning and their proofs, rows of statements, documents of entries."""
_CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY/"
_PUBLIC: Final = ("ca", "cert")
_SECRET: Final = (
    "key", "pin_file", "token_file", "password_file", "secret_file", "keystore", "keystore_password_file",
    "metrics_token_file",
)  # fmt: skip
"""Keys of a section that name an access file."""

Key = tuple[str, ...]
"""Of gateway.toml, by table and name: ``("bus", "rs485-1", "meter", "export-main", "profile")``."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file: its place, where it lies now, and whether whoever has it can act as this gateway or log in somewhere."""

    place: str
    path: Path
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A key of gateway.toml that names something outside of its folder, and the place that it gets."""

    key: Key
    place: str


@dataclass(slots=True)
class Contents:
    """What belongs to a site besides its database and gateway.toml. ``data``, ``keys``: the places of these folders.
    ``elsewhere``: what no backup can hold, as written: files that nobody but the service manager can read, and a key
    in a token."""

    data: str
    keys: str
    parts: dict[str, Part] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def contents(config: Config) -> Contents:
    """The files of a site, read from its configuration and folders. Raises OSError: a folder cannot be read."""
    base, gateway = config.path.parent, config.document.gateway
    found = Contents(_within(gateway.data) or "data", _within(gateway.keys) or "keys")
    for key, written, place in (("data", gateway.data, found.data), ("keys", gateway.keys, found.keys)):
        if _within(written) is None:
            found.moved.append(Moved(("gateway", key), place))
    if gateway.statement_key is not None:
        found.elsewhere.append(gateway.statement_key)
    _add(found, base, ("gateway", "trust"), gateway.trust, secret=False)
    for named, text, secret in _named(config):
        _add(found, base, named, text, secret=secret)
    for folder in _KEPT:
        for path in _files(config.data / folder):
            _take(found, Part(f"{found.data}/{path.relative_to(config.data).as_posix()}", path))
    for path in _files(config.keys):
        _take(found, Part(f"{found.keys}/{path.relative_to(config.keys).as_posix()}", path, secret=True))
    return found


def _named(config: Config) -> Iterator[tuple[Key, str, bool]]:
    """Every file that a section or a meter names: by which key, as written, and whether it is a secret."""
    document = config.document
    sections: list[tuple[Key, Model]] = [(("gateway",), document.gateway)]
    sections += [(("bus", bus.name), bus) for bus in document.bus]
    sections += [(("ledger", entry.name), entry) for entry in document.ledger]
    sections += [(("feed", entry.name), entry) for entry in document.feed]
    sections += [(("notify", entry.name), entry) for entry in document.notify]
    sections += [(("web",), document.web)] if document.web is not None else []
    for section, entry in sections:
        for key in (*_PUBLIC, *_SECRET):
            if isinstance(text := getattr(entry, key, None), str):
                yield (*section, key), text, key in _SECRET
    for bus in document.bus:
        for meter in bus.meter:
            if meter.profile.endswith(".toml") or "/" in meter.profile:
                yield ("bus", bus.name, "meter", meter.name, "profile"), meter.profile, False


def _add(found: Contents, base: Path, key: Key, text: str, *, secret: bool) -> None:
    """A file that a key names."""
    if text.startswith(_CREDENTIALS):
        found.elsewhere.append(text)
        return
    path = base / text
    place = _within(text)
    if place is None:
        known = (part.place for part in found.parts.values() if part.path == path)
        place = next(known, None) or _in_folder(_folder_of(key), path.name, found)
        found.moved.append(Moved(key, place))
    _take(found, Part(place, path, secret))


def _folder_of(key: Key) -> str:
    """The folder for files that a key of this kind names outside: of profiles, of the trust file (none), of access."""
    return {"profile": "profiles/", "trust": ""}.get(key[-1], "access/")


def _in_folder(folder: str, name: str, found: Contents) -> str:
    free = (f"{folder}{'' if n == 1 else f'{n}-'}{name}" for n in range(1, 10_000))
    return next(place for place in free if place not in found.parts and place != CONFIG_FILE)


def _take(found: Contents, part: Part) -> None:
    """One part a place; a file that gateway.toml names as public stays so, wherever it lies."""
    found.parts.setdefault(part.place, part)


def _within(text: str) -> str | None:
    """The place of a path that is written relative to gateway.toml's folder and stays in it; None: it lies outside."""
    place = os.path.normpath(text)
    outside = os.path.isabs(place) or place in (".", "..") or place.startswith("../")
    return None if outside else place


def _files(folder: Path) -> list[Path]:
    """The files below a folder, without those that are still being written."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
