"""The schema is made once, whoever comes first, and one of a newer program is left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control_room.errors import DatabaseAway, DatabaseError, SchemaNewer
from control_room.store import schema
from control_room.store.connection import Database, Pool, connect
from tests.support.brokers import postgres
from tests.support.processes import free_port

VERSION = schema.steps()[-1].version


def code(error: pytest.ExceptionInfo[DatabaseError]) -> str:
    assert error.value.message is not None
    return error.value.message.code


def test_two_that_start_at_once_make_it_once(database: postgres.Database) -> None:
    def make(_: int) -> tuple[int, int]:
        db = connect(database.url, database.password_file)
        try:
            return schema.make(db)
        finally:
            db.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(make, range(4))) == [(0, VERSION), *[(VERSION, VERSION)] * 3]
    db = connect(database.url, database.password_file)
    versions = db.all("SELECT version FROM versions ORDER BY 1")
    assert versions == [(n,) for n in range(1, VERSION + 1)]
    schema.demand(db)
    db.close()


def test_a_schema_of_a_newer_program_is_refused_and_stays(db: Database) -> None:
    db.run("INSERT INTO versions VALUES (%s)", VERSION + 1)
    for ask in (schema.make, schema.demand):
        with pytest.raises(SchemaNewer) as refused:
            ask(db)
        assert code(refused) == "control-database-newer"
    assert db.one("SELECT count(*) FROM versions") == (VERSION + 1,)


def test_a_database_without_the_schema_says_so(database: postgres.Database) -> None:
    db = connect(database.url, database.password_file)
    with pytest.raises(DatabaseError) as old:
        schema.demand(db)
    assert code(old) == "control-database-old"
    with pytest.raises(DatabaseError) as missing:
        db.all("SELECT * FROM gateways")
    assert code(missing) == "control-database-no-schema"
    db.close()


def test_every_session_is_durable_in_utc_and_bounded(database: postgres.Database) -> None:
    pool = Pool(database.url, database.password_file, size=1)
    with pool.taken() as db:
        shown = [db.one("SELECT current_setting(%s)", name) for name in ("synchronous_commit", "timezone")]
        limits = db.one("SELECT current_setting('statement_timeout'), current_setting('search_path')")
    pool.close()
    assert (shown, limits) == ([("on",), ("UTC",)], ("30s", "meterseal"))
    with pytest.raises(DatabaseAway), pool.taken():
        pytest.fail("it is closed")


def test_what_cannot_be_connected_to_says_where_and_why(database: postgres.Database, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong\n")
    empty = tmp_path / "empty"
    empty.write_text("")
    nowhere = f"postgresql://meterseal@127.0.0.1:{free_port()}/x"
    for url, file, expected in (
        (nowhere, database.password_file, "control-database-away"),
        (database.url, wrong, "control-database-away"),
        (database.url, empty, "control-database-password-empty"),
        (database.url, tmp_path / "none", "control-database-password"),
        ("postgresql://[", database.password_file, "control-database-url"),
    ):
        with pytest.raises(DatabaseError) as refused:
            connect(url, file)
        assert code(refused) == expected
        assert "wrong" not in str(refused.value)


def test_a_transaction_that_fails_leaves_nothing(db: Database) -> None:
    def twice() -> None:
        with db.transaction():
            db.run("INSERT INTO gateways (name) VALUES ('a')")
            db.run("INSERT INTO gateways (name) VALUES ('a')")

    with pytest.raises(DatabaseError) as refused:
        twice()
    assert code(refused) == "control-database-refuses"
    assert db.all("SELECT * FROM gateways") == []
