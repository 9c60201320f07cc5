"""The log: append-only, one transaction an entry, the same after it was closed and opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.transparency.log.entries import Place
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.log.store import LogError
from tests.support.log_connection import writing_connection


def receipt(place: Place) -> bytes:
    return b"receipt %d/%d " % (place.index, place.size) + place.root


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.create(tmp_path / "log.db", "demo")
    yield log
    log.close()


def fill(log: Log, count: int) -> list[bytes]:
    entries = [b"entry %d" % number for number in range(count)]
    for number, entry in enumerate(entries):
        with log.write() as writing:
            writing.append(entry, receipt, gateway="gw", batch=number)
    return entries


def test_receipts_are_signed_over_the_tree_that_the_entry_completed(log: Log) -> None:
    entries = fill(log, 20)
    hashes = [leaf_hash(entry) for entry in entries]
    with log.read() as reading:
        for index, entry in enumerate(entries):
            root = Tree(hashes[: index + 1]).root
            assert reading.receipt(sha256(entry).digest()) == b"receipt %d/%d " % (index, index + 1) + root


def test_a_log_is_the_same_when_it_is_opened_again(tmp_path: Path, log: Log) -> None:
    entries = fill(log, 5)
    log.close()
    again = Log.open(tmp_path / "log.db")
    assert again.name == "demo"
    with again.read() as reading:
        assert reading.size() == 5
        assert reading.last("gw") == (4, sha256(entries[4]).digest())
        assert list(reading.after("gw", 2)) == entries[3:]
        assert reading.gateways() == [("gw", 5, 4)]
    with again.write() as writing:
        writing.append(b"entry 5", receipt, gateway="gw", batch=5)
    with again.read() as reading:
        assert (
            reading.receipt(sha256(b"entry 5").digest())
            == b"receipt 5/6 " + Tree([leaf_hash(entry) for entry in [*entries, b"entry 5"]]).root
        )
    again.close()


def test_nothing_is_written_when_the_receipt_cannot_be_signed(log: Log) -> None:
    def fails(place: Place) -> bytes:
        raise RuntimeError("no key")

    fill(log, 3)
    with pytest.raises(RuntimeError), log.write() as writing:
        writing.append(b"never", fails, gateway="gw", batch=3)
    with log.read() as reading:
        assert reading.size() == 3
        assert reading.at("gw", 3) is None
    with log.write() as writing:
        assert writing.append(b"later", receipt, gateway="gw", batch=3) is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET entry = x'00' WHERE number = 1",
        "DELETE FROM entries WHERE number = 1",
        "UPDATE nodes SET hash = x'00' WHERE level = 0",
        "DELETE FROM nodes",
        "INSERT INTO entries (number, id, gateway, batch, entry) VALUES (9, x'00', 'gw', 1, x'00')",
    ],
)
def test_the_file_itself_refuses_to_change_what_it_holds(tmp_path: Path, log: Log, statement: str) -> None:
    fill(log, 3)
    with closing(sqlite3.connect(tmp_path / "log.db")) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)


def test_a_full_disk_writes_nothing_and_says_so(log: Log) -> None:
    fill(log, 3)
    pages = writing_connection(log).execute("PRAGMA page_count").fetchone()[0]
    writing_connection(log).execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own SQLITE_FULL
    with pytest.raises(LedgerUnavailable, match="nothing was written"), log.write() as writing:
        writing.append(b"x" * 100_000, receipt, gateway="gw", batch=3)
    with log.read() as reading:
        assert reading.size() == 3
    writing_connection(log).execute("PRAGMA max_page_count = 1000000")
    with log.write() as writing:
        writing.append(b"x" * 100_000, receipt, gateway="gw", batch=3)


def test_what_is_committed_is_on_the_disk(tmp_path: Path, log: Log) -> None:
    log.close()
    for opened in (Log.open(tmp_path / "log.db"), Log.create(tmp_path / "other.db", "other")):
        assert writing_connection(opened).execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert writing_connection(opened).execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        opened.close()


def test_a_place_without_a_write_ahead_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Path("memory.db")  # SQLite's own kind of file that has no such log
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda _uri, **options: connect("file::memory:", **options))
    with pytest.raises(LogError, match=r"memory\.db: the file system takes no write-ahead log \(memory\)"):
        Log.create(memory, "demo")


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(LogError, match="not the log of a Meterseal ledger"):
        Log.open(other)
    other.write_bytes(b"no database at all" * 100)
    with pytest.raises(LogError, match=r"other\.db"):
        Log.open(other)
    with pytest.raises(LogError, match=r"missing\.db"):
        Log.open(tmp_path / "missing.db")
