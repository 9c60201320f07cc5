"""Backlog of a bridge: statements taken and not yet answered, anchored roots. SQLite (WAL, FULL), one file.

Whatever a method has written is durable when it returns. One connection under one lock; any thread may call.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.ledger.admission import check_order
from ledger_client.transparency.log import ranges

APPLICATION_ID: Final = 0x4D534252  # "MSBR": this file is a Meterseal bridge's book
VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE about (identity BLOB NOT NULL, duty TEXT NOT NULL) STRICT;
CREATE TABLE statements (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    gateway TEXT NOT NULL,
    batch INTEGER NOT NULL,
    entry BLOB,
    root INTEGER REFERENCES roots
) STRICT;
CREATE INDEX by_batch ON statements (gateway, batch);
CREATE INDEX by_root ON statements (root);
CREATE TABLE roots (number INTEGER PRIMARY KEY, root BLOB NOT NULL UNIQUE, place BLOB) STRICT;
CREATE TABLE notes (id BLOB PRIMARY KEY, note BLOB NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_TAKEN: Final = "SELECT id, gateway, batch, entry FROM statements"


class BookError(LedgerClientError):
    """The file is not a book that this bridge can use: what, where, and the way out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A statement in the book; ``entry`` as long as somebody must still be given it."""

    id: bytes
    gateway: str
    batch: int
    entry: bytes | None


@dataclass(frozen=True, slots=True)
class Root:
    """A root over statement ids; ``place`` is the locator that settles it, as bytes."""

    number: int
    root: bytes
    place: bytes | None


class Backlog:
    """An open book. It is a driver's ``Memory`` as well."""

    def __init__(self, path: Path, duty: str) -> None:
        """``duty``: what this bridge does, for ever: another one needs another folder. Raises ``BookError``."""
        self.path = path
        self._lock = threading.RLock()
        self._db = _open(path, duty)
        self.identity = bytes(self._db.execute("SELECT identity FROM about").fetchone()[0])

    def close(self) -> None:
        """Close the file; its state on disk does not depend on it."""
        with self._lock:
            self._db.close()

    # — statements —

    def keep_entry(self, signed: SignedStatement) -> bool:
        """Keep a statement, whatever its place in the order; False: it is here already."""
        with self._writing():
            return self._insert(signed, signed.entry)

    def keep_next(self, signed: SignedStatement) -> bool:
        """Keep the id of a gateway's next statement; False: it is here already. Raises ``Refused``: it is not next."""
        with self._writing():
            if self.has(signed.id):
                return False
            check_order(self, signed.statement)
            ranges.take(self._db, signed)
            return self._insert(signed, None)

    def has(self, statement_id: bytes) -> bool:
        """Whether a statement is here."""
        return self._one("SELECT 1 FROM statements WHERE id = ?", statement_id) is not None

    def at(self, gateway: str, batch: int) -> bytes | None:
        """The id of the statement that holds a batch number."""
        row = self._one("SELECT id FROM statements WHERE gateway = ? AND batch = ?", gateway, batch)
        return None if row is None else bytes(row[0])

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's highest batch."""
        row = self._one("SELECT batch, id FROM statements WHERE gateway = ? ORDER BY batch DESC LIMIT 1", gateway)
        return None if row is None else (int(row[0]), bytes(row[1]))

    def order(self, gateway: str) -> ranges.Order | None:
        """What is known of a gateway's order; None: nothing."""
        with self._lock, self._unavailable_on_error():
            return ranges.order(self._db, gateway)

    def held(self, gateway: str, epoch: bytes) -> dict[str, ranges.Held]:
        """What is held of an epoch of a gateway, by meter."""
        with self._lock, self._unavailable_on_error():
            return ranges.held(self._db, gateway, epoch)

    def waiting(self) -> list[Taken]:
        """Statements that no root is over yet, in the order in which they came."""
        return [Taken(*row) for row in self._all(f"{_TAKEN} WHERE root IS NULL ORDER BY number")]

    def drop(self, statement_id: bytes) -> None:
        """Forget a statement and its note: somebody else answers for it for ever."""
        with self._writing():
            self._db.execute("DELETE FROM statements WHERE id = ?", (statement_id,))
            self._db.execute("DELETE FROM notes WHERE id = ?", (statement_id,))

    # — roots —

    def bind(self, ids: Sequence[bytes], root: bytes) -> None:
        """Put statements under a root, in this order and for ever: before anybody else hears of it."""
        with self._writing():
            number = self._db.execute("INSERT INTO roots (root) VALUES (?)", (root,)).lastrowid
            self._db.executemany("UPDATE statements SET root = ? WHERE id = ?", [(number, id_) for id_ in ids])

    def under(self, root: Root) -> list[Taken]:
        """The statements under a root, in the order of its leaves."""
        return [Taken(*row) for row in self._all(f"{_TAKEN} WHERE root = ? ORDER BY number", root.number)]

    def root_of(self, statement_id: bytes) -> Root | None:
        """The root that a statement is under."""
        query = "SELECT r.number, r.root, place FROM roots r JOIN statements s ON s.root = r.number WHERE s.id = ?"
        row = self._one(query, statement_id)
        return None if row is None else Root(*row)

    def open_roots(self) -> list[Root]:
        """Roots that have no place yet, oldest first."""
        return [Root(*row) for row in self._all("SELECT number, root, place FROM roots WHERE place IS NULL")]

    def settle(self, root: Root, place: bytes) -> None:
        """A root has its place; what a driver noted of it is not needed any more."""
        with self._writing():
            self._db.execute("UPDATE roots SET place = ? WHERE number = ?", (place, root.number))
            self._db.execute("DELETE FROM notes WHERE id = ?", (root.root,))

    # — a driver's memory —

    def keep(self, statement_id: bytes, note: bytes) -> None:
        """Write a note down."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO notes (id, note) VALUES (?, ?)", (statement_id, note))

    def recall(self, statement_id: bytes) -> bytes | None:
        """The newest note of a statement or root."""
        row = self._one("SELECT note FROM notes WHERE id = ?", statement_id)
        return None if row is None else bytes(row[0])

    def notes(self) -> Mapping[bytes, bytes]:
        """Every note of what is not settled."""
        return {bytes(id_): bytes(note) for id_, note in self._all("SELECT id, note FROM notes")}

    # — SQLite —

    def _insert(self, signed: SignedStatement, entry: bytes | None) -> bool:
        statement = signed.statement
        row = (signed.id, statement.gateway, statement.batch, entry)
        query = "INSERT OR IGNORE INTO statements (id, gateway, batch, entry) VALUES (?, ?, ?, ?)"
        return self._db.execute(query, row).rowcount == 1

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._unavailable_on_error():
            rows: list[tuple[Any, ...]] = self._db.execute(query, values).fetchall()
            return rows

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._unavailable_on_error():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _unavailable_on_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self.path}: {error}; nothing was written") from error


def _open(path: Path, duty: str) -> sqlite3.Connection:
    db = None
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise BookError(f"{path}: the file system takes no write-ahead log", "use a local disk")
        db.execute("PRAGMA synchronous = FULL")
        if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} {'; '.join(ranges.TABLES)};")
            db.execute("INSERT INTO about (identity, duty) VALUES (?, ?)", (secrets.token_bytes(16), duty))
            db.execute("COMMIT")
        _check(db, path, duty)
        return db
    except (sqlite3.Error, BookError) as error:
        if db is not None:
            db.close()
        if isinstance(error, BookError):
            raise
        raise BookError(f"{path}: {error}", "give a folder that this user may write in, or restore the file") from error


def _check(db: sqlite3.Connection, path: Path, duty: str) -> None:
    marks = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if marks != [APPLICATION_ID, VERSION]:
        raise BookError(f"{path}: not the book of a bridge of this version", "give another folder")
    before = db.execute("SELECT duty FROM about").fetchone()[0]
    if before != duty:
        raise BookError(f"{path}: the book of a bridge {before}, not {duty}", "give each bridge a folder of its own")
