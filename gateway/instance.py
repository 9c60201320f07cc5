"""One gateway process a data folder: a lock that the kernel drops with the process, and who holds it (fcntl(2))."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import IO

from gateway.errors import GatewayError

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid


def _path(data: Path) -> Path:
    return data / "meterseal.lock"


def demand_free(data: Path) -> None:
    """Raises GatewayError where a gateway works in the data folder: before anything else is said of its ports."""
    if (pid := running(data)) is not None:
        raise _taken(data, pid)


def _taken(data: Path, pid: int | None) -> GatewayError:
    problem = f"{data}: another gateway process (pid {pid}) works in this folder"
    return GatewayError(problem, "stop it first, or give this one its own data folder")


def take(data: Path) -> IO[str]:
    """Lock the data folder until the returned file is closed. Raises GatewayError naming the holder."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = _path(data).open("w")
    except OSError as error:
        raise GatewayError(f"{data}: {error.strerror}", "make the folder writable for this user") from None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise _taken(data, running(data)) from None
    return file


def running(data: Path) -> int | None:
    """The pid of the gateway that holds the data folder now, or None. Asks only, so that it never stands in its way."""
    asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with _path(data).open() as file:
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return None if kind == fcntl.F_UNLCK else pid
