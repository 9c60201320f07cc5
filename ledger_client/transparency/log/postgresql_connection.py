"""Connections of a log in PostgreSQL: where it is, what its server must not leave out, and its one door.

The *door* is the process that appends. It holds an advisory lock of the database as long as its session lives, so that
a second one, of a copy of the folder, waits outside; and its token stands in ``log_head``, which every transaction
compares: commands beside a ledger that serves know the token from the folder's lock file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger_client.transparency.log.store import Cursor, LogError

SCHEMA: Final = "meterseal_ledger"
_LOCK: Final = (0x4D53454C, 1)
"""The advisory lock: "MSEL"."""
DOOR_S = 10
"""How long a process waits for the one before it: for a command, or for a session that was cut off."""
_SESSION: Final = (
    f"SET search_path = {SCHEMA}, pg_catalog; SET statement_timeout = '30s'; SET lock_timeout = '10s'; "
    "SET idle_in_transaction_session_timeout = '60s'; SET client_encoding = 'UTF8'; SET tcp_keepalives_idle = 10; "
    "SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '20s'"
)
_DEFAULTS: Final = {
    "connect_timeout": "5", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3",
    "tcp_user_timeout": "20000", "application_name": "meterseal-ledger",
}  # fmt: skip
DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings without any of which a crash may take back what was committed."""


@dataclass(frozen=True, slots=True)
class Address:
    """``url`` as libpq reads it, without a password; ``folder``: the id of the ledger's folder."""

    url: str
    folder: bytes
    password: Callable[[], str | None]

    @property
    def where(self) -> str:
        """Server and database, for messages."""
        given = conninfo_to_dict(self.url)
        host = str(given.get("host") or given.get("hostaddr") or "local socket")
        return f"postgresql {host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"


def checked_url(url: str) -> str:
    """An address for ``log.toml``. Raises ``LogError``."""
    example = "write it as postgresql://USER@HOST:PORT/DATABASE"
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise LogError("--database: not the address of a PostgreSQL database", example) from None
    if not url.startswith(("postgresql://", "postgres://")) or not given.get("dbname"):
        raise LogError("--database: names no database", example)
    if given.get("password") is not None:
        raise LogError("--database: holds a password, which others could read", "give it by --password-file FILE")
    return url


def connect(address: Address) -> psycopg.Connection[tuple[Any, ...]]:
    """A session with our settings. Raises ``LogError``, also where the log is not there or is another folder's."""
    with open_errors(address):
        given: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(address.url), "password": address.password()}
        db = psycopg.connect(make_conninfo(**given), autocommit=True)
        try:
            db.execute(_SESSION)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def open_errors(address: Address) -> Iterator[None]:
    """What PostgreSQL says while a log is opened, as ``LogError``."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        way_out = "restore it from a backup; a ledger that was never served: meterseal-ledger init"
        raise LogError(f"{address.where}: {one_line(error)}", way_out) from error
    except psycopg.Error as error:
        raise LogError(f"{address.where}: {one_line(error)}", "check the server, the address and the login") from error


def one_line(error: psycopg.Error) -> str:
    """What PostgreSQL says, without its hints."""
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "there is no log of a ledger"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def demand_durable(where: str, values: Sequence[str]) -> None:
    """Raises ``LogError`` where what is committed may be lost by the values of the settings in ``DURABLE``."""
    for name, value in zip(DURABLE, values, strict=True):
        if value == "off":
            way_out = f"set {name} = on in postgresql.conf, and for role and database, and reload the server"
            raise LogError(f"{where}: {name} is off, so that a crash takes back what was receipted", way_out)


def demand_folder(address: Address, folder: bytes) -> None:
    """Raises ``LogError`` where the log is of another ledger's folder."""
    if folder != address.folder:
        raise LogError(
            f"{address.where}: holds the log of another ledger's folder", "give each ledger a database of its own"
        )


class Door:
    """The right to append, of one process; a ``guest`` is a command beside the process of its folder that has it, and
    knows the ``token`` of that."""

    def __init__(self, address: Address, token: str, *, guest: bool) -> None:
        self._address, self._token, self._guest = address, token, guest
        self._session: tuple[Any, ...] | None = None

    def enter(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session that may append, the only one. Raises ``LogError``: another process, of a copy, has the door."""
        db = connect(self._address)
        try:
            with open_errors(self._address):
                if not self._guest:
                    self._take(db)
            return db
        except BaseException:
            db.close()
            raise

    def _take(self, db: psycopg.Connection[tuple[Any, ...]]) -> None:
        if self._session is not None:  # a session that was cut off may hang on at the server, and hold the lock
            old = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
            db.execute(old, self._session)
        try:
            db.execute(f"SET lock_timeout = '{DOOR_S}s'".encode())
            db.execute("SELECT pg_advisory_lock(%s, %s)", _LOCK)
        except psycopg.errors.LockNotAvailable:
            raise LogError(
                f"{self._address.where}: {_holder(db)} has this log open: it serves a copy of this folder",
                "stop one of the two; what a copy has signed the other does not know",
            ) from None
        session = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self._session = db.execute(session).fetchone()
        with db.transaction():
            row = db.execute("SELECT folder FROM log_head FOR UPDATE").fetchone()
            assert row is not None
            demand_folder(self._address, row[0])
            db.execute("UPDATE log_head SET door = %s", (self._token,))

    def demand(self, token: str) -> None:
        """Raises ``LogError`` where another process has the door by now."""
        if token != self._token:
            raise LogError(
                f"{self._address.where}: another process has this log open by now: it serves a copy of this folder",
                "stop one of the two; what a copy has signed the other does not know",
            )


def _holder(db: psycopg.Connection[tuple[Any, ...]]) -> str:
    query = (
        "SELECT pid, coalesce(client_addr::text, 'its own machine') FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with suppress(psycopg.Error):
        row = db.execute(query, _LOCK).fetchone()
        if row is not None:
            return f"session {row[0]} from {row[1]}"
    return "another session"


class PostgresqlRows:
    """A session as ``store.Rows``: a value takes the place of each ``?``."""

    def __init__(self, db: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._db = db

    def execute(self, query: str, values: Sequence[Any] = (), /) -> Cursor:
        return self._db.execute(_translated(query), values)

    def executemany(self, query: str, many: Iterable[Sequence[Any]], /) -> object:
        lines = list(many)
        if len(lines) == 1:
            return self._db.execute(_translated(query), lines[0])
        cursor = self._db.cursor()
        cursor.executemany(_translated(query), lines)
        return cursor


@lru_cache(maxsize=512)
def _translated(query: str) -> bytes:
    return query.replace("%", "%%").replace("?", "%s").encode()
