"""Accounting of polls alone: thinning, a clock that is corrected, and readings that the disk did not keep."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.recording.coverage import CoverageCounter
from gateway.recording.poll_counts import Accounting

METER, PERIOD_MS = "meter-a", 1_000


def accounting() -> tuple[Accounting, int]:
    clock = Clock()
    made, anchor_ms = Accounting(clock), clock.now_ms()
    made.counters[METER] = CoverageCounter(anchor_ms, anchor_ms, PERIOD_MS)
    return made, anchor_ms


def test_every_nth_poll_is_wanted_once_the_thinned_grid_is_taken() -> None:
    made, anchor_ms = accounting()
    thinned = made.grids_thinned(5)
    due_ms = thinned[METER].due_ms
    made.take(thinned)
    counter = made.counters[METER]
    assert isinstance(counter, CoverageCounter)
    assert [n for n in range(11) if counter.wanted(due_ms + n * PERIOD_MS)] == [0, 5, 10]
    assert made.counted_to_ms()[METER] >= anchor_ms


def test_a_grid_that_follows_the_clock_is_not_astray() -> None:
    made, _ = accounting()
    assert made.grids_astray() == {}
    assert set(made.grids_from_now()) == {METER}


def test_grids_that_no_commit_has_noted_are_noted_with_the_next() -> None:
    made, anchor_ms = accounting()
    made.unnoted = [(METER, anchor_ms, PERIOD_MS)]
    assert made.to_note([("meter-b", anchor_ms, 500)]) == [(METER, anchor_ms, PERIOD_MS), ("meter-b", anchor_ms, 500)]
