"""Messages for what the operating system, the resolver and SQLite say."""

from __future__ import annotations

from typing import Final

from gateway.messages.message import Message
from ledger_client import system_errors
from ledger_client.system_errors import os_error as os_error

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
SYSTEM_CODES: Final = system_errors.SYSTEM_CODES | frozenset(_SQLITE.values())


def sqlite_error(error: Exception) -> Message | str:
    """What SQLite says, where it has a code; else its text as it is."""
    code = _SQLITE.get(str(error))
    return Message(code) if code is not None else str(error)
