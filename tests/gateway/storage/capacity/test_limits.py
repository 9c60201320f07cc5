"""Limits of the store: thinning, the limit itself, pruning. Real databases; sizes are given, time is injected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.demo.balance import account
from gateway.config.model import Config
from gateway.recording.journal import PERIOD
from gateway.records import GATEWAY
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.disk_space import Limits, Space
from gateway.storage.database import Database
from ledger_client.formats.record import Body, Coverage, Event
from ledger_client.formats.senml import Reading
from tests.support.books import check_books
from tests.support.samples import Hands, finished, site

METER = "export-main"
KEEP_MS = 3_600_000


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how much of its limit the database uses."""
    share = [0.1]
    monkeypatch.setattr(disk_space, "measure", lambda *_: Space(int(share[0] * 1e6), 10**9, 10**6))
    return lambda value: share.__setitem__(0, value)


def test_recording_gets_thinner_by_signed_events_and_the_books_add_up(
    loaded: Config, room: Callable[[float], None]
) -> None:
    hands = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=True))
    for share in (0.5, 0.81, 0.91, 0.96, 0.93, 0.5):
        room(share)
        hands.poll(40)
    hands.journal.finish()
    facts = [e.fields["factor"] for e in bodies(hands, GATEWAY) if isinstance(e, Event) and e.name == PERIOD]
    assert facts == [2, 5, 10, 1]  # 0.93 is less than 0.03 below 0.95: it stays at 10
    alarms = [e.fields["raised"] for e in bodies(hands, GATEWAY) if isinstance(e, Event) and e.name == "alarm"]
    assert alarms == [True, False]
    readings = [body for body in bodies(hands) if isinstance(body, Reading)]
    assert 40 + 20 + 8 + 4 + 4 + 38 <= len(readings) <= 40 + 20 + 8 + 4 + 4 + 44
    hands.store.close()
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    assert {meter: balance.lost for meter, balance in account(store, []).items()} == dict.fromkeys(loaded.meters, 0)
    store.close()


def test_looking_at_the_space_commits_nothing_before_its_time(loaded: Config) -> None:
    """A commit every 5 s spares a card: the look at the space, once a second, waits for it."""
    hands = Hands(loaded, limits=Limits(10**9, 0, KEEP_MS, thin=True), commit_every_ms=5_000)
    kept = []
    for k in range(10):
        hands.journal.poll(finished(METER, hands.anchor_ms + k * Hands.EVERY_MS, hands.clock, value=k))
        hands.journal.keep_time()
        kept.append(hands.store.totals()["readings"])
        hands.machine.passes(2)
    assert kept == [1, 1, 1, 1, 5, 5, 5, 5, 9, 9]  # the first at once, then what has waited for 5 s and more


def test_a_counter_loses_no_energy_by_thinning(loaded: Config, room: Callable[[float], None]) -> None:
    """Cumulative registers are recorded as read: between any two readings the difference is that of all polls."""
    hands = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=True))
    hands.poll(10)
    room(0.96)
    hands.poll(100)
    room(0.1)
    hands.poll(30)
    hands.journal.finish()
    values = [int(str(body.values[0].value)) for body in bodies(hands) if isinstance(body, Reading)]
    assert values[0] == 0
    assert values[-1] == 139
    assert values == sorted(set(values))
    hands.store.close()


def test_a_restart_while_thinned_counts_the_downtime_by_the_period_in_force(
    loaded: Config, room: Callable[[float], None]
) -> None:
    hands = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=True))
    hands.poll(10)
    room(0.96)
    hands.poll(41)
    hands.store.close()  # killed: no last coverage
    room(0.1)
    hands.machine.passes(300)
    again = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=True), epoch=b"\x02" * 8, machine=hands.machine)
    again.journal.finish()
    first = next(b for b in bodies(again)[::-1] if isinstance(b, Coverage) and b.missed)
    assert first.missed == {"stopped": 3}  # every tenth poll is due: one in 100 s, and the one that was just due
    again.store.close()
    check_books(loaded)


def test_at_the_limit_recording_stops_and_goes_on_by_itself(loaded: Config, room: Callable[[float], None]) -> None:
    hands = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=False))
    hands.poll(5)
    room(1.0)
    hands.poll(7)
    assert hands.journal.trouble is not None
    assert "max_size" in hands.journal.trouble.way_out
    assert hands.journal.health()["recording"] is not None
    room(0.99)
    hands.poll(3)
    assert hands.journal.trouble is not None  # too near to the limit still
    room(0.5)
    hands.poll(5)
    assert hands.journal.trouble is None
    hands.journal.finish()
    missed = sum(b.missed.get("disk-full", 0) for b in bodies(hands) if isinstance(b, Coverage))
    readings = sum(isinstance(body, Reading) for body in bodies(hands))
    assert missed + readings == 20
    assert 9 <= missed <= 10  # the poll at which it was noticed is recorded; the next look sees that it has room
    hands.store.close()
    check_books(loaded)


def test_with_stop_nothing_is_thinned(loaded: Config, room: Callable[[float], None]) -> None:
    hands = Hands(loaded, limits=Limits(10**6, 0, KEEP_MS, thin=False))
    room(0.97)
    hands.poll(20)
    assert sum(isinstance(body, Reading) for body in bodies(hands)) == 20
    hands.store.close()


def test_only_receipted_batches_past_keep_are_pruned(loaded: Config) -> None:
    hands = Hands(loaded, limits=Limits(10**9, 0, KEEP_MS, thin=True), seal_count=30)
    hands.poll(60, tokens=True)
    settle(hands.store, 2)
    hands.machine.passes(KEEP_MS / 1000 + 100)
    hands.poll(30, tokens=True)
    batches = hands.store.batches.all()
    readings = hands.store.all("SELECT id, meter FROM records WHERE kind = 'reading' ORDER BY id")
    assert hands.store.all("SELECT id, meter FROM heard ORDER BY id") == readings  # tokens go with their records
    assert batches[0].batch == 2  # 0 and 1 had their receipts, 2 has none
    left = hands.store.records.rows(1, 1 << 60)
    assert all(row.kind == "event" for row in left if row in hands.store.records.rows(1, batches[0].first_id - 1))
    totals = hands.store.totals()
    assert totals["receipts"] == 2
    assert totals["batches"] == batches[-1].batch + 1
    assert totals["records"] + totals["pruned"] == hands.store.count("SELECT max(id) FROM records")
    hands.journal.finish()
    hands.store.close()
    check_books(loaded)


def test_a_meter_that_left_the_configuration_keeps_the_end_of_its_chain(loaded: Config) -> None:
    hands = Hands(loaded, limits=Limits(10**9, 0, KEEP_MS, thin=True), seal_count=30)
    hands.poll(5)
    del hands.journal.rules.periods_ms["stack-co2"]  # type: ignore[attr-defined]  # a plain dictionary, here
    before = hands.store.records.tail("stack-co2")
    hands.poll(60)
    settle(hands.store, len(hands.store.batches.all()))
    hands.machine.passes(KEEP_MS / 1000 + 100)
    hands.poll(20)
    assert hands.store.records.pruned()[1] > 50
    after = hands.store.records.tail("stack-co2")
    assert before is not None
    assert after is not None
    assert after.covered_to_ms is not None
    hands.store.close()


def bodies(hands: Hands, meter: str = METER) -> list[Body]:
    return [record.body for record in hands.records(meter)]


def settle(store: Database, count: int) -> None:
    """As if every ledger had given its receipt for the oldest batches."""
    with store.transaction():
        for batch in store.batches.all()[:count]:
            for anchor in store.anchors.of(batch.batch):
                store.anchors.mark(batch.batch, anchor.ledger, "settled", 0, receipt=b"receipt")


@given(st.floats(0, 1), st.sampled_from([1, 2, 5, 10]))
def test_thinning_has_hysteresis_and_never_skips_upwards(share: float, before: int) -> None:
    now = disk_space.factor(share, before)
    assert now >= disk_space.factor(share, 1)
    assert disk_space.factor(share, now) == now
    assert disk_space.factor(share + 0.0, 10) >= disk_space.factor(share, 1)


def test_the_space_is_that_of_pages_in_use_and_the_log(loaded: Config) -> None:
    hands = Hands(loaded, limits=Limits(10**9, 0, KEEP_MS, thin=True))
    before = disk_space.measure(hands.store, Limits(10**9, 0, KEEP_MS, thin=True))
    hands.poll(50)
    after = disk_space.measure(hands.store, Limits(10**9, 0, KEEP_MS, thin=True))
    assert after.used > before.used
    assert after.limit == 10**9
    scarce = disk_space.measure(hands.store, Limits(10**15, after.free * 2, KEEP_MS, thin=True))
    assert scarce.share == 1.0  # the disk has less than it shall keep free
    hands.store.close()
