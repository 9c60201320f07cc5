"""Schema of the control room's database: numbered SQL files, each run once, in one transaction, and never back.

``sql/0001_first.sql`` is version 1, and so on. Whoever makes the schema holds a lock, so that of two receivers that
start at once one makes it and the other finds it made.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final, NamedTuple

from psycopg import sql

from control_room.errors import DatabaseError, SchemaNewer
from control_room.store.connection import SCHEMA, Database
from gateway.messages.message import Message

LOCK: Final = 0x6D_65_74_65_72_01
"""Key of PostgreSQL's advisory lock under which the schema is made."""
_FILE: Final = re.compile(r"(\d{4})_[a-z_]+\.sql")
LEAST_SERVER: Final = 150_000
"""PostgreSQL 15: NULLS NOT DISTINCT."""


class Step(NamedTuple):
    """One file: it brings the schema from the version before to this one."""

    version: int
    text: str


def steps() -> list[Step]:
    """Every file, in order."""
    folder = resources.files("control_room.store") / "sql"
    found = [(match, path) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))]
    return sorted(Step(int(match[1]), path.read_text(encoding="utf-8")) for match, path in found)


def make(db: Database) -> tuple[int, int]:
    """Bring the schema to this program's version; the version before (0: there was none) and now.

    Raises SchemaNewer where a newer program has made it, DatabaseError where the server is older than PostgreSQL 15.
    """
    _demand_server(db)
    every = steps()
    with db.transaction():
        db.run("SELECT pg_advisory_xact_lock(%s)", LOCK)
        db.run(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        db.run("CREATE TABLE IF NOT EXISTS versions (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
        before = _version(db)
        _demand_not_newer(db, before, every[-1].version)
        for step in every:
            if step.version > before:
                db.run(sql.SQL(step.text))
                db.run("INSERT INTO versions (version) VALUES (%s)", step.version)
    return before, every[-1].version


def demand(db: Database) -> None:
    """Raises DatabaseError unless the schema is there, in this program's version: what only reads makes none."""
    expected = steps()[-1].version
    there = db.one("SELECT to_regclass('versions') IS NOT NULL")
    version = _version(db) if there and there[0] else 0
    _demand_not_newer(db, version, expected)
    if version < expected:
        raise DatabaseError(Message("control-database-old", where=db.where, version=version, expected=expected))


def identity(db: Database) -> str:
    """Which database this is: made with its tables, and kept by every copy of it."""
    row = db.one("SELECT id::text FROM room")
    if row is None:
        raise DatabaseError(Message("control-database-no-identity", where=db.where))
    return str(row[0])


def _demand_server(db: Database) -> None:
    number = db.connection.info.server_version
    if number < LEAST_SERVER:
        raise DatabaseError(Message("control-database-server", where=db.where, version=number // 10_000))


def _demand_not_newer(db: Database, version: int, expected: int) -> None:
    if version > expected:
        raise SchemaNewer(Message("control-database-newer", where=db.where, version=version, expected=expected))


def _version(db: Database) -> int:
    row = db.one("SELECT max(version) FROM versions")
    return row[0] if row and row[0] else 0
