"""Completeness of meters: by whole hours that are counted; what is not known, or not yet, is no share."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.clock import HOUR_MS
from gateway.config.model import Config
from gateway.history.completeness import Completeness, completeness
from gateway.history.poll_counts import PollCounts
from gateway.storage.database import Database
from gateway.storage.poll_tables import Counted, Polls
from gateway.storage.writer import Direct
from tests.support.samples import Hands, Machine, site

NOW_MS = 480_000 * HOUR_MS + 25 * 60_000
HOUR = NOW_MS - NOW_MS % HOUR_MS


def store_with(folder: Path, **meters: tuple[Counted, dict[int, Polls]]) -> Database:
    store = Database(site(folder / "site").database)
    with store.transaction():
        for meter, (counted, hours) in meters.items():
            store.polls.add(meter, {HOUR - back * HOUR_MS: polls for back, polls in hours.items()}, counted)
    return store


def upto(hours: float, since_h: int = 31 * 24) -> Counted:
    return Counted(1, HOUR - since_h * HOUR_MS, HOUR - round(hours * HOUR_MS), 0)


def of(found: list[Completeness], meter: str) -> Completeness:
    return next(one for one in found if one.meter == meter)


def test_a_share_is_of_what_was_due_and_awake_and_none_where_it_is_not_known(tmp_path: Path) -> None:
    full = {back: Polls(60, 60) for back in range(1, 740)}
    gap = (HOUR - 200 * HOUR_MS, HOUR - 199 * HOUR_MS)
    store = store_with(
        tmp_path,
        good=(upto(0), full),
        one_missed=(upto(0), full | {5: Polls(60, 59, gap=(1, 2))}),
        last_week=(upto(0), full | {199: Polls(60, 0, 0, gap)}),
        sleeper=(upto(0), {back: Polls(60, 20, 40) for back in range(1, 740)}),
        night=(upto(0), {back: Polls(60, 0, 60) for back in range(1, 740)}),
        young=(upto(0, 30), {back: Polls(60, 60) for back in range(1, 31)}),
        stuck=(upto(9), {back: Polls(60, 60) for back in range(10, 740)}),
        lagging=(upto(0.9), {back: Polls(60, 60) for back in range(2, 740)}),
    )
    names = ["good", "last_week", "lagging", "never", "night", "one_missed", "sleeper", "stuck", "young"]
    found = completeness(store, dict.fromkeys(names, 60_000), NOW_MS)
    shares = {one.meter: tuple(window.share for window in one.windows) for one in found}
    assert shares == {
        "good": (1.0, 1.0, 1.0),
        "one_missed": (1439 / 1440, 10079 / 10080, 43199 / 43200),
        "last_week": (1.0, 1.0, 43140 / 43200),
        "sleeper": (1.0, 1.0, 1.0),
        "night": (None, None, None),
        "young": (1.0, None, None),
        "stuck": (1.0, 1.0, 1.0),
        "lagging": (1.0, 1.0, 1.0),
        "never": (),
    }
    assert [one.meter for one in found][:4] == ["never", "stuck", "last_week", "one_missed"]
    assert found[-1].meter == "night"
    assert {one.meter for one in found if one.late} == {"stuck"}
    assert of(found, "stuck").windows[0].due == 15 * 60, "hours that are not counted are not filled by older ones"
    assert (of(found, "lagging").to_ms, of(found, "lagging").windows[0].due) == (HOUR - HOUR_MS, 1440)
    assert (of(found, "last_week").gap, of(found, "good").gap) == (gap, None)
    store.close()


def test_a_gap_is_the_longest_that_ended_in_it_whichever_was_added_first(tmp_path: Path) -> None:
    store = store_with(tmp_path, m=(upto(0), {3: Polls(1, 0, 0, (1000, 2000))}))
    for gap in ((5000, 9000), (5000, 8000), None):
        with store.transaction():
            store.polls.add("m", {HOUR - 3 * HOUR_MS: Polls(1, 1, 0, gap)}, None)
    (found,) = completeness(store, {"m": 60_000}, NOW_MS)
    assert (found.gap, found.windows[0].due, found.windows[0].recorded) == ((5000, 9000), 4, 3)
    with store.transaction():
        store.polls.drop("m", HOUR - 2 * HOUR_MS)
    assert completeness(store, {"m": 60_000}, NOW_MS)[0].windows[2].due == 0
    store.close()


def test_the_companion_counts_downtime_as_due_and_nothing_twice(tmp_path: Path) -> None:
    """A quarter of an hour of polls, 25 hours off, an hour again; counted again and again, and by a task anew."""
    loaded, machine = site(tmp_path / "site"), Machine()
    first = Hands(loaded, machine)
    count(loaded, first)
    first.poll(100)
    count(loaded, first)
    off_ms = first.clock.now_ms()
    first.end()
    machine.passes(25 * 3600)
    hands = Hands(loaded, machine, b"2" * 8)
    for _ in range(3):
        hands.poll(140)
        count(loaded, hands)
        count(loaded, hands)
    now_ms = hands.clock.now_ms()
    meter, *_ = loaded.meters
    found = of(completeness(hands.store, dict.fromkeys(loaded.meters, 10_000), now_ms), meter)
    day, week, _ = found.windows
    times = [row.time_ms for row in hands.store.records.rows(1, 1 << 60) if (row.meter, row.kind) == (meter, "reading")]
    assert day.to_ms == now_ms - now_ms % HOUR_MS
    assert (day.due, day.recorded) == (8640, sum(day.from_ms <= at < day.to_ms for at in times))
    assert 0.01 < (day.share or 0) < 0.1
    assert (week.share, week.whole, found.late) == (None, False, False)
    assert found.gap is not None
    assert (found.gap[0] - off_ms, found.gap[1] - off_ms) == (0, 25 * HOUR_MS)
    hands.store.close()


def count(loaded: Config, hands: Hands) -> None:
    """The companion counts until there is no more."""

    async def work() -> None:
        counts = PollCounts(loaded, hands.clock, Direct(hands.store))
        while await counts.count():
            pass

    asyncio.run(work())
