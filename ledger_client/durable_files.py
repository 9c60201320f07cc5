"""Durable files: after a power cut a file has its old content or its new content, never a mixture."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_text(path: Path, text: str) -> None:
    """Replace a file; on disk, under its name, when this returns."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    rename(new, path)


def rename(source: Path, target: Path) -> None:
    """Give a file its name, durably."""
    source.rename(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file, readable by its owner only, that bears its name only when the block has ended well; then it is on
    disk. After an error nothing is left of it, and a file that had the name before stays. A pipe or a device is written
    as it is."""
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(new, path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One at a time who reads files of a folder and replaces them: another waits."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def may_replace(path: Path, is_such: Callable[[Path], bool]) -> bool:
    """Whether a command may write to this path: nothing is there, an empty file, a pipe or a device, or a file of the
    kind that it writes. ``is_such`` looks at a file of which that is not known, and may raise OSError."""
    try:
        return not path.is_file() or path.stat().st_size == 0 or is_such(path)
    except OSError:
        return False
