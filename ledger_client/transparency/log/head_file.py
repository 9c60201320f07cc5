"""``LDIR/head``: size and root of the newest log that this ledger has signed for, durable before a signature leaves.

A log that lost its end is a log as before: it counts on and would sign other entries at places that it has signed for.
Only something outside of it knows better. The file has two slots that are written in turn, each with a check, so that
a power cut spoils at most the one that is older by then. Several processes of one folder may write it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from ledger_client.durable_files import write_text
from ledger_client.errors import LedgerUnavailable

_SLOTS: Final = (0, 4096)
"""Where they begin: no block of a disk holds both."""
_LENGTH: Final = 128
_WORD: Final = "meterseal-head"


class Head(NamedTuple):
    """A log's number of entries and the root over them."""

    size: int
    root: bytes


class HeadFile:
    """The head of the ledger in one folder; safe to use from any thread, by several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._unsure = False
        """The disk has refused to confirm what was written last."""

    def read(self) -> Head | None:
        """The head, None where there is no file yet. Raises ``LedgerUnavailable``: it cannot be read, or is damaged."""
        try:
            with self.path.open("rb") as file:
                return self._newest(_slots(file.fileno()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error

    def begin(self, head: Head) -> None:
        """Make the file: this state of the log counts. Raises ``LedgerUnavailable``."""
        try:
            write_text(self.path, _text(head).ljust(_SLOTS[1], "\0") + _text(head))
        except OSError as error:
            raise self._unavailable(error) from error

    def advance(self, head: Head) -> None:
        """This head, or a newer one, is on disk when this returns. Raises ``LedgerUnavailable``."""
        with self._lock, self._alone() as file:
            slots = _slots(file)
            known = self._newest(slots)
            if known.size >= head.size and not self._unsure:
                return
            place = slots.index(known)
            if head.size > known.size:
                known, place = head, 1 - place
            self._unsure = True
            os.pwrite(file, _text(known).encode(), _SLOTS[place])
            os.fdatasync(file)
            self._unsure = False

    @contextmanager
    def _alone(self) -> Iterator[int]:
        try:
            with self.path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file.fileno()
        except OSError as error:
            raise self._unavailable(error) from error

    def _newest(self, slots: list[Head | None]) -> Head:
        found = [head for head in slots if head is not None]
        if not found:
            raise LedgerUnavailable(f"{self.path}: damaged: no line of it is whole; restore it from a backup")
        return max(found)

    def _unavailable(self, error: OSError) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self.path}: {error.strerror or error}")


def _slots(file: int) -> list[Head | None]:
    return [_parsed(os.pread(file, _LENGTH, place)) for place in _SLOTS]


def _text(head: Head) -> str:
    line = f"{_WORD} {head.size} {head.root.hex()}"
    return f"{line} {_check(line)}".ljust(_LENGTH - 1) + "\n"


def _parsed(slot: bytes) -> Head | None:
    line, _, check = slot.decode("ascii", "replace").rstrip().rpartition(" ")
    if check != _check(line):
        return None
    word, size, root = line.split(" ")
    return Head(int(size), bytes.fromhex(root)) if word == _WORD else None


def _check(line: str) -> str:
    return sha256(line.encode()).hexdigest()[:16]
