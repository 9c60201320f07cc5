"""What is due by hearing: on a grid, or by arriving; and that anyone can count it again from the record times alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from gateway.fieldbus.listening.expected import Expected, Series, State
from ledger_client.recording_series import misses

EVERY, ANCHOR = 60_000, 1_000_000


def counted(expected: Expected, arrivals: Sequence[int], until: int) -> tuple[list[int], list[int]]:
    """The due times of records and of misses, as a line counts them: each wait ends at its own time."""
    recorded: list[int] = []
    missed: list[int] = []

    def wait(at: int) -> None:
        while expected.ends_ms <= at:
            missed.extend(expected.missed(expected.ends_ms))
        missed.extend(expected.missed(at))

    for at in arrivals:
        wait(at)
        if (due := expected.heard(at)) is not None:
            recorded.append(due)
    wait(until)
    return recorded, missed


# — a state: the polls' own grid —


def test_the_first_message_of_a_window_is_the_poll_and_an_empty_window_is_a_miss() -> None:
    arrivals = [ANCHOR, ANCHOR + 10_000, ANCHOR + EVERY + 59_999, ANCHOR + 3 * EVERY, ANCHOR + 3 * EVERY + 1]
    recorded, missed = counted(State(EVERY, ANCHOR), arrivals, ANCHOR + 5 * EVERY)
    assert recorded == [ANCHOR, ANCHOR + EVERY, ANCHOR + 3 * EVERY]
    assert missed == [ANCHOR + 2 * EVERY, ANCHOR + 4 * EVERY]


def test_no_message_before_the_anchor_is_a_poll() -> None:
    assert State(EVERY, ANCHOR).heard(ANCHOR - 1) is None


def test_a_line_that_is_opened_again_goes_on_with_the_grid_of_before() -> None:
    state = State(EVERY, ANCHOR, ANCHOR + 90_000)
    assert state.missed(ANCHOR + 3 * EVERY - 1) == []
    assert state.missed(ANCHOR + 3 * EVERY) == [ANCHOR + 2 * EVERY]


@pytest.mark.parametrize("seed", range(20))
def test_every_poll_of_a_grid_is_recorded_or_missed_once(seed: int) -> None:
    rng, until = random.Random(seed), ANCHOR + 40 * EVERY
    arrivals = sorted(rng.randrange(ANCHOR, until) for _ in range(rng.randrange(60)))
    recorded, missed = counted(State(EVERY, ANCHOR), arrivals, until)
    assert sorted([*recorded, *missed]) == list(range(ANCHOR, until, EVERY))
    assert recorded == sorted({ANCHOR + (at - ANCHOR) // EVERY * EVERY for at in arrivals})


# — a series: every message is a record —


def test_drift_and_jitter_below_a_quarter_of_the_period_cost_nothing() -> None:
    rng, period = random.Random(7), EVERY + 300
    arrivals = [ANCHOR + k * period + rng.randrange(-EVERY // 4 + 1, EVERY // 4) for k in range(1, 500)]
    recorded, missed = counted(Series(EVERY, ANCHOR), arrivals, arrivals[-1] + EVERY)
    assert (recorded, missed) == (arrivals, [])


def test_a_faster_logger_only_adds() -> None:
    arrivals = list(range(ANCHOR + 5_000, ANCHOR + 20 * EVERY, 7_000))
    assert counted(Series(EVERY, ANCHOR), arrivals, arrivals[-1]) == (arrivals, [])


def test_a_miss_is_certain_one_period_and_a_half_behind_the_last_moment_and_lies_one_behind_it() -> None:
    series = Series(EVERY, ANCHOR)
    assert series.ends_ms == ANCHOR + 90_000
    assert series.missed(ANCHOR + 89_999) == []
    assert series.missed(ANCHOR + 90_000) == [ANCHOR + EVERY]
    assert series.heard(ANCHOR + 90_001) == ANCHOR + 90_001
    assert series.ends_ms == ANCHOR + 180_001


def test_a_late_record_is_due_and_no_moment() -> None:
    series = Series(EVERY, ANCHOR)
    assert series.heard(ANCHOR + 50_000, late=True) == ANCHOR + 50_000
    assert series.ends_ms == ANCHOR + 90_000


@pytest.mark.parametrize("seed", range(20))
def test_the_misses_of_a_series_are_counted_again_from_the_record_times_alone(seed: int) -> None:
    rng = random.Random(seed)
    arrivals, at = [], ANCHOR
    for _ in range(200):
        at += rng.choice([rng.randrange(1, EVERY), rng.randrange(EVERY, 9 * EVERY), EVERY * 3 // 2, EVERY * 5 // 2])
        arrivals.append(at)
    recorded, missed = counted(Series(EVERY, ANCHOR), arrivals, arrivals[-1])
    assert recorded == arrivals
    assert len(missed) == sum(misses(EVERY, a, b) for a, b in pairwise([ANCHOR, *arrivals]))
    assert len({*recorded, *missed}) == len(recorded) + len(missed)


@pytest.mark.parametrize("seed", range(20))
def test_a_restart_goes_on_from_the_last_moment_and_nothing_is_counted_twice_or_forgotten(seed: int) -> None:
    rng = random.Random(seed)
    arrivals = [ANCHOR + k * EVERY + rng.randrange(EVERY // 5) for k in range(1, 30) if rng.random() < 0.6]
    stopped_ms, anchor = ANCHOR + 12 * EVERY + rng.randrange(EVERY), ANCHOR + 15 * EVERY + rng.randrange(EVERY)
    before = Series(EVERY, ANCHOR)
    recorded, missed = counted(before, [at for at in arrivals if at < stopped_ms], stopped_ms)
    last = max([ANCHOR, *recorded, *missed])
    stopped = misses(EVERY, last, anchor)
    behind = [at for at in arrivals if at >= anchor]
    again, lost = counted(Series(EVERY, anchor, last), behind, arrivals[-1])
    kept = [at for at in arrivals if not stopped_ms <= at < anchor]
    assert [*recorded, *again] == kept
    assert len(missed) + stopped + len(lost) == sum(misses(EVERY, a, b) for a, b in pairwise([ANCHOR, *kept]))
