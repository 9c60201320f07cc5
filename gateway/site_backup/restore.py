"""A site made anew from its backup, in a folder where nothing is.

The database goes there first and gateway.toml last: a restore that was killed leaves a folder that no gateway starts
in. Whatever fails, what was written until then goes, and the folder is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway.commissioning.wizard.config_edit import with_value
from gateway.config.device_keys import key_files
from gateway.config.load import parse_config
from gateway.config.model import Config
from gateway.errors import ConfigError, Damaged, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from gateway.site_backup.archive import LOCKED, Archive, Manifest, opened, unpacked
from gateway.site_backup.contents import CONFIG_FILE, DATABASE, contents
from gateway.site_backup.locked import unlocked
from gateway.storage.database import Database
from ledger_client.durable_files import whole_file
from ledger_client.text_file import NotText, text_of


@dataclass(frozen=True, slots=True)
class Restored:
    """A site that was made: its configuration, what the archive said, and what it lacks.

    ``keys``: names of the keys that the gateway needs and that are not there; ``files``: other files that it needs.
    """

    config: Config
    manifest: Manifest
    keys: tuple[str, ...]
    files: tuple[str, ...]


def restore(path: Path, folder: Path, state: Path | None = None, passphrase: str | None = None) -> Restored:
    """Make the site of a backup in ``folder``.

    Args:
        path: the file.
        folder: for gateway.toml and what lies beside it; has to be absent or empty.
        state: another folder for data and keys; None: ``folder``.
        passphrase: of the keys and passwords in it; None leaves them out.

    Raises:
        Damaged: the database in it is not sound.
        GatewayError: the file is none or damaged, the passphrase is another one, the folder is in use.
    """
    with opened(path) as archive:
        where = _Places(archive.manifest, folder, state)
        for used in where.folders():
            if is_there(used) and (not used.is_dir() or any(used.iterdir())):
                raise GatewayError(Message("restore-folder-in-use", folder=str(used)))
        secrets = _secrets(archive, passphrase)
        made: list[Path] = []
        try:
            config = _make(archive, where, secrets, made)
        except BaseException as error:
            for new in reversed(made):
                _remove(new)
            if isinstance(error, OSError):
                at = str(error.filename or folder)
                raise GatewayError(Message("path-not-writable", path=at, error=os_error(error))) from None
            raise
        return Restored(config, archive.manifest, *_lacking(config))


class _Places:
    """Where the places of an archive are on this machine."""

    def __init__(self, manifest: Manifest, folder: Path, state: Path | None) -> None:
        self.folder, self._state, self._manifest = folder, state, manifest

    def folders(self) -> Iterator[Path]:
        """The folders that must hold nothing."""
        yield self.folder
        if self._state is not None:
            yield from (self._state / "data", self._state / "keys")

    def of(self, place: str) -> Path:
        """The file that a place is."""
        if self._state is not None:
            for name, prefix in (("data", self._manifest.data), ("keys", self._manifest.keys)):
                if place.startswith(f"{prefix}/"):
                    return self._state / name / place.removeprefix(f"{prefix}/")
        return self.folder / place

    def text(self, text: str) -> str:
        """gateway.toml with the names that its files have here. Raises GatewayError."""
        named = {moved.key: moved.place for moved in self._manifest.moved}
        if self._state is not None:
            named |= {("gateway", name): str(self._state.absolute() / name) for name in ("data", "keys")}
        for key, place in named.items():
            text = with_value(text, key, place)
        return text


def _secrets(archive: Archive, passphrase: str | None) -> list[tuple[str, bytes]]:
    lock = archive.manifest.lock
    if passphrase is None:
        return []
    if lock is None or LOCKED not in archive.members:
        raise GatewayError(Message("restore-no-secrets", path=str(archive.path)))
    return list(unpacked(unlocked(archive.content(LOCKED), passphrase, lock)))


def _make(archive: Archive, where: _Places, secrets: list[tuple[str, bytes]], made: list[Path]) -> Config:
    database = where.of(f"{archive.manifest.data}/{DATABASE}")
    with _new(database, made) as file:
        archive.copy(f"{archive.manifest.data}/{DATABASE}", file)
    _demand_sound(database)
    for place in archive.members.keys() - {CONFIG_FILE, LOCKED, f"{archive.manifest.data}/{DATABASE}"}:
        with _new(where.of(place), made) as file:
            archive.copy(place, file)
    for place, data in secrets:
        with _new(where.of(place), made) as file:
            file.write(data)
    path = where.folder / CONFIG_FILE
    try:
        text = where.text(text_of(archive.content(CONFIG_FILE)))
    except NotText as error:
        raise ConfigError(path, "", error.sentence) from None
    config = parse_config(path, text.encode())
    with _new(path, made) as file:
        file.write(text.encode())
    return config


def _demand_sound(database: Path) -> None:
    store = Database(database, read_only=True, at_rest=True)
    try:
        if flaws := store.flaws():
            raise Damaged(Message("restore-damaged", flaws=(flaws[0],)))
    finally:
        store.close()


@contextmanager
def _new(path: Path, made: list[Path]) -> Iterator[IO[bytes]]:
    """A new file for its owner only, in folders that are made for it; all of them are noted in ``made``."""
    for folder in reversed([parent for parent in path.parents if not parent.exists()]):
        folder.mkdir(mode=0o700)
        made.append(folder)
        as_its_folder(folder)
    if path.exists():
        raise GatewayError(Message("restore-place-twice", path=str(path)))
    with whole_file(path) as file:
        yield file
    made.append(path)
    as_its_folder(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()


def _lacking(config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    keys = key_files(config)
    found = contents(config)
    files = [part.path for part in found.parts.values() if not part.path.exists()]
    missing = tuple(name for name, path in keys.items() if not path.exists())
    return missing, (*map(str, files), *found.elsewhere)
