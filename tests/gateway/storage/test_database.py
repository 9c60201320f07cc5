"""The database itself: what it refuses to change, and of which versions it opens none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import Damaged, DiskFull, StoreError
from gateway.messages.message import Message
from gateway.storage import schema
from gateway.storage.database import Database
from tests.support.books import check_books
from tests.support.samples import finished, recorder, site

METER = "export-main"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A site whose database holds a sealed and an unsealed stretch."""
    config = site(tmp_path / "site")
    clock = Clock()
    made, anchor_ms = recorder(config, clock, seal_count=4)
    made.start()
    for k in range(5):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.stop()
    return config


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE records SET time_ms = time_ms + 1 WHERE id = 1", "a record never changes"),
        ("UPDATE records SET data = x'00' WHERE id = 1", "a record never changes"),
        ("DELETE FROM records WHERE id = 1", "only pruning"),
        ("UPDATE batches SET entry = x'00'", "a sealed batch never changes"),
        ("DELETE FROM batches", "only pruning"),
        ("UPDATE pruned SET to_id = 3", "only what a receipted batch holds"),
        ("DELETE FROM pruned", "stays noted"),
    ],
)
def test_what_is_written_stays(loaded: Config, sql: str, why: str) -> None:
    database = sqlite3.connect(loaded.database)
    with pytest.raises(sqlite3.IntegrityError, match=why):
        database.execute(sql)
    database.close()
    check_books(loaded)


def test_a_receipt_stays(loaded: Config) -> None:
    database = sqlite3.connect(loaded.database, isolation_level=None)
    database.execute("UPDATE anchors SET state = 'settled', receipt = x'01'")
    with pytest.raises(sqlite3.IntegrityError, match="a receipt never changes"):
        database.execute("UPDATE anchors SET state = 'queued', receipt = NULL")


def test_totals_are_those_of_the_records(loaded: Config) -> None:
    store = Database(loaded.database, read_only=True)
    rows = store.records.rows(1, 1 << 60)
    assert store.totals() == {
        "records": len(rows),
        "readings": sum(row.kind == "reading" for row in rows),
        "pruned": 0,
        "batches": 1,
        "receipts": 0,
    }
    assert store.batches.waiting() == len(rows) - store.batches.all()[0].last_id
    store.close()


def test_a_database_of_before_the_first_release_is_refused_and_left_alone(loaded: Config) -> None:
    database = sqlite3.connect(loaded.database)
    database.execute("PRAGMA user_version = 9")
    database.close()
    before = loaded.database.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError) as caught:
            Database(loaded.database, read_only=read_only)
        assert caught.value.message == Message(
            "database-before-release", path=str(loaded.database), theirs=9, ours=schema.VERSION
        )
    assert loaded.database.read_bytes() == before


def test_a_newer_database_is_refused_and_left_alone(loaded: Config) -> None:
    database = sqlite3.connect(loaded.database)
    database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    database.close()
    for read_only in (False, True):
        with pytest.raises(StoreError) as refused:
            Database(loaded.database, read_only=read_only)
        path, theirs = str(loaded.database), schema.VERSION + 1
        assert refused.value.message == Message("database-newer", path=path, theirs=theirs, ours=schema.VERSION)


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "meterseal.db"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(Damaged):
        Database(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_database_that_may_not_grow_says_so(loaded: Config) -> None:
    store = Database(loaded.database)
    pages = store.count("PRAGMA page_count")
    store.one(f"PRAGMA max_page_count = {pages}")
    rows = ((n, bytes(500)) for n in range(1000))
    with pytest.raises(DiskFull), store.transaction():
        store.run_each("INSERT INTO elsewhere (id, statement_id) VALUES (?, ?)", rows)
    store.close()


def test_a_backup_is_one_file_that_holds_everything(loaded: Config, tmp_path: Path) -> None:
    store = Database(loaded.database)
    store.backup(tmp_path / "copy.db")
    copy = Database(tmp_path / "copy.db")
    assert copy.records.rows(1, 1 << 60) == store.records.rows(1, 1 << 60)
    assert copy.flaws(whole=True) == []
    for database in (store, copy):
        database.close()


def test_where_a_batch_ends_already_another_cut_is_none(loaded: Config) -> None:
    store = Database(loaded.database)
    for _ in range(2):  # a gateway that was killed right behind a cut, then its end (cli/demo/finish.py)
        with store.transaction():
            store.batches.cut()
    assert len(store.batches.cuts()) == 1
    store.close()
