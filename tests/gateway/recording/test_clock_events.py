"""What becomes of records when the machine's clock is set, lost and found, on a machine whose time is the test's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from gateway.cli.demo.balance import account
from gateway.clock import BUILT_S, STEP_MS, KernelClock
from gateway.config.model import Config
from gateway.records import CLOCK
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Quality, Reading
from tests.support.books import check_books
from tests.support.clock_history import FrailStore
from tests.support.samples import START_S, Hands, Machine, finished, site

METER = "export-main"
HOUR_MS = 3_600_000


class Often(Hands):
    """Every meter three times a second."""

    EVERY_MS = 333


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def times(hands: Hands) -> list[int]:
    return [record.time_ms for record in hands.records(METER) if isinstance(record.body, Reading)]


def check(loaded: Config) -> None:
    """All books hold, and none of the polls is lost."""
    check_books(loaded)
    store = Database(loaded.database, read_only=True)
    assert {meter: balance.lost for meter, balance in account(store, []).items()} == dict.fromkeys(loaded.meters, 0)
    store.close()


def test_a_machine_without_a_clock_records_with_u_and_dates_it_later(loaded: Config) -> None:
    before = Hands(loaded)
    before.poll(7)
    before.store.close()  # killed
    machine = Machine()
    machine.wall_ms, machine.kernel = 3_000, KernelClock(False, None)  # 1970: no battery
    hands = Hands(loaded, machine, epoch=b"\x02" * 8)
    hands.poll(6)
    assert {r.claims.clock for r in hands.records(METER)[-6:]} == {"U"}
    found = [b - a for a, b in pairwise(times(hands)[-7:])]
    assert found == [1, 9_999, *[10_000] * 4]  # the first is at the time that the last had, and a ms behind it
    machine.wall_ms = (START_S + 7200) * 1000  # the network came, and with it the time
    machine.kernel = KernelClock(True, 15)
    hands.poll(6)
    (event,) = hands.events(CLOCK)
    began_ms = (START_S + 7200) * 1000 - 60_000 + 10_000  # six polls before, and one before the correction was seen
    assert abs(event["began"] - began_ms) <= 10_000
    assert event["after"] - event["up"] == event["began"]
    assert event["clock"] == "S"
    covered = [r.body for r in hands.records(METER) if isinstance(r.body, Coverage)]
    assert all(not body.missed for body in covered)  # the downtime counts nothing in an epoch of an unknown clock …
    due = (event["began"] - 1 - START_S * 1000) // 10_000 + 1
    assert event["stopped"][METER] == due - 7  # … but here
    assert hands.records(METER)[-1].claims.clock == "S"
    assert times(hands)[-1] > (START_S + 7200) * 1000
    hands.end()
    check_books(loaded)


def test_a_clock_that_was_never_set_begins_when_the_software_was_made(loaded: Config) -> None:
    machine = Machine()
    machine.wall_ms, machine.kernel = 0, KernelClock(False, None)
    hands = Hands(loaded, machine)
    hands.poll(3)
    assert times(hands) == [BUILT_S * 1000 + n * 10_000 for n in range(3)]
    hands.end()
    check(loaded)


def test_a_step_forward_is_an_event_and_breaks_neither_order_nor_batches(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(10)
    hands.machine.wall_ms += HOUR_MS
    hands.poll(10)
    (event,) = hands.events(CLOCK)
    assert event["after"] - event["before"] == HOUR_MS
    assert "began" not in event
    gaps = [b - a for a, b in pairwise(times(hands))]
    assert sorted(gaps)[-1] == HOUR_MS + 10_000
    assert gaps.count(10_000) == 18
    hands.end()
    check(loaded)


def test_a_step_back_slows_record_times_until_the_clock_has_caught_up(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(10)
    hands.machine.wall_ms -= 60_000
    hands.poll(80)
    slow, caught = hands.events(CLOCK)
    assert slow["tenths"] == 9
    assert "tenths" not in caught
    gaps = [b - a for a, b in pairwise(times(hands))]
    assert set(gaps) <= {9_000, 9_100, 9_900, 10_000}
    assert gaps.count(9_000) >= 57  # 60 s at one second in ten
    assert abs(hands.clock.now_ms() - hands.machine.wall_ms) <= 1000
    records = hands.records(METER)
    assert [r.claims.clock for r in records[20:30]] == ["I"] * 10
    assert records[-1].claims.clock == "S"
    hands.end()
    check(loaded)


def test_a_database_from_the_future_is_caught_up_with(loaded: Config) -> None:
    machine = Machine()
    machine.wall_ms += 120_000
    ahead = Hands(loaded, machine)
    ahead.poll(2)
    ahead.store.close()
    right = Machine()  # the next start, with a clock that is right and behind the last record
    hands = Hands(loaded, right, epoch=b"\x02" * 8)
    assert not hands.clock.usable
    hands.poll(150)
    slow, caught = hands.events(CLOCK)
    assert (slow["clock"], caught["clock"]) == ("U", "S")
    assert "began" in caught
    assert times(hands) == sorted(times(hands))
    assert abs(hands.clock.now_ms() - right.wall_ms) <= 1000
    hands.end()
    check_books(loaded)


def test_an_unsynchronised_clock_behind_the_last_record_is_not_believed(loaded: Config) -> None:
    ahead = Hands(loaded)
    ahead.poll(2)
    ahead.store.close()
    machine = Machine()
    machine.wall_ms, machine.kernel = (START_S - 10**6) * 1000, KernelClock(False, None)
    hands = Hands(loaded, machine, epoch=b"\x02" * 8)
    hands.poll(5)
    assert hands.events(CLOCK) == []
    assert hands.records(METER)[-1].claims.clock == "U"
    hands.store.close()


def test_a_restart_behind_a_step_counts_the_downtime_by_the_new_course(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(10)
    hands.machine.wall_ms += HOUR_MS
    hands.poll(3)
    hands.store.close()  # killed
    hands.machine.passes(100)
    again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
    again.end()
    check(loaded)
    store = Database(loaded.database, read_only=True)
    last = store.records.newest(METER, "coverage")
    store.close()
    assert last is not None


def test_a_first_poll_that_is_late_when_record_times_are_right_again_is_due_once(loaded: Config) -> None:
    """By the full course it seems to be due before the epoch began: slowed record times have fallen behind by then."""
    killed = Hands(loaded)
    killed.poll(3)
    killed.store.close()
    hands = Hands(loaded, killed.machine, epoch=b"\x02" * 8)
    for change_ms in (-5_000, 5_000):
        hands.machine.wall_ms += change_ms
        hands.machine.passes(4)
        hands.journal.keep_time()
    assert len(hands.events(CLOCK)) == 2
    hands.poll(5)
    hands.end()
    check(loaded)


def test_a_correction_that_cannot_be_written_is_noted_later(loaded: Config) -> None:
    machine = Machine()
    store = FrailStore(loaded.database, machine)
    hands = Hands(loaded, machine, store=lambda _: store)
    hands.poll(5)
    machine.wall_ms += HOUR_MS
    machine.passes(2)
    store.fates = [("refused", 0.0)]
    hands.journal.keep_time()
    assert hands.journal.trouble is not None
    assert hands.clock.now_ms() == machine.wall_ms
    hands.poll(5)
    assert hands.journal.trouble is None
    assert len(hands.events(CLOCK)) == 1
    hands.end()
    check(loaded)


def test_what_a_slow_disk_delays_is_not_taken_for_the_moment_of_the_correction(loaded: Config) -> None:
    machine = Machine()
    store = FrailStore(loaded.database, machine)
    hands = Hands(loaded, machine, store=lambda _: store)
    hands.poll(3)
    machine.wall_ms -= 60_000
    before_ms = hands.clock.now_ms()
    hands.journal.poll(finished(METER, hands.anchor_ms + 30_000, hands.clock))
    store.fates = [("good", 20.0)]
    hands.journal._mind_the_clock(hands.clock.schedule_ms())
    (event,) = hands.events(CLOCK)
    assert event["before"] == before_ms + 20_000
    assert hands.clock.now_ms() == before_ms + 20_000
    hands.store.close()


def test_polls_whose_slowed_period_is_no_whole_number_do_not_go_astray(loaded: Config) -> None:
    hands = Often(loaded, periods_ms=dict.fromkeys(loaded.meters, Often.EVERY_MS))
    hands.poll(5)
    hands.machine.wall_ms -= 10_000
    hands.poll(325)
    assert len(hands.events(CLOCK)) == 2
    last_ms, apart = 0, set()
    for record in hands.records(METER):
        if isinstance(record.body, Coverage):
            apart.add(last_ms - record.body.to_ms)
        elif isinstance(record.body, Reading):
            last_ms = record.time_ms
    apart.remove(-hands.anchor_ms)  # before the first reading
    assert max(apart) - min(apart) <= STEP_MS + 60  # what they lose until the next cut
    hands.end()
    check(loaded)


@pytest.mark.parametrize("kernel", [KernelClock(True, 5), KernelClock(False, None)])
def test_a_clock_that_is_right_is_left_alone(loaded: Config, kernel: KernelClock) -> None:
    machine = Machine()
    machine.kernel = kernel
    hands = Hands(loaded, machine)
    hands.poll(20)
    assert hands.events(CLOCK) == []
    flags = {v.quality for r in hands.records(METER) if isinstance(r.body, Reading) for v in r.body.values}
    assert not any(flag & Quality.CLOCK_STEP for flag in flags)
    hands.end()
    check(loaded)


def test_a_clock_that_was_an_hour_ahead_for_seven_seconds_moves_no_record_time(loaded: Config) -> None:
    machine = Machine()
    machine.kernel = KernelClock(False, None)
    hands = Hands(loaded, machine)
    hands.poll(3)
    machine.wall_ms += HOUR_MS
    hands.poll(1)  # ten seconds, with looks at the clock
    machine.wall_ms -= HOUR_MS
    hands.poll(10)
    assert hands.events(CLOCK) == []
    assert [b - a for a, b in pairwise(times(hands))] == [10_000] * 13
    assert times(hands)[-1] == machine.wall_ms - 10_000
    hands.end()
    check(loaded)


def test_a_clock_that_stands_an_hour_ahead_is_followed_after_a_minute_by_a_signed_event(loaded: Config) -> None:
    machine = Machine()
    machine.kernel = KernelClock(False, None)
    hands = Hands(loaded, machine)
    hands.poll(3)
    machine.wall_ms += HOUR_MS
    hands.poll(10)
    (event,) = hands.events(CLOCK)
    assert event["after"] - event["before"] == HOUR_MS
    letters = [record.claims.clock for record in hands.records(METER) if isinstance(record.body, Reading)]
    assert letters == ["I"] * 3 + ["U"] * 7 + ["I"] * 3
    hands.end()
    check(loaded)
