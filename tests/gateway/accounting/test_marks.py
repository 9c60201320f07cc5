"""Marks of readings: books on the marked ones are those on all, whatever happened."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.feeding import feed
from gateway.clock import KernelClock
from gateway.storage.capacity import disk_space
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.formats.senml import Quality
from tests.support.desk import wide_site
from tests.support.stated import EVERY_MS, METER, QUARTER_MS, Site, plan_fields

FLAGS = (
    0, 0, 0, Quality.SHARED_LINE, Quality.ROLLOVER, Quality.COUNTER_RESET, Quality.CLOCK_STEP, Quality.CLOCK_UNSYNC,
    Quality.METER_EXCHANGED, Quality.IMPLAUSIBLE, Quality.SHARED_LINE | Quality.COUNTER_RESET,
)  # fmt: skip


def something(site: Site, chance: random.Random) -> None:
    """One thing that may happen to a meter."""
    what = chance.randrange(18)
    if what >= 12:  # around an edge
        left_ms = QUARTER_MS - site.machine.wall_ms % QUARTER_MS
        site.passes(max(0, left_ms // EVERY_MS - chance.randint(0, 4)))
        few = chance.sample(FLAGS, 2)
        for _ in range(8):
            site.polls(1, quality=int(chance.choice((0, *few))), gain=chance.choice((-1, 0, 1, 1)))
    elif what < 5:
        site.polls(chance.randint(1, 20), gain=chance.choice((0, 1, 3)))
    elif what == 5:
        site.polls(chance.randint(1, 3), quality=int(chance.choice(FLAGS)))
    elif what == 6:
        site.passes(chance.randint(1, 200))
    elif what == 7:
        site.register = chance.choice((0, 5, site.register - 1, 999_990))
        site.polls(chance.randint(1, 4), quality=int(chance.choice(FLAGS)))
    elif what == 8:
        site.polls(chance.randint(1, 3), value=None)
    elif what == 9:
        site.event(METER, "meter-exchange", identity="x", old="y", last={}, first={})
    elif what == 10:
        site.machine.kernel = KernelClock(chance.random() < 0.6, 20)
        site.polls(chance.randint(1, 30))
    else:
        site.stop()
        site.machine.passes(chance.randint(1, 2000))
        site.start()


def books_of(site: Site, fields: dict[str, Any], stretch: tuple[int, int], *, marked: bool) -> list[Any]:
    store = site.store()
    books = Books(parse_plan(fields))
    feed(books, store, *stretch, marked=marked)
    store.close()
    return [
        (key, register.edges, register.breaks, register.wraps_unsaid) for key, register in books.registers.items()
    ] + [books.capture(0, 1 << 45), books.covered_to_ms(METER)]


@pytest.mark.parametrize("seed", range(12))
def test_books_on_marked_records_are_those_on_all(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    site = Site(tmp_path / "site", wide_site(tmp_path / "site", {"bus-1": [METER]}))
    for _ in range(60):
        something(site, chance)
    site.stop()
    store = site.store()
    last = store.records.last_place()
    store.close()
    for interval in (900, 3600):
        fields = plan_fields(0, interval=interval)
        fields["profiles"]["ours"] |= {"accept": chance.choice(([], ["SHARED_LINE"]))}
        for _ in range(5):
            begin, end = sorted(chance.sample(range(1, last + 1), 2))
            stretch = chance.choice(((1, last), (begin, end)))
            assert books_of(site, fields, stretch, marked=True) == books_of(site, fields, stretch, marked=False)


def test_a_calm_day_has_few_marks_and_an_older_database_none(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", wide_site(tmp_path / "site", {"bus-1": [METER]}))
    site.polls(900)
    fields, store = plan_fields(0), site.store()
    few = feed(Books(parse_plan(fields)), store, 1, 1 << 40)
    coverage = store.records.kinds()["coverage"]
    store.close()
    assert few.records - coverage < 60
    site.stop()
    with sqlite3.connect(site.loaded.database) as database:  # as one that a former version wrote
        database.execute("DELETE FROM marks")
        database.execute("DELETE FROM marked")
    site.start()
    site.polls(200)
    site.stop()
    store = site.store()
    stretch = (1, store.records.last_place())
    store.close()
    assert books_of(site, fields, stretch, marked=True) == books_of(site, fields, stretch, marked=False)


def test_a_rollover_on_a_poll_that_thinning_leaves_out_is_told_once(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", wide_site(tmp_path / "site", {"bus-1": [METER]}))
    journal, site.register = site.hands.journal, 999_000
    site.polls(20)
    journal._record_every(5, disk_space.Space(80, 100, 100))
    journal._space_at_ms = 1 << 60  # no look at the space makes it dense again
    for _ in range(5):
        if journal._accounting.counters[METER].wanted(site.due_ms):
            site.polls(1)
    assert not journal._accounting.counters[METER].wanted(site.due_ms)
    site.register = 999_999
    site.polls(1, quality=int(Quality.ROLLOVER))
    site.polls(200)
    site.stop()
    store = site.store()
    books = feed(Books(parse_plan(plan_fields(0))), store, 1, 1 << 40).books
    store.close()
    (register,) = books.registers.values()
    assert [broken.wrap for broken in register.breaks] == [1_000_000 * 1_000_000]
