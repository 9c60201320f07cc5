"""The crash benchmark in short; and that each of its four counts sees what it is there for."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.statement import parse_statement, sign_statement
from tests.campaigns.failures import crash
from tests.campaigns.failures.crash_books import Books, Flaws, Mark, Offered, read_offered
from tests.campaigns.failures.crash_site import Light, ledger_behind, statements_of

SEED = 7
A_READING = "SELECT id FROM records WHERE kind = 'reading' ORDER BY id LIMIT 1 OFFSET 2"
LAST_READING = "SELECT max(id) FROM records WHERE kind = 'reading' AND meter = 'meter-000'"
A_COVERAGE = "SELECT id FROM records WHERE kind = 'coverage' ORDER BY id LIMIT 1 OFFSET 9"


def test_kills_at_every_station_lose_double_fork_and_skip_nothing() -> None:
    figures = crash.run(**crash.SMALLEST[0], seed=SEED)
    assert figures["kills"] == 26
    assert {name: figures[name] for name in ("lost", "duplicated", "forked", "untiled", "unverified")} == {
        "lost": 0,
        "duplicated": 0,
        "forked": 0,
        "untiled": 0,
        "unverified": 0,
    }
    assert figures["audit_findings"] == 0
    points = figures["kills_by_point"]
    assert isinstance(points, dict)
    assert {"restore", "restored", "migrate", "prune"} <= set(points)
    assert int(str(figures["records"])) > 200
    assert int(str(figures["statements"])) > 10


@dataclass(frozen=True, slots=True)
class Ended:
    """What a killed and then ended site left."""

    database: Path
    offered: list[Offered]
    statements: list[bytes]

    def tampered(self, folder: Path, *orders: str) -> Path:
        """A copy in which somebody has changed something, past the triggers."""
        copy = folder / "copy.db"
        shutil.copy(self.database, copy)
        database = sqlite3.connect(copy)
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for order in orders:
            assert database.execute(order).rowcount >= 1
        database.commit()
        database.close()
        return copy

    def flaws(self, database: Path, books: Books | None = None) -> Flaws:
        """The counts over a database, by books that are new or have seen more."""
        books, store = books or Books(), Database(database, read_only=True)
        books.look(store, self.statements)
        store.close()
        return books.flaws(self.offered, ended=True)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    folder, chance = tmp_path_factory.mktemp("crash"), random.Random(SEED)
    with ledger_behind(folder, chance) as (ledger, wire):
        site = Light(folder / "site", ledger, wire, chance)
        for moment in ("committed", "settled"):
            site.kill_at(moment)
        wire.share = 0.0
        site.end()
        yield Ended(site.loaded.database, read_offered(site.log), statements_of(site.loaded, ledger))


def test_an_untouched_site_has_no_flaws(ended: Ended) -> None:
    assert ended.flaws(ended.database) == Flaws()


@pytest.mark.parametrize(
    "order",
    [f"DELETE FROM records WHERE id = ({A_READING})", f"DELETE FROM records WHERE id = ({LAST_READING})"],
    ids=["in the middle", "the last"],
)
def test_a_reading_that_is_missing_is_lost(ended: Ended, tmp_path: Path, order: str) -> None:
    assert ended.flaws(ended.tampered(tmp_path, order)).lost >= 1


def test_a_record_that_was_there_and_is_not_any_more_is_lost(ended: Ended, tmp_path: Path) -> None:
    """Even an event, which no meter's log tells of."""
    books = Books()
    assert ended.flaws(ended.database, books) == Flaws()
    without = ended.tampered(tmp_path, "DELETE FROM records WHERE id = (SELECT max(id) FROM records)")
    assert ended.flaws(without, books).lost >= 1


def test_a_poll_that_nobody_knows_of_is_lost(ended: Ended) -> None:
    last = ended.offered[-1]
    ended.offered.append(last._replace(due_ms=last.due_ms + 60_000, number=last.number + 7, missed=None))
    try:
        assert ended.flaws(ended.database).lost == 1
    finally:
        ended.offered.pop()


def test_a_reading_that_stands_there_twice_is_duplicated_and_forks_its_chain(ended: Ended, tmp_path: Path) -> None:
    again = (
        "INSERT INTO records (meter, epoch, seq, kind, time_ms, data) "
        f"SELECT meter, epoch, seq + 1000, kind, time_ms, data FROM records WHERE id = ({A_READING})"
    )
    flaws = ended.flaws(ended.tampered(tmp_path, again))
    assert flaws.duplicated >= 1
    assert flaws.forked >= 1


def test_a_statement_that_the_ledger_holds_twice_is_duplicated(ended: Ended) -> None:
    ended.statements.append(ended.statements[0])
    try:
        assert ended.flaws(ended.database) == Flaws(duplicated=1)
    finally:
        ended.statements.pop()


def test_a_record_that_two_statements_of_the_ledger_hold_is_duplicated(ended: Ended) -> None:
    """As when a copy was put back and its records were sealed again."""
    books, store = Books(), Database(ended.database, read_only=True)
    last = parse_statement(ended.statements[-1]).statement
    again = replace(last, batch=last.batch + 1, iat=last.iat + 1)
    books.look(store, [*ended.statements, sign_statement(again, PrivateKey.generate())])
    store.close()
    flaws = books.flaws(ended.offered, ended=True)
    assert flaws == Flaws(duplicated=last.size, forked=1)  # nor is it one that this gateway knows of


def test_a_copy_that_is_put_back_takes_what_came_later_out_of_the_books(ended: Ended) -> None:
    books = Books()
    assert ended.flaws(ended.database, books) == Flaws()
    records = len(books.records)
    books.put_back(Mark(records - 3, 0))
    assert (len(books.records), books.forgotten, set(books.batches)) == (records - 3, 3, {0})
    assert ended.flaws(ended.database, books) == Flaws()  # the batches of before are still this gateway's own


def test_a_place_in_two_batches_is_duplicated(ended: Ended, tmp_path: Path) -> None:
    order = "UPDATE batches SET first_id = first_id - 1 WHERE batch = 1"
    assert ended.flaws(ended.tampered(tmp_path, order)) == Flaws(duplicated=1)


@pytest.mark.parametrize(
    "order",
    [
        f"UPDATE records SET data = (SELECT data FROM records WHERE id = 1) WHERE id = ({A_READING})",
        "UPDATE batches SET statement_id = x'00' WHERE batch = 0",
    ],
    ids=["a record", "a statement"],
)
def test_what_changed_is_forked(ended: Ended, tmp_path: Path, order: str) -> None:
    books = Books()
    assert ended.flaws(ended.database, books) == Flaws()
    assert ended.flaws(ended.tampered(tmp_path, order), books).forked >= 1


def test_a_coverage_record_that_is_missing_leaves_a_hole(ended: Ended, tmp_path: Path) -> None:
    assert ended.flaws(ended.tampered(tmp_path, f"DELETE FROM records WHERE id = ({A_COVERAGE})")).untiled >= 1
