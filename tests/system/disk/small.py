"""A file system of its own for a test: small, and read-only on request. Mounting needs root; without it the test
fails and says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A new file system at ``folder``, for as long as the block lasts; ``size`` as tmpfs(5) writes it."""
    assert os.geteuid() == 0, "mounting a small disk needs root: run this test as root"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def writable(folder: Path, *, yes: bool) -> None:
    """Mount it again, writable or not. No file on it may be open for writing."""
    subprocess.run(["mount", "-o", f"remount,{'rw' if yes else 'ro'}", str(folder)], check=True)
