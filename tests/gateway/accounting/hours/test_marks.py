"""Marks of readings: books on the marked ones are those on all, whatever happened."""

from __future__ import annotations

# not quick: a month of records for each test
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.hours.feeding import feed
from gateway.clock import KernelClock
from gateway.errors import StoreError
from gateway.recording.coverage import CoverageCounter
from gateway.storage.capacity import disk_space
from gateway.storage.marks import Marks
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.formats.senml import Quality
from tests.support.gateways.desk import wide_site
from tests.support.stated import EVERY_MS, METER, QUARTER_MS, Site, plan_fields

ROOM = disk_space.Space(80, 100, 100)
FLAGS = (
    0, 0, 0, Quality.SHARED_LINE, Quality.ROLLOVER, Quality.COUNTER_RESET, Quality.CLOCK_STEP, Quality.CLOCK_UNSYNC,
    Quality.METER_EXCHANGED, Quality.IMPLAUSIBLE, Quality.LATE, Quality.SHARED_LINE | Quality.COUNTER_RESET,
)  # fmt: skip


def thinned(site: Site, factor: int) -> None:
    """Every so manieth poll is recorded from now on."""
    journal = site.hands.journal
    if journal.trouble is None and journal._accounting.factor != factor:
        journal._record_every(factor, ROOM)
    journal._space_at_ms = 1 << 60  # no look at the space makes it dense again


def restarted(site: Site, chance: random.Random) -> None:
    """At times its readings are then older than those before."""
    away_s = chance.choice((1, 5, 400, 2000))
    site.polls(1)
    site.stop()
    site.machine.passes(away_s)
    site.start()
    site.register -= chance.choice((0, 0, 50))
    site.polls(chance.randint(1, 4), late_ms=chance.choice((0, away_s * 1000 + 5 * EVERY_MS)))
    site.polls(2, gain=chance.choice((-1, 0, 1, 1)))


def configured(site: Site, chance: random.Random) -> None:
    """The meter is read by another profile or other ratios, or known as another device."""
    rules = site.hands.journal.rules
    changed = replace(
        rules.configured[METER],
        profile_hash=chance.choice((b"p", b"p", b"q")) * 32,
        ratios=chance.choice(({}, {}, {"ct": "200/5"})),
    )
    if chance.random() < 0.3:
        site.event(METER, "commissioned", identity=chance.choice(("one", "another")))
    site.changes(configured={**rules.configured, METER: changed})


def failing(site: Site, chance: random.Random) -> None:
    """What was polled is lost, and recording goes on."""
    site.hands.journal.flush()
    site.fails()
    site.polls(chance.randint(1, 3), gain=chance.choice((-1, 0, 1, 1)))
    site.hands.journal.flush()
    site.polls(2, gain=chance.choice((-1, 0, 1, 1)))


def polled(site: Site, chance: random.Random) -> None:
    site.polls(1, gain=chance.choice((-1, 0, 1, 1)), offset_ms=chance.choice((0, 0, 0, 5000, 12_000)))


def late(site: Site, chance: random.Random) -> None:
    """Older values than the newest, at times of a register that stood lower."""
    late_ms = chance.choice((EVERY_MS, EVERY_MS, EVERY_MS - 1, 2 * EVERY_MS, 5 * EVERY_MS))
    site.register -= chance.choice((0, 0, 50))
    site.polls(chance.randint(1, 5), late_ms=late_ms, gain=chance.choice((-9, 0, 1, 1)))
    site.polls(2, gain=chance.choice((-1, 0, 1, 1)))


def unsure(site: Site, chance: random.Random) -> None:
    """The clock is synchronised no more, or again."""
    site.machine.kernel = KernelClock(chance.random() < 0.6, 20)
    site.polls(chance.randint(1, 4), gain=chance.choice((0, 1)))


DISTURBANCES: tuple[Callable[[Site, random.Random], object], ...] = (
    late,
    restarted,
    configured,
    failing,
    unsure,
    lambda site, chance: site.polls(chance.randint(1, 3), quality=int(chance.choice(FLAGS))),
    lambda site, chance: site.polls(chance.randint(1, 3), unit="Wh"),
    lambda site, chance: site.polls(chance.randint(1, 2), value=chance.choice((None, "no number"))),
    lambda site, _: site.event(METER, "meter-exchange", identity="x", old="y", last={}, first={}),
    lambda site, chance: thinned(site, chance.choice((1, 1, 2, 5))),
)


def something(site: Site, chance: random.Random) -> None:
    """One thing that may happen to a meter; most often two of them around an edge."""
    what = chance.randrange(16)
    if what >= 6:
        left_ms = QUARTER_MS - site.machine.wall_ms % QUARTER_MS
        site.passes(max(0, left_ms // EVERY_MS - chance.randint(2, 8)))
        few = chance.sample(DISTURBANCES, 2)
        for _ in range(8):
            chance.choice((polled, polled, *few))(site, chance)
    elif what < 3:
        site.polls(chance.randint(1, 20), gain=chance.choice((0, 1, 3)))
    elif what == 3:
        site.passes(chance.randint(1, 200))
    elif what == 4:
        site.register = chance.choice((0, 5, site.register - 1, 999_990))
        site.polls(chance.randint(1, 4), quality=int(chance.choice(FLAGS)))
    else:
        site.machine.kernel = KernelClock(chance.random() < 0.6, 20)
        site.polls(chance.randint(1, 30))


def books_of(site: Site, fields: dict[str, Any], stretch: tuple[int, int], *, marked: bool) -> list[Any]:
    store = site.store()
    books = Books(parse_plan(fields))
    fed = feed(books, store, *stretch, marked=marked)
    whole = stretch == (1, store.records.last_place())
    clocks = [fed.unclocked, *(register.never_timed for register in books.registers.values())] if whole else []
    store.close()
    return [
        (key, register.edges, register.breaks, register.wraps_unsaid) for key, register in books.registers.items()
    ] + [books.capture(0, 1 << 45), books.covered_to_ms(METER), *clocks]


@pytest.mark.parametrize("seed", range(12))
def test_books_on_marked_records_are_those_on_all(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    site = Site(tmp_path / "site", wide_site(tmp_path / "site", {"bus-1": [METER]}))
    for _ in range(60):
        something(site, chance)
    site.stop()
    store = site.store()
    last = store.records.last_place()
    assert Marks(store).whole_from(METER, ["energy_export"]) == 1
    store.close()
    for interval in (900, 3600):
        fields = plan_fields(0, interval=interval)
        fields["profiles"]["own-test"] |= {"accept": chance.choice(([], ["SHARED_LINE"]))}
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
    thinned(site, 5)
    counter = journal._accounting.counters[METER]
    assert isinstance(counter, CoverageCounter)
    for _ in range(5):
        if counter.wanted(site.due_ms):
            site.polls(1)
    assert not counter.wanted(site.due_ms)
    site.register = 999_999
    site.polls(1, quality=int(Quality.ROLLOVER))
    site.polls(200)
    site.stop()
    store = site.store()
    books = feed(Books(parse_plan(plan_fields(0))), store, 1, 1 << 40).books
    store.close()
    (register,) = books.registers.values()
    assert [broken.wrap for broken in register.breaks] == [1_000_000 * 1_000_000]


def test_counters_are_marked_from_the_change_on_that_brings_them(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", wide_site(tmp_path / "site", {"bus-1": [METER]}))
    one, other = "energy_export", "energy_import"
    site.stop()
    site.machine.passes(5)
    site.start(counters={METER: frozenset([other])})
    marks, fields = Marks(site.hands.store), plan_fields(0)

    def changed(*counters: str) -> int:
        site.hands.journal.flush()
        last = site.hands.store.records.last_place()
        site.changes(counters={METER: frozenset(counters)})
        return last + 1

    first = changed(one)
    site.polls(100)
    second = changed(one, other)
    site.polls(30)
    assert [marks.whole_from(METER, points) for points in ([one], [other], [one, other])] == [first, second, second]
    site.fails()
    with pytest.raises(StoreError):
        changed(other)
    site.polls(30)
    assert marks.whole_from(METER, [one]) == first
    changed(other)
    site.polls(200)
    assert [marks.whole_from(METER, points) for points in ([one], [one, other], [])] == [None, None, None]
    third = changed(one, other)
    assert [marks.whole_from(METER, points) for points in ([other], [one, other])] == [second, third]
    site.polls(500)
    site.stop()
    store = site.store()
    last = store.records.last_place()
    behind = feed(Books(parse_plan(fields)), store, third, last)
    coverage = store.records.kinds()["coverage"]
    store.close()
    assert behind.records - coverage < 60
    assert books_of(site, fields, (1, last), marked=True) == books_of(site, fields, (1, last), marked=False)
