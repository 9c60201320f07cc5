"""The views on real databases: what they weigh, that none looks at more when there is more, what states they tell."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from functools import partial
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.pages import charts, events, meter, record, values
from gateway.dashboard.pages.charts import Chart, Quantity
from gateway.dashboard.pages.line_load import Loads
from gateway.dashboard.pages.record_state import State, States, newest
from gateway.dashboard.pages.sparklines import Sparks
from gateway.dashboard.render.html import HTML
from gateway.dashboard.routes import contents
from gateway.dashboard.shell.content_coding import coded, coded_file
from gateway.dashboard.shell.html import Visitor
from gateway.dashboard.shell.page import NotFound
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.dashboard.shell.time.paging import Turn
from gateway.devices.knowledge.direction import Turned
from gateway.messages.message import Message
from gateway.records import GATEWAY, MissedPoll, NotRecorded, PollResult, StoredRecord, Timestamp, sentence_fields
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from gateway.storage.record_tables import EVERYTHING, Within
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.dashboard.looks import looker
from tests.support.epochs import due_ms, epoch, until
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.samples import Hands, rewrite, site

LIMIT = 40_000
"""Bytes of a page with its style and its script, as they are sent."""
VALUES = 18
MOST_CALLS = 15_000
"""Of a page's part that is done in the event loop: a few milliseconds."""
RECORD = "/meters/{meter}/records/{epoch}/{seq}"
TRUST = '[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n'


def reading(now: Timestamp, n: int) -> PollResult:
    """A poll of many values, none of them simply good."""
    flags = int(Quality.CLOCK_UNSYNC | Quality.IDENTITY_UNPROVEN)
    values = tuple(Value(f"voltage_{i:02}", 230.0 + n / 7 + i, "V", flags) for i in range(VALUES))
    return PollResult("", 0, Reading(now.time_ms + n, values), now)


async def fill(running: GatewayContext, count: int) -> None:
    """A number of readings of every meter, at times of which a busy machine makes no other curves."""
    now = Timestamp.now(running.clock)
    for name in running.config.meters:
        first_ms, every_ms = await due_ms(running, name), running.config.meters[name].every
        for n in range(count):
            running.recorder.put(replace(reading(now, n), meter=name, due_ms=first_ms + n * every_ms))
    await until(lambda: all(now.recorded >= count for now in running.live.meters.values()))


def calls_of(work: Callable[[], object]) -> int:
    """How many calls of functions in Python something takes."""
    count = 0

    def called(frame: object, kind: str, more: object) -> None:
        nonlocal count
        count += kind == "call"

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_no_page_of_a_hundred_meters_is_heavy(tmp_path: Path) -> None:
    ports, label = range(20001, 20101), "并网关口表 Grid connection 07"
    loaded = tcp_site(tmp_path, ports, every="60s", label=label)  # none is missed among those of ``fill``
    loaded.trust.write_text(TRUST + loaded.trust.read_text())
    ours = sum(len(coded_file(found[0]) or b"") for name in ("style.css", "script.js") if (found := HTML.static(name)))

    async def weigh() -> dict[str, int]:
        async with epoch(loaded) as running:
            look = looker(running)
            await fill(running, 60)
            store = Database(loaded.database, read_only=True)
            params = {"meter": "meter-007"}
            for path, view in contents(running).views.items():
                asked = Asked(path, params | {"batch": "0", "epoch": "00" * 8, "seq": "0"}, user="ines")
                assert calls_of(partial(view, asked)) < MOST_CALLS, path
            pages = {
                path: look(path, store, params, {"span": span, "quantity": "voltage_00"})
                for path in (
                    "/",
                    "/meters/{meter}",
                    "/charts",
                    "/meters/{meter}/records",
                    "/batches",
                    "/events",
                    "/alarms",
                    "/completeness",
                    "/diagnosis",
                )
                for span in ("1h",)
            }
            store.close()
            shown = pages["/"].body.decode()
            assert shown.count('<svg viewBox="0 0 120 28"') == shown.count("data-meter=") == 100
            return {path: len(coded(page, gzip=True).body) + ours for path, page in pages.items()}

    weights = asyncio.run(weigh())
    assert {path: size for path, size in weights.items() if size > LIMIT} == {}


def recorded(folder: Path, polls: int) -> Config:
    """A site with so many polls of each meter, all batches anchored."""
    loaded = site(folder)
    hands = Hands(loaded, commit_every_ms=60_000)
    hands.poll(polls)
    with hands.store.transaction():
        for batch in hands.store.batches.all():
            hands.store.anchors.mark(batch.batch, "demo-ledger", "settled", 1_800_000_000_000, receipt=b"\x00")
    hands.end()
    return loaded


PAGES = {
    "/": {},
    "/meters/{meter}": {"meter": "export-main"},
    "/meters/{meter}/records": {"meter": "export-main"},
    "/charts": {},
    "/batches": {},
    "/batches/{batch}": {"batch": "7"},
    "/events": {},
    "/alarms": {},
    "/completeness": {},
}


def steps(loaded: Config) -> dict[str, int]:
    """How many hundred steps SQLite's machine takes for each page."""

    async def count() -> dict[str, int]:
        found = {}
        async with epoch(loaded) as running:
            look, store = looker(running), Database(loaded.database, read_only=True)
            for path, params in PAGES.items():
                seen = [0]

                def step(seen: list[int] = seen) -> int:
                    seen[0] += 1
                    return 0

                store._db.set_progress_handler(step, 100)
                look(path, store, params, {"span": "1h", "quantity": "count"})
                found[path] = seen[0]
            store.close()
        return found

    return asyncio.run(count())


def test_a_chart_says_missed_polls_only_as_coverage_counts_them(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 10)

    async def show() -> str:
        async with epoch(loaded) as running:
            store = Database(loaded.database, read_only=True)
            query = {"span": "1y", "quantity": "count"}
            made = looker(running)("/meters/{meter}", store, {"meter": "export-main"}, query, "en")
            store.close()
            return made.body.decode()

    shown = asyncio.run(show())
    assert re.search(r"; 0 polls missed from [\d:]+ to [\d:]+, by coverage records<", shown)


def test_times_days_and_months_on_pages_are_those_of_the_sites_zone(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 30)
    rewrite(loaded, ("[gateway]", '[gateway]\ntimezone = "Asia/Kolkata"'))
    loaded = load_config(loaded.path)

    async def show() -> tuple[str, list[Chart]]:
        async with epoch(loaded) as running:
            store = Database(loaded.database, read_only=True)
            made = looker(running)("/meters/{meter}", store, {"meter": "export-main"}, {}, "en").body.decode()
            energy, now_ms = Quantity("count", "Wh", energy=True, shown=Turned("count")), running.clock.now_ms()
            drawn = [charts.chart(store, "export-main", energy, span, now_ms, loaded.zone) for span in ("30d", "1y")]
            store.close()
            return made, drawn

    shown, (month, year) = asyncio.run(show())
    assert "Times are in Asia/Kolkata (UTC+05:30)" in shown
    assert re.search(
        r'<time datetime="2027-01-15T08:0\d:\d\d.000Z" title="[^"]+">(2027-01-15 )?13:3\d:\d\d</time>', shown
    )
    assert (month.made_of, len(month.steps), year.made_of, len(year.steps)) == ("day", 30, "month", 12)
    assert month.steps[-1].from_ms == 1_799_951_400_000, "its midnight, 18:30 UTC"
    assert [step.mean for step in month.steps[-2:]] == [None, 29.0]
    assert year.steps[-1].from_ms == 1_798_741_800_000, "the first of January there"
    assert year.steps[-1].mean == 29.0


def test_no_page_looks_at_more_when_there_is_more(tmp_path: Path) -> None:
    few, many = (steps(recorded(tmp_path / name, polls)) for name, polls in (("few", 300), ("many", 2400)))
    assert {path: (few[path], many[path]) for path in few if many[path] > 1.5 * few[path] + 20} == {}


def test_events_come_newest_first_and_page_by_page(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 10)
    store = Database(loaded.database, read_only=True)
    everything = [(place, row) for place, row in enumerate(store.records.rows(1, 1 << 60), 1) if row.kind == "event"]
    assert store.records.events_within(EVERYTHING, 1000) == everything[::-1]
    (second,) = store.records.events_within(Within(last_id=everything[-1][0] - 1), 1)
    assert second == everything[-2]
    assert {row.meter for _, row in store.records.events_within(EVERYTHING, 1000, "gateway")} == {"gateway"}
    assert [event.name for _, event in events.events(store, Bounds(), Turn(), "").page.rows] == [
        parse_record(row.data).body.name  # type: ignore[union-attr]
        for _, row in everything[::-1]
    ]
    store.close()


def test_a_record_goes_from_recorded_to_anchored_and_its_way_holds(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    hands = Hands(loaded)
    hands.poll(3)
    hands.journal.flush()
    row = hands.store.records.newest("export-main", "reading")
    assert row is not None
    name = (row.meter, row.epoch.hex(), str(row.seq))
    assert States(hands.store).of(*row[:3]) == State("recorded")
    assert record.record(hands.store, *name, whole=False).way is None
    hands.poll(10)
    assert States(hands.store).of(*row[:3]) == State("sealed", 0)
    with hands.store.transaction():
        hands.store.anchors.mark(0, "demo-ledger", "settled", 1_800_000_000_000, receipt=b"\x00")
    assert States(hands.store).of(*row[:3]) == State("anchored", 0, ("demo-ledger",))
    batch = hands.store.batches.numbered(0)
    assert batch is not None
    for leaf in hands.store.batches.leaves(batch.first_id, batch.last_id):
        way = record.record(hands.store, leaf.meter, leaf.epoch.hex(), str(leaf.seq), whole=False).way
        assert way is not None
        assert way.holds
        assert way.size == batch.size
    with pytest.raises(NotFound, match="no such record"):
        record.record(hands.store, "export-main", "00" * 8, "1", whole=False)
    hands.end()


def test_facts_of_an_event_are_shown_as_what_they_are(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    facts = {"code": "clock", "before": 1_795_679_383_720, "after": 1_795_679_384_720, "old": "serial_number=4711"}

    async def look() -> list[str]:
        async with epoch(loaded) as running:
            running.recorder.happened(GATEWAY, Event("clock", facts))
            store, see = Database(loaded.database, read_only=True), looker(running)

            def row() -> StoredRecord | None:
                found = (row for _, row in store.records.events_within(EVERYTHING, 100, GATEWAY))
                return next((row for row in found if parse_record(row.data).body == Event("clock", facts)), None)

            await until(lambda: row() is not None)
            first = row()
            assert first is not None
            name = {"meter": GATEWAY, "epoch": first.epoch.hex(), "seq": str(first.seq)}
            answers = see("/events", store, {}, {}, "en"), see(RECORD, store, name, {}, "en")
            store.close()
            return [answer.body.decode() for answer in answers]

    listed, whole = asyncio.run(look())
    for shown in (listed, whole):
        assert "1795679383720" not in shown
        assert re.search(r">old</\w+>\s*(<dd[^>]*>)?4711<", shown)
        assert all(f'<time datetime="2026-11-26T07:49:4{second}.720Z"' in shown for second in (3, 4))
    assert f'<dd class="wide">{HTML.words("en").of("alarm", "clock")}</dd>' in whole


def test_feeds_have_a_card_that_says_how_they_stand(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 3)
    feed = '[[feed]]\nname = "scada"\ntype = "json"\nurl = "mqtt://127.0.0.1:1"\n'
    loaded.path.write_text(f"{loaded.path.read_text()}\n{feed}")
    loaded = load_config(loaded.path)

    async def show() -> list[str]:
        async with epoch(loaded) as running:
            store = Database(loaded.database, read_only=True)
            shown = []
            for now in (
                {
                    "connected": False,
                    "state": "the broker refused the connection",
                    "waiting": 7,
                    "live": 3,
                    "history": 2,
                },
                {
                    "connected": True,
                    "state": "connected, waits for primary host ems",
                    "waiting": 0,
                    "live": 0,
                    "history": 0,
                },
                {
                    "connected": True,
                    **sentence_fields(Message("feed-connected"), "state"),
                    "waiting": 0,
                    "live": 12_345,
                    "history": 0,
                },
            ):
                running.feeds.join("scada", lambda now=now: now)  # type: ignore[misc]
                page_ = looker(running)("/", store, {}, {}, "en").body.decode()
                shown.append(re.sub(r"<[^>]+>", "|", page_[page_.index("<h2>Feeds") :]))
            store.close()
            return shown

    away, waiting, connected = (re.sub(r"[|\s]+", " ", text) for text in asyncio.run(show()))
    assert "scada json · mqtt://127.0.0.1:1 not publishing the broker refused the connection 5 7 0" in away
    assert "waiting connected, waits for primary host ems 0 0 0" in waiting
    assert "mqtt://127.0.0.1:1 connected 12345 0 0" in connected


def heard(meter: str, point: str, time_ms: int) -> NotRecorded:
    """A reading, as the hub tells it."""
    return NotRecorded(meter, Reading(time_ms, (Value(point, 1.0, "W"),)), Timestamp(time_ms, 0, "S", 1), "disk-full")


def test_sparklines_break_at_gaps(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 3)

    async def draw() -> list[int]:
        async with epoch(loaded) as running:
            sparks = Sparks(running.in_force)
            (point, *_) = values.headline(loaded.meters["export-main"], loaded.profiles["export-main"])
            for second in range(0, 600, 10):
                missed = 300 <= second < 330
                sparks.hear(
                    [
                        MissedPoll("export-main", second * 1000, "timeout")
                        if missed
                        else heard("export-main", point, second * 1000)
                    ]
                )
            course = sparks.of("export-main")
            drawn = [values.spark(course, most) for most in (40, 16)]
            return [len(one.pieces) for one in drawn if one]

    assert asyncio.run(draw()) == [2, 2]


def test_a_sparkline_breaks_where_nothing_was_read_for_long_and_one_reading_is_a_dot() -> None:
    drawn = values.spark([(0, 1.0), (10, 2.0), (20, 1.0), (200, 1.0), (210, None), (220, 1.0), (230, 3.0)], 40)
    assert drawn is not None
    assert [len(piece.split()) for piece in drawn.pieces] == [3, 2, 2]
    assert len(set(drawn.pieces[1].split())) == 1


@pytest.mark.parametrize(("age_ms", "word"), [(0, "live"), (35_000, "live"), (35_001, "recorded")])
def test_what_is_late_is_not_live(age_ms: int, word: str) -> None:
    assert newest(State("recorded"), age_ms, 10_000).word == word
    assert newest(State("anchored", 3, ("a",)), age_ms, 10_000).word == "anchored"


def test_an_exchanged_meter_is_accepted_by_typing_its_number(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 10)

    async def show() -> list[str]:
        async with epoch(loaded) as running:
            facts = meter.look(running, Loads(running.lines, running.clock), "export-main", None, None)
            facts = replace(
                facts, identity="serial_number=21043387", stranger="serial_number=<b>4711", numberless=False
            )
            store = Database(loaded.database, read_only=True)
            whole = meter.complete(facts, store, running.clock.now_ms())
            assert whole.row.time_ms is not None
            again = meter.complete(whole, store, whole.row.time_ms + 1)
            assert again.row.state != State("live"), "it is silent, however new its last reading is"
            store.close()
            common = {"brand": "g", "here": "site", "alarm_count": 0, "meters": (), "meter": whole}
            return [
                HTML.page("meter.html", Visitor(user="u", role=role), 0, UTC, **common)
                for role in ("installer", "viewer")
            ]

    installer, viewer = asyncio.run(show())
    for shown in (installer, viewer):
        assert "Known meter: 21043387. A device with another serial number answers now" in shown
        assert "4711" not in shown[: shown.index("</section>")], "the number to type is read off the meter"
    assert '<form method="post" action="/acts/accept"' in installer
    assert "/acts/accept" not in viewer
