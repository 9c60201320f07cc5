"""Log in SQLite (WAL, synchronous FULL): one file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from ledger_client.errors import LedgerUnavailable
from ledger_client.transparency.log import claim_tables, ranges, tree
from ledger_client.transparency.log.entries import node_of
from ledger_client.transparency.log.store import EntryRow, LogError, NodeRow, Rows, State, Store, Transaction

APPLICATION_ID: Final = 0x4D53454C  # "MSEL": this file is a Meterseal ledger's log
VERSION: Final = 2

_SCHEMA: Final = f"""
CREATE TABLE about (name TEXT NOT NULL) STRICT;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    gateway TEXT,
    batch INTEGER,
    entry BLOB NOT NULL,
    receipt BLOB
) STRICT;
CREATE UNIQUE INDEX one_statement_a_batch ON entries (gateway, batch) WHERE gateway IS NOT NULL;
CREATE INDEX own_entries ON entries (number) WHERE gateway IS NULL;
CREATE TABLE nodes (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER entries_never_go BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER nodes_never_change BEFORE UPDATE ON nodes BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER nodes_never_go BEFORE DELETE ON nodes BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_INSERT_ENTRIES: Final = "INSERT INTO entries (number, id, gateway, batch, entry, receipt) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_NODES: Final = "INSERT INTO nodes (level, number, hash) VALUES (?, ?, ?)"


class SqliteStore(Store):
    """One file, with a connection that writes and one that reads."""

    def __init__(self, path: Path, db: sqlite3.Connection, reader: sqlite3.Connection, name: str) -> None:
        self.path, self.where, self.name = path, str(path), name
        self._db, self._reader = db, reader

    @classmethod
    def create(cls, path: Path, name: str) -> Self:
        """Make an empty log at a path where nothing is yet; raises ``LogError``."""
        db = _connect(path.absolute().as_uri() + "?mode=rwc", path)
        try:
            tables = "; ".join((*ranges.TABLES, *claim_tables.TABLES))
            db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} {tables};")
            db.execute("INSERT INTO about (name) VALUES (?)", (name,))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise LogError(f"{path}: {error}", "check the disk and that the folder is empty") from error
        return cls(path, db, _connect(path.absolute().as_uri() + "?mode=ro", path), name)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open an existing log of this version; raises ``LogError``."""
        db = _connect(path.absolute().as_uri() + ("?mode=ro" if read_only else "?mode=rw"), path)
        try:
            name = _name(db, path)
            return cls(path, db, _connect(path.absolute().as_uri() + "?mode=ro", path), name)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        self._reader.close()
        self._db.close()  # last, so that it moves everything into the one file

    def copy(self, path: Path) -> None:
        try:
            with closing(sqlite3.connect(path)) as target:
                self._reader.backup(target)  # in one step: a step more would begin anew with every commit
        except sqlite3.Error as error:
            raise LogError(f"{path}: {error}", "check that its folder exists and has room") from error

    def load(self, tables: Iterable[tuple[str, str, Iterable[Sequence[Any]]]]) -> None:
        """Take (table, columns, lines) of another store, all of them or none. Raises ``LogError``."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for table, columns, lines in tables:
                blanks = ", ".join("?" for _ in columns.split(","))
                self._db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({blanks})", lines)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise LogError(f"{self.path}: {error}", "check that its folder has room") from error

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(self._db)
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self.path}: {error}; nothing was written") from error

    @contextmanager
    def looking(self) -> Iterator[Rows]:
        try:
            yield self._reader
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self.path}: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[tuple[Rows, State]]:
        with self.looking():
            self._reader.execute("BEGIN")
            try:
                yield self._reader, _state(self._reader)
            finally:
                self._reader.execute("COMMIT")


class _Transaction(Transaction):
    def __init__(self, db: sqlite3.Connection) -> None:
        self.rows: Rows = db
        self.state = _state(db)
        self._db = db

    def add(self, entries: Sequence[EntryRow], nodes: Sequence[NodeRow]) -> None:
        self._db.executemany(_INSERT_NODES, nodes)
        self._db.executemany(_INSERT_ENTRIES, entries)

    def touch(self) -> None:
        self._db.execute("UPDATE about SET name = name")

    def commit(self, state: State) -> None:
        self._db.execute("COMMIT")


def _state(db: sqlite3.Connection) -> State:
    size = int(db.execute("SELECT coalesce(max(number) + 1, 0) FROM entries").fetchone()[0])
    last = db.execute("SELECT number FROM entries WHERE gateway IS NULL ORDER BY number DESC LIMIT 1").fetchone()
    return State(size, tree.edge_of(size, lambda level, number: node_of(db, level, number)), last[0] if last else -1)


def _name(db: sqlite3.Connection, path: Path) -> str:
    """The ledger's name, once the file has shown that it is a log of this version."""
    try:
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise LogError(f"{path}: not the log of a Meterseal ledger", "give the folder of a ledger")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise LogError(f"{path}: log version {version}, this program reads {VERSION}", "use the one that made it")
        return str(db.execute("SELECT name FROM about").fetchone()[0])
    except sqlite3.Error as error:
        raise LogError(f"{path}: {error}", "restore the file from a backup") from error


def _connect(uri: str, path: Path) -> sqlite3.Connection:
    db = None
    try:
        # the lock of Log, not the thread, is the owner; waiting is for a backup or `show` that reads at the same time
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10.0)
        if "mode=ro" not in uri:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":  # SQLite goes on without, and says so nowhere else
                raise LogError(f"{path}: the file system takes no write-ahead log ({mode})", "use a local disk")
            db.execute("PRAGMA synchronous = FULL")
        return db
    except LogError:
        if db is not None:
            db.close()
        raise
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.OperationalError):
            way_out = "check that the folder exists and that this user may write in it"
        else:
            way_out = "restore the file from a backup"
        raise LogError(f"{path}: {error}", way_out) from error
