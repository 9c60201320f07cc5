"""Backup of the database beside a running gateway: one snapshot, checked before it gets its final name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import Damaged, DiskFull, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database, is_database
from gateway.storage.files import log_path
from ledger_client.durable_files import rename

LEFT_FOR_S = 86_400


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was made: bytes of the file, records and batches in it, and the time of its newest record (ms)."""

    path: Path
    size: int
    records: int
    batches: int
    newest_ms: int


def backup(config: Config, target: Path, progress: Callable[[int, int], None] | None = None) -> Copy:
    """Copy the database to ``target``, in place of an earlier backup there, which stays if anything fails.

    ``progress`` is called with the pages left and the pages in all.

    Raises:
        DiskFull: no room for the copy.
        Damaged: the copy is not sound.
        GatewayError: ``target`` cannot be written, or is the gateway's own database.
    """
    with snapshot(config, target, progress) as copy:
        try:
            with copy.path.open("rb") as file:
                os.fsync(file.fileno())
            rename(copy.path, target)
        except OSError as error:
            raise GatewayError(Message("backup-disk-error", target=str(target), error=os_error(error))) from None
    return replace(copy, path=target)


@contextmanager
def snapshot(
    config: Config, target: Path, progress: Callable[[int, int], None] | None = None, copies: int = 1
) -> Iterator[Copy]:
    """A checked copy of the database in a file beside ``target``, for the owner only, that goes when the block ends.

    ``copies``: number of copies that must fit on its disk; ``progress``, and the errors raised, as of ``backup``.
    """
    if target.exists() and not target.is_file():
        raise GatewayError(Message("backup-no-file", target=str(target)))
    _not_the_database(config, target)
    store = Database(config.database, read_only=True)
    try:
        _clear(target)
        _has_room(store, target, disk_space.Limits.of(config), copies)
        with _new_file(target) as new:
            store.backup(new, progress=progress)
            yield _checked(new, target)
    finally:
        store.close()


def is_backup(path: Path) -> bool:
    """Whether a file is a gateway's database that no process has open: one in use has its log beside it."""
    return is_database(path) and not log_path(path).exists()


def _not_the_database(config: Config, target: Path) -> None:
    files = {
        config.database.with_name(config.database.name + end).resolve() for end in ("", "-wal", "-shm", "-journal")
    }
    if target.resolve() in files:
        raise GatewayError(Message("backup-own-database", target=str(target)))


def _has_room(store: Database, target: Path, limits: disk_space.Limits, copies: int) -> None:
    """The copies must fit; on the database's own disk without thinning what the gateway records."""
    folder = target.parent
    try:
        disk, same = os.statvfs(folder), os.stat(folder).st_dev == os.stat(store.path.parent).st_dev
    except OSError as error:
        raise GatewayError(Message("backup-no-folder", folder=str(folder), error=os_error(error))) from None
    now = disk_space.measure(store, limits)
    room = now.free - disk_space.apart(disk, limits) if same else disk.f_bavail * disk.f_frsize
    if copies * now.used > room:
        free_bytes, need_bytes = max(0, room), copies * now.used
        if same:
            raise DiskFull(
                Message("backup-no-room-reserve", folder=str(folder), free_bytes=free_bytes, need_bytes=need_bytes)
            )
        raise DiskFull(Message("backup-no-room", folder=str(folder), free_bytes=free_bytes, need_bytes=need_bytes))


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A file for the owner only; whatever bears its name when the block ends goes."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        try:
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise GatewayError(Message("backup-not-writable", target=str(target), error=os_error(error))) from None
        yield new
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            new.with_name(new.name + end).unlink(missing_ok=True)


def _clear(target: Path) -> None:
    """What a backup that was killed has left of the same name may fill a disk in time: it goes, a day later."""
    left = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.new(-journal|-wal|-shm)?")
    with suppress(OSError):  # whoever may not look or remove there finds that out by what it writes
        for entry in os.scandir(target.parent):
            found = left.fullmatch(entry.name)
            if found and time.time() - entry.stat().st_mtime > LEFT_FOR_S and not Path("/proc", found[1]).exists():
                os.unlink(entry.path)


def _checked(new: Path, target: Path) -> Copy:
    copy = Database(new, read_only=True)
    try:
        if flaws := copy.flaws():
            raise Damaged(Message("backup-damaged", target=str(target), flaws=(flaws[0],)))
        totals = copy.totals()
        return Copy(new, new.stat().st_size, totals["records"], totals["batches"], copy.records.latest_ms())
    finally:
        copy.close()
