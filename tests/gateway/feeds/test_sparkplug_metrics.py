"""What the edge node's metrics say: values and their quality, alarms; and what is no message of a host."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.devices.places import Factor, Identifier
from gateway.devices.points import Point
from gateway.feeds.sparkplug.metrics import BOOLEAN, DOUBLE, INT64, STRING, UINT64, datatype_of
from ledger_client.formats.senml import Quality, Value
from tests.gateway.feeds.conformance import shows
from tests.gateway.feeds.rig import METER, feed_site, running, until
from tests.gateway.feeds.sparkplug_host import FREE, NODE, check_sequence, host_at, metric
from tests.support.processes import Mosquitto
from tests.support.register_points import register_point


@shows("payloads-propertyset-quality-value-type payloads-propertyset-quality-value-value")
def test_values_keep_their_digits_and_say_their_quality(tmp_path: Path, broker: Mosquitto) -> None:
    long = Decimal("1234567890123456.789")
    stale = int(Quality.STALE)
    values = (
        Value("scaled", Decimal("1234.50"), "kWh"),
        Value("long", long, "kWh"),
        Value("integer", 2**63 + 1, "count"),
        Value("negative", -5, "W"),
        Value("ieee", 230.10000610351562, "V"),
        Value("text", "中", None),
        Value("flag", True, None),
        Value("none", None, "A", int(Quality.DECODE_ERR)),
        Value("old", 1, "W", stale),
        Value("unsure", 1, "W", int(Quality.CLOCK_UNSYNC), 250),
        Value("reset", 1, "W", int(Quality.COUNTER_RESET | Quality.STALE)),
    )

    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                await rig.poll(METER, *values)
                await rig.poll(METER, *values)
                await until(lambda: len(host.of("DDATA")) == 1)
        for message in (host.of("DBIRTH")[0], host.of("DDATA")[0]):
            found = {m["name"]: m for m in message["metrics"]}
            assert Decimal(repr(found["scaled"]["value"])) == Decimal("1234.50")
            assert Decimal(found["long"]["properties"]["Exact"]) == long
            assert "Exact" not in found["scaled"]["properties"]
            kinds = {name: found[name]["type"] for name in ("integer", "negative", "ieee", "text", "flag", "scaled")}
            assert list(kinds.values()) == ["UINT64", "INT64", "DOUBLE", "STRING", "BOOLEAN", "DOUBLE"]
            same = ("integer", "negative", "ieee", "text", "flag")
            assert [found[name]["value"] for name in same] == [v.value for v in values if v.name in same]
            assert found["none"]["null"]
            assert found["none"]["value"] is None
            quality = {
                name: found[name]["properties"]["Quality"] for name in ("none", "old", "unsure", "reset", "flag")
            }
            assert quality == {"none": 0, "old": 500, "unsure": 192, "reset": 0, "flag": 192}
            assert {m["types"]["Quality"] for name, m in found.items() if name in quality} == {3}
            assert found["unsure"]["properties"]["Flags"] == "CLOCK_UNSYNC"
            assert found["unsure"]["timestamp"] == found["old"]["timestamp"] + 250
            assert found["old"]["properties"]["Recorded"] is True

    asyncio.run(work())


@shows(
    "topics-ndata-topic topics-ndata-mqtt topics-ndata-seq-num topics-ndata-timestamp topics-ndata-payload",
    "payloads-ndata-timestamp payloads-ndata-seq payloads-ndata-seq-inc payloads-ndata-qos payloads-ndata-retain",
    "operational-behavior-data-publish-nbirth-change operational-behavior-data-publish-nbirth-order",
)
def test_alarms_are_metrics_of_the_node(tmp_path: Path, broker: Mosquitto) -> None:
    since_ms = 1795650000000

    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                (nbirth,) = await until(lambda: host.of("NBIRTH"))
                for source in ("gateway", *loaded.meters):
                    assert metric(nbirth, f"Alarms/{source}")["value"] == "[]"
                rig.board.condition(METER, "meter-exchanged", "rs485-1", "another one", on=True, since_ms=since_ms)
                (ndata,) = await until(lambda: host.of("NDATA"))
                (alarm_metric,) = ndata["metrics"]
                assert alarm_metric["name"] == f"Alarms/{METER}"
                (alarm,) = json.loads(alarm_metric["value"])
                assert (alarm["code"], alarm["line"], alarm["since"]) == ("meter-exchanged", "rs485-1", since_ms)
                host.do(f"rebirth {NODE}")
                await until(lambda: len(host.of("NBIRTH")) == 2)
                assert "another one" in metric(host.of("NBIRTH")[1], f"Alarms/{METER}")["value"]
                rig.board.condition(METER, "meter-exchanged", "rs485-1", "it answers", on=False)
                await until(lambda: len(host.of("NDATA")) == 2)
                assert host.of("NDATA")[1]["metrics"][0]["value"] == "[]"
                check_sequence(host)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("point", "datatype"),
    [
        (register_point("p", 3, 0, "int48", 3, unit="W"), INT64),
        (register_point("p", 3, 0, "uint48", 3, unit="W"), UINT64),
        (register_point("p", 3, 0, "int16", 1, bits=(0, 3), unit="W"), UINT64),
        (register_point("p", 3, 0, "float32", 2, unit="W"), DOUBLE),
        (register_point("p", 3, 0, "string", 2, kind="text"), STRING),
        (register_point("p", 2, 0, "bit", 1, kind="status"), BOOLEAN),
        (Point("p", Identifier("00010000", "XXXXXX.XX"), unit="kWh"), DOUBLE),
        (Point("p", Identifier("04000409", "XXXXXX"), unit="count"), UINT64),
        (Point("p", Identifier("04000402", "NNNN"), kind="text"), STRING),
        (Point("p", Identifier("04000503", "HHHH"), kind="status"), UINT64),
        (Point("p", Factor("a01011", "Rtd"), unit="m/s"), DOUBLE),
        (Point("p", Factor("DataTime"), kind="text"), STRING),
    ],
)
def test_a_metric_has_the_type_of_what_stands_at_the_place(point: Point, datatype: int) -> None:
    assert datatype_of(point) == datatype
