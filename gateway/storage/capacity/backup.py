"""Backup of the database beside a running gateway: one snapshot, checked before it gets its final name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import Damaged, DiskFull, GatewayError
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database, is_database
from gateway.storage.files import log_path
from ledger_client.durable_files import rename

LEFT_FOR_S = 86_400


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was made: bytes of the file, records and batches in it, and the time of its newest record (ms)."""

    path: Path
    size: int
    records: int
    batches: int
    newest_ms: int


def backup(config: Config, target: Path, told: Callable[[int, int], None] | None = None) -> Copy:
    """Copy the database to ``target``, in place of an earlier backup there, which stays if anything fails.

    ``told`` hears how many pages are left, of how many. Raises GatewayError (DiskFull, Damaged) with the way out.
    """
    if target.exists() and not target.is_file():
        raise GatewayError(f"{target}: is no file", "give the name that the backup is to have")
    _not_the_database(config, target)
    store = Database(config.database, read_only=True)
    try:
        _clear(target)
        _has_room(store, target, disk_space.Limits.of(config))
        with _new_file(target) as new:
            store.backup(new, told=told)
            copy = _checked(new, target)
    finally:
        store.close()
    return copy


def is_backup(path: Path) -> bool:
    """Whether a file is a gateway's database that nobody has open: beside one that is in use stands its log."""
    return is_database(path) and not log_path(path).exists()


def _not_the_database(config: Config, target: Path) -> None:
    own = {config.database.with_name(config.database.name + end).resolve() for end in ("", "-wal", "-shm", "-journal")}
    if target.resolve() in own:
        raise GatewayError(f"{target}: is the gateway's own database", "give another name, best on another disk")


def _has_room(store: Database, target: Path, limits: disk_space.Limits) -> None:
    """The copy must fit; on the database's own disk without thinning what the gateway records."""
    folder = target.parent
    try:
        disk, same = os.statvfs(folder), os.stat(folder).st_dev == os.stat(store.path.parent).st_dev
    except OSError as error:
        raise GatewayError(f"{folder}: {error.strerror}", "give a folder that exists") from None
    now = disk_space.measure(store, limits)
    room = now.free - disk_space.apart(disk, limits) if same else disk.f_bavail * disk.f_frsize
    if now.used > room:
        why = " and leave to others what `min_free_disk` says" if same else ""
        problem = f"{folder}: has room for {max(0, room)} bytes, the copy needs {now.used}{why}"
        raise DiskFull(problem, "give a folder on another disk")


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A file for the owner only, which gets its name when the block ends well and is on disk then."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        try:
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise GatewayError(f"{target}: {error.strerror}", "give a path that can be written") from None
        yield new
        try:
            with new.open("rb") as file:
                os.fsync(file.fileno())
            rename(new, target)
        except OSError as error:
            raise GatewayError(f"{target}: {error.strerror}", "look at the disk it is on") from None
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            new.with_name(new.name + end).unlink(missing_ok=True)


def _clear(target: Path) -> None:
    """What a backup that was killed has left of the same name may fill a disk in time: it goes, a day later."""
    left = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.new(-journal|-wal|-shm)?")
    with suppress(OSError):  # whoever may not look or remove there is told so by what it writes
        for entry in os.scandir(target.parent):
            found = left.fullmatch(entry.name)
            if found and time.time() - entry.stat().st_mtime > LEFT_FOR_S and not Path("/proc", found[1]).exists():
                os.unlink(entry.path)


def _checked(new: Path, target: Path) -> Copy:
    copy = Database(new, read_only=True)
    try:
        if flaws := copy.flaws():
            raise Damaged(
                f"{target}: the copy is not sound, so the database is not, or this disk is bad: {flaws[0]}",
                "copy to another disk; if it says so again, see `meterseal doctor CONFIG --full`",
            )
        totals = copy.totals()
        return Copy(target, new.stat().st_size, totals["records"], totals["batches"], copy.records.latest_ms())
    finally:
        copy.close()
