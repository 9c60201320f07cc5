"""Polls in, durable chains and batches out: on a real database, read back after every step."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.recording.announcements import identities
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record, record_hash
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.formats.statement import parse_statement
from tests.support.books import check_books
from tests.support.samples import finished, recorder, site
from tests.system.demo_site import until

METER = "export-main"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def bodies(loaded: Config, meter: str) -> list[object]:
    store = Database(loaded.database, read_only=True)
    rows = store.records.rows(1, 1 << 60)
    store.close()
    return [parse_record(row.data).body for row in rows if row.meter == meter]


def test_an_epoch_begins_with_one_coverage_record_a_meter_and_a_start_event(loaded: Config) -> None:
    made, anchor_ms = recorder(loaded, Clock())
    made.stop()
    store = Database(loaded.database, read_only=True)
    rows = store.records.rows(1, 1 << 60)
    assert [(r.meter, r.kind, r.seq) for r in rows] == [
        ("gateway", "event", 0),
        ("export-main", "coverage", 0),
        ("stack-co2", "coverage", 0),
        ("pv-inverter", "coverage", 0),
        ("gateway", "event", 1),
    ]
    assert parse_record(rows[1].data).body == Coverage(anchor_ms, anchor_ms, 0, 0, {})
    assert parse_record(rows[1].data).claims.prev is None


def test_polls_become_a_chain_of_signed_records_and_coverage_counts_them(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock)
    made.start()
    for k in range(5):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock, value=k))
    made.put(PollResult(METER, anchor_ms + 50_000, None, None, "timeout"))
    made.stop()
    check_books(loaded)
    covered = bodies(loaded, METER)[-1]
    assert covered == Coverage(anchor_ms, anchor_ms + 50_001, 6, 5, {"timeout": 1})


def test_a_batch_is_cut_at_the_count_before_its_coverage_records(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock, seal_count=4)
    made.start()
    for k in range(10):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.stop()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    batches = store.batches.all()
    kinds = [[row.kind for row in store.records.rows(b.first_id, b.last_id)] for b in batches]
    # The start event is one of the first four, what is configured is none of them; each batch ends with one coverage
    # record for each of the three meters.
    assert [k.count("reading") + k.count("event") for k in kinds] == [1 + 4, 4]
    assert all(k[-3:] == ["coverage"] * 3 for k in kinds)
    assert [a.state for a in store.anchors.of()] == ["queued", "queued"]


def test_what_an_epoch_left_unsealed_goes_into_the_next_batch_with_its_own_range(loaded: Config) -> None:
    clock = Clock()
    first, anchor_ms = recorder(loaded, clock, epoch=b"\x01" * 8)
    first.start()
    first.put(finished(METER, anchor_ms, clock))
    first.stop()
    second, anchor_ms = recorder(loaded, Clock(), epoch=b"\x02" * 8, seal_count=3)
    second.start()
    second.put(finished(METER, anchor_ms, clock))
    second.stop()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    statement = parse_statement(store.batches.all()[0].entry).statement
    assert [(r.epoch, r.first, r.last) for r in statement.meters[METER]] == [(b"\x01" * 8, 0, 2), (b"\x02" * 8, 0, 2)]


def test_the_chain_goes_on_across_epochs(loaded: Config) -> None:
    first, _ = recorder(loaded, Clock(), epoch=b"\x01" * 8)
    first.stop()
    second, _ = recorder(loaded, Clock(), epoch=b"\x02" * 8)
    second.stop()
    store = Database(loaded.database, read_only=True)
    mine = [row for row in store.records.rows(1, 1 << 60) if row.meter == METER]
    assert parse_record(mine[1].data).claims.prev == record_hash(mine[0].data)


def test_a_failed_commit_uses_no_number_and_counts_the_polls(loaded: Config) -> None:
    """Another writer holds the database past the busy time-out; then it lets go and recording goes on by itself."""
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock, commit_every_ms=1)
    made._store._db.execute("PRAGMA busy_timeout = 0")
    blocker = sqlite3.connect(loaded.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    made.start()
    made.put(finished(METER, anchor_ms, clock))
    made.put(finished(METER, anchor_ms + 10_000, clock))
    made.call(lambda _: None).result(timeout=30)
    assert isinstance(made.trouble, StoreError)
    blocker.execute("ROLLBACK")
    blocker.close()
    until("recording to go on", lambda: made.trouble is None)
    made.put(finished(METER, anchor_ms + 20_000, clock))
    made.stop()
    check_books(loaded)
    covered = [body for body in bodies(loaded, METER) if isinstance(body, Coverage)]
    assert covered[1:] == [
        Coverage(anchor_ms, anchor_ms + 10_001, 2, 0, {"disk-error": 2}),
        Coverage(anchor_ms + 10_001, anchor_ms + 20_001, 1, 1, {}),
    ]
    alarms = [e.fields["raised"] for e in bodies(loaded, "gateway") if isinstance(e, Event) and e.name == "alarm"]
    assert alarms == [True, False]


def test_a_full_batch_is_not_built_anew_with_every_poll_while_the_disk_fails(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock, seal_count=4, commit_every_ms=3_600_000)
    made._store._db.execute("PRAGMA busy_timeout = 0")
    tried: list[str] = []
    made._store._db.set_trace_callback(lambda sql: tried.append(sql) if sql.startswith("BEGIN") else None)
    blocker = sqlite3.connect(loaded.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for k in range(50):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.start()
    made.call(lambda _: None).result(timeout=30)
    assert isinstance(made.trouble, StoreError)
    assert len(tried) < 5
    blocker.execute("ROLLBACK")
    blocker.close()
    until("recording to go on", lambda: made.trouble is None)
    for k in range(50, 60):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.call(lambda _: None).result(timeout=30)
    made.stop()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    assert store.batches.all()
    store.close()


def test_the_first_reading_of_an_epoch_is_committed_at_once(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock, commit_every_ms=3_600_000)
    made.start()
    made.put(finished(METER, anchor_ms, clock))
    store = Database(loaded.database, read_only=True)
    until("the reading", lambda: store.records.readings(METER, 10))
    store.close()
    made.stop()


def test_a_full_inbox_counts_polls_instead_of_growing(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock)
    limit = made.room
    for k in range(limit + 7):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.start()
    made.stop()
    check_books(loaded)
    covered = bodies(loaded, METER)[-1]
    assert isinstance(covered, Coverage)
    assert (covered.due, covered.recorded, covered.missed) == (limit + 7, limit, {"disk-error": 7})


def test_a_break_on_a_poll_that_a_full_inbox_drops_stands_on_the_next_record_of_its_point(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock)

    def shows(k: int, quality: int = 0) -> PollResult:
        now = Timestamp.now(clock)
        values = (Value("energy_export", 1, "kWh", quality), Value("energy_import", 1, "kWh", 0))
        return PollResult(METER, anchor_ms + 10_000 * k, Reading(now.time_ms, values), now)

    limit = made.room
    for k in range(limit):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.put(shows(limit, int(Quality.ROLLOVER | Quality.SHARED_LINE)))
    made.put(shows(limit + 1, int(Quality.METER_EXCHANGED)))
    assert made.waiting == limit
    made.start()
    until("the inbox is empty", lambda: not made.waiting)
    made.put(shows(limit + 2))
    made.put(shows(limit + 3))
    made.stop()
    readings = [body for body in bodies(loaded, METER) if isinstance(body, Reading)]
    assert len(readings) == limit + 2
    flags = int(Quality.ROLLOVER | Quality.METER_EXCHANGED)
    assert [[value.quality for value in body.values] for body in readings[-2:]] == [[flags, 0], [0, 0]]


def test_a_database_of_a_newer_version_is_refused(loaded: Config) -> None:
    made, _ = recorder(loaded, Clock())
    made.stop()
    raw = sqlite3.connect(loaded.database)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreError, match="newer Meterseal"):
        Recorder(Database(loaded.database), load_keys(loaded), Rules.of(loaded), Clock(), b"\x03" * 8)


def test_who_a_meter_is_is_remembered_beneath_later_events(loaded: Config) -> None:
    made, _ = recorder(loaded, Clock())
    made.start()
    made.happened(METER, Event("commissioned", {"identity": "serial_number=1"}))
    exchanged = {"old": "serial_number=1", "identity": "serial_number=2", "last": {}, "first": {}}
    made.happened(METER, Event("meter-exchange", exchanged))
    made.happened(METER, Event("alarm", {"code": "comms-lost", "line": "x", "text": "", "raised": True}))
    made.stop()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    assert identities(store.records, loaded.meters) == {METER: "serial_number=2"}
    store.close()
