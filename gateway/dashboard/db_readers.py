"""Database readers of a gateway: threads of the pages, each with a read-only connection to the database."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gateway.dashboard.shell.readers import THREADS, Readers
from gateway.storage.database import Database


def db_readers(database: Path, threads: int = THREADS, name: str = "pages") -> Readers[Database]:
    """The threads for a database; its file is opened when the first one asks for it."""
    return Readers(partial(Database, database, read_only=True), threads, name)
