"""A disk that fails (torn_disk.c): builds it, loads it into processes, sets and reads its control file, and plays the
power cut: what no honoured sync has made durable is taken back.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
FIELDS = (
    "armed", "fault", "kinds", "at", "sticky", "stall_ms", "cache", "honour", "chance",
    "writes", "syncs", "truncations", "seen", "hit", "honoured", "denied",
)  # fmt: skip
"""The numbers of ``struct control``, in its order; those from ``writes`` on are counts."""
COUNTS = FIELDS[FIELDS.index("writes") :]
FAULTS = ("none", "eio", "enospc", "short", "short-enospc", "kill")
WRITES, SYNCS, TRUNCATIONS = 1, 2, 4
ANY = WRITES | SYNCS | TRUNCATIONS
CACHE_OF_DISK, CACHE_OF_FILE = 1, 2

_SIZE = 8 * len(FIELDS)
_ENTRY = struct.Struct("<IIQQQ")  # struct entry: kind, name size, offset, file size, size
_DURABLE, _REMOVED = 1, 2


def build(folder: Path) -> Path:
    """Compile the library into ``folder``. Raises FileNotFoundError without gcc, and says what the compiler says."""
    library = folder / "torn_disk.so"
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    made = subprocess.run(
        [*command, "-o", str(library), str(SOURCE), "-ldl", "-pthread"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return library


class Control:
    """The control file: settings of the disk under a running process, and what it has counted."""

    def __init__(self, path: Path) -> None:
        """Open it; it is made with everything at 0 where there is none."""
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(_SIZE)
            self._numbers = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("Q")
        self.path = path

    def set(self, **settings: int) -> None:
        """Change settings by name; every count begins again at 0."""
        for name in COUNTS:
            self._numbers[FIELDS.index(name)] = 0
        for name, value in settings.items():
            self._numbers[FIELDS.index(name)] = value

    def get(self, name: str) -> int:
        """A setting or a count."""
        return self._numbers[FIELDS.index(name)]

    def arm(self, *, armed: bool = True) -> None:
        """From now on calls are counted and fail; or are not any more."""
        self._numbers[0] = armed

    @property
    def calls(self) -> int:
        """Counted calls of every kind."""
        return self.get("writes") + self.get("syncs") + self.get("truncations")


def environment(
    library: Path, folder: Path, control: Path | None = None, journal: Path | None = None
) -> dict[str, str]:
    """The environment of a process that is to have this disk under ``folder``."""
    env = {**os.environ, "LD_PRELOAD": str(library), "TORN_FOLDER": str(folder.resolve())}
    if control is not None:
        env["TORN_CONTROL"] = str(control)
    if journal is not None:
        env["TORN_JOURNAL"] = str(journal)
    return env


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the journal: the old bytes at a place of a file and its old length, or what became durable."""

    kind: int
    name: str
    offset: int
    file_size: int
    old: bytes


def _entries(journal: bytes) -> Iterator[_Entry]:
    """The whole entries; a torn last one is of a write that did not happen."""
    at = 0
    while at + _ENTRY.size <= len(journal):
        kind, name_size, offset, file_size, size = _ENTRY.unpack_from(journal, at)
        at += _ENTRY.size
        if at + name_size + size > len(journal):
            return
        name, old = journal[at : at + name_size].decode(), journal[at + name_size : at + name_size + size]
        at += name_size + size
        yield _Entry(kind, name, offset, file_size, old)


def roll_back(folder: Path, journal: Path) -> int:
    """Play the power cut: every file as its last honoured sync left it, its length too; the journal begins anew.

    Returns how many changes were taken back. SQLite's shared index is removed: it is rebuilt after every power cut.
    """
    open_changes: dict[str, list[_Entry]] = defaultdict(list)
    for entry in _entries(journal.read_bytes() if journal.exists() else b""):
        if entry.kind != _DURABLE:
            open_changes[entry.name].append(entry)
            continue
        open_changes[entry.name].clear()
        for name, changes in open_changes.items():
            if name.rpartition("/")[0] == entry.name:  # it is the folder of this file
                removed = [at for at, change in enumerate(changes) if change.kind == _REMOVED]
                del changes[: removed[-1] + 1 if removed else 0]
    for name, changes in open_changes.items():
        for change in reversed(changes):
            _take_back(folder / name, change)
    for index in folder.glob("**/*-shm"):
        index.unlink()
    journal.write_bytes(b"")
    return sum(map(len, open_changes.values()))


def _take_back(path: Path, change: _Entry) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, change.old, change.offset)
        os.truncate(fd, change.file_size)
    finally:
        os.close(fd)
