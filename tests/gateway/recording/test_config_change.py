"""A change of configuration in the writer: one commit, coverage that tiles across it, and nothing else if it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.config_diff import difference
from gateway.anchoring.ledger_drivers import trust_of
from gateway.anchoring.reconciliation import Reconciliation
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError, StoreError
from gateway.recording.config_change import Change
from gateway.recording.rules import Rules
from gateway.startup.line_specs import line_specs
from ledger_client.formats.record import Coverage
from tests.support.books import check_books
from tests.support.clock_history import FrailStore
from tests.support.samples import Hands, Machine, finished, recorder, rewritten, site

METER, CO2, NEW = "export-main", "stack-co2", "fourth"
CHANGED = {"why": "test"}


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def change(hands: Hands, after: Config, *anew: str) -> int:
    rules = replace(Rules.of(after), seal_every_ms=60_000)
    return hands.journal.change(Change(rules, load_keys(after), anew, CHANGED))


def coverage(hands: Hands, meter: str) -> list[Coverage]:
    return [record.body for record in hands.records(meter) if isinstance(record.body, Coverage)]


def test_a_period_changes_and_every_due_poll_is_counted_by_the_schedule_of_its_time(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.machine.passes(25)  # the line is closed: two polls of 10 s are nobody's
    anchor_ms = change(hands, rewritten(loaded, ('every = "10s"', 'every = "7s"')), METER)
    for number in range(4):
        hands.journal.poll(finished(METER, anchor_ms + number * 7000, hands.clock, value=number))
        hands.machine.passes(7)
    hands.journal.cut()
    first, second = coverage(hands, METER)[-2:]
    assert first.missed == {"stopped": 2 + 1}
    assert (second.from_ms, second.due, second.recorded) == (first.to_ms, 4, 4)
    assert [e.get("why") for e in hands.events("configuration")] == [None, "test"]
    hands.store.close()
    check_books(loaded)


def test_meters_come_and_go_and_come_back_without_a_hole(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(2)
    co2 = '  [[bus.meter]]\n  name = "stack-co2"\n  profile = "vaisala-gmp252"\n  address = 240\n  every = "10s"\n'
    co2 += '  role = "emission"\n'
    without = rewritten(loaded, (co2, co2.replace(CO2, NEW)))
    change(hands, without, METER, NEW)
    assert [c.due for c in coverage(hands, NEW)] == [0]
    hands.machine.passes(30)
    gone = coverage(hands, CO2)
    change(hands, rewritten(without, (NEW, CO2)), METER, CO2)
    assert len(coverage(hands, CO2)) == len(gone) + 1
    back = coverage(hands, CO2)[-1]
    assert (back.from_ms, back.due) == (gone[-1].to_ms, 0)
    hands.end()
    check_books(loaded)


def test_a_change_that_the_disk_does_not_take_changes_nothing(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.journal.flush()
    after = rewritten(loaded, ('every = "10s"', 'every = "7s"'))
    hands.store._db.close()
    with pytest.raises(StoreError, match="cannot write the change"):
        change(hands, after, METER)
    assert hands.journal.rules.periods_ms[METER] == 10_000
    with pytest.raises(StoreError, match="recording has stopped"):
        change(hands, after, METER)
    hands.machine.passes(20)
    assert hands.journal.skip(list(loaded.meters)) == hands.clock.schedule_ms()
    hands.polls += 2
    hands.poll(3)
    hands.end()
    check_books(loaded)


@pytest.mark.parametrize(("key", "old", "new"), [("id", '"test-gateway"', '"another"'), ("data", '"data"', '"more"')])
def test_what_needs_a_new_start_is_refused(loaded: Config, key: str, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"gateway, {key}"):
        difference(loaded, rewritten(loaded, (old, new)), {}, ())


def test_a_difference_shows_durations_as_they_are_written_and_names_the_lines_to_open(loaded: Config) -> None:
    specs = {spec.name: spec for spec in line_specs(loaded)}
    after = rewritten(loaded, ('every = "10s"', 'every = "7s"'))
    found = difference(loaded, after, specs, line_specs(after))
    assert list(map(str, found.changes)) == [
        "- bus rs485-1, meter export-main, every = 10s", "+ bus rs485-1, meter export-main, every = 7s"
    ]  # fmt: skip
    assert set(found.lines) == found.closed == {"rs485-1"}
    assert found.read_anew == [METER, CO2]
    assert not found.ledgers_changed()
    assert difference(loaded, loaded, specs, line_specs(loaded)).nothing


def test_a_change_that_a_full_disk_refuses_has_ended_nothing_though_the_reserve_takes_an_account(
    loaded: Config,
) -> None:
    machine = Machine()
    store = FrailStore(loaded.database, machine)
    hands = Hands(loaded, machine, store=lambda _: store)
    hands.poll(3)
    hands.machine.passes(25)
    hands.journal.flush()
    store.fates = [("full", 0.0)]
    with pytest.raises(StoreError, match="cannot write the change"):
        change(hands, loaded, METER)
    hands.polls += 3
    hands.journal.skip(loaded.meters)
    hands.machine.passes(5)
    hands.poll(3)
    hands.end()
    check_books(loaded)


def test_sealing_does_not_wait_for_a_ledger_that_a_change_has_taken_away(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    recording, _ = recorder(loaded, Clock())
    try:
        Reconciliation(loaded, recording, trust_of(loaded), Clock(), ())
        health = recording.health()
        assert health["sealing"] == health["sealing_said"]["text"] is not None
        text = loaded.path.read_text()
        loaded.path.write_text(text[: text.index("[[ledger]]")])
        after = load_config(loaded.path)
        Reconciliation(after, recording, trust_of(after), Clock(), ())
        assert recording.health()["sealing"] is None
    finally:
        recording.stop()
