"""The feed of records at a real broker: all that was signed, in order, once; what is asked for again; what is gone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.feeds.records.source import Outgoing, Source
from gateway.feeds.records.waiting import MOST, BatchRange, Waiting
from gateway.storage.database import Database
from ledger_client.formats.checks import MAX_RECORD
from ledger_client.formats.feed_messages import (
    MAX_NUMBER,
    Asked,
    GoneMessage,
    RecordRange,
    encode_again,
    parse_batches,
    parse_gone,
    parse_records,
    parse_status,
)
from ledger_client.formats.record import parse_record
from ledger_client.formats.statement import parse_statement
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions
from tests.gateway.feeds.rig import METER, OTHER, Heard, Rig, feed_site, listening, running, until
from tests.gateway.feeds.tap import tap
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.evidence import key
from tests.support.processes import Mosquitto, mosquitto
from tests.support.samples import settle

BASE = "meterseal-records/v1/test-gateway"
ALL = "meterseal-records/#"
OLDEST = 'since = "oldest"\n'
LEDGER = key("demo-ledger")


def stored(loaded: Config) -> list[tuple[int, bytes]]:
    """What the database holds: place and bytes of every record."""
    store = Database(loaded.database, read_only=True)
    try:
        return list(store.feeds.records(0))
    finally:
        store.close()


def heard_records(heard: Heard) -> list[tuple[int, bytes]]:
    messages = [parse_records(message.data) for message in heard.on("/records")]
    return [row for message in messages for row in zip(message.places, message.records, strict=True)]


def heard_batches(heard: Heard) -> list[tuple[int, int]]:
    """Number and count of receipts of each message about a batch."""
    found = [parse_batches(message.data) for message in heard.on("/batches")]
    return [(parse_statement(one.entry).statement.batch, len(one.receipts) + len(one.anchors)) for one in found]


def gone(heard: Heard) -> list[GoneMessage]:
    return [parse_gone(message.data) for message in heard.on("/gone")]


def ask(url: str, *ranges: RecordRange, batches: tuple[tuple[int, int], ...] = ()) -> None:
    publish(url, encode_again(Asked(ranges, batches)))


def publish(url: str, *data: bytes) -> None:
    taken = threading.Semaphore(0)
    broker = Broker(BrokerOptions(url, "control-room", queue=1000), Callbacks(on_ack=lambda *_: taken.release()))
    try:
        assert broker.wait_connected(20.0)
        for one in data:
            broker.publish(f"{BASE}/again", one, None)
        assert all(taken.acquire(timeout=20.0) for _ in data)
    finally:
        broker.close()


async def writing(rig: Rig, function: Callable[[Database], Any]) -> Any:
    return await asyncio.wrap_future(rig.recorder.call(function))


def test_all_that_is_signed_is_published_in_order_as_it_was_stored(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, OLDEST, "records")
        with listening(broker.url, ALL) as heard:
            async with running(loaded, seal_every_ms=300) as rig:
                await rig.poll(times=30)
                await until(lambda: rig.feed.connected)
                await rig.poll(OTHER, times=30)
                await until(lambda: (1, 0) in heard_batches(heard))
                await writing(rig, lambda store: settle(store, [0], LEDGER))
                await until(lambda: (0, 1) in heard_batches(heard))
                status = parse_status(heard.on("/status")[0].data)
                assert (status["online"], status["config"]) == (True, loaded.fingerprint().hex())
                assert status["oldest_without_receipt"] == parse_record(stored(loaded)[0][1]).time_ms
                assert status["disk"]["used"] > 0
            await until(lambda: not parse_status(heard.on("/status")[-1].data)["online"])
            assert not any(message.retained for message in heard.messages if "/status" not in message.topic)
        rows = stored(loaded)
        assert heard_records(heard) == rows[: len(heard_records(heard))]
        places = [place for place, _ in heard_records(heard)]
        for message in heard.on("/batches"):
            statement = parse_statement(parse_batches(message.data).entry).statement
            earlier = heard.messages[: heard.messages.index(message)]
            before = [row for one in earlier if "/records" in one.topic for row in parse_records(one.data).records]
            assert sum(len(part) for ranges in statement.meters.values() for part in ranges) <= len(before)
        assert {parse_record(data).kind for _, data in heard_records(heard)} == {"reading", "coverage", "event"}
        assert len(places) > 60

    asyncio.run(work())


def test_what_an_outage_or_a_kill_leaves_comes_later_by_the_same_path(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, listening(broker.url, ALL) as heard:
            loaded = feed_site(tmp_path / "site", wire.url, OLDEST, "records")
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                await rig.poll(times=5)
                await until(lambda: heard_records(heard) == stored(loaded))
                wire.clear.clear()  # nothing goes through any more, and then the cable breaks
                await rig.poll(times=200)
                wire.cut()
                wire.clear.set()
                await until(lambda: {*heard_records(heard)} == {*stored(loaded)})
                await until(lambda: rig.feed.facts()["live"] == len(stored(loaded)))
                before = stored(loaded)[-1][0]
                await rig.poll()  # its commit takes the cursor along
                await until(lambda: len({*heard_records(heard)}) == len(stored(loaded)))
                rig.feed._write_cursors = lambda store: None  # a kill: what an orderly end writes is not written
            at = reached(loaded)
            assert at >= before
            heard.messages.clear()
            async with running(loaded, b"epoch-02"):
                await until(lambda: heard_records(heard) == [row for row in stored(loaded) if row[0] > at])

    asyncio.run(work())


def reached(loaded: Config) -> int:
    """Where the cursor is."""
    store = Database(loaded.database, read_only=True)
    try:
        return store.records.last_place() - store.feeds.behind("scada")
    finally:
        store.close()


def test_what_is_asked_for_again_is_sent_and_what_is_gone_is_said_to_be(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, "again_rate = 1000\n", "records")
        epoch = b"epoch-01"
        async with running(loaded, epoch, seal_every_ms=300) as rig:
            await rig.poll(times=20)
            with listening(broker.url, ALL) as heard:
                await until(lambda: rig.feed.connected)
                ask(broker.url, RecordRange(METER, epoch, 3, 7), RecordRange(METER, epoch, 15, 99), batches=((0, 7),))
                await until(
                    lambda: len(gone(heard)) == 1 and len(heard.on("/records")) and (0, 0) in heard_batches(heard)
                )
                numbers = [parse_record(data).claims.seq for _, data in heard_records(heard) if is_of(data, METER)]
                assert {*range(3, 8), *range(15, 20)} <= {*numbers}
                assert heard_records(heard) == [row for row in stored(loaded) if row in heard_records(heard)]
                ((why, asked),) = gone(heard)
                assert (why, asked.ranges[0][:2], asked.ranges[0].last) == ("unknown", (METER, epoch), 99)
                assert asked.ranges[0].first >= 20
                assert asked.batches[0][1] == 7

    asyncio.run(work())


def is_of(data: bytes, meter: str) -> bool:
    return parse_record(data).claims.meter == meter


def test_why_something_is_gone_is_said(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, kind="records")
        epoch = b"epoch-01"
        async with running(loaded, epoch, seal_every_ms=200) as rig:
            await rig.poll(times=30)
            await until(lambda: sealed(loaded) >= 1)
            await rig.poll(times=5)
            await until(lambda: sealed(loaded) >= 3)

            def prune(store: Database) -> None:
                settle(store, [0], LEDGER)
                batch = store.batches.numbered(0)
                assert batch is not None
                with store.transaction():
                    store.records.prune(batch.last_id, 1000)
                    store.batches.drop(batch)
                    store.repairs.note_lost([(METER, b"epoch-00", 5, 9)])

            await writing(rig, prune)
            with listening(broker.url, ALL) as heard:
                await until(lambda: rig.feed.connected)
                ask(
                    broker.url,
                    RecordRange(METER, epoch, 1, 2),
                    RecordRange(METER, b"epoch-00", 0, 11),
                    RecordRange("never-was", epoch, 0, MAX_NUMBER),
                    batches=((0, 0), (MAX_NUMBER, MAX_NUMBER)),
                )
                await until(lambda: {one.why for one in gone(heard)} == {"pruned", "lost", "unknown"})
        answers = {one.why: one.asked for one in gone(heard)}
        assert answers["pruned"] == Asked((RecordRange(METER, epoch, 1, 2),), ((0, 0),))
        assert answers["lost"] == Asked((RecordRange(METER, b"epoch-00", 5, 9),))
        assert answers["unknown"] == Asked(
            (
                RecordRange(METER, b"epoch-00", 0, 4),
                RecordRange(METER, b"epoch-00", 10, 11),
                RecordRange("never-was", epoch, 0, MAX_NUMBER),
            ),
            ((MAX_NUMBER, MAX_NUMBER),),
        )

    asyncio.run(work())


def sealed(loaded: Config) -> int:
    store = Database(loaded.database, read_only=True)
    try:
        return store.batches.count()
    finally:
        store.close()


def test_a_flood_of_requests_is_bounded_and_holds_up_no_record(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, "again_rate = 5\n" + OLDEST, "records")
        async with running(loaded, b"epoch-01") as rig:
            await rig.poll(times=100)
            with listening(broker.url, ALL) as heard:
                await until(lambda: rig.feed.connected)
                everything = RecordRange(METER, b"epoch-01", 0, MAX_NUMBER)
                floods = [
                    encode_again(Asked(tuple(RecordRange(f"m{n}-{k}", bytes(8), 0, k) for k in range(100))))
                    for n in range(50)
                ]
                hostile = [b"", b"\xff" * 100, b"\x81" * 9000, bytes(20_000), encode_again(Asked((everything,)))]
                publish(broker.url, *floods, *hostile, *floods)
                await until(lambda: rig.feed._waiting.dropped)
                assert len(rig.feed._waiting) <= 1000
                count = len(heard.on("/gone"))
                new = await rig.poll(times=50)
                await until(lambda: new[-1] in [parse_record(data).id for _, data in heard_records(heard)])
                assert len(heard.on("/gone")) - count < 50
                assert rig.feed.connected

    asyncio.run(work())


def test_a_broker_that_acknowledges_what_it_drops_gets_no_record(tmp_path: Path) -> None:
    rights = tmp_path / "acl"
    rights.write_text(f"topic read {BASE}/#\n")
    rights.chmod(0o600)

    async def work() -> None:
        with mosquitto(tmp_path / "broker", f"acl_file {rights}\n") as broker:
            loaded = feed_site(tmp_path / "site", broker.url, OLDEST + 'protocol = "3.1.1"\n', "records")
            async with running(loaded) as rig:
                rig.feed.back_within_s = 1.0
                await rig.poll(times=5)
                await until(lambda: rig.feed.facts().get("message") == "feed-records-silent")
                assert (rig.feed.facts()["silent"], rig.feed.connected) == (True, False)
                rights.write_text(f"topic readwrite {BASE}/#\n")
                broker.reload()
                with listening(broker.url, ALL) as heard:
                    await until(lambda: heard_records(heard) == stored(loaded))
                assert not rig.feed.facts()["silent"]

    asyncio.run(work())


def test_a_cursor_that_is_ahead_of_the_records_keeps_none_back(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, kind="records")
        async with running(loaded, b"epoch-01") as rig:
            await until(lambda: rig.feed.connected)
        with closing(sqlite3.connect(loaded.database)) as database:
            database.execute("UPDATE cursors SET last_id = 1000000")
            database.commit()
        with listening(broker.url, ALL) as heard:
            async with running(loaded, b"epoch-02", seal_every_ms=300) as rig:
                new = await rig.poll(times=3)
                await until(lambda: new[-1] in [parse_record(data).id for _, data in heard_records(heard)])
                await until(lambda: heard.on("/batches"))

    asyncio.run(work())


def test_a_row_that_is_no_record_is_passed_over_and_counts_as_lost(tmp_path: Path) -> None:
    loaded = feed_site(tmp_path / "site", "mqtt://127.0.0.1:1", kind="records")
    Database(loaded.database).close()
    record = bytes(MAX_RECORD)
    rows = [
        (n, METER, b"epoch-00", n, "reading", 0, data) for n, data in enumerate([record, record + b"x", record, b""])
    ]
    with closing(sqlite3.connect(loaded.database)) as database:
        database.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", [(n + 1, *row) for n, *row in rows])
        database.commit()
    source = Source(loaded.database)
    assert [(one.to, one.count) for one in source.records(0)] == [(1, 1), (3, 1), (4, 0)]
    assert source.records(3) == [Outgoing("records", None, 4)]
    answer = source.answer([RecordRange(METER, b"epoch-00", 0, 9)], 100, 2)
    lost, unknown = [parse_gone(one.data) for one in answer.messages if one.kind == "gone" and one.data]
    assert [each.first for each in lost.asked.ranges] == [1, 3]
    assert unknown.asked.ranges == (RecordRange(METER, b"epoch-00", 4, 9),)
    assert [one.to for one in answer.messages if one.kind == "records"] == [1], "what is not published yet comes anyway"
    part = source.answer([RecordRange(METER, b"epoch-00", 0, 9)], 2, 9)
    assert (part.units >= 2, part.rest) == (True, [RecordRange(METER, b"epoch-00", 2, 9)])


def test_ranges_take_turns_and_those_that_find_no_room_are_dropped() -> None:
    waiting = Waiting()
    waiting.ask(Asked(batches=((0, 5), (0, 5), (7, 9))))
    assert waiting.take(1) == [BatchRange(0, 5)]
    waiting.put([BatchRange(1, 5)])
    assert waiting.take(9) == [BatchRange(7, 9), BatchRange(1, 5)]
    assert not waiting.filled.is_set()
    waiting.put(BatchRange(n, n) for n in range(2 * MOST))
    assert (len(waiting), waiting.dropped) == (MOST, MOST)
