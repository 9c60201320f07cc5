"""Connections to PostgreSQL: the settings of every session, and its errors as ours.

A connection is in autocommit; what belongs together stands in ``with db.transaction()``. One thread at a time uses it.
Names of tables need no schema: ``meterseal`` is the only one in the search path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from control_room.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseFull, Unstorable
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

T = TypeVar("T")
SCHEMA: Final = "meterseal"
_SETTINGS: Final = {
    "search_path": SCHEMA,
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "synchronous_commit": "on",  # of a replica, too, where one is named: what is acknowledged is durable
    "client_min_messages": "warning",
    "jit": "off",  # compiling a query of ours takes seconds, its work milliseconds
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "10min",
}
_KEEPALIVE: Final[Mapping[str, str | int]] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "UTF8",
}
_AWAY: Final = (
    errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.DatabaseDropped,
    errors.TooManyConnections, errors.IdleInTransactionSessionTimeout, errors.ReadOnlySqlTransaction,
)  # fmt: skip
_BUSY: Final = (
    errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable, errors.QueryCanceled,
)  # fmt: skip
_FULL: Final = (errors.DiskFull,)
_UNSTORABLE: Final = (
    psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex,
    errors.TooManyColumns, errors.TooManyArguments,
)  # fmt: skip
"""The last four are errors of operation to psycopg; what is too large for an index is too large for ever."""


class Database:
    """One connection. Each method raises DatabaseError, and nothing of psycopg."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection
        self._kept: dict[object, Any] = {}
        info = connection.info
        self.where = f"{info.host}:{info.port}/{info.dbname}"

    def close(self) -> None:
        """Close the connection; what was not committed is undone."""
        self.connection.close()

    def kept(self, kind: Callable[[Database], T]) -> T:
        """What ``kind`` makes of this connection, made once: what is remembered of the database while it lasts."""
        if kind not in self._kept:
            self._kept[kind] = kind(self)
        made: T = self._kept[kind]
        return made

    @property
    def broken(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self.connection.closed

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of psycopg in the block become ours."""
        try:
            yield
        except psycopg.Error as error:
            raise translated(error, self.where, broken=self.broken) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when the block is left."""
        with self.errors(), self.connection.transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything that is read in the block is of one moment."""
        with self.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def one(self, sql: LiteralString, *values: object) -> tuple[Any, ...] | None:
        """The first row, or None."""
        with self.errors():
            return self.connection.execute(sql, values or None).fetchone()

    def all(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Every row."""
        with self.errors():
            return self.connection.execute(sql, values or None).fetchall()

    def named(self, sql: LiteralString, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Every row of a query whose values have names."""
        with self.errors():
            return self.connection.execute(sql, values).fetchall()

    def run(self, sql: LiteralString | psycopg.sql.SQL | psycopg.sql.Composed, *values: object) -> int:
        """Run one statement; how many rows it changed."""
        with self.errors():
            return self.connection.execute(sql, values or None).rowcount

    def run_each(self, sql: LiteralString, rows: Iterable[Sequence[object]]) -> int:
        """Run one statement for each row of values, without waiting for each answer; how many rows were changed."""
        with self.errors(), self.connection.cursor() as cursor:
            cursor.executemany(sql, rows)
            return cursor.rowcount

    def copy_in(self, sql: LiteralString, data: Iterable[bytes]) -> None:
        """Send rows in the binary format of COPY: its head and its end included."""
        with self.errors(), self.connection.cursor() as cursor, cursor.copy(sql) as copy:
            for part in data:
                copy.write(part)


class Pool:
    """A few connections for many threads, opened as they are needed."""

    def __init__(self, url: str, password_file: Path | None, *, size: int, wait_s: float = 10.0) -> None:
        self.where = where(url)
        self._wait_s = wait_s
        with _connecting(self.where):
            self._pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
                _conninfo(url, password_file, "30s"),
                kwargs={"autocommit": True},
                min_size=0,
                max_size=size,
                timeout=wait_s,
                reconnect_timeout=wait_s,
                check=ConnectionPool.check_connection,
                name="meterseal",
                open=True,
            )

    @contextmanager
    def taken(self) -> Iterator[Database]:
        """A connection, given back at the end of the block. Raises DatabaseAway where none can be had in time."""
        try:
            connection = self._pool.getconn(self._wait_s)
        except (PoolTimeout, PoolClosed) as error:
            raise DatabaseAway(Message("control-database-no-connection", where=self.where)) from error
        try:
            yield Database(connection)
        finally:
            self._pool.putconn(connection)

    def close(self) -> None:
        """Close them all."""
        self._pool.close()


def connect(url: str, password_file: Path | None = None, *, statement_timeout: str = "60s") -> Database:
    """A connection to ``[database] url``, with the password in the first line of a file. Raises DatabaseError."""
    with _connecting(where(url)):
        return Database(psycopg.connect(_conninfo(url, password_file, statement_timeout), autocommit=True))


def where(url: str) -> str:
    """Host, port and name of a database, without user and password, for messages."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "PostgreSQL"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _conninfo(url: str, password_file: Path | None, statement_timeout: str) -> str:
    settings = _SETTINGS | {"statement_timeout": statement_timeout}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    more: dict[str, str | int] = {**_KEEPALIVE, "options": options, "application_name": "meterseal-control"}
    if password_file is not None:
        more["password"] = _password(password_file)
    try:
        return conninfo.make_conninfo(url, **more)
    except psycopg.Error as error:
        raise DatabaseError(Message("control-database-url", error=_line(error))) from None


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0]
    except OSError as error:
        raise DatabaseError(Message("control-database-password", path=str(path), error=os_error(error))) from None
    except (IndexError, UnicodeDecodeError):
        raise DatabaseError(Message("control-database-password-empty", path=str(path))) from None


@contextmanager
def _connecting(place: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, place, broken=True) from error


def translated(error: psycopg.Error, place: str, *, broken: bool) -> DatabaseError:
    """What an error of psycopg is to whoever called: what is away, full or busy will pass, the rest does not."""
    text = _line(error)
    if isinstance(error, _FULL):
        return DatabaseFull(Message("control-database-full", where=place, error=text))
    if isinstance(error, _BUSY):
        return DatabaseBusy(Message("control-database-busy", where=place, error=text))
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseError(Message("control-database-denied", where=place, error=text))
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
        return DatabaseError(Message("control-database-no-schema", where=place, error=text))
    if isinstance(error, _UNSTORABLE):
        return Unstorable(Message("control-database-refuses", where=place, error=text))
    if broken or isinstance(error, (*_AWAY, psycopg.OperationalError)):
        return DatabaseAway(Message("control-database-away", where=place, error=text))
    return DatabaseError(Message("control-database-error", where=place, error=text))


def _line(error: Exception) -> str:
    """The first line of what PostgreSQL says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
