"""The connection by which a log in SQLite is written, for tests that disturb it."""

from __future__ import annotations

import sqlite3

from ledger_client.transparency.log.log import Log
from ledger_client.transparency.log.sqlite import SqliteStore


def writing_connection(log: Log) -> sqlite3.Connection:
    """Of an open log."""
    assert isinstance(log._store, SqliteStore)
    return log._store._db
