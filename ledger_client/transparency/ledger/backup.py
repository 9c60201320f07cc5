"""Backup of a log, also in service: one consistent copy, read through before it gets its name."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ledger_client.durable_files import rename
from ledger_client.errors import LedgerClientError
from ledger_client.formats.merkle import leaf_hash
from ledger_client.transparency.ledger.directory import open_log, policy_of
from ledger_client.transparency.log import tree
from ledger_client.transparency.log.entries import Reader
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.log.store import LogError


class BackupError(LedgerClientError):
    """No backup was made: what is in the way, and the way out."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds: the ledger's name, its number of entries and the root over them."""

    ledger: str
    size: int
    root: bytes


def backup(folder: Path, target: Path, *, force: bool = False) -> Copied:
    """Copy the log in ``folder`` to ``target``, durably; an older backup of the same log there is replaced, with
    ``force`` whatever it is.

    Raises ``BackupError``, and leaves what was there, if the file is anything else or the copy does not hold.
    """
    policy_of(folder)
    new = target.with_name(target.name + ".new")
    try:
        new.unlink(missing_ok=True)
        with closing(open_log(folder, read_only=True)) as log:
            if not force and target.exists():
                _demand_older(target, log)
            log.copy(new)
        copied = _read_through(new)
        for leftover in ("-wal", "-shm"):  # of looking at what is replaced
            target.with_name(target.name + leftover).unlink(missing_ok=True)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        rename(new, target)
    except OSError as error:
        way_out = "give a place with room that this user may write"
        raise BackupError(f"{target}: {error.strerror or error}", way_out) from error
    finally:
        for leftover in ("", "-wal", "-shm"):
            new.with_name(new.name + leftover).unlink(missing_ok=True)
    return copied


def _demand_older(target: Path, log: Log) -> None:
    way_out = "give another name, or --force to replace it"
    try:
        with closing(Log.open(target, read_only=True)) as other, other.read() as held:
            size, root = held.size(), held.root()
    except LogError:
        raise BackupError(f"{target}: there is another file", way_out) from None
    with log.read() as entries:
        if not 0 < size <= entries.size() or tree.root(size, entries.node) != root:
            raise BackupError(f"{target}: a log that is no older state of this one ({size} entries)", way_out)


def _read_through(path: Path) -> Copied:
    """Every entry of a copy, hashed again; raises ``BackupError`` unless they give the root that its tree has."""
    with closing(Log.open(path)) as log:  # not read-only: closing it leaves one file
        with log.read() as entries:
            size, root = entries.size(), entries.root()
            if root != _root_of(entries, size):
                raise BackupError(f"{path}: the entries do not give the root of the tree; the log itself is damaged")
        return Copied(log.name, size, root)


def _root_of(entries: Reader, size: int) -> bytes:
    """The root over all entries."""
    edge: tree.Edge = ()
    for number, entry in entries.entries(0, size):
        edge = tree.grown(number, edge, leaf_hash(entry)).edge
    return tree.root_of(edge)
