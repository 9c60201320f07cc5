"""What is old goes by its day, and of the records only what is archived."""

from __future__ import annotations

import pytest

from control_room.judged import Judged
from control_room.store.connection import Database, connect
from control_room.store.incoming import partitions
from control_room.store.incoming.partitions import DAY_MS, drop_old
from control_room.store.incoming.portions import moment, store
from tests.control_room.made import T0_MS, coverage, record
from tests.support.brokers import postgres

HOT, READINGS = 7 * DAY_MS, 400 * DAY_MS
DAY = T0_MS // DAY_MS * DAY_MS


def tables(db: Database) -> set[str]:
    rows = db.all("SELECT relname FROM pg_class WHERE relname ~ '_\\d{8}$' AND relkind = 'r'")
    return {name for (name,) in rows}


def dropped(db: Database, now_ms: int) -> None:
    while drop_old(db, now_ms, HOT, READINGS):
        pass


def fill(db: Database) -> None:
    """A reading and a coverage on each of three days."""
    for day in range(3):
        at = DAY + day * DAY_MS + 1000
        found = record(2 * day, time_ms=at), coverage(2 * day + 1, at, at + 1000, 1)
        store(db, [Judged(records=found)], at)


def test_days_go_when_they_are_old_and_what_is_not_archived_stays(db: Database) -> None:
    fill(db)
    db.run("UPDATE ranges SET archived = '{[0,1),[2,4)}'")  # the coverage of the first day, all of the third are not
    before = db.all("SELECT seq, time, bytes FROM records ORDER BY seq")
    dropped(db, DAY + 3 * DAY_MS + HOT - 1)  # a day less than the third is old
    others = {f"{table}_202611{day}" for table in ("readings", "coverage") for day in (18, 19, 20)}
    assert tables(db) == others | {"records_20261120"}
    rows = db.all("SELECT seq, time, bytes FROM records ORDER BY seq")
    assert rows == [before[1], *before[4:]]
    db.run("UPDATE ranges SET archived = '{[0,4)}'")
    dropped(db, DAY + 3 * DAY_MS + HOT - 1)
    rows = db.all("SELECT seq, time, bytes FROM records ORDER BY seq")
    assert rows == before[4:]
    dropped(db, DAY + 10 * READINGS)
    left = db.all("SELECT FROM readings UNION ALL SELECT FROM coverage")
    assert (tables(db), left) == (set(), [])
    rows = db.all("SELECT seq, time, bytes FROM records ORDER BY seq")
    assert rows == before[4:]


def test_rows_of_the_default_partition_move_when_their_day_gets_one(db: Database) -> None:
    ahead = DAY + 10 * DAY_MS
    store(db, [Judged(records=(record(1, time_ms=ahead),))], T0_MS)
    assert tables(db) == set()
    store(db, [Judged(records=(record(2, time_ms=ahead),))], ahead)
    rows = db.all("SELECT tableoid::regclass::text FROM records")
    assert rows == [("records_20261128",)] * 2
    rows = db.all("SELECT seq, time FROM readings ORDER BY seq")
    assert rows == [(1, moment(ahead)), (2, moment(ahead))]


def test_a_reader_that_holds_the_tables_holds_up_no_portion(
    db: Database, database: postgres.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "WAIT", "50ms")
    reader = connect(database.url, database.password_file)
    with reader.transaction():
        reader.all("SELECT * FROM records")
        assert store(db, [Judged(records=(record(1),))], T0_MS).new == 1
    reader.close()
    assert tables(db) == set()
    assert store(db, [Judged(records=(record(2),))], T0_MS).new == 1
    rows = db.all("SELECT tableoid::regclass::text FROM records")
    assert rows == [("records_20261118",)] * 2
