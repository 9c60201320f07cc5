"""Append-only log in SQLite (WAL, synchronous FULL), with Merkle tree and receipts.

After ``Writer.append`` and the end of its ``with Log.write()`` an entry, the tree nodes it completed, its first receipt
and its ranges are durable, together or not at all. One lock owns the one connection that writes: whoever checks an
order and appends does both under it. Another connection reads, so that a question never waits for a writer's disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.formats.merkle import leaf_hash
from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.log import claim_tables, ranges, tree

APPLICATION_ID = 0x4D53454C  # "MSEL": this file is a Meterseal ledger's log
VERSION = 2
MAX_NUMBER = 2**63 - 1  # SQLite's integers

_SCHEMA = f"""
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

_ADMINISTRATIVE = "FROM entries WHERE gateway IS NULL"
_STATEMENTS = f"FROM entries WHERE gateway IS NOT NULL AND gateway NOT LIKE '{claim_tables.OWNER}%'"
# made whenever a log is opened to be written, for logs that are older than it
_OWN_INDEX = "CREATE INDEX own_entries ON entries (number) WHERE gateway IS NULL"


class LogError(LedgerClientError):
    """The file is not a log that this program can use: what, where, and the way out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry came to stand: its index, and size, path and root of the tree that it completed."""

    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes


class Log:
    """One open log. ``create`` and ``open`` make it; every method may be called from any thread."""

    def __init__(self, path: Path, db: sqlite3.Connection, reader: sqlite3.Connection, name: str) -> None:
        self.path = path
        self.name = name
        self._db = db
        self._lock = threading.Lock()
        self._reader = reader
        self._reading = threading.Lock()

    @classmethod
    def create(cls, path: Path, name: str) -> Self:
        """Make an empty log of the ledger ``name`` at a path where nothing is yet; raises ``LogError``."""
        db = _connect(path.absolute().as_uri() + "?mode=rwc", path)
        try:
            db.executescript(
                f"BEGIN EXCLUSIVE; {_SCHEMA}{_OWN_INDEX}; {'; '.join((*ranges.TABLES, *claim_tables.TABLES))};"
            )
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
        """Close the file; the log's state on disk does not depend on it."""
        with self._reading:
            self._reader.close()
        with self._lock:
            self._db.close()  # last, so that it moves everything into the one file

    def copy(self, path: Path) -> None:
        """Copy the log as it is at this moment to a new file; whoever writes is not held up. Raises ``LogError``."""
        with self._reading:
            try:
                with closing(sqlite3.connect(path)) as target:
                    self._reader.backup(target)  # in one step: a step more would begin anew with every commit
            except sqlite3.Error as error:
                raise LogError(f"{path}: {error}", "check that its folder exists and has room") from error

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """The only writer while it is held: all of it durable at its end, none of it when it ends by an error."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield Writer(self._db)
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"{self.path}: {error}; nothing was written") from error

    def receipt(self, statement_id: bytes) -> bytes | None:
        """The first receipt of an entry: one question, which needs no moment of its own."""
        with self._reading:
            try:
                return Reader(self._reader).receipt(statement_id)
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"{self.path}: {error}") from error

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A look at what is durable, the same for as long as it lasts."""
        with self._reading:
            try:
                self._reader.execute("BEGIN")
                try:
                    yield Reader(self._reader)
                finally:
                    self._reader.execute("COMMIT")
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"{self.path}: {error}") from error


class Reader:
    """Questions to the log, valid while its ``with`` lasts."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.claims = claim_tables.ClaimTables(db)
        """What the registry knows; writes are a ``Writer``'s."""

    def size(self) -> int:
        """How many entries the log holds, its own among them."""
        return int(self._db.execute("SELECT coalesce(max(number) + 1, 0) FROM entries").fetchone()[0])

    def receipt(self, statement_id: bytes) -> bytes | None:
        """The first receipt of an entry; ``None`` for one that is not here."""
        row = self._db.execute("SELECT receipt FROM entries WHERE id = ?", (statement_id,)).fetchone()
        return None if row is None or row[0] is None else bytes(row[0])

    def at(self, gateway: str, batch: int) -> bytes | None:
        """The id of the statement that holds a batch number."""
        row = self._db.execute("SELECT id FROM entries WHERE gateway = ? AND batch = ?", (gateway, batch)).fetchone()
        return None if row is None else bytes(row[0])

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's highest batch."""
        query = "SELECT batch, id FROM entries WHERE gateway = ? ORDER BY batch DESC LIMIT 1"
        row = self._db.execute(query, (gateway,)).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def order(self, gateway: str) -> ranges.Order | None:
        """What is known of a gateway's order."""
        return ranges.order(self._db, gateway)

    def held(self, gateway: str, epoch: bytes) -> dict[str, ranges.Held]:
        """What is held of an epoch of a gateway, by meter."""
        return ranges.held(self._db, gateway, epoch)

    def after(self, gateway: str, batch: int) -> Iterator[bytes]:
        """A gateway's entries with a batch number above ``batch``, in order."""
        query = "SELECT entry FROM entries WHERE gateway = ? AND batch > ? ORDER BY batch"
        return (bytes(row[0]) for row in self._db.execute(query, (gateway, batch)))

    def gateways(self) -> list[tuple[str, int, int]]:
        """Every gateway with its number of statements and its last batch, by name."""
        query = f"SELECT gateway, count(*), max(batch) {_STATEMENTS} GROUP BY gateway"
        return sorted((str(name), int(count), int(last)) for name, count, last in self._db.execute(query))

    def entries(self, first: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """(number, entry) of at most ``limit`` entries from number ``first`` on."""
        query = "SELECT number, entry FROM entries WHERE number >= ? ORDER BY number LIMIT ?"
        return ((int(row[0]), bytes(row[1])) for row in self._db.execute(query, (first, limit)))

    def own_entry_bytes(self, after: int = -1) -> list[bytes]:
        """The ledger's own entries in order: its rules, every change of its key, every gateway let in or shut out."""
        return [entry for _, entry, _ in self.own_entries(after)]

    def own_entries(self, after: int = -1) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(number, entry, receipt) of the ledger's own entries behind entry ``after``."""
        query = f"SELECT number, entry, receipt {_ADMINISTRATIVE} AND number > ? ORDER BY number"
        for number, entry, receipt in self._db.execute(query, (after,)):
            yield int(number), bytes(entry), None if receipt is None else bytes(receipt)

    def last_own(self) -> int:
        """The number of the ledger's own newest entry; -1 where there is none."""
        row = self._db.execute(f"SELECT number {_ADMINISTRATIVE} ORDER BY number DESC LIMIT 1").fetchone()
        return -1 if row is None else int(row[0])

    def last_receipt(self) -> bytes | None:
        """The receipt of the newest entry that has one."""
        query = "SELECT receipt FROM entries WHERE receipt IS NOT NULL ORDER BY number DESC LIMIT 1"
        row = self._db.execute(query).fetchone()
        return None if row is None else bytes(row[0])

    def entry(self, number: int) -> bytes | None:
        """The bytes of entry ``number``."""
        row = self._db.execute("SELECT entry FROM entries WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def entry_with_receipt(self, number: int) -> tuple[bytes, bytes | None]:
        """The bytes of entry ``number``, which the log has, and its first receipt."""
        row = self._db.execute("SELECT entry, receipt FROM entries WHERE number = ?", (number,)).fetchone()
        return bytes(row[0]), None if row[1] is None else bytes(row[1])

    def node(self, level: int, number: int) -> bytes:
        """The hash of a complete subtree (see ``tree``)."""
        row = self._db.execute("SELECT hash FROM nodes WHERE level = ? AND number = ?", (level, number)).fetchone()
        return bytes(row[0])


class Writer(Reader):
    """The writer's hands: everything done through it becomes durable together."""

    def touch(self) -> None:
        """Write what is there already, to see whether the disk takes it."""
        self._db.execute("UPDATE about SET name = name")

    def append(
        self,
        entry: bytes,
        receipt: Callable[[Place], bytes] | None,
        *,
        gateway: str | None = None,
        batch: int | None = None,
    ) -> bytes | None:
        """Add an entry and the receipt that ``receipt`` signs for its place; returns that receipt.

        ``gateway`` and ``batch`` say whose it is and its number there: a gateway's batch, or a party's claim
        (``claim_tables.owner``). ``None`` as ``receipt`` is for the ledger's rules at 0 and its changes of key; the
        path of entry 0 would be empty and so no RFC 9942 receipt at all.
        """
        index = self.size()
        size = index + 1
        for (level, number), value in tree.completed(index, leaf_hash(entry), self.node):
            self._db.execute("INSERT INTO nodes (level, number, hash) VALUES (?, ?, ?)", (level, number, value))
        signed = None
        if receipt is not None:
            signed = receipt(Place(index, size, tree.path(index, size, self.node), tree.root(size, self.node)))
        self._db.execute(
            "INSERT INTO entries (number, id, gateway, batch, entry, receipt) VALUES (?, ?, ?, ?, ?, ?)",
            (index, sha256(entry).digest(), gateway, batch, entry, signed),
        )
        return signed

    def take_ranges(self, signed: SignedStatement) -> None:
        """Whose records the statement holds that is being appended."""
        ranges.take(self._db, signed)


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
