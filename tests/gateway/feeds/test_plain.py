"""The plain JSON feed at a real broker: what is published, when, and what is never published twice or lost."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

from gateway.config.load import load_config
from gateway.records import SignedRecord
from gateway.storage.database import Database
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.feeds.rig import METER, OTHER, feed_site, listening, running, until
from tests.gateway.feeds.sparkplug_host import GROUP, host_at
from tests.support.brokers.nats import nats
from tests.support.processes import Mosquitto

BASE = "meterseal-feed/v1/test-gateway"


def test_readings_are_told_as_they_become_durable_and_the_newest_is_retained(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                records = await rig.poll(times=3) + await rig.poll(OTHER)
                await until(lambda: len(heard.records("/meters/")) == 4)
                assert sorted(heard.records("/meters/")) == sorted(records)
                assert {message.topic for message in heard.on("/meters/")} == {
                    f"{BASE}/meters/{METER}",
                    f"{BASE}/meters/{OTHER}",
                }
                with listening(broker.url) as late:
                    await until(lambda: len(late.on("/meters/")) == 2)
                    assert late.records(METER)[-1] == records[2]
                    assert all(message.retained for message in late.on("/meters/"))
                    (status,) = late.on("/status")
                    assert json.loads(status.data)["online"] is True
            await until(lambda: len(heard.on("/status")) == 2)
            assert json.loads(heard.on("/status")[-1].data)["online"] is False
            assert heard.on("/history/") == []

    asyncio.run(work())


def test_after_an_outage_history_is_what_live_did_not_tell(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                first = await rig.poll(times=2)
                await until(lambda: len(heard.records("/meters/")) == 2)
            async with running(loaded, b"epoch-02") as rig:
                await until(lambda: rig.feed.connected)
                second = await rig.poll()
                await until(lambda: len(heard.records("/meters/")) == 3)
                broker.stop()
                await until(lambda: not rig.feed.connected)
                missed = await rig.poll(times=5)
        async with running(loaded, b"epoch-03") as rig:
            missed += await rig.poll(times=5)
            broker.start()
            with listening(broker.url) as heard_later:
                await until(lambda: rig.feed.connected)
                live = await rig.poll(OTHER, times=3)
                await until(lambda: len(heard_later.records("/history/")) == 9)
                await until(lambda: rig.feed.history_count == 9)
                live += await rig.poll()
                await until(lambda: live[-1] in heard_later.records("/meters/"))
                history = heard_later.records("/history/")
                assert not any(message.retained for message in heard_later.on("/history/"))
        assert heard.records("/meters/") == first + second
        assert history == missed[:-1]
        assert set(heard_later.records("/meters/")) >= {missed[-1], live[-1]}

    asyncio.run(work())


def test_a_message_keeps_all_digits_and_has_no_value_where_there_is_none(tmp_path: Path, broker: Mosquitto) -> None:
    values = (
        Value("scaled", Decimal("1234.50"), "kWh"),
        Value("small", Decimal("1E-7"), None),
        Value("tens", Decimal("12E+2"), "W"),
        Value("counter", 2**64 - 1, "count"),
        Value("ieee", 230.10000610351562, "V"),
        Value("text", 'a"中\n', None),
        Value("flag", True, None),
        Value("none", None, "A", int(Quality.DECODE_ERR)),
        Value("unsure", 1, "W", int(Quality.CLOCK_UNSYNC | Quality.CACHED)),
    )

    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                (record,) = await rig.poll(METER, *values)
                (message,) = await until(lambda: heard.on("/meters/"))
        for digits in (b'"value":1234.50,', b'"value":0.0000001,', b'"value":1200,', b"230.10000610351562"):
            assert digits in message.data
        body = json.loads(message.data, parse_float=Decimal)
        assert body.keys() == {"v", "readings"}
        (reading,) = body["readings"]
        assert reading.keys() == {"time", "clock", "record", "values"}
        assert (body["v"], reading["record"]) == (1, record)
        assert [v.get("value") for v in reading["values"] if v["name"] != "ieee"] == [
            v.value for v in values if v.name != "ieee"
        ]
        found = {v["name"]: v for v in reading["values"]}
        assert "value" not in found["none"]
        assert found["scaled"].keys() == {"name", "value", "unit", "quality"}
        assert found["none"]["quality"]["verdict"] == "bad"
        assert found["unsure"]["quality"] == {
            "verdict": "uncertain",
            "bits": int(Quality.CLOCK_UNSYNC | Quality.CACHED),
            "words": ["the gateway's clock was not synchronised", "a concentrator may have answered from memory"],
        }
        row = rig.live.meters[METER].newest
        assert isinstance(row, SignedRecord)
        proven = parse_record(row.row.data).body
        assert isinstance(proven, Reading)
        assert tuple(proven.values) == values

    asyncio.run(work())


def test_readings_share_a_message_as_soon_as_any_wait_whatever_the_rate(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded, commit_every_ms=500) as rig:
                await until(lambda: rig.feed.connected)
                records = await rig.poll(times=45)
                await until(lambda: len(heard.records("/meters/")) == 45)
                assert heard.records("/meters/") == records
                sizes = [len(json.loads(message.data)["readings"]) for message in heard.on("/meters/")]
                assert max(sizes) == 20
                assert len(sizes) <= 5  # the first reading of an epoch is committed alone, and the others may be in two
                with listening(broker.url) as late:
                    await until(lambda: late.records("/meters/"))
                    assert late.records("/meters/")[-1] == records[-1]
                assert rig.feed.facts()["history"] == 0

    asyncio.run(work())


def test_a_reload_that_brings_many_meters_lets_more_readings_wait(tmp_path: Path, broker: Mosquitto) -> None:
    meter = '[[bus.meter]]\nname = "m-{0}"\nprofile = "sunspec-inverter"\naddress = {0}\nevery = "100ms"\n'
    line = '[[bus]]\nname = "wide"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = 1\n'

    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded, commit_every_ms=500) as rig:
                await until(lambda: rig.feed.connected)
                few = await rig.poll(times=30)
                await until(lambda: len(heard.records("/meters/")) == 30)
                with loaded.path.open("a") as file:
                    file.write(line + "".join(meter.format(number) for number in range(1, 102)))
                rig.in_force.now = load_config(loaded.path)
                rig.feed.reloaded()
                many = await rig.poll(times=1200)
                await until(lambda: len(heard.records("/meters/")) == 1230)
                assert heard.records("/meters/") == few + many
                assert rig.feed.facts()["history"] == 0

    asyncio.run(work())


def test_an_alarm_is_retained_while_it_stands_and_names_meter_line_and_since_when(
    tmp_path: Path, broker: Mosquitto
) -> None:
    topic, since_ms = f"{BASE}/alarms/{METER}/meter-exchanged", 1795650000000

    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with listening(broker.url) as heard:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                rig.board.condition(METER, "meter-exchanged", "rs485-1", "another one", on=True, since_ms=since_ms)
                (message,) = await until(lambda: heard.on("/alarms/"))
                assert message.topic == topic
                body = json.loads(message.data)
                assert (body["source"], body["code"]) == (METER, "meter-exchanged")
                (standing,) = body["standing"]
                assert (standing["line"], standing["text"], standing["since"]) == ("rs485-1", "another one", since_ms)
            with listening(broker.url) as later:
                await until(lambda: [m.topic for m in later.on("/alarms/")] == [topic])
            async with running(loaded, b"epoch-02") as rig:  # the board remembers it, and it is over
                await until(lambda: rig.feed.connected)
                rig.board.condition(METER, "meter-exchanged", "rs485-1", "it answers", on=False)
                await until(lambda: heard.on("/alarms/")[-1].data == b"")
        with listening(broker.url) as last:
            await until(lambda: last.on("/status"))
            assert last.on("/alarms/") == []

    asyncio.run(work())


def test_a_feed_that_nobody_listens_to_tells_once_and_owes_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        async with running(loaded) as rig:
            await until(lambda: rig.feed.connected)
            await rig.poll(times=3)
            await until(lambda: rig.feed.facts()["live"] == 3)
        store = Database(loaded.database, read_only=True)
        assert store.feeds.owed("scada") == 0
        store.close()

    asyncio.run(work())


def test_after_a_reload_nothing_stays_of_a_meter_that_is_no_more(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url)
        with loaded.path.open("a") as file:
            file.write(f'[[feed]]\nname = "host"\ntype = "sparkplug"\nurl = "{broker.url}"\ngroup = "{GROUP}"\n')
        with host_at(broker) as host:
            async with running(load_config(loaded.path)) as rig:
                await until(lambda: all(feed.connected for feed in rig.feeds))
                await rig.poll()
                await rig.poll(OTHER)
                await until(lambda: len(host.of("DBIRTH")) == 2 and rig.feed.facts()["live"] == 2)
                head, _, rest = loaded.path.read_text().partition(f'  [[bus.meter]]\n  name = "{OTHER}"')
                loaded.path.write_text(head + rest[rest.index("[[bus]]") :])
                rig.in_force.now = load_config(loaded.path)
                rig.live.change(rig.in_force.now.meters)
                for feed in rig.feeds:
                    feed.reloaded()
                await until(lambda: len(host.of("DBIRTH", METER)) == 2)
                assert f"Alarms/{OTHER}" not in {m["name"] for m in host.of("NBIRTH")[1]["metrics"]}
                assert len(host.of("DBIRTH", OTHER)) == 1
                await until(lambda: retained(broker) == {f"{BASE}/meters/{METER}", f"{BASE}/status"})

    asyncio.run(work())


def retained(broker: Mosquitto) -> set[str]:
    """The topics under which the broker keeps something."""
    with listening(broker.url) as heard:
        return {message.topic for message in heard.messages}


def test_both_feeds_work_with_a_broker_of_another_make_that_knows_no_mqtt_5(tmp_path: Path) -> None:
    async def work() -> None:
        with nats(tmp_path / "nats") as (node,), listening(node.url) as heard, host_at(node) as host:
            loaded = feed_site(tmp_path / "site", node.url)
            with loaded.path.open("a") as file:
                file.write(f'[[feed]]\nname = "host"\ntype = "sparkplug"\nurl = "{node.url}"\ngroup = "{GROUP}"\n')
            loaded = load_config(loaded.path)
            async with running(loaded) as rig:
                records = await rig.poll(times=3)
                await until(lambda: all(feed.connected for feed in rig.feeds))
                records += await rig.poll()
                await until(lambda: sorted(heard.records("/meters/") + heard.records("/history/")) == records)
                await until(lambda: sorted(host.records(historical=True) + host.records(historical=False)) == records)
            await until(lambda: "NDEATH" in host.kinds())

    asyncio.run(work())
