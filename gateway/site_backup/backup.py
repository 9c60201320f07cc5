"""Backup of a whole site beside a running gateway: one file, from which ``restore`` makes the site in another place."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from gateway.config.load import config_bytes, load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.site_backup.archive import LOCKED, Manifest, Named, Writer, packed, writing
from gateway.site_backup.contents import CONFIG_FILE, DATABASE, Contents, Part, contents
from gateway.site_backup.locked import locked
from gateway.storage.capacity.backup import Copy, snapshot
from ledger_client.durable_files import whole_file


@dataclass(frozen=True, slots=True)
class Secrets:
    """What encrypts keys and passwords: the passphrase, and 16 random bytes."""

    passphrase: str
    salt: bytes


@dataclass(frozen=True, slots=True)
class Made:
    """A backup of a site: its bytes, and what is listed in it."""

    path: Path
    size: int
    manifest: Manifest


def backup(config: Config, target: Path, software: str, now_ms: int, secrets: Secrets | None = None) -> Made:
    """Write the site's backup to ``target``, in place of an earlier one there, which stays if anything fails.

    Args:
        config: of the site, as it was read; the text of its file has to be the same still.
        target: a file for the owner only. Its folder must have room for the database twice.
        software: the version that writes it.
        now_ms: Unix milliseconds.
        secrets: None leaves out keys and passwords.

    Raises:
        DiskFull: no room.
        Damaged: the copy of the database is not sound.
        GatewayError: a file of the site cannot be read, or ``target`` cannot be written.
    """
    database = target.with_name(f"{target.name}.db")
    with snapshot(config, database, copies=2) as copy:
        text = config_bytes(config.path)
        if load_config(config.path).written != config.written:
            raise GatewayError(Message("site-config-changed", config=str(config.path)))
        try:
            found = contents(config)
            facts = _Facts(config, software, now_ms, secrets)
            with whole_file(target) as file, writing(file, now_ms // 1000) as writer:
                manifest = _write(writer, found, text, copy, facts)
            return Made(target, target.stat().st_size, manifest)
        except OSError as error:
            where = str(error.filename or target)
            raise GatewayError(Message("backup-not-writable", target=where, error=os_error(error))) from None


@dataclass(frozen=True, slots=True)
class _Facts:
    config: Config
    software: str
    now_ms: int
    secrets: Secrets | None


def _write(writer: Writer, found: Contents, text: bytes, copy: Copy, facts: _Facts) -> Manifest:
    """Every file, the database first: rows of a statement that it has are there then."""
    with copy.path.open("rb") as file:
        writer.add(f"{found.data}/{DATABASE}", file, copy.size)
    writer.add(CONFIG_FILE, BytesIO(text), len(text))
    without = [*found.elsewhere]
    hidden: list[tuple[str, bytes]] = []
    for part in found.parts.values():
        data = _read(part)
        if data is None or (part.secret and facts.secrets is None):
            without.append(part.place)
        elif part.secret:
            hidden.append((part.place, data))
        else:
            writer.add(part.place, BytesIO(data), len(data))
    lock = None
    if facts.secrets is not None:
        token, lock = locked(packed(hidden), facts.secrets.passphrase, facts.secrets.salt)
        writer.add(LOCKED, BytesIO(token), len(token))
    manifest = Manifest(
        gateway=facts.config.gateway_id,
        software=facts.software,
        made=facts.now_ms,
        records=copy.records,
        batches=copy.batches,
        newest=copy.newest_ms,
        data=found.data,
        keys=found.keys,
        files=tuple(writer.listed),
        moved=tuple(Named(key=moved.key, place=moved.place) for moved in found.moved),
        lock=lock,
        without=tuple(without),
    )
    writer.end(manifest)
    return manifest


def _read(part: Part) -> bytes | None:
    """None: a file that gateway.toml names and that is not there. Raises OSError."""
    try:
        return part.path.read_bytes()
    except FileNotFoundError:
        return None
