"""Instance lock: one gateway process per data folder, by an open file description lock (fcntl(2))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import IO

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import demand_folder

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid
UNKNOWN = 0
"""Pid of a holder whose lock file names none."""


def _path(data: Path) -> Path:
    return data / "meterseal.lock"


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def demand_free(data: Path) -> None:
    """Check that no gateway uses the data folder, made before ports are checked. Raises GatewayError."""
    if (pid := running(data)) is not None:
        raise _taken(data, pid)


def _taken(data: Path, pid: int | None) -> GatewayError:
    if pid:
        return GatewayError(Message("instance-running-pid", data=str(data), pid=pid))
    return GatewayError(Message("instance-running", data=str(data)))


def take(data: Path) -> IO[str]:
    """Lock of the data folder, held until the returned file is closed; the file holds this process's pid.

    The lock is the open file's, not the process's: closing another descriptor of the file does not drop it, and it
    excludes the process locks (lockf) of older versions.

    Raises:
        GatewayError: the lock is taken, the folder cannot be written to, or its file system has no locks.
    """
    demand_folder(data, "data")
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = _path(data).open("a")  # what is in it is the holder's
    except OSError as error:
        raise GatewayError(Message("instance-not-writable", data=str(data), error=os_error(error))) from None
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
    except OSError as error:
        file.close()
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise _taken(data, running(data)) from None
        raise GatewayError(Message("instance-no-lock", data=str(data), error=os_error(error))) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def running(data: Path) -> int | None:
    """Pid of the gateway that holds the data folder; UNKNOWN where the lock file has none; None without a gateway.

    For other processes. It only queries the lock, so that it never keeps a gateway from taking it.
    """
    try:
        with _path(data).open() as file:
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK)))
            written = file.read(20).strip()
    except (OSError, UnicodeDecodeError):
        return None
    if kind == fcntl.F_UNLCK:
        return None
    if pid > 0:  # a process lock, of an older version
        return int(pid)
    return int(written) if written.isdecimal() else UNKNOWN
