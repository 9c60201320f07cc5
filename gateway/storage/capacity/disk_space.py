"""Disk space: database size against its limit, recording decimation, and the reserve for final records.

Measures the database and the disk, never writes records. The journal asks once a second, behind a commit: at 80, 90 and
95 % of the limit it records every second, fifth and tenth poll (``on_full = "thin"``), at the limit it stops.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.storage.database import Database
from gateway.storage.files import RESERVE

MIB = 1024 * 1024
THINNING = ((0.95, 10), (0.90, 5), (0.80, 2))
"""Recording decimation: the share of the limit from which every Nth poll is recorded, and N."""
EASE = 0.03
"""So far must the share fall below a threshold before recording gets denser again, or goes on."""
RESERVE_BYTES = 4 * MIB
FREE_SHARE, FREE_MOST = 0.05, 200 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The site's limits: bytes of the database, bytes of the disk left to others (None: 5 % of it, at most 200 MiB),
    how long anchored batches are kept, and whether recording gets thinner before it stops."""

    max_bytes: int
    min_free_bytes: int | None
    keep_ms: int
    thin: bool

    @classmethod
    def of(cls, config: Config) -> Limits:
        """What the configuration says."""
        store = config.document.store
        return cls(store.max_size, store.min_free_disk, store.keep, store.on_full == "thin")


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes: in use by the database, free on its disk (without what the reserve is owed), and what the database may
    grow to."""

    used: int
    free: int
    limit: int

    @property
    def share(self) -> float:
        """How much of the limit is used."""
        return self.used / self.limit if self.limit else 1.0


def measure(store: Database, limits: Limits, owed: int = 0) -> Space:
    """The space of a database now; ``owed``: bytes of the disk that the reserve is to have. Raises StoreError where the
    disk does not tell."""
    try:
        disk = os.statvfs(store.path.parent)
    except OSError as error:
        raise StoreError(Message("disk-not-measured", folder=str(store.path.parent), error=os_error(error))) from None
    free, used = max(0, disk.f_bavail * disk.f_frsize - owed), store.used_bytes()
    return Space(used, free, min(limits.max_bytes, used + max(0, free - apart(disk, limits))))


def apart(disk: os.statvfs_result, limits: Limits) -> int:
    """Bytes of a disk that are left to others."""
    if limits.min_free_bytes is not None:
        return limits.min_free_bytes
    return min(FREE_MOST, int(disk.f_blocks * disk.f_frsize * FREE_SHARE))


def factor(share: float, before: int) -> int:
    """Recording decimation at this share of the limit: every Nth poll; ``before``: the N in force."""
    for threshold, thinned in THINNING:
        if share >= (threshold - EASE if thinned <= before else threshold):
            return thinned
    return 1


class Reserve:
    """A preallocated file beside the database. Given back to a full disk, it makes room for the last coverage records,
    the alarm, and the pruning that frees more."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE

    @property
    def owed(self) -> int:
        """Bytes of the disk that are the reserve's while its file is not there: nothing else may grow into them."""
        return 0 if self._is_whole() else RESERVE_BYTES

    def _is_whole(self) -> bool:
        """A power cut may have left a file that never got its bytes."""
        try:
            return self._path.stat().st_size >= RESERVE_BYTES
        except OSError:
            return False

    def hold(self, space: Space) -> None:
        """Make the file if it is not there and the disk has room for it; a disk that refuses it has none."""
        if self._is_whole() or space.free < RESERVE_BYTES:
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self.release()

    def release(self) -> bool:
        """Give the space back; False if there was none to give."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
