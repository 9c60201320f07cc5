"""The list of a meter's records: any moment of it, both ways, the edges of a time, and each with its proof."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from gateway.config.model import Config
from gateway.dashboard.pages import batches, events, records
from gateway.dashboard.pages.events import places_within
from gateway.dashboard.pages.records import RecordList, Wanted
from gateway.dashboard.shell.page import Answer, NotFound
from gateway.dashboard.shell.time.asked_range import BadQuery, Bounds, stamp
from gateway.dashboard.shell.time.paging import Turn
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from tests.gateway.dashboard.looks import looker
from tests.support.epochs import epoch
from tests.support.samples import START_S, Hands, settle, site

METER, EVERY_MS, POLLS = "export-main", 10_000, 150
BEGUN_MS = START_S * 1000


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Readings every 10 s, whose first batches have receipts."""
    made = site(tmp_path_factory.mktemp("records") / "site")
    hands = Hands(made)
    hands.poll(POLLS)
    settle(hands.store, range(10), PrivateKey.generate())
    hands.end()
    return made


@pytest.fixture
def store(loaded: Config) -> Iterator[Database]:
    found = Database(loaded.database, read_only=True)
    yield found
    found.close()


def listed(store: Database, loaded: Config, **query: str) -> RecordList:
    return records.records(store, loaded, wanted(**query))


def wanted(**query: str) -> Wanted:
    return Wanted.of(METER, query, Bounds.of(query, UTC, BEGUN_MS))


def times(found: RecordList, kind: str = "reading") -> list[int]:
    """Of each record of a kind, how many seconds behind the beginning it is."""
    return [(line.row.time_ms - BEGUN_MS) // 1000 for _, line in found.page.rows if line.row.kind == kind]


def test_paging_back_and_forth_shows_each_record_once(store: Database, loaded: Config) -> None:
    everything = [place for place, row in store.records.chain(METER, 10_000)]
    found, seen = listed(store, loaded), list[int]()
    while True:
        seen += [place for place, _ in found.page.rows]
        if found.page.older is None:
            break
        found = listed(store, loaded, before=str(found.page.older))
    assert seen == everything
    while found.page.newer is not None:
        found = listed(store, loaded, after=str(found.page.newer))
    assert [place for place, _ in found.page.rows] == everything[: records.PAGE]


def test_a_range_has_its_beginning_and_not_its_end(store: Database, loaded: Config) -> None:
    begin, end = stamp(BEGUN_MS + 100_000), stamp(BEGUN_MS + 200_000)
    found = listed(store, loaded, **{"from": begin, "to": end})
    assert times(found) == list(range(190, 99, -10))
    assert (found.page.older, found.page.newer) == (None, None)


def test_a_jump_marks_the_nearest_reading(store: Database, loaded: Config) -> None:
    found = listed(store, loaded, at=stamp(BEGUN_MS + 703_000))
    assert {line.row.time_ms for place, line in found.page.rows if place == found.marked} == {BEGUN_MS + 700_000}
    assert max(times(found)) > 800
    assert min(times(found)) < 600


def test_at_the_edges_are_the_last_before_and_the_first_behind(store: Database, loaded: Config) -> None:
    query = {"from": stamp(BEGUN_MS + 300_000), "to": stamp(BEGUN_MS + 605_000), "edges": "1"}
    assert times(listed(store, loaded, **query)) == [610, 600, 300, 290]
    outside = {"from": stamp(BEGUN_MS - 5000), "to": stamp(BEGUN_MS + 10**8), "edges": "1"}
    assert times(listed(store, loaded, **outside)) == [(POLLS - 1) * 10, 0]


def test_a_single_reading_leads_to_its_own_page(store: Database, loaded: Config) -> None:
    ms = BEGUN_MS + 500_000
    query = {"from": stamp(ms), "to": stamp(ms + 1), "one": "1"}
    ((_, row),) = store.records.within(METER, places_within(store, wanted(**query).bounds), 9, kind="reading")
    assert records.single(store, wanted(**query)) == f"/meters/{row.meter}/records/{row.epoch.hex()}/{row.seq}"
    assert records.single(store, wanted(**(query | {"to": stamp(ms + EVERY_MS + 1)}))) is None


def test_what_is_anchored_is_provable_and_a_point_that_is_asked_for_is_shown(store: Database, loaded: Config) -> None:
    early = listed(store, loaded, **{"from": stamp(BEGUN_MS), "to": stamp(BEGUN_MS + 60_000), "point": "count"})
    assert {line.provable for _, line in early.page.rows if line.row.kind == "reading"} == {True}
    assert {v.name for _, line in early.page.rows for v in line.values} == {"count"}
    late = listed(store, loaded)
    assert {line.provable for _, line in late.page.rows} == {False}
    with pytest.raises(NotFound):
        records.records(store, loaded, Wanted.of("nobody", {}, Bounds()))


def test_a_jump_marks_the_batch_that_was_sealed_behind_the_moment_and_the_event(
    store: Database, loaded: Config
) -> None:
    at_ms = BEGUN_MS + 605_000
    found = batches.batches(store, Bounds(), Turn(at_ms=at_ms), None)
    (marked,) = (row for number, row in found.page.rows if number == found.marked)
    assert marked.statement.from_ms <= at_ms <= marked.batch.sealed_ms
    within = batches.batches(store, Bounds(from_ms=BEGUN_MS + 300_000, to_ms=at_ms), Turn(), None)
    sealed = [row.batch.sealed_ms for _, row in within.page.rows]
    assert (
        sealed
        == sorted(ms for ms in (b.sealed_ms for b in store.batches.all()) if BEGUN_MS + 300_000 <= ms < at_ms)[::-1]
    )
    first = events.events(store, Bounds(), Turn(at_ms=BEGUN_MS - 10**6), "gateway")
    assert first.marked == min(place for place, _ in first.page.rows)


def shown(loaded: Config, ask: Callable[[Callable[..., Answer], Database], Answer]) -> Answer:
    async def show() -> Answer:
        async with epoch(loaded) as running:
            store, look = Database(loaded.database, read_only=True), looker(running)
            try:
                return ask(look, store)
            finally:
                store.close()

    return asyncio.run(show())


def test_each_record_on_the_page_has_its_proof_and_a_form_keeps_what_is_asked(loaded: Config) -> None:
    at = datetime.fromtimestamp(START_S + 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    query = {"at": at, "point": "count"}
    made = shown(loaded, lambda look, store: look("/meters/{meter}/records", store, {"meter": METER}, query, "en"))
    page = made.body.decode()
    marked = re.search(r'<tr class="marked".*?</tr>', page, re.DOTALL)
    assert marked is not None
    assert re.search(rf'href="/meters/{METER}/prove/[0-9a-f]{{16}}/\d+"', marked[0])
    assert f'name="at" value="{at}"' in page
    assert '<input type="hidden" name="point" value="count">' in page


def test_a_time_that_is_none_is_refused_on_each_list(loaded: Config) -> None:
    async def refused() -> list[str]:
        found = []
        async with epoch(loaded) as running:
            store = Database(loaded.database, read_only=True)
            for path in ("/meters/{meter}/records", "/batches", "/events"):
                with pytest.raises(BadQuery) as caught:
                    looker(running)(path, store, {"meter": METER}, {"from": "yesterday"})
                assert caught.value.message is not None
                found.append(caught.value.message.code)
            store.close()
        return found

    assert asyncio.run(refused()) == ["moment-unreadable"] * 3
