"""The Sparkplug edge node before a host that is not ours. docs/sparkplug.md names these tests by the conformance ids
that they show."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.gateway.feeds.conformance import shows
from tests.gateway.feeds.rig import METER, OTHER, Rig, feed_site, running, until
from tests.gateway.feeds.sparkplug_host import FREE, GROUP, HOST, NODE, Host, check_sequence, host_at, metric
from tests.gateway.feeds.tap import CONNECT, DISCONNECT, tap
from tests.support.processes import Mosquitto

BOUND = f'{FREE}primary_host = "{HOST}"\n'


async def both_born(rig: Rig, host: Host) -> None:
    """The feed is connected, both meters were polled, and the host has heard of them."""
    await until(lambda: rig.feed.connected)
    await rig.poll()
    await rig.poll(OTHER)
    await until(lambda: len(host.of("DBIRTH")) == 2)


@shows(
    "intro-group-id-string intro-edge-node-id-string intro-device-id-string topic-structure",
    "topic-structure-namespace-a topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types principles-birth-certificates-order",
    "topics-nbirth-topic topics-nbirth-mqtt topics-nbirth-seq-num topics-nbirth-timestamp topics-nbirth-metrics",
    "topics-nbirth-bdseq-included topics-nbirth-rebirth-metric payloads-nbirth-timestamp payloads-nbirth-seq",
    "payloads-nbirth-bdseq payloads-nbirth-rebirth-req payloads-nbirth-qos payloads-nbirth-retain",
    "payloads-sequence-num-always-included payloads-sequence-num-req-nbirth",
    "message-flow-edge-node-birth-publish-connect message-flow-edge-node-birth-publish-nbirth-topic",
    "message-flow-edge-node-birth-publish-nbirth-payload message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq payloads-timestamp-in-UTC",
    "payloads-metric-timestamp-in-UTC",
    "operational-behavior-data-commands-rebirth-name operational-behavior-data-commands-rebirth-name-aliases",
    "operational-behavior-data-commands-rebirth-datatype operational-behavior-data-commands-rebirth-value",
    "topics-dbirth-topic topics-dbirth-mqtt topics-dbirth-seq topics-dbirth-timestamp topics-dbirth-metrics",
    "topics-dbirth-metric-reqs payloads-dbirth-timestamp payloads-dbirth-seq payloads-dbirth-seq-inc",
    "payloads-dbirth-qos payloads-dbirth-retain message-flow-device-birth-publish-nbirth-wait",
    "message-flow-device-birth-publish-dbirth-topic message-flow-device-birth-publish-dbirth-match-edge-node-topic",
    "message-flow-device-birth-publish-dbirth-payload message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained message-flow-device-birth-publish-dbirth-payload-seq",
    "operational-behavior-data-publish-dbirth operational-behavior-data-publish-dbirth-values",
    "operational-behavior-data-publish-nbirth-values payloads-name-requirement payloads-alias-uniqueness",
    "payloads-alias-birth-requirement payloads-alias-data-cmd-requirement payloads-name-birth-data-requirement",
    "payloads-metric-datatype-value-type payloads-metric-datatype-value payloads-metric-datatype-req",
    "payloads-metric-datatype-not-req payloads-propertyset-keys-array-size payloads-propertyset-values-array-size",
    "payloads-metric-propertyvalue-type-type payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req topics-ddata-topic topics-ddata-mqtt topics-ddata-seq-num",
    "topics-ddata-timestamp topics-ddata-payload payloads-ddata-timestamp payloads-ddata-seq payloads-ddata-seq-inc",
    "payloads-ddata-qos payloads-ddata-retain",
    "topics-ndeath-topic topics-ndeath-payload topics-ndeath-seq payloads-ndeath-seq payloads-ndeath-bdseq",
    "operational-behavior-edge-node-intentional-disconnect-ndeath payloads-ndeath-will-message-publisher",
)
def test_a_host_sees_births_data_and_death(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                records = await rig.poll() + await rig.poll() + await rig.poll(OTHER)
                await until(lambda: len(host.records(historical=False)) == 3)
            await until(lambda: "NDEATH" in host.kinds())
            assert host.records(historical=False) == records
        assert host.kinds()[:4] == ["NBIRTH", "DBIRTH", "DDATA", "DBIRTH"]
        check_sequence(host)
        for message in host.messages:
            assert message["topic"].startswith(f"spBv1.0/{GROUP}/{message['kind']}/{NODE}")
            assert (message["device"] is not None) == message["kind"].startswith("D")
            assert message["retain"] == 0
            assert message["qos"] == (1 if message["kind"] == "NDEATH" else 0)
            for time_ms in (message["timestamp"], *(m["timestamp"] for m in message["metrics"])):
                assert abs(time_ms / 1000 - time.time()) < 3600, "Unix time, which is UTC"
        births = [m for message in host.messages if "BIRTH" in message["kind"] for m in message["metrics"]]
        assert all({"name", "datatype"} <= set(m["sent"]) for m in births)
        assert all(m["null"] == (m["value"] is None) for m in births)
        aliased = [m["alias"] for m in births if m["name"] != "Node Control/Rebirth"]
        assert None not in aliased
        assert len(set(aliased)) == len(aliased)
        data = [m for message in host.messages if message["kind"][1:] == "DATA" for m in message["metrics"]]
        assert all(m["sent"] == ["alias"] for m in data)
        assert {m["name"] for m in host.of("DDATA")[0]["metrics"]} == {"count", "Record"}
        (nbirth,) = host.of("NBIRTH")
        rebirth = metric(nbirth, "Node Control/Rebirth")
        assert (rebirth["type"], rebirth["value"], rebirth["alias"]) == ("BOOLEAN", False, None)
        bd_seq = metric(nbirth, "bdSeq")
        assert (bd_seq["type"], bd_seq["value"]) == ("INT64", 0)
        names = {m["name"] for m in host.of("DBIRTH", METER)[0]["metrics"]}
        assert {"count", "Record"} | {p.name for p in loaded.profiles[METER].select() if p.kind != "scale"} == names
        for death in host.of("NDEATH"):
            assert [(m["name"], m["value"]) for m in death["metrics"]] == [("bdSeq", 0)]

    asyncio.run(work())


@shows(
    "operational-behavior-data-commands-rebirth-action-1 operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3 message-flow-edge-node-ncmd-subscribe",
    "topics-nbirth-metric-reqs payloads-dbirth-order payloads-ddata-order payloads-ndata-order",
    "operational-behavior-data-publish-nbirth",
)
def test_a_rebirth_is_whole_and_only_a_rebirth_request_makes_one(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await both_born(rig, host)
                for other in ("ff", "00", "0a021000", "120c0a0a4e6f646520436f6e74"):  # no payload, another command
                    host.do(f"ncmd {NODE} {other}")
                host.do("ncmd another-node 12")
                host.do(f"rebirth {NODE}")
                await until(lambda: len(host.of("DBIRTH")) == 4)
                await rig.poll()
                await until(lambda: len(host.of("DDATA")) == 1)
                with_rebirth = [kind for kind in host.kinds() if kind != "NCMD"]
                assert with_rebirth == ["NBIRTH", "DBIRTH", "DBIRTH", "NBIRTH", "DBIRTH", "DBIRTH", "DDATA"]
                check_sequence(host)
                first, second = host.of("NBIRTH")
                assert metric(first, "bdSeq")["value"] == metric(second, "bdSeq")["value"] == 0
                assert metric(host.of("DBIRTH", OTHER)[1], "count")["value"] is not None

    asyncio.run(work())


@shows(
    "payloads-sequence-num-incrementing topics-nbirth-bdseq-increment topics-nbirth-bdseq-matching",
    "payloads-nbirth-bdseq-repeat principles-persistence-clean-session-50 payloads-ndeath-will-message",
    "payloads-ndeath-will-message-qos payloads-ndeath-will-message-retain",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    "message-flow-edge-node-birth-publish-will-message message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "operational-behavior-edge-node-intentional-disconnect-packet",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
)
def test_a_cut_wire_is_a_death_with_the_number_of_its_birth(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, host_at(broker) as host:
            loaded = feed_site(tmp_path / "site", wire.url, FREE, "sparkplug")
            async with running(loaded, commit_every_ms=1) as rig:
                for number in range(3):
                    await until(lambda: rig.feed.connected)
                    await until(lambda n=number: len(host.of("NBIRTH")) == n + 1)  # type: ignore[misc]
                    assert metric(host.of("NBIRTH")[-1], "bdSeq")["value"] == number
                    if number < 2:
                        wire.cut()
                        await until(lambda n=number: len(host.of("NDEATH")) == n + 1)  # type: ignore[misc]
                        assert metric(host.of("NDEATH")[-1], "bdSeq")["value"] == number
                records = []
                while {message["seq"] for message in host.of("DDATA")} != set(range(256)):
                    records += await rig.poll()
                await until(lambda: host.records(historical=False) == records)
                check_sequence(host)
        for packets in wire.sent:
            assert packets[0][0] >> 4 == CONNECT
            flags = packets[0][packets[0].index(b"MQTT") + 5]
            assert flags & 0b0000_0010, "clean start"
            assert flags >> 3 & 0b11 == 1, "the will's QoS"
            assert not flags & 0b0010_0000, "the will is not retained"
            assert b"\x11\x00\x00\x00\x00" in packets[0][:40], "session expiry interval 0"
            assert f"spBv1.0/{GROUP}/NDEATH/{NODE}".encode() in packets[0]
        assert wire.sent[-1][-1][0] >> 4 == DISCONNECT
        assert wire.sent[-1][-1][2] == 0x04, "disconnect with will"

    asyncio.run(work())


@shows("principles-persistence-clean-session-311 payloads-ndeath-will-message-publisher-disconnect-mqtt311")
def test_over_mqtt_311_it_says_its_death_itself(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, host_at(broker) as host:
            loaded = feed_site(tmp_path / "site", wire.url, f'{FREE}protocol = "3.1.1"\n', "sparkplug")
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
            await until(lambda: "NDEATH" in host.kinds())
        (packets,) = wire.sent
        assert packets[0][packets[0].index(b"MQTT") + 4] == 4, "MQTT 3.1.1"
        assert packets[0][packets[0].index(b"MQTT") + 5] & 0b10, "clean session"
        assert packets[-1] == bytes([DISCONNECT << 4, 0])
        assert f"spBv1.0/{GROUP}/NDEATH/{NODE}".encode() in packets[-2] + packets[-3]

    asyncio.run(work())


@shows(
    "message-flow-edge-node-birth-publish-phid-wait message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "message-flow-edge-node-birth-publish-phid-offline operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
    "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
    "operational-behavior-edge-node-birth-sequence-wait operational-behavior-data-publish-dbirth-order",
)
def test_without_its_primary_host_it_tells_nothing_and_all_of_it_afterwards(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, BOUND, "sparkplug")
        with host_at(broker) as host, host_at(broker, "another-host") as other:
            async with running(loaded) as rig:
                other.do("online")
                await until(lambda: rig.feed.facts()["state"] == f"connected, waiting for primary host {HOST}")
                before = await rig.poll(times=3)
                host.do("offline")
                assert not host.messages
                host.do("online")
                await until(lambda: rig.feed.connected)
                await until(lambda: len(host.records(historical=True)) == 2)
                host.do("old-offline")
                live = await rig.poll()
                await until(lambda: live[0] in host.records(historical=False))
                assert "NDEATH" not in host.kinds()
                host.do("offline")
                await until(lambda: "NDEATH" in host.kinds())
                await until(lambda: rig.feed.facts()["state"] == f"connected, waiting for primary host {HOST}")
                kinds = [kind for kind in host.kinds() if kind != "NDEATH"]
                away = await rig.poll(times=4)
                assert [kind for kind in host.kinds() if kind != "NDEATH"] == kinds
                host.do("online")
                await until(lambda: len(host.of("NBIRTH")) == 2)
                assert metric(host.of("NBIRTH")[1], "bdSeq")["value"] == 1
                await until(lambda: len(host.records(historical=True)) == 5)
                assert host.records(historical=True) == before[:2] + away[:3]
                assert host.records(historical=False) == [before[2], *live, away[3]]
                births = [n for n, kind in enumerate(host.kinds()) if kind == "DBIRTH"]
                late = [n for n, m in enumerate(host.messages) if any(x["historical"] for x in m["metrics"])]
                assert births[-1] < late[-1], "live first, then the history"
                assert all(x["historical"] for n in late for x in host.messages[n]["metrics"])

    asyncio.run(work())


@shows(
    "operational-behavior-device-ddeath topics-ddeath-topic topics-ddeath-mqtt topics-ddeath-seq-num",
    "payloads-ddeath-timestamp payloads-ddeath-seq payloads-ddeath-seq-inc payloads-ddeath-seq-number",
)
def test_a_silent_meter_is_dead_until_it_answers(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await both_born(rig, host)
                rig.miss(METER, 5_000)
                rig.miss(OTHER, 3_600_000)
                await until(lambda: host.of("DDEATH"))
                assert [death["device"] for death in host.of("DDEATH")] == [OTHER]
                await rig.poll(OTHER)
                await until(lambda: len(host.of("DBIRTH", OTHER)) == 2)
                check_sequence(host)

    asyncio.run(work())


def test_history_of_a_meter_that_is_dead_or_gone_is_told_between_a_birth_and_a_death(
    tmp_path: Path, broker: Mosquitto
) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FREE, "sparkplug")
        async with running(loaded) as rig:
            await until(lambda: rig.feed.connected)
            broker.stop()
            await until(lambda: not rig.feed.connected)
            records = await rig.poll(times=3)
        broker.start()
        with host_at(broker) as host:
            async with running(loaded, b"epoch-02"):
                await until(lambda: "DDEATH" in host.kinds())
        assert host.records(historical=True) == records
        assert host.kinds()[:4] == ["NBIRTH", "DBIRTH", "DDATA", "DDEATH"]
        assert all(m["null"] for m in host.of("DBIRTH")[0]["metrics"])
        assert metric(host.of("DBIRTH")[0], "count")["properties"]["Quality"] == 500
        check_sequence(host)

    asyncio.run(work())
