"""Coverage is arithmetic: every due poll counted once, intervals that tile, downtime as stopped."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.coverage import CoverageCounter, first_coverage
from gateway.storage.rows import Tail
from ledger_client.formats.record import Coverage
from ledger_client.recording_grid import due_between, due_by


@given(st.integers(0, 50), st.integers(1, 20), st.integers(0, 100), st.integers(0, 100))
def test_due_polls_are_those_of_the_grid(anchor: int, period: int, start: int, length: int) -> None:
    end = start + length
    counted = [t for t in range(anchor, 200, period) if start <= t < end]
    assert due_between(anchor, period, start, end) == len(counted)


@given(st.integers(1, 20), st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_intervals_that_tile_count_every_poll_once(period: int, lengths: list[int]) -> None:
    borders = [0]
    for length in lengths:
        borders.append(borders[-1] + length)
    parts = [due_between(0, period, a, b) for a, b in pairwise(borders)]
    assert sum(parts) == due_between(0, period, 0, borders[-1])


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), min_size=1, max_size=5),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_each_grid_counts_until_a_later_one_begins(grids: list[tuple[int, int]], start: int, length: int) -> None:
    end = start + length
    counted = 0
    for n, (anchor, period) in enumerate(grids):
        until = min((later for later, _ in grids[n + 1 :]), default=end)
        counted += sum(start <= t < min(end, until) for t in range(anchor, end, period or end + 1) if period)
    assert due_by(grids, start, end) == counted


def test_downtime_is_counted_by_every_grid_that_was_in_force() -> None:
    tail = Tail(b"", covered_to_ms=10_001, recorded_since=2, grids=[(0, 1000), (13_500, 0), (14_000, 500)])
    covered = first_coverage(tail, 16_000, clock_usable=True)
    assert covered == Coverage(10_001, 16_000, 3 + 4, 2, {"stopped": 5})


def test_a_new_meter_begins_with_an_empty_interval() -> None:
    assert first_coverage(None, 5000, clock_usable=True) == Coverage(5000, 5000, 0, 0, {})


def test_downtime_is_counted_by_the_schedule_that_was_left() -> None:
    tail = Tail(b"", covered_to_ms=10_001, recorded_since=2, grids=[(0, 1000)])
    covered = first_coverage(tail, 20_500, clock_usable=True)
    assert covered == Coverage(10_001, 20_500, 10, 2, {"stopped": 8})


def test_with_an_unusable_clock_downtime_counts_nothing() -> None:
    tail = Tail(b"", covered_to_ms=10_001, recorded_since=2, grids=[(0, 1000)])
    assert first_coverage(tail, 20_500, clock_usable=False) == Coverage(10_001, 20_500, 2, 2, {})


def test_a_tally_tiles_and_adds_up() -> None:
    tally = CoverageCounter(0, 0, 1000)
    for due, reason in ((0, None), (1000, "timeout"), (2000, None), (3000, "timeout")):
        tally.finished(due, reason)
    tally.lost_after_all("disk-full")
    first = tally.coverage()
    tally.start_over()
    tally.finished(4000, None)
    second = tally.coverage()
    assert first == Coverage(0, 3001, 4, 1, {"disk-full": 1, "timeout": 2})
    assert second == Coverage(3001, 4001, 1, 1, {})


@pytest.mark.parametrize("due", [0, 1000])
def test_the_interval_holds_the_due_time_of_its_last_poll(due: int) -> None:
    tally = CoverageCounter(0, 0, 1000)
    tally.finished(due, None)
    assert tally.coverage().from_ms <= due < tally.coverage().to_ms
