"""Polls by the hour: recounted from the records of any history, and what sleep, thinning and downtime come to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gateway.clock import HOUR_MS
from gateway.history import poll_counts
from gateway.history.poll_counts import count_clock, count_meter, write
from gateway.history.poll_hours import HourCount, Readings
from gateway.recording.announcements import series_of
from gateway.storage.database import Database
from gateway.storage.poll_tables import Counted, Polls
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.recording_grid import Grid
from tests.support.clock_history import History
from tests.support.samples import site

SPAN_MS = 7_000
"""So that a history of a few minutes has many hours."""
Row = tuple[str, int, object]
"""Kind, time and body of a record."""


def slots(grids: Sequence[Grid]) -> dict[int, int]:
    """Every due time up to an hour behind the last beginning, one by one, with the step of its grid: each grid counts
    until a later one begins."""
    found, end = dict[int, int](), max(begins for begins, _ in grids) + HOUR_MS
    for begins, period in reversed(grids):
        if period:
            found |= dict.fromkeys(range(begins, end, period), period)
        end = min(end, begins)
    return found


def check(grids: Sequence[Grid], rows: Sequence[Row], hours: dict[int, Polls], *, series: bool) -> Counter[str]:
    """The hours of a meter against its records, read by another way. ``rows``: its own, and the gateway's events."""
    steps, times, done = slots(grids), list[int](), Counter[str]()
    total, due, recorded, doubtful = Counter[str](), Counter[int](), Counter[int](), set[int]()
    for kind, time_ms, body in rows:
        times += [time_ms] if kind == "reading" else []
        if isinstance(body, int):  # polls that a clock event says were due: it does not say when
            total["due"] += body
            doubtful |= hours.keys()
            done["dated"] += 1
        if not isinstance(body, Coverage):
            continue
        assert body.recorded == len(times)
        total += Counter(due=body.due, recorded=body.recorded)
        here = sorted(at for at in steps if body.from_ms <= at < body.to_ms)
        due_in = Counter(at - at % SPAN_MS for at in here)
        answered = [
            max((at for at in here if at <= t + min(1000, steps[at] // 10)), default=here[0]) for t in times if here
        ]
        recorded_in = Counter(at - at % SPAN_MS for at in answered) if body.recorded < body.due else due_in
        if series or len(here) != body.due or not recorded_in <= due_in:
            doubtful |= {at - at % SPAN_MS for at in (body.from_ms, *here, *times, body.to_ms - 1)}
        due.update(due_in)
        recorded.update(recorded_in)
        done["cut"] += len(due_in) > 1 and 0 < body.recorded < body.due
        times = []
    assert sum(polls.due for polls in hours.values()) == total["due"]
    assert sum(polls.recorded for polls in hours.values()) == total["recorded"]
    for at, polls in hours.items():
        assert 0 <= polls.recorded <= polls.due - polls.asleep
        if at not in doubtful:
            assert (polls.due, polls.recorded) == (due[at], recorded[at]), at
            done["exact"] += 1
    return done


@pytest.mark.parametrize(("seeds", "holds"), [((2, 3), ("exact", "cut")), ((7, 11), ("exact", "cut", "dated"))])
def test_every_history_counts_by_the_hour_what_its_records_count(
    seeds: Sequence[int], holds: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_counts, "MANY", 3)  # so that the count stops and goes on in the midst of everything
    loaded, done = site(tmp_path / "site"), Counter[str]()
    for seed in seeds:
        history = History(loaded, random.Random(seed))
        history.run(2)
        history.end()
        store = Database(loaded.database)
        meters = sorted({name for name, *_ in store.epochs.schedules()})
        series = series_of(store.records, meters)
        now_ms = store.records.latest_ms() or 0
        while steps := [
            *(s for m in meters if (s := count_meter(store, m, now_ms, series=m in series, span_ms=SPAN_MS))),
            *count_clock(store, now_ms, SPAN_MS),
        ]:
            write(store, steps, 0)
        records = [(row, parse_record(row.data).body) for row in store.records.rows(1, 1 << 60)]
        for meter in meters:
            found = store.all("SELECT start_ms, due, recorded, asleep FROM poll_hours WHERE meter = ?", meter)
            rows: list[Row] = [(row.kind, row.time_ms, body) for row, body in records if row.meter == meter]
            stopped = [body.fields.get("stopped", {}) for _, body in records if isinstance(body, Event)]
            rows += [("event", 0, fields[meter]) for fields in stopped if fields.get(meter)]
            hours = {at: Polls(*rest) for at, *rest in found}
            done += check(store.polls.grids(meter), rows, hours, series=meter in series)
        store.close()
    assert all(done[what] for what in holds), done


DAY, AT, STEP = 24 * HOUR_MS, 480_000 * HOUR_MS, 60_000
GRIDS = [(AT, STEP)]


def counted(
    *bodies: Coverage, recorded: Mapping[int, Sequence[int]] | None = None, grids: Sequence[Grid] = GRIDS
) -> HourCount:
    """A meter polled once a minute, with these coverage records from ``AT`` on."""
    count = HourCount(grids, Counted(0, AT, AT, AT - 1))
    for body in bodies:
        count.cover(body, lambda body=body: Readings((recorded or {})[body.from_ms]))  # type: ignore[misc]
    count.end()
    return count


def minutes(first: int, last: int) -> list[int]:
    """Times of readings that answer the polls of these minutes, half a second late."""
    return [AT + n * STEP + 500 for n in range(first, last)]


def test_a_record_is_cut_at_the_hour_and_a_full_one_needs_no_reading() -> None:
    full = counted(Coverage(AT + 30 * STEP, AT + 150 * STEP, 120, 120, {}))
    assert {at - AT: (p.due, p.recorded) for at, p in full.hours.items()} == {
        0: (30, 30), HOUR_MS: (60, 60), 2 * HOUR_MS: (30, 30),
    }  # fmt: skip
    # of the last ten minutes of an hour, and the first ten of the next, those around the edge
    body = Coverage(AT + 50 * STEP, AT + 70 * STEP, 20, 12, {"timeout": 8})
    part = counted(body, recorded={body.from_ms: [*minutes(50, 54), *minutes(62, 70)]})
    assert {at - AT: (p.due, p.recorded) for at, p in part.hours.items()} == {0: (10, 4), HOUR_MS: (10, 8)}
    assert part.hours[AT + HOUR_MS].gap == (AT + 54 * STEP, AT + 62 * STEP)


def test_readings_a_little_early_or_late_change_no_hours_count() -> None:
    early = Coverage(AT + 50 * STEP, AT + 70 * STEP, 20, 19, {"timeout": 1})
    times = [t - 800 for t in [*minutes(50, 52), *minutes(53, 70)]]  # 0.3 s before they are due
    hours = counted(early, recorded={early.from_ms: times}).hours
    assert {at - AT: (p.due, p.recorded) for at, p in hours.items()} == {0: (10, 9), HOUR_MS: (10, 10)}
    late = Coverage(AT + 50 * STEP, AT + 70 * STEP, 20, 19, {"timeout": 1})
    times = [t + 70_000 for t in [*minutes(50, 51), *minutes(52, 70)]]  # each answers behind the next due time
    hours = counted(late, recorded={late.from_ms: times}).hours
    assert sum(p.recorded for p in hours.values()) == 19
    assert all(p.recorded <= p.due == 10 for p in hours.values())


def test_downtime_is_due_in_each_of_its_hours_and_one_gap() -> None:
    body = Coverage(AT, AT + DAY, 1440, 30, {"stopped": 1410})
    hours = counted(body, recorded={AT: minutes(0, 30)}).hours
    assert [hours[AT + n * HOUR_MS].recorded for n in range(24)] == [30, *([0] * 23)]
    assert {hours[AT + n * HOUR_MS].due for n in range(24)} == {60}
    assert [p.gap for p in hours.values() if p.gap] == [(AT + 30 * STEP, AT + DAY)]


def test_what_thinning_leaves_out_is_not_due() -> None:
    grids = [(AT, STEP), (AT + 60 * STEP - 1, 0), (AT + 60 * STEP, 2 * STEP)]
    hours = counted(Coverage(AT, AT + 2 * HOUR_MS, 90, 90, {}), grids=grids).hours
    assert {at - AT: (p.due, p.recorded) for at, p in hours.items()} == {0: (60, 60), HOUR_MS: (30, 30)}


def test_sleep_is_no_gap_and_a_gap_in_it_is_as_long_as_it_can_have_been() -> None:
    dusk = Coverage(AT, AT + 20 * STEP, 20, 10, {"asleep": 7, "timeout": 3})
    night = Coverage(AT + 20 * STEP, AT + 500 * STEP, 480, 0, {"asleep": 480})
    dawn = Coverage(AT + 500 * STEP, AT + 520 * STEP, 20, 15, {"asleep": 5})
    recorded = {AT: minutes(0, 10), dawn.from_ms: minutes(505, 520)}
    hours = counted(dusk, night, dawn, recorded=recorded).hours
    assert (sum(p.asleep for p in hours.values()), sum(p.due for p in hours.values())) == (492, 520)
    assert [p.gap for p in hours.values() if p.gap] == [(AT + 10 * STEP, AT + 13 * STEP)]


def test_a_gap_goes_on_over_records_until_the_next_reading_and_up_to_now() -> None:
    silent = [Coverage(AT + n * STEP, AT + (n + 10) * STEP, 10, 0, {"timeout": 10}) for n in range(0, 100, 10)]
    open_ = counted(*silent).hours
    assert open_[AT + HOUR_MS].gap == (AT, AT + 100 * STEP)
    back = Coverage(AT + 100 * STEP, AT + 110 * STEP, 10, 10, {})
    assert counted(*silent, back).hours[AT + HOUR_MS].gap == (AT, AT + 100 * STEP)
    short = [
        Coverage(AT + n * STEP // 3 + 1, AT + (n + 1) * STEP // 3 + 1, 0, 0, {}) for n in range(3)
    ]  # no poll is due
    assert counted(Coverage(AT, AT + 1, 1, 0, {"timeout": 1}), *short[:2]).hours[AT].gap == (AT, short[1].to_ms)


def test_of_a_series_a_miss_is_of_the_hour_in_which_a_message_was_expected() -> None:
    every = 15 * STEP  # messages at 0, 15, 105 and 120 min; expected between at 30, 45, 60, 75 and 90
    count = HourCount([(AT, every)], Counted(0, AT, AT, AT - 1), series=True)
    times = [AT, AT + every, AT + 7 * every, AT + 8 * every]
    body = Coverage(AT, times[-1] + 1, 9, 4, {"timeout": 5})
    count.cover(body, lambda: Readings(times, times))
    assert {at - AT: (p.due, p.recorded) for at, p in count.hours.items()} == {
        0: (4, 2), HOUR_MS: (4, 1), 2 * HOUR_MS: (1, 1),
    }  # fmt: skip
    assert count.hours[AT + HOUR_MS].gap == (AT + 2 * every, AT + 7 * every)
