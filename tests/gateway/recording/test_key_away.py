"""The statement key in a token that stops: readings go on, what it signs waits in order, nothing is lost or doubled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.device_keys import Keys, load_keys
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.recording.config_change import Change
from gateway.recording.pending import LEFT_OUT
from gateway.recording.statement_key import MOST_BATCHES, MOST_WAITING
from gateway.records import CLOCK, GATEWAY, START, STOP, MeterEvent
from ledger_client.errors import KeyAway
from ledger_client.formats.cose_key import load_private_key
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Reading
from tests.campaigns.honest import honest_histories
from tests.support.audited import audited
from tests.support.books import check_books
from tests.support.samples import Hands, Machine, site
from tests.support.tokens.away_key import AwayKey

METER, NOTE = "export-main", "test-note"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


@pytest.fixture
def key(loaded: Config) -> AwayKey:
    return AwayKey(key=load_private_key(loaded.keys / "statement.pem"))


def hands_of(loaded: Config, key: AwayKey, machine: Machine | None = None, epoch: int = 1, **changes: Any) -> Hands:
    keys: Keys = replace(load_keys(loaded), statement=key)
    return Hands(loaded, machine, epoch=bytes([epoch] * 8), keys=keys, **changes)


def note(hands: Hands, n: int) -> None:
    hands.journal.happened(MeterEvent(GATEWAY, Event(NOTE, {"n": n})))


def notes(hands: Hands) -> list[int]:
    return [fields["n"] for fields in hands.events(NOTE)]


def readings(hands: Hands) -> int:
    return sum(isinstance(record.body, Reading) for record in hands.records(METER))


def check_sound(loaded: Config, tmp_path: Path) -> None:
    check_books(loaded)
    assert [f"{found.step}: {found.detail}" for found in audited(loaded, tmp_path / "files").findings] == []


def test_readings_go_on_and_what_waits_is_signed_in_order(loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key)
    hands.poll(3)
    before, batches = readings(hands), hands.store.batches.count()
    key.stop()
    note(hands, 1)
    hands.poll(20)  # three cuts would be due
    note(hands, 2)
    hands.poll(1)
    assert readings(hands) == before + 21
    assert (notes(hands), hands.store.batches.count(), hands.store.batches.cuts()) == ([], batches, [])
    away = hands.journal.key_away()
    assert away is not None
    assert away.since_ms <= hands.clock.now_ms() - 200_000
    key.go_on()
    hands.poll(2)
    assert (notes(hands), hands.store.batches.count()) == ([1, 2], batches + 1)
    assert hands.store.unsigned_events.all() == []
    hands.end()
    check_sound(loaded, tmp_path)


def test_what_waits_survives_a_kill_and_is_signed_once(loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key)
    key.stop()
    for n in range(3):
        note(hands, n)
        hands.poll(1)
    hands.store.close()  # killed
    with pytest.raises(KeyAway):
        hands_of(loaded, key, hands.machine, 2)
    key.go_on()
    hands = hands_of(loaded, key, hands.machine, 3)
    hands.poll(7)
    assert notes(hands) == [0, 1, 2]
    hands.end()
    hands = hands_of(loaded, key, hands.machine, 4)
    hands.poll(7)
    assert notes(hands) == [0, 1, 2]
    hands.end()
    check_sound(loaded, tmp_path)


def test_a_stop_while_the_key_is_away_keeps_coverage_and_events(loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key)
    hands.poll(2)
    key.stop(known=True)
    note(hands, 1)
    hands.poll(2)
    hands.end()
    key.go_on()
    hands = hands_of(loaded, key, hands.machine, 2)
    hands.poll(8)
    assert (notes(hands), len(hands.events(STOP)), len(hands.events(START))) == ([1], 0, 2)
    hands.end()
    check_sound(loaded, tmp_path)


def test_events_beyond_the_bound_are_counted_by_a_signed_event(loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key)
    key.stop(known=True)
    for n in range(MOST_WAITING + 3):
        note(hands, n)
    hands.poll(1)
    key.go_on()
    note(hands, MOST_WAITING + 3)
    for _ in range(100):
        hands.journal.keep_time()
    (left_out,) = hands.events(LEFT_OUT)
    assert left_out["events"] == 4
    assert notes(hands) == list(range(MOST_WAITING))
    hands.end()
    check_sound(loaded, tmp_path)


def test_no_batch_grows_without_bounds(loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key, seal_count=10)
    key.stop(known=True)
    hands.poll(MOST_BATCHES * 10)
    key.go_on()
    hands.poll(1)
    hands.end()
    sizes = [batch.size for batch in hands_of(loaded, key, hands.machine, 2).store.batches.all()]
    assert len(sizes) > 2
    assert max(sizes) <= MOST_BATCHES * 10 + 20  # and coverage
    check_sound(loaded, tmp_path)


@pytest.mark.parametrize("after", range(3))
def test_a_clock_is_corrected_whole_or_not_at_all(after: int, loaded: Config, key: AwayKey, tmp_path: Path) -> None:
    hands = hands_of(loaded, key)
    hands.poll(2)
    hands.machine.wall_ms += 30_000
    key.stop(after)
    key.waits = lambda: hands.machine.passes(5.0)
    for n in range(2):
        note(hands, n)
    hands.poll(6)
    assert len(hands.events(CLOCK)) == 0
    key.go_on()
    hands.poll(2)
    assert len(hands.events(CLOCK)) == 1
    hands.end()
    check_sound(loaded, tmp_path)


def test_a_change_of_the_configuration_is_refused_and_nothing_has_changed(loaded: Config, key: AwayKey) -> None:
    hands = hands_of(loaded, key)
    rules = replace(hands.journal.rules, periods_ms={METER: 10_000})
    for known in (False, True):
        key.stop(known=known)
        with pytest.raises(StoreError):
            hands.journal.change(Change(rules, replace(load_keys(loaded), statement=key), (), {"why": "test"}))
        key.go_on()
    assert len(hands.journal.rules.periods_ms) > 1
    hands.poll(3)
    hands.end()
    check_books(loaded)


def test_whatever_becomes_of_token_clock_disk_and_process_an_audit_finds_nothing() -> None:
    figures: dict[str, Any] = honest_histories.run(6, 4000, 1, token=True)
    assert figures["findings_of"] == []
    assert figures["kinds"]["key"] >= 5
