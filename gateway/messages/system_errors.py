"""Messages for what the operating system, the resolver and SQLite say."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from gateway.messages.message import Message

_ERRNO: Final = {
    number: f"errno-{errno.errorcode[number].lower()}"
    for number in (
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT,
        errno.EROFS, errno.EIO, errno.EMFILE, errno.ENODEV, errno.ENXIO, errno.ECONNREFUSED, errno.ECONNRESET,
        errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT, errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
    )
}  # fmt: skip
_RESOLVER: Final[dict[int, str]] = {
    socket.EAI_NONAME: "resolver-unknown-host",
    socket.EAI_AGAIN: "resolver-temporary",
    socket.EAI_NODATA: "resolver-no-address",
}
_SQLITE: Final = {
    "database disk image is malformed": "sqlite-corrupt",
    "disk I/O error": "sqlite-ioerr",
    "database or disk is full": "sqlite-full",
    "unable to open database file": "sqlite-cantopen",
    "attempt to write a readonly database": "sqlite-readonly",
    "database is locked": "sqlite-busy",
    "file is not a database": "sqlite-notadb",
}
"""SQLite gives one name to several texts, some with names of tables in them: those stay as they are."""
SYSTEM_CODES: Final = frozenset({*_ERRNO.values(), *_RESOLVER.values(), *_SQLITE.values(), "errno-timed-out"})


def os_error(error: OSError) -> Message | str:
    """What the system says, for a sentence that names the file or the place; a text that is not in the catalogues as
    it is."""
    number = error.errno or 0
    code = (_RESOLVER if isinstance(error, socket.gaierror) else _ERRNO).get(number)
    if code is None and not number and str(error) == "timed out":
        code = "errno-timed-out"
    if code is not None:
        return Message(code)
    return error.strerror or (os.strerror(number) if number > 0 else str(error))


def sqlite_error(error: Exception) -> Message | str:
    """What SQLite says, likewise."""
    code = _SQLITE.get(str(error))
    return Message(code) if code is not None else str(error)
