"""News leaves the writer only when it is true: records once they are durable, and why polls are none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.records import MissedPoll, News, NotRecorded, PollResult, SignedRecord
from gateway.storage.database import Database
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Reading
from tests.support.samples import Hands, finished, site

METER = "export-main"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def test_a_record_is_news_only_when_another_connection_can_read_it(loaded: Config) -> None:
    hands = Hands(loaded)
    heard: list[SignedRecord] = []

    def look(news: list[News]) -> None:
        reader = Database(loaded.database, read_only=True)
        for one in news:
            assert isinstance(one, SignedRecord)
            found = reader.records.find(one.row.meter, one.row.epoch, one.row.seq)
            assert found is not None
            assert parse_record(found[1].data).body == one.body
            heard.append(one)
        reader.close()

    hands.journal.on_news.append(look)  # type: ignore[arg-type]
    hands.poll(4)
    hands.journal.cut()
    assert {one.row.kind for one in heard} == {"reading", "coverage"}
    hands.end()


def test_without_a_disk_readings_are_told_as_not_recorded_and_never_signed(loaded: Config) -> None:
    hands = Hands(loaded)
    news: list[News] = []
    hands.journal.on_news.append(news.extend)
    live = Live(loaded.meters)
    hands.store._db.close()
    loaded.database.rename(loaded.database.with_name("away.db"))
    hands.poll(3)
    assert hands.journal.trouble is not None
    news.clear()
    hands.poll(2)
    assert news
    assert all(isinstance(one, NotRecorded) and one.reason == "disk-error" for one in news)
    live.hear(news)
    assert isinstance(live.meters[METER].reading, Reading)
    assert live.meters[METER].recorded == 0


def test_what_is_live_follows_answers_and_misses(loaded: Config) -> None:
    live = Live(loaded.meters)
    now = live.meters[METER]
    live.hear([MissedPoll(METER, 1000, "timeout"), MissedPoll(METER, 2000, "backoff")])
    assert (now.silent_since_ms, now.reason, now.missed.total()) == (1000, "backoff", 2)
    hands = Hands(loaded)
    hands.journal.on_news.append(live.hear)
    hands.poll(1)
    assert now.silent_since_ms is None
    assert now.reading is not None
    assert now.recorded == 1
    due_ms = hands.anchor_ms + hands.EVERY_MS
    hands.journal.poll(finished(METER, due_ms, hands.clock))
    hands.journal.poll(PollResult(METER, due_ms + hands.EVERY_MS, None, None, "timeout"))
    hands.journal.flush()  # tells of the reading before the miss only now
    then = live.meters[METER]
    assert (then.recorded, then.silent_since_ms, then.reason) == (2, due_ms + hands.EVERY_MS, "timeout")
    hands.end()


def test_a_listener_that_fails_costs_the_others_nothing() -> None:
    """What a feed does not hear it would never tell, and nobody would know."""

    def mistaken(_: object) -> None:
        raise KeyError("a mistake")

    async def work() -> list[News]:
        hub, heard = Hub(), list[News]()
        hub.listeners += [mistaken, heard.extend]
        hub.tell([MissedPoll(METER, 1000, "timeout")])
        await asyncio.sleep(0)
        return heard

    assert len(asyncio.run(work())) == 1
