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
"""The pid of a holder that does not say it."""


def _path(data: Path) -> Path:
    return data / "meterseal.lock"


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def demand_free(data: Path) -> None:
    """Raises GatewayError where a gateway works in the data folder: before anything else is said of its ports."""
    if (pid := running(data)) is not None:
        raise _taken(data, pid)


def _taken(data: Path, pid: int | None) -> GatewayError:
    if pid:
        return GatewayError(Message("instance-running-pid", data=str(data), pid=pid))
    return GatewayError(Message("instance-running", data=str(data)))


def take(data: Path) -> IO[str]:
    """Lock the data folder until the returned file is closed, and note this process's pid in it.

    The lock is the open file's, not the process's: closing another descriptor of the file does not drop it, and it
    excludes the process locks (lockf) of older versions. Raises GatewayError: it is taken, or cannot be locked.
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
    """The pid of the gateway that holds the data folder now, UNKNOWN where it does not say it, or None.

    For other processes: the gateway itself knows. Asks only, so that it never stands in its way.
    """
    try:
        with _path(data).open() as file:
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK)))
            said = file.read(20).strip()
    except (OSError, UnicodeDecodeError):
        return None
    if kind == fcntl.F_UNLCK:
        return None
    if pid > 0:  # a process lock, of an older version
        return int(pid)
    return int(said) if said.isdecimal() else UNKNOWN
