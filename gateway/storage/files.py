"""The files of a database: which there are beside it, and what is plainly gone."""

from __future__ import annotations

from pathlib import Path

from gateway.messages.message import Message

RESERVE = "reserve"
"""Name of the file beside the database that a full disk is given."""


def log_path(path: Path) -> Path:
    """The write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def missing(path: Path) -> Message | None:
    """What is plainly gone of a database, by its files alone: SQLite would begin a new one, and delete the log of the
    old. Raises OSError where they cannot be looked at."""
    if path.exists() and path.stat().st_size:
        return None
    if log_path(path).exists() and log_path(path).stat().st_size:
        return Message("database-only-log")
    if path.exists() and (path.parent / RESERVE).exists():  # that is made behind the first records
        return Message("database-empty-file")
    return None
