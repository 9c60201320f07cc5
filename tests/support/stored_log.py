"""The database behind a ledger's log, SQLite's file or a PostgreSQL's: made, read by other code than the ledger's,
copied and put back."""

from __future__ import annotations

import shutil
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger_client.transparency.ledger.directory import make_dir

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Database

STORES = ("sqlite", "postgresql")
Query = Callable[[str], list[tuple[Any, ...]]]
_numbers = count(1)


class Stored:
    """Where a new ledger has its log: in a file of its folder, or in a database."""

    def __init__(self, folder: Path, database: Database | None) -> None:
        self.folder, self.database = folder, database
        self._kept: list[str] = []

    def make(self, name: str = "demo-ledger") -> Path:
        """Make the ledger; its folder."""
        if self.database is None:
            make_dir(self.folder, name)
        else:
            make_dir(self.folder, name, self.database.url, str(self.database.password_file))
        return self.folder

    def keep(self) -> str:
        """A copy of the log, which nobody has open, to be put back later."""
        name = f"kept_{next(_numbers)}"
        self._kept.append(name)
        if self.database is None:
            shutil.copy(self.folder / "log.db", self.folder.parent / name)
        else:
            _copy_database(self.database, self.database.name, name)
        return name

    def put_back(self, kept: str) -> None:
        """Let the log be a copy of it; whoever is connected to the database loses it."""
        if self.database is None:
            shutil.copy(self.folder.parent / kept, self.folder / "log.db")
        else:
            self.database.drop()
            _copy_database(self.database, kept, self.database.name)

    def close(self) -> None:
        """Remove the copies."""
        if self.database is not None:
            from tests.support.brokers.postgres import Database

            for name in self._kept:
                Database(self.database.cluster, name).drop()


def _copy_database(database: Database, source: str, target: str) -> None:
    from psycopg import sql

    from tests.support.brokers.postgres import OWNER

    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
    database.cluster.admin(statement.format(*map(sql.Identifier, (target, source, OWNER))))


@contextmanager
def queries(folder: Path) -> Iterator[Query]:
    """What the log of a ledger's folder holds at one moment, asked in SQL."""
    if not (folder / "log.toml").exists():
        with closing(sqlite3.connect((folder / "log.db").absolute().as_uri() + "?mode=ro", uri=True)) as db:
            db.execute("BEGIN")
            yield lambda query: db.execute(query).fetchall()
        return
    import psycopg

    address = tomllib.loads((folder / "log.toml").read_text())
    password = Path(address["password_file"]).read_text().strip()
    with closing(psycopg.connect(address["database"], password=password)) as session:
        session.execute("SET search_path = meterseal_ledger")
        session.commit()
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield lambda query: session.execute(query.encode()).fetchall()
