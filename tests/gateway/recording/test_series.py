"""Series: what is due of a meter that sends unasked is counted from record times, and an audit counts the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.sealing import seal_next
from gateway.fieldbus.listening.expected import Series
from gateway.recording.config_change import Change
from gateway.recording.coverage import RecordingGrid, SeriesCounter
from gateway.recording.journal import Journal
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.audit.result import COVERAGE, DUE, Audit
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.recording_series import series_count
from tests.gateway.recording.hearing import METER, as_series
from tests.support.audited import audited
from tests.support.books import check_books
from tests.support.clock_history import FrailStore
from tests.support.samples import Machine, site

EVERY_MS = 60_000
PERIODS_MS = {METER: EVERY_MS, "stack-co2": 3_600_000, "pv-inverter": 3_600_000}


class Listener:
    """A gateway with one series, whose line is the shipped pure rule, on a machine whose time a test advances."""

    def __init__(self, loaded: Config, machine: Machine | None = None, periods_ms: Mapping[str, int] = PERIODS_MS):
        self.loaded, self.machine, self.periods_ms = loaded, machine or Machine(), periods_ms
        self.epochs = 0
        self.start()

    def start(self) -> None:
        """Begin an epoch."""
        self.epochs += 1
        self.store = FrailStore(self.loaded.database, self.machine)
        self.clock = self.machine.clock(self.store.records.latest_ms())
        rules = self.rules()
        keys, epoch = load_keys(self.loaded), self.epochs.to_bytes(8, "big")
        self.journal = Journal(self.store, keys, rules, self.clock, epoch)
        self.issuer = rules.issuer(keys.statement)
        anchor_ms = self.journal.open()
        if METER in self.periods_ms:
            self.line = Series(self.periods_ms[METER], anchor_ms, self.journal.last_moment(METER))

    def rules(self) -> Rules:
        """What is configured at present."""
        return replace(
            Rules.of(self.loaded),
            periods_ms=dict(self.periods_ms),
            configured=as_series(self.loaded),
            seal_every_ms=1 << 40,
            seal_count=1 << 40,
        )

    def change(self, anew: Collection[str]) -> None:
        """Another configuration is taken over, and the line begins again if it is among ``anew``."""
        self.journal.taken_in(Timestamp.now(self.clock))
        facts = {"before": bytes(32), "added": [], "removed": [], "anew": sorted(anew)}
        anchor_ms = self.journal.change(Change(self.rules(), load_keys(self.loaded), anew, facts))
        if METER in anew:
            self.line = Series(self.periods_ms[METER], anchor_ms, self.journal.last_moment(METER))

    def wait(self, seconds: float, reason: str = "timeout") -> None:
        """Time goes by, and the line tells what has not come."""
        left_ms = round(seconds * 1000)
        while left_ms > 0:
            step_ms = min(left_ms, 7_000)
            self.machine.passes(step_ms / 1000)
            left_ms -= step_ms
            for due_ms in self.line.missed(self.clock.schedule_ms()):
                self.journal.poll(PollResult(METER, due_ms, None, Timestamp.now(self.clock), reason))
            self.journal.taken_in(Timestamp.now(self.clock))
            self.journal.keep_time()

    def hear(self, *, late: bool = False) -> None:
        """A message comes."""
        due_ms = self.line.heard(self.clock.schedule_ms(), late=late)
        assert due_ms is not None
        now = Timestamp.now(self.clock)
        value = Value("count", 1, "count", int(Quality.LATE) if late else 0)
        self.journal.poll(PollResult(METER, due_ms, Reading(now.time_ms, (value,)), now))

    def stop(self) -> None:
        """An orderly stop."""
        self.journal.finish()
        self.store.close()

    def kill(self) -> None:
        """SIGKILL: what is pending is lost."""
        self.store.close()

    def sealed(self) -> None:
        """Cut here, and seal."""
        self.journal.cut()
        while self.store.batches.cuts():
            seal_next(self.store, self.issuer, self.clock.now_ms())

    def coverage(self) -> list[Coverage]:
        """Of the series, in order."""
        store = Database(self.loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == METER]
        store.close()
        return [body for body in bodies if isinstance(body, Coverage)]

    def counts(self) -> dict[str, int]:
        """What was due, recorded, and missed, over all."""
        total = Counter[str]()
        for body in self.coverage():
            total.update({"due": body.due, "recorded": body.recorded, **body.missed})
        return {key: n for key, n in total.items() if n}


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def good(loaded: Config, tmp_path: Path) -> Audit:
    check_books(loaded)
    result = audited(loaded, tmp_path / "exports")
    assert result.findings == []
    return result


def test_every_message_was_due_and_silence_is_missed_once_a_period(loaded: Config, tmp_path: Path) -> None:
    made = Listener(loaded)
    for seconds in (60, 55, 70, 20, 88):  # drift, jitter, a faster one: nothing is missed
        made.wait(seconds)
        made.hear()
    assert made.counts() == {}
    made.wait(5 * 60 + 29)  # five certain: at 1, 2, 3, 4 periods, and the fifth only half a period later
    made.sealed()
    assert made.counts() == {"due": 9, "recorded": 5, "timeout": 4}
    made.wait(2)
    made.sealed()
    assert made.counts() == {"due": 10, "recorded": 5, "timeout": 5}
    made.stop()
    result = good(loaded, tmp_path)
    audited = result.meters[METER]
    assert (audited.due, audited.recorded, dict(audited.missed)) == (10, 5, {"timeout": 5})


def test_what_is_uploaded_later_is_recorded_and_takes_no_expected_ones_place(loaded: Config, tmp_path: Path) -> None:
    made = Listener(loaded)
    made.wait(220, "line-down")
    for _ in range(3):
        made.hear(late=True)
    made.wait(10)
    made.hear()
    made.sealed()
    assert made.counts() == {"due": 4 + 3, "recorded": 4, "line-down": 3}
    made.stop()
    good(loaded, tmp_path)


@pytest.mark.parametrize("killed", [True, False])
def test_a_restart_goes_on_from_the_last_moment(loaded: Config, tmp_path: Path, killed: bool) -> None:
    made = Listener(loaded)
    made.wait(60)
    made.hear()
    made.journal.flush()
    made.wait(10)
    (made.kill if killed else made.stop)()
    made.machine.passes(30)  # 40 s behind the last moment: it may still come in time
    made.start()
    made.wait(45)
    made.hear()
    made.sealed()
    assert made.counts() == {"due": 2, "recorded": 2}
    made.kill()
    made.machine.passes(60 * 10 + 31)  # ten are certain
    made.start()
    made.sealed()
    assert made.counts() == {"due": 12, "recorded": 2, "stopped": 10}
    made.wait(30)
    made.hear()
    made.sealed()
    assert made.counts() == {"due": 13, "recorded": 3, "stopped": 10}
    made.stop()
    good(loaded, tmp_path)


def test_another_period_or_way_of_counting_begins_with_the_epoch(loaded: Config, tmp_path: Path) -> None:
    made = Listener(loaded)
    made.wait(60)
    made.hear()
    made.sealed()
    made.stop()
    made.machine.passes(200)
    made.periods_ms = {**PERIODS_MS, METER: 10_000}
    made.start()
    assert made.coverage()[-1].missed == {"stopped": 3}
    made.wait(10)
    made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 5, "recorded": 2, "stopped": 3}
    good(loaded, tmp_path)


def test_a_change_ends_a_series_and_begins_another(loaded: Config, tmp_path: Path) -> None:
    made = Listener(loaded)
    made.wait(60)
    made.hear()
    made.machine.passes(100)  # the line is closed: one is certainly missed
    made.periods_ms = {**PERIODS_MS, METER: 20_000}
    made.change([METER])
    for _ in range(3):
        made.wait(20)
        made.hear()
    made.periods_ms = {name: every_ms for name, every_ms in PERIODS_MS.items() if name != METER}
    made.change([])
    assert made.journal.last_moment(METER) is None
    made.machine.passes(1000)  # out of the configuration
    made.sealed()
    made.periods_ms = PERIODS_MS
    made.change([METER])
    made.wait(60)
    made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 7, "recorded": 5, "stopped": 1, "timeout": 1}  # expected by the new period
    good(loaded, tmp_path)


def test_a_clock_that_is_set_back_while_messages_wait_for_the_disk(loaded: Config, tmp_path: Path) -> None:
    """They are counted before the grid of slowed times begins: it would begin behind them, and far from the last."""
    made = Listener(loaded, periods_ms={**PERIODS_MS, METER: 1000})
    for _ in range(3):
        made.wait(1)
        made.hear()
    waiting = []
    for _ in range(20):
        made.machine.passes(1)
        due_ms, now = made.line.heard(made.clock.schedule_ms()), Timestamp.now(made.clock)
        assert due_ms is not None
        waiting.append(PollResult(METER, due_ms, Reading(now.time_ms, (Value("count", 1, "count"),)), now))
    made.machine.wall_ms -= 60_000
    made.journal.keep_time()
    for poll in waiting:
        made.journal.poll(poll)
    for _ in range(5):
        made.wait(1)
        made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 28, "recorded": 28}
    good(loaded, tmp_path)


@pytest.mark.parametrize("by", ["reload", "start"])
def test_a_series_that_a_start_left_out_comes_back(loaded: Config, tmp_path: Path, by: str) -> None:
    """What was due before it was left out is counted as that of a series, also where the last configuration does not
    know it."""
    made = Listener(loaded)
    for seconds in (60, 80, 80):
        made.wait(seconds)
        made.hear()
    made.journal.flush()
    made.kill()
    made.machine.passes(200)
    made.periods_ms = {name: every_ms for name, every_ms in PERIODS_MS.items() if name != METER}
    made.start()
    made.machine.passes(300)
    made.periods_ms = PERIODS_MS
    if by == "reload":
        made.change([METER])
    else:
        made.stop()
        made.start()
    made.wait(60)
    made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 7, "recorded": 4, "stopped": 3}
    good(loaded, tmp_path)


def test_an_epoch_without_a_clock_is_dated_and_what_was_missed_before_it_counted(
    loaded: Config, tmp_path: Path
) -> None:
    made = Listener(loaded)
    for _ in range(2):
        made.wait(60)
        made.hear()
    made.sealed()
    made.wait(60)
    made.hear()
    made.journal.flush()
    made.kill()
    made.machine.passes(600)
    true_ms, made.machine.kernel = made.machine.wall_ms, KernelClock(False, None)
    made.machine.wall_ms = 1_000_000_000_000  # it woke up in 2001
    made.start()
    assert made.coverage()[-1].due == 1
    made.wait(60)
    made.hear()
    made.machine.wall_ms += true_ms - 1_000_000_000_000
    made.machine.kernel = KernelClock(True, 20)
    made.wait(10)
    made.wait(50)
    made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 5, "recorded": 5}
    check_books(loaded)
    result = audited(loaded, tmp_path / "exports")
    assert [finding for finding in result.findings if finding.step in (DUE, COVERAGE)] == []
    audited_meter = result.meters[METER]
    assert (audited_meter.due, audited_meter.recorded, dict(audited_meter.missed)) == (
        14,
        5,
        {"stopped": 9},
    )  # the tenth was not certain


def test_messages_that_a_failed_commit_lost_were_expected_for_nothing(loaded: Config, tmp_path: Path) -> None:
    made = Listener(loaded)
    for _ in range(2):
        made.wait(60)
        made.hear()
    made.journal.flush()
    made.store.fates = [("refused", 0.0)] * 10_000
    for _ in range(3):
        made.wait(60)
        made.hear()
    made.wait(30)
    made.store.fates = []
    made.wait(31)
    assert made.journal.trouble is None
    made.hear()
    made.sealed()
    made.stop()
    assert made.counts() == {"due": 6, "recorded": 3, "disk-error": 3}
    good(loaded, tmp_path)


def test_a_message_that_was_complete_before_its_miss_was_certain_is_none(loaded: Config) -> None:
    """The line's timer may come before the message that the socket holds already."""
    counter = SeriesCounter(0, 0, 1000, 0, 0)
    counter.waited(1_500, "timeout")
    assert counter.coverage() == Coverage(0, 1001, 1, 0, {"timeout": 1})
    counter.heard(1_499, 1_499, late=False)
    assert counter.coverage() == Coverage(0, 1500, 1, 1, {})


def test_a_message_from_before_a_correction_moves_neither_of_the_two_clocks_last_moments() -> None:
    """It waited for the writer, which set the clock forward meanwhile; the moment that was moved along stays the last,
    and the next correction begins there."""
    counter = SeriesCounter(0, 0, 1000, 0, 0)
    counter.take(RecordingGrid(0, 1000, 4_600, 1000))
    counter.heard(900, 900, late=False)
    assert (counter.last_ms, counter.last_due_ms) == (4_600, 0)
    counter.heard(5_900, 1_300, late=False)
    assert (counter.last_ms, counter.last_due_ms) == (5_900, 1_300)


def test_a_message_that_waited_while_the_clock_was_set_forward_leads_no_moment_into_the_future() -> None:
    """Misses are counted from its record time over the jump; the schedule's moment is that of this record time."""
    counter = SeriesCounter(0, 0, 1000, 0, 0)
    counter.take(RecordingGrid(0, 1000, 3_000, 1000))  # set forward by 3 s
    counter.heard(3_500, 3_500, late=False)
    assert (counter.last_ms, counter.last_due_ms) == (3_500, 500)
    counter.waited(6_600, "timeout")
    assert (counter.last_ms, counter.last_due_ms) == (5_500, 2_500)
    assert counter.time_of(2_500) == 5_500


def test_changes_that_follow_each_other_count_what_did_not_come(loaded: Config, tmp_path: Path) -> None:
    """Each began the series anew, so that nothing was ever missed where changes came faster than one and a half
    periods."""
    made = Listener(loaded, periods_ms={**PERIODS_MS, METER: 1000})
    made.wait(1)
    made.hear()
    for _ in range(5):
        made.machine.passes(0.95)
        made.change([METER])
    made.wait(1)
    made.hear()
    made.sealed()
    made.stop()
    counts = made.counts()
    assert (counts["due"], counts["recorded"], counts["stopped"] + counts["timeout"]) == (7, 2, 5)
    good(loaded, tmp_path)


# — any history —


def history(loaded: Config, chance: random.Random) -> Listener:
    """Two to five epochs, with clocks that step, disks that fail, and kills."""
    made = Listener(loaded)
    for _ in range(chance.randint(2, 5)):
        for _ in range(chance.randint(5, 40)):
            _happens(made, chance)
        if chance.random() < 0.5:
            made.stop()
        else:
            made.kill()
        made.machine.passes(chance.choice([0, 1, 40, 95, 1000]))
        if chance.random() < 0.2:
            made.periods_ms = {**PERIODS_MS, METER: chance.choice([EVERY_MS, 10_000, 250_000])}
        made.start()
    made.sealed()
    made.stop()
    return made


def _happens(made: Listener, chance: random.Random) -> None:
    what = chance.random()
    every_s = made.periods_ms[METER] / 1000
    if what < 0.55:
        made.wait(every_s * chance.uniform(0.3, 1.3))
        made.hear(late=chance.random() < 0.1)
    elif what < 0.7:
        made.wait(every_s * chance.uniform(0.1, 6), chance.choice(["timeout", "line-down"]))
    elif what < 0.8:
        made.machine.wall_ms += chance.choice([-60_000, -400, 400, 60_000, 3_600_000])
        made.wait(3)
    elif what < 0.9:
        made.sealed() if made.journal.trouble is None else None
    else:
        made.store.fates = [("refused", 0.0)] * chance.randint(1, 3)


@pytest.mark.parametrize("seed", range(24))
def test_any_history_is_counted_the_same_from_its_records_alone(loaded: Config, tmp_path: Path, seed: int) -> None:
    made = history(loaded, random.Random(seed))
    check_books(loaded)
    result = audited(loaded, tmp_path / "exports")  # the ledger's times are the gateway's own, and wrong with them
    assert [finding for finding in result.findings if finding.step in (DUE, COVERAGE)] == []
    audited_meter, counts = result.meters[METER], made.counts()
    assert audited_meter.readings == counts["recorded"]
    assert counts["due"] == counts["recorded"] + sum(n for key, n in counts.items() if key not in ("due", "recorded"))


# — a dishonest gateway —


def _forgets_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeriesCounter, "_miss", lambda self, count: None)


def _stretches_its_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SeriesCounter.coverage

    def longer(self: SeriesCounter) -> Coverage:
        self.to_ms += 20_000
        return whole(self)

    monkeypatch.setattr(SeriesCounter, "coverage", longer)


def _tells_a_longer_period(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SeriesCounter.waited

    def patient(self: SeriesCounter, now_ms: int, reason: str) -> None:
        self._step_ms = 10 * EVERY_MS
        before(self, now_ms, reason)

    monkeypatch.setattr(SeriesCounter, "waited", patient)


@pytest.mark.parametrize("how", [_forgets_misses, _stretches_its_coverage, _tells_a_longer_period])
def test_a_gateway_that_drops_messages_and_does_not_say_so_is_found(
    loaded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[pytest.MonkeyPatch], None]
) -> None:
    how(monkeypatch)
    made = Listener(loaded)
    for dropped in (False, False, True, True, True, False):
        made.wait(60)
        if not dropped:
            made.hear()
    made.sealed()
    made.stop()
    found = audited(loaded, tmp_path / "exports").findings
    assert DUE in {finding.step for finding in found if finding.record and METER in str(finding.record)}


@pytest.mark.parametrize("lag_ms", [0, 50, 3000])
def test_a_gateway_that_was_held_up_takes_back_all_that_it_told_missed(lag_ms: int) -> None:
    """Messages that were complete some time before the misses that were recorded: the count is that of their times."""
    for seed in range(100):
        chance, now_ms, times_ms = random.Random(seed), 0, [0]
        counter = SeriesCounter.begin(RecordingGrid(0, 1000, 0, 1000), 0)
        for _ in range(30):
            now_ms += chance.choice((200, 700, 1000, 1000, 1400, 1600, 2600, 4000))
            if chance.random() < 0.5:
                counter.waited(now_ms, "timeout")
            else:
                times_ms.append(max(times_ms[-1], now_ms - chance.randint(0, lag_ms)))
                counter.heard(times_ms[-1], times_ms[-1], late=False)
        coverage = counter.coverage()
        count = series_count([(0, 1000)], coverage.from_ms, times_ms[1:])
        assert count.ends(coverage.to_ms)
        assert (seed, coverage.due, min([0, *coverage.missed.values()])) == (seed, coverage.recorded + count.missed, 0)
