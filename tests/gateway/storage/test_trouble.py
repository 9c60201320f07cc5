"""A database that cannot be used for a while, and comes back: on a real file, with a journal in the test's hands."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.errors import Damaged, StartAgain
from gateway.messages.message import Message
from gateway.records import ALARM, MeterEvent, Timestamp
from gateway.storage.capacity.disk_space import MIB, RESERVE_BYTES
from gateway.storage.database import Database
from gateway.storage.recovery.repair import open_store
from ledger_client.formats.record import Coverage, Event
from ledger_client.formats.senml import Reading, Value
from ledger_client.verification.trust_file import load_trust
from tests.support.books import check_books
from tests.support.clock_history import FrailStore
from tests.support.samples import Hands, Machine, site
from tests.system.disk.small import small_disk, writable

METER = "export-main"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def test_a_broken_connection_is_replaced(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(5)
    hands.store._db.close()  # as good as a disk that was pulled out and put back
    hands.poll(5)
    assert hands.journal.trouble is None
    hands.end()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    assert store.totals()["readings"] >= 3 * 8
    store.close()


def test_a_database_that_is_gone_is_waited_for_and_never_begun_anew(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(5)
    hands.store._db.close()
    away = loaded.database.with_name("away.db")
    loaded.database.rename(away)
    hands.poll(5)
    assert hands.journal.trouble is not None
    assert not loaded.database.exists()
    away.rename(loaded.database)
    hands.poll(5)
    assert hands.journal.trouble is None
    missed = sum(r.body.missed.get("disk-error", 0) for r in hands.records(METER) if isinstance(r.body, Coverage))
    assert 5 <= missed <= 6
    alarms = [e["raised"] for e in hands.events(ALARM)]
    assert alarms == [True, False]
    hands.end()
    check_books(loaded)


def test_another_database_in_its_place_is_not_written_to(loaded: Config, tmp_path: Path) -> None:
    hands = Hands(loaded)
    hands.poll(5)
    hands.store._db.close()
    loaded.database.rename(tmp_path / "ours.db")
    other = Hands(loaded, epoch=b"\x07" * 8)
    other.store.close()
    before = loaded.database.read_bytes()
    hands.poll(5)
    assert hands.journal.trouble is not None
    assert hands.journal.trouble.message == Message("database-exchanged", path=str(loaded.database))
    assert loaded.database.read_bytes() == before
    hands.store.close()


def test_events_wait_for_the_disk_and_are_written_once(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(2)
    hands.journal.happened(MeterEvent(METER, Event("tested", {"number": 1})))
    hands.store._db.close()
    hands.journal.flush()
    hands.journal.happened(MeterEvent(METER, Event("tested", {"number": 2})))
    assert hands.journal.trouble is not None
    hands.poll(3)
    numbers = [
        r.body.fields["number"] for r in hands.records(METER) if isinstance(r.body, Event) and r.body.name == "tested"
    ]
    assert numbers == [1, 2]
    hands.end()
    check_books(loaded)


def test_a_disk_that_kept_what_it_had_refused_asks_for_a_new_start(loaded: Config) -> None:
    """After a failed sync the bytes may be there all the same: going on beside them would fork the chain."""
    hands = Hands(loaded)
    hands.poll(2)
    one = hands.journal._pending.signer.reading(
        METER, Reading(hands.clock.now_ms(), (Value("count", 1),)), Timestamp.now(hands.clock)
    )
    with hands.store.transaction():
        hands.store.records.append([one.row])
    hands.journal._pending.signer.rewind(hands.journal._pending.position)  # as after a commit that failed
    hands.store._db.close()
    tested = Event("tested", {"number": 1})
    hands.journal.happened(MeterEvent(METER, tested))
    with pytest.raises(StartAgain) as caught:
        hands.poll(2)
    assert (METER, tested) in caught.value.waiting
    hands.store.close()
    again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
    again.poll(3)
    again.end()
    check_books(loaded)


def test_recording_is_said_to_go_on_once(loaded: Config) -> None:
    """The disk refuses the word that recording goes on, and keeps it: the epoch behind it does not say it again."""
    machine = Machine()
    hands = Hands(loaded, machine, store=lambda path: FrailStore(path, machine))
    assert isinstance(hands.store, FrailStore)
    hands.store.fates += [("refused", 0.0), ("kept", 0.0)]
    with pytest.raises(StartAgain) as caught:
        hands.poll(5)
    assert caught.value.waiting == []
    assert [event["raised"] for event in hands.events(ALARM)] == [True, False]
    hands.store.close()


def test_a_disk_that_became_read_only_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "32m") as disk:
        loaded = site(disk / "site", {'every = "60s"': 'every = "10s"'})
        hands = Hands(loaded)
        hands.poll(5)
        hands.store._db.close()  # a file system cannot become read-only while somebody writes to it
        writable(disk, yes=False)
        hands.poll(5)
        assert hands.journal.trouble is not None
        assert hands.journal.trouble.reason == "disk-error"
        writable(disk, yes=True)
        hands.poll(5)
        assert hands.journal.trouble is None
        missed = sum(r.body.missed.get("disk-error", 0) for r in hands.records(METER) if isinstance(r.body, Coverage))
        assert 5 <= missed <= 6
        hands.end()
        check_books(loaded)


def fill(path: Path) -> None:
    """Somebody else's file takes all that is left of a disk."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_start_on_a_full_disk_is_given_the_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "32m") as disk:
        loaded = site(disk / "site", {'every = "60s"': 'every = "10s"'})
        hands = Hands(loaded)
        hands.poll(5)
        hands.end()
        reserve, other = loaded.data / "reserve", disk / "another's file"
        assert reserve.exists()
        fill(other)
        open_store(loaded, load_keys(loaded), load_trust(loaded.trust)).close()
        again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
        again.poll(5)
        assert again.journal.trouble is not None
        assert again.journal.trouble.reason == "disk-full"
        other.unlink()
        again.poll(5)
        assert again.journal.trouble is None
        assert reserve.exists()
        again.end()
        check_books(loaded)


def test_a_reserve_that_a_power_cut_has_left_unfinished_is_finished(loaded: Config) -> None:
    loaded.data.mkdir()
    reserve = loaded.data / "reserve"
    reserve.write_bytes(bytes(4096))
    hands = Hands(loaded)
    assert reserve.stat().st_size == RESERVE_BYTES
    hands.end()


def test_the_reserve_that_a_full_disk_was_given_is_not_recorded_into(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "32m") as disk:
        loaded = site(disk / "site", {'every = "60s"': 'every = "10s"'})
        hands = Hands(loaded)
        hands.poll(5)
        reserve, other = loaded.data / "reserve", disk / "another's file"
        assert reserve.exists()
        fill(other)
        hands.poll(10)
        trouble = hands.journal.trouble
        assert trouble is not None
        assert trouble.reason == "disk-full"
        assert not reserve.exists()
        os.truncate(other, other.stat().st_size - 10 * MIB)
        hands.poll(5)
        assert hands.journal.trouble is None
        assert reserve.exists()
        assert [e["raised"] for e in hands.events(ALARM)] == [True, False]
        hands.end()
        check_books(loaded)


def test_a_database_found_damaged_at_run_time_is_not_written_to_until_a_start_recovers_it(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(40)
    hands.store.one("PRAGMA wal_checkpoint(TRUNCATE)")
    content = loaded.database.read_bytes()
    newest = hands.store.records.rows(1, 1 << 60)[-1]
    with loaded.database.open("r+b") as file:
        file.seek(content.index(newest.data) // 4096 * 4096)
        file.write(os.urandom(4096))
    hands.store.reopen()  # without what it remembers of the file
    hands.poll(10)
    assert isinstance(hands.journal.trouble, Damaged)
    health = hands.journal.health()["recording"]
    assert "restart the gateway" in health["text"]
    assert (health["message"], health["reason"]) == ("database-damaged-at", "disk-error")
    hands.poll(10)
    assert isinstance(hands.journal.trouble, Damaged)
    hands.store.close()
    open_store(loaded, load_keys(loaded), load_trust(loaded.trust)).close()
    again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
    again.poll(10)
    assert again.journal.trouble is None
    assert [event["lost"] > 0 for event in again.events("repaired")] == [True]
    again.end()
    check_books(loaded)


def test_a_damaged_database_is_not_written_to_at_the_stop_either(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(5)
    hands.journal.found_damaged(Damaged(f"{loaded.database}: a page is gone", "start it again"))
    before = hands.store.records.last_place()
    hands.poll(5)
    hands.journal.finish()
    assert hands.store.records.last_place() == before
    hands.store.close()
    again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
    again.poll(5)
    again.end()
    check_books(loaded)
