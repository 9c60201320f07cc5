"""A portion in the database: what is new, repeated and forked, whatever comes, in which order, from how many."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from control_room.errors import DatabaseError, Unstorable
from control_room.judged import Judged, Refusal, Status, Stored
from control_room.store.connection import Database, connect
from control_room.store.incoming import partitions
from control_room.store.incoming.portions import moment, store
from gateway.messages.message import Message
from ledger_client.formats.record import Reading, Value
from tests.control_room.made import T0_MS, alarm, coverage, readings, record
from tests.support.brokers import postgres

DAY_MS = 86_400_000


def counted(db: Database) -> dict[str, int]:
    """Rows by table."""
    tables = ("records", "readings", "forks", "refused", "alarms", "coverage")
    return {name: n for name in tables for (n,) in db.all(f"SELECT count(*) FROM {name}") if n}


def seqs(db: Database) -> list[str]:
    rows = db.all("SELECT seqs::text FROM ranges ORDER BY meter, epoch")
    return [text for (text,) in rows]


def test_a_record_is_stored_once_however_it_comes_again(db: Database) -> None:
    first = readings(range(4))
    assert store(db, [first], T0_MS) == Stored(new=4)
    assert store(db, [first, readings([4])], T0_MS) == Stored(new=1, repeated=4)
    assert store(db, [readings([6]), readings([6])], T0_MS) == Stored(new=1, repeated=1)
    assert (seqs(db), counted(db)) == (["{[0,5),[6,7)}"], {"records": 6, "readings": 6})
    row = db.one("SELECT records, repeated, forked, heard, newest FROM gateways WHERE name = 'g'")
    assert row == (6, 5, 0, moment(T0_MS), moment(T0_MS + 6000))
    (found,) = db.all("SELECT bytes, hash, place, kind FROM records WHERE seq = 2")
    one = first.records[2]
    assert found == (one.data, one.hash, one.place, "r")


@pytest.mark.parametrize("later_ms", [0, 5 * DAY_MS])
def test_other_bytes_under_a_number_are_kept_apart_with_an_alarm(db: Database, later_ms: int) -> None:
    store(db, [readings([1])], T0_MS)
    other = record(1, Reading(T0_MS + later_ms, (Value("power", 9, "kW"),)), time_ms=T0_MS + later_ms)
    for _ in range(2):
        assert store(db, [Judged(records=(other,))], T0_MS) == Stored(forked=1)
    assert counted(db) == {"records": 1, "readings": 1, "forks": 1, "alarms": 1}
    rows = db.all("SELECT bytes, seq FROM forks")
    assert rows == [(other.data, 1)]
    rows = db.all("SELECT code, source, line, message->>'message' FROM alarms WHERE cleared IS NULL")
    assert rows == [("forked", "control", "m", "control-forked")]
    row = db.one("SELECT records, forked FROM gateways")
    assert row == (1, 2)


def test_a_fork_within_a_portion_is_one_too(db: Database) -> None:
    other = record(1, time_ms=T0_MS + 1)
    assert store(db, [readings([1]), Judged(records=(other,))], T0_MS) == Stored(new=1, forked=1)
    row = db.one("SELECT hash FROM forks")
    assert row == (other.hash,)


def test_no_gateway_or_epoch_takes_the_place_of_another(db: Database) -> None:
    every: list[dict[str, Any]] = [{}, {"gateway": "h"}, {"meter": "n"}, {"epoch": b"12345678"}]
    for facts in every:
        assert store(db, [readings([1], **facts)], T0_MS) == Stored(new=1)
    assert seqs(db) == ["{[1,2)}"] * len(every)


def test_a_day_replayed_after_its_partition_went_adds_no_row(db: Database) -> None:
    day = readings(range(10))
    store(db, [day], T0_MS)
    db.run("UPDATE ranges SET archived = seqs")
    now_ms = T0_MS + 30 * DAY_MS
    while partitions.drop_old(db, now_ms, 7 * DAY_MS, 400 * DAY_MS):
        pass
    assert counted(db) == {"readings": 10}
    assert store(db, [day], now_ms) == Stored(repeated=10)
    assert counted(db) == {"readings": 10}


def test_places_that_come_again_count(db: Database) -> None:
    store(db, [readings([1, 2])], T0_MS)
    again = [record(n, time_ms=T0_MS + 1000 * n, place=100 + n) for n in (1, 2)]
    assert store(db, [Judged(records=tuple(again))], T0_MS) == Stored(repeated=2)
    rows = db.all("SELECT place FROM records ORDER BY seq")
    assert rows == [(101,), (102,)]


def test_clocks_that_are_years_off_cost_no_partition(db: Database) -> None:
    off = [T0_MS - 3650 * DAY_MS, T0_MS + 3650 * DAY_MS, 0, 253_402_300_799_999]
    for seq, time_ms in enumerate(off):
        assert store(db, [Judged(records=(record(seq, time_ms=time_ms),))], T0_MS) == Stored(new=1)
    rows = db.all("SELECT time FROM records_default ORDER BY seq")
    assert rows == [(moment(ms),) for ms in off]
    store(db, [readings([9])], T0_MS)
    rows = db.all("SELECT relname FROM pg_class WHERE relname ~ '^records_\\d+$'")
    assert rows == [("records_20261118",)]


def test_coverage_counts_on_the_day_on_which_it_ends(db: Database) -> None:
    midnight = T0_MS // DAY_MS * DAY_MS
    found = [
        coverage(1, midnight - 60_000, midnight, 6, 1),
        coverage(2, midnight, midnight + 60_000, 6),
        coverage(3, midnight, midnight + 60_000, 10, 10, meter="n"),
    ]
    for _ in range(2):
        store(db, [Judged(records=tuple(found))], T0_MS)
    rows = db.all("SELECT day::text, due, recorded FROM days ORDER BY day")
    assert rows == [
        ("2026-11-17", 6, 5), ("2026-11-18", 16, 6)
    ]  # fmt: skip
    row = db.one("SELECT due, recorded, missed FROM coverage WHERE seq = 1")
    assert row == (6, 5, {"timeout": 1})


def test_refused_is_kept_once_and_the_newest_alone(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_room.store.incoming.refused.MOST", 5)

    def refusal(n: int, size: int = 10) -> Refusal:
        why = Message("control-topic", topic="a\0b", prefix="x")
        return Refusal("a\0b", "", 1, why, n.to_bytes(4, "big") + bytes(size), b"k" * 32)

    for n in [*range(8), *range(4, 8)]:
        assert store(db, [Judged(refusals=(refusal(n), refusal(n)))], T0_MS) == Stored(refused=2)
    kept = db.all("SELECT bytes, topic, why->'facts'->>'topic', kid FROM refused ORDER BY id")
    assert kept == [(refusal(n).data, "a�b", "a�b", b"k" * 32) for n in range(3, 8)]
    row = db.one("SELECT n FROM counters WHERE name = 'refused'")
    assert row == (24,)
    store(db, [Judged(refusals=(refusal(9, 1_000_000),))], T0_MS)
    row = db.one("SELECT size, length(bytes), kid FROM refused ORDER BY id DESC")
    assert row == (1_000_004, 131_072, None)


def test_the_last_status_of_a_gateway_stands(db: Database) -> None:
    statuses = tuple(Status("g", {"online": on, "v": 1}) for on in (True, False))
    assert store(db, [Judged(statuses=statuses)], T0_MS) == Stored()
    store(db, [readings([1])], T0_MS + 1)
    row = db.one("SELECT status->'online', status_at FROM gateways")
    assert row == (False, moment(T0_MS))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_alarms_follow_their_events_in_any_order(db: Database, order: tuple[int, ...]) -> None:
    at = T0_MS // 1000
    events = [alarm(n, n % 2 == 0, at + n) for n in range(4)]
    for n in order:
        store(db, [Judged(records=(events[n],))], T0_MS)
    spans = db.all("SELECT raised, cleared FROM alarms WHERE raised IS NOT NULL ORDER BY raised")
    assert spans == [(moment((at + n) * 1000), moment((at + n + 1) * 1000)) for n in (0, 2)]
    store(db, [Judged(records=(alarm(9, True, at + 9, text="again"), alarm(10, True, at + 10, meter="n")))], T0_MS)
    opened = db.all("SELECT meter, code, line, text FROM alarms WHERE cleared IS NULL ORDER BY meter")
    assert opened == [("m", "comms-lost", "line-1", "again"), ("n", "comms-lost", "line-1", "quiet")]


def test_a_portion_that_fails_leaves_nothing_of_it(db: Database) -> None:
    beyond = coverage(1, T0_MS, T0_MS + 1, 1 << 63)  # judging lets none through
    with pytest.raises(Unstorable):
        store(db, [readings([5]), Judged(records=(beyond,))], T0_MS)
    assert counted(db) == {}
    assert store(db, [readings([5])], T0_MS) == Stored(new=1)


@pytest.fixture
def both(database: postgres.Database, db: Database) -> Iterator[tuple[Database, Database]]:
    """The connections of two receivers."""
    other = connect(database.url, database.password_file)
    yield db, other
    other.close()


def test_a_portion_does_not_wait_for_one_that_only_names_its_gateway(both: tuple[Database, Database]) -> None:
    """What a row refers to is locked against its removal. Two portions have that lock before either counts."""
    one, other = both
    store(one, [readings([1])], T0_MS)
    one.run("SET lock_timeout = '2s'")
    with other.transaction():
        other.run("SELECT FROM gateways FOR KEY SHARE")
        assert store(one, [readings([2])], T0_MS) == Stored(new=1)


def mixed() -> list[Judged]:
    """Messages of two gateways and three meters each, with every kind of fact: each pair of portions meets at some of
    all that is locked."""
    found = []
    for m in range(6):
        facts: dict[str, Any] = {"meter": f"m{m}", "gateway": f"g{m % 2}"}
        for n in range(0, 30, 3):
            at = T0_MS // 1000 + n
            event = alarm(n, n % 2 == 0, at, **facts)
            covered = coverage(n + 1, T0_MS, T0_MS + 1000, 10, **facts)
            refusal = Refusal(f"x/{n}", "", 1, Message("control-null-character", name="x"), bytes([n, m]), None)
            parts = event, covered, record(n + 2, time_ms=T0_MS + n, **facts)
            found.append(Judged(parts, statuses=(Status(f"g{m % 2}", {"n": n}),), refusals=(refusal,)))
    return found


def test_two_receivers_lose_and_double_nothing(both: tuple[Database, Database]) -> None:
    """The same messages, each twice, in another order and in portions of another size."""
    messages = mixed()
    results, failures = [], []
    lock = threading.Lock()

    def run(db: Database, size: int) -> None:
        mine = messages * 2
        random.Random(size).shuffle(mine)
        for at in range(0, len(mine), size):
            try:
                stored = store(db, mine[at : at + size], T0_MS)
            except DatabaseError as error:
                failures.append(error)
                raise
            with lock:
                results.append(stored)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, both, (7, 11)))
    assert failures == []
    assert sum(each.new for each in results) == 180
    assert sum(each.repeated for each in results) == 3 * 180
    alarms = counted(both[0]).pop("alarms")
    assert counted(both[0]) == {"records": 180, "readings": 60, "coverage": 60, "refused": 60, "alarms": alarms}
    assert seqs(both[0]) == ["{[0,30)}"] * 6
    totals = both[0].all("SELECT (sum(records))::int, (sum(repeated))::int FROM gateways")
    days = both[0].all("SELECT sum(due)::int FROM days")
    opened = both[0].all("SELECT count(*) FROM alarms WHERE cleared IS NULL")
    assert (totals, days, opened) == ([(180, 3 * 180)], [(600,)], [(0,)])
