"""Log in PostgreSQL: the tables of the SQLite log in a schema of their own, and ``log_head``.

``log_head`` has one line: size and edge of the tree, the folder that the log is of, and who appends. Each transaction
begins with a lock on it, and writes entries and nodes by COPY. A connection that is lost is made again by whoever comes
next. Where it is lost in a COMMIT, whether that happened is seen from the tree: no other session can have got in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.transparency.log import claim_tables, ranges, tree
from ledger_client.transparency.log.entries import Writer, node_of
from ledger_client.transparency.log.postgresql_connection import (
    DURABLE,
    SCHEMA,
    Address,
    Door,
    PostgresqlRows,
    connect,
    demand_durable,
    demand_folder,
    one_line,
    open_errors,
)
from ledger_client.transparency.log.sqlite import SqliteStore
from ledger_client.transparency.log.store import Cursor, EntryRow, LogError, NodeRow, Rows, State, Store, Transaction

VERSION: Final = 1
_PAUSE_S: Final = 1.0
"""After an attempt to connect that failed: so long everybody gets its answer."""
_SESSION = psycopg.Connection[tuple[Any, ...]]

_SCHEMA: Final = f"""
CREATE SCHEMA {SCHEMA};
SET LOCAL search_path = {SCHEMA}, pg_catalog;
CREATE TABLE log_head (
    alone boolean PRIMARY KEY DEFAULT true CHECK (alone),
    version int NOT NULL, name text NOT NULL, folder bytea NOT NULL, door text NOT NULL,
    size bigint NOT NULL, edge bytea NOT NULL, last_own bigint NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE entries (
    number bigint PRIMARY KEY, id bytea NOT NULL UNIQUE, gateway text COLLATE "C", batch bigint,
    entry bytea NOT NULL, receipt bytea
);
ALTER TABLE entries ALTER entry SET STORAGE EXTERNAL, ALTER receipt SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX one_statement_a_batch ON entries (gateway, batch) WHERE gateway IS NOT NULL;
CREATE INDEX own_entries ON entries (number) WHERE gateway IS NULL;
CREATE TABLE nodes (level int NOT NULL, number bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY (level, number));
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''% of % never change or go'', TG_ARGV[0], TG_TABLE_NAME; END';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries EXECUTE FUNCTION never('lines');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON nodes EXECUTE FUNCTION never('lines');
CREATE FUNCTION instr(bytea, bytea) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT position($2 IN $1)';
"""
_RANGES_NEVER_GO: Final = (
    "CREATE TRIGGER never_go BEFORE DELETE OR TRUNCATE ON ranges EXECUTE FUNCTION never('numbers')"
)
_TYPES: Final = {
    " STRICT": "", ", WITHOUT ROWID": "", " BLOB": " bytea", " INTEGER": " bigint", " TEXT": ' text COLLATE "C"',
}  # fmt: skip
"""What is another word in the tables that both stores have."""
_HEAD: Final = "SELECT size, edge, last_own, folder"
_SETTINGS: Final = ", ".join(f"current_setting('{name}')" for name in DURABLE)
_READ: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_HEAD} FROM log_head".encode()
_WRITE: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {_HEAD}, door, {_SETTINGS} FROM log_head FOR UPDATE".encode()
)
_ENTRY_TYPES: Final = ("int8", "bytea", "text", "int8", "bytea", "bytea")
_NODE_TYPES: Final = ("int4", "int8", "bytea")
_TABLES: Final = {
    "entries": ("number, id, gateway, batch, entry, receipt", _ENTRY_TYPES),
    "nodes": ("level, number, hash", _NODE_TYPES),
    "orders": ("gateway, since, batch, id, from_ms", ("text", "int8", "int8", "bytea", "int8")),
    "ranges": (
        "gateway, epoch, meter, since, first, batch, last", ("text", "bytea", "text", "int8", "int8", "int8", "int8"),
    ),
    "certificates": (
        "id, issuer, holder, device, from_ms, to_ms, units, period, row",
        ("bytea", "text", "text", "bytea", "int8", "int8", "int8", "bytea", "bytea"),
    ),
    "slices": ('cert, begin, "end", status, holder', ("bytea", "int8", "int8", "text", "text")),
    "origins": ("device, quarter, cert", ("bytea", "int8", "bytea")),
    "serials": (
        "registry, project, vintage, first, last, party, from_ms, to_ms",
        ("bytea", "bytea", "int8", "int8", "int8", "text", "int8", "int8"),
    ),
    "claims_of": ("cert, number", ("bytea", "int8")),
}  # fmt: skip
"""All tables that a copy has, with the columns and their types."""


class PostgresqlStore(Store):
    """One database, with a session that writes and one that reads, each made when it is first needed."""

    def __init__(self, address: Address, door: Door) -> None:
        """Raises ``LogError``."""
        self._address, self.where, self._door = address, address.where, door
        self._reader = connect(address)
        self._writer: _SESSION | None = None
        self._refused: dict[str, tuple[float, LedgerUnavailable]] = {}
        try:
            with open_errors(address):
                row = self._reader.execute("SELECT version, name, folder FROM log_head").fetchone()
            assert row is not None
            demand_folder(address, row[2])
            if row[0] != VERSION:
                raise LogError(
                    f"{self.where}: log version {row[0]}, this program reads {VERSION}", "use the one that made it"
                )
            self.name = str(row[1])
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    @contextmanager
    def reading(self) -> Iterator[tuple[Rows, State]]:
        with self._unavailable():
            row = self._begun_reading()
            try:
                yield PostgresqlRows(self._reader), _state(row)
            finally:
                with suppress(psycopg.OperationalError):  # nothing was written
                    self._reader.execute("ROLLBACK")

    @contextmanager
    def looking(self) -> Iterator[Rows]:
        with self._unavailable():
            yield _Asked(self._asked)

    def _asked(self, query: str, values: Sequence[Any]) -> Cursor:
        """One question; where the connection was lost before it, once more."""
        for again in (True, False):
            self._connected_reader()
            try:
                return PostgresqlRows(self._reader).execute(query, values)
            except psycopg.OperationalError:
                if not again or not self._reader.closed:
                    raise
        raise AssertionError

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._unavailable("; nothing was written"):
            db, row = self._begun_writing()
            try:
                yield _Transaction(self.where, db, _state(row), self._committed)
            finally:
                if not db.closed and db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    with suppress(psycopg.OperationalError):  # the server has rolled back by itself
                        db.execute("ROLLBACK")

    def copy(self, path: Path) -> None:
        target = SqliteStore.create(path, self.name)
        with closing(target), open_errors(self._address), closing(connect(self._address)) as db:
            db.execute("SET statement_timeout = 0")
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            target.load(_lines(db))

    def _committed(self, state: State) -> None:
        """Whether a transaction that led to ``state`` was committed when its connection was lost: the session that
        comes next sees it, or it never was. Raises ``LedgerUnavailable`` where it was not, or nobody knows yet."""
        db, row = self._begun_writing()
        now, root = _state(row), tree.root_of(state.edge)
        rows = PostgresqlRows(db)
        there = now.size >= state.size and tree.root(state.size, lambda *node: node_of(rows, *node)) == root
        db.execute("ROLLBACK")
        if not there:
            raise LedgerUnavailable(f"{self.where}: the connection was lost; nothing was written")

    def _begun_reading(self) -> tuple[Any, ...]:
        for again in (True, False):
            self._connected_reader()
            try:
                row = _last(self._reader.execute(_READ)).fetchone()
                assert row is not None
                demand_folder(self._address, row[3])
                return row
            except psycopg.OperationalError:
                if not again or not self._reader.closed:
                    raise
        raise AssertionError

    def _begun_writing(self) -> tuple[_SESSION, tuple[Any, ...]]:
        """A session whose transaction has the line of ``log_head``; a connection that was lost is made again."""
        for again in (True, False):
            if self._writer is None or self._writer.closed:
                self._writer = self._connected("writer", self._door.enter)
            db = self._writer
            try:
                row = _last(db.execute(_WRITE)).fetchone()
                assert row is not None
                demand_folder(self._address, row[3])
                self._door.demand(row[4])
                demand_durable(self.where, row[5:])
                return db, row
            except LogError:
                db.execute("ROLLBACK")
                raise
            except psycopg.OperationalError:
                if not again or not db.closed:
                    raise
        raise AssertionError

    def _connected_reader(self) -> None:
        if self._reader.closed:
            self._reader = self._connected("reader", lambda: connect(self._address))

    def _connected(self, which: str, make: Callable[[], _SESSION]) -> _SESSION:
        at, refused = self._refused.get(which, (-_PAUSE_S, None))
        if refused is not None and time.monotonic() - at < _PAUSE_S:
            raise LedgerUnavailable(refused.problem)
        try:
            made = make()
        except LedgerClientError as error:
            self._refused[which] = time.monotonic(), LedgerUnavailable(error.problem)
            raise
        self._refused.clear()  # the server is there: for the other session, too
        return made

    @contextmanager
    def _unavailable(self, so: str = "") -> Iterator[None]:
        try:
            yield
        except psycopg.DataError as error:  # of what one work has written: the others of its group may go on
            raise LogError(f"{self.where}: cannot hold this: {one_line(error)}") from error
        except psycopg.Error as error:
            raise LedgerUnavailable(f"{self.where}: {one_line(error)}{so}") from error
        except LogError as error:
            raise _unavailable(error) from error


def _unavailable(error: LogError) -> LedgerUnavailable:
    """The same of a log that is open."""
    made = LedgerUnavailable(error.problem)
    made._way_out = error.way_out
    return made


class _Asked(Rows):
    """Rows of one question at a time, each of a moment of its own."""

    def __init__(self, ask: Callable[[str, Sequence[Any]], Cursor]) -> None:
        self._ask = ask

    def execute(self, query: str, values: Sequence[Any] = (), /) -> Cursor:
        return self._ask(query, values)

    def executemany(self, query: str, many: Iterable[Sequence[Any]], /) -> object:
        raise NotImplementedError("it only asks")


class _Transaction(Transaction):
    def __init__(
        self, where: str, db: _SESSION, state: State, found_out: Callable[[State], None] | None = None
    ) -> None:
        self._where, self._db, self._found_out = where, db, found_out
        self.rows: Rows = PostgresqlRows(db)
        self.state = state

    def add(self, entries: Sequence[EntryRow], nodes: Sequence[NodeRow]) -> None:
        for table, lines in (("nodes", nodes), ("entries", entries)):
            columns, types = _TABLES[table]
            with self._db.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
                copy.set_types(types)
                for line in lines:
                    copy.write_row(line)

    def touch(self) -> None:
        self._db.execute("UPDATE log_head SET name = name")

    def commit(self, state: State) -> None:
        try:
            done = _last(self._db.execute(f"{_update(state)}; COMMIT".encode()))
        except psycopg.OperationalError:
            if not self._db.closed or self._found_out is None:
                raise
            self._found_out(state)
        else:
            if done.statusmessage != "COMMIT":
                raise LedgerUnavailable(f"{self._where}: the transaction was rolled back; nothing was written")


def create(address: Address, name: str, rules: bytes) -> None:
    """Make a log with its entry 0, the ledger's ``rules``, whole or not at all. Raises ``LogError``."""
    with open_errors(address), closing(connect(address)) as db:
        demand_durable(address.where, db.execute(f"SELECT {_SETTINGS}".encode()).fetchone() or ())
        with db.transaction():
            tables = [
                table for table in (*ranges.TABLES, *claim_tables.TABLES) if not table.startswith("CREATE TRIGGER")
            ]
            db.execute("; ".join((_SCHEMA, *map(_in_postgresql, tables), _RANGES_NEVER_GO)).encode())
            line = (VERSION, name, address.folder)
            db.execute("INSERT INTO log_head VALUES (true, %s, %s, %s, '', 0, '', -1)", line)
            transaction = _Transaction(address.where, db, State(0, (), -1))
            writer = Writer(transaction)
            writer.append(rules, None)
            writer.flush()
            db.execute(_update(writer.state).encode())


def exists(address: Address) -> bool:
    """Whether the log of this ledger's folder is there. Raises ``LogError``, also where another's is."""
    with open_errors(address), closing(connect(address)) as db:
        row = db.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.log_head",)).fetchone()
        if row is None or row[0] is None:
            return False
        found = db.execute("SELECT folder FROM log_head").fetchone()
        demand_folder(address, b"" if found is None else found[0])
        return True


def _in_postgresql(table: str) -> str:
    for word, other in _TYPES.items():
        table = table.replace(word, other)
    return table


def _lines(db: _SESSION) -> Iterator[tuple[str, str, Iterator[Sequence[Any]]]]:
    """(table, columns, lines) of all that a copy has."""
    for table, (columns, types) in _TABLES.items():
        with db.cursor().copy(f"COPY {table} ({columns}) TO STDOUT (FORMAT BINARY)".encode()) as copy:
            copy.set_types(types)
            yield table, columns, copy.rows()


def _update(state: State) -> str:
    """What writes down the state that a transaction leads to; numbers and hashes alone."""
    edge = b"".join(state.edge).hex()
    return f"UPDATE log_head SET size = {state.size:d}, edge = '\\x{edge}', last_own = {state.last_own:d}"


def _last(cursor: psycopg.Cursor[tuple[Any, ...]]) -> psycopg.Cursor[tuple[Any, ...]]:
    """The result of the last of several statements that were sent at once."""
    while cursor.nextset():
        pass
    return cursor


def _state(row: Sequence[Any]) -> State:
    edge = bytes(row[1])
    return State(int(row[0]), tuple(edge[at : at + 32] for at in range(0, len(edge), 32)), int(row[2]))
