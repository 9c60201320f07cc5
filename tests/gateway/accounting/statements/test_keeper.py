"""The keeper of an epoch's accounting: how far back it reads by itself, and what a page gets of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway.accounting.hours.ahead import Lost
from gateway.accounting.hours.feeding import Fed, feed
from gateway.accounting.statements.keeper import NEWEST_MS, Keeper
from gateway.clock import HOUR_MS
from gateway.errors import StoreError
from gateway.storage.database import Database
from ledger_client.accounting.books import Books
from tests.support.stated import EVERY_MS, QUARTER_MS, Site

MIDNIGHT_MS = 1_796_169_600_000
"""2026-12-02T00:00Z. The configuration is recorded anew each day, and reading begins where it was in force."""


def after_a_pause(folder: Path, hours: int, *, began_ms: int = MIDNIGHT_MS) -> Site:
    """Half an hour, then so many hours without a poll, and another half."""
    site = Site(folder / "site", began_ms=began_ms)
    site.publish()
    site.polls(2 * 90 + 40)
    for _ in range(hours):
        site.passes(3_600_000 // EVERY_MS)
        site.hands.journal.keep_time()
    site.polls(2 * 90)
    site.hands.journal.flush()
    return site


@pytest.mark.parametrize(
    ("began_hour", "knows_the_edge"),
    [
        pytest.param(12, False, id="a configuration of the pause is in force: the look before it is not read"),
        pytest.param(0, True, id="that of before the pause still is: the look before it is read"),
    ],
)
def test_it_reads_two_days_by_itself_and_all_that_is_not_stated_when_a_page_asks(
    tmp_path: Path, began_hour: int, knows_the_edge: bool
) -> None:
    site = after_a_pause(tmp_path, 72, began_ms=MIDNIGHT_MS + began_hour * HOUR_MS)
    now_ms = site.machine.wall_ms
    keeper = Keeper(site.loaded.database, lambda: now_ms)
    by_itself = keeper.read()
    (part,) = by_itself.ahead
    assert part.from_ms == (now_ms - NEWEST_MS) // QUARTER_MS * QUARTER_MS
    assert part.is_cut
    before, *_ = part.hours["station"]
    edge_ms, first_ms = (before.from_ms, before.to_ms) if knows_the_edge else (part.from_ms, before.from_ms)
    assert by_itself.lost == (Lost("main", "station", edge_ms, first_ms, "unallocated", goes_on=False),)

    assert keeper.look().reading
    asked = keeper.read()
    (whole,) = asked.ahead
    assert (whole.from_ms, whole.is_cut, asked.reading) == (site.from_ms, False, False)
    (lost,) = asked.lost
    assert (lost.from_ms, lost.to_ms) == (site.from_ms + 2 * QUARTER_MS, first_ms)
    assert knows_the_edge == (edge_ms == lost.from_ms)
    behind = [hour for hour in whole.hours["station"] if hour.from_ms >= first_ms]
    assert behind == [hour for hour in part.hours["station"] if hour.from_ms >= first_ms]
    site.stop()


def test_its_thread_answers_a_page_that_waits_and_ends_when_it_is_closed(tmp_path: Path) -> None:
    site = after_a_pause(tmp_path, 3)
    keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms)
    thread = threading.Thread(target=keeper.go_on)
    thread.start()
    keeper.look()
    found = keeper.wait(60)
    assert (found.reading, [part.from_ms for part in found.ahead]) == (False, [site.from_ms])
    keeper.close()
    thread.join(60)
    assert not thread.is_alive()
    site.stop()


def test_a_pass_that_fails_midway_is_made_anew_and_a_page_does_not_hide_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fed again, the counter's reset of the portion that failed would break its line twice."""
    site = Site(tmp_path / "site")
    site.publish()
    site.polls(90 + 40)
    site.polls(1, quality=1 << 17, gain=-site.register)
    site.polls(90 * 2)
    site.hands.journal.flush()
    expected = Keeper(site.loaded.database, lambda: site.machine.wall_ms).read()

    def torn(books: Books, store: Database, first_id: int, last_id: int) -> Fed:
        feed(books, store, first_id, last_id - 5)
        raise StoreError("the disk failed", "try again")

    keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms)
    with monkeypatch.context() as patched:
        patched.setattr("gateway.accounting.hours.ahead.feed", torn)
        assert "the disk failed" in str(keeper.read().problem)
        assert "the disk failed" in str(keeper.look().problem), "a page asks; nothing better is known yet"
    found = keeper.read()
    assert (found.problem, found.ahead[0].hours) == (None, expected.ahead[0].hours)
    site.stop()
