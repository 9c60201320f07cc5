"""Home Assistant discovery at a real broker: what is announced, when it is withdrawn, and what a refusal costs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from ledger_client.formats.senml import Value
from tests.gateway.feeds.rig import METER, OTHER, PATIENCE_S, Heard, feed_site, listening, running, say, until
from tests.gateway.feeds.tap import PUBLISH, tap
from tests.support.processes import Mosquitto, mosquitto

BASE = "meterseal-feed/v1/test-gateway"
ANNOUNCED = 'form = "flat"\ndiscovery = "homeassistant"\n'
METERS = {METER, OTHER, "pv-inverter"}


def config_topic(meter: str) -> str:
    """As the documentation says."""
    return f"homeassistant/device/meterseal-{hashlib.sha256(f'test-gateway/{meter}'.encode()).hexdigest()}/config"


def retained(broker: Mosquitto, topic: str = "#") -> dict[str, bytes]:
    """What the broker keeps."""
    with listening(broker.url, topic) as heard:
        return {message.topic: message.data for message in heard.messages}


def newest(heard: Heard, topic: str) -> bytes | None:
    return heard.on(topic)[-1].data if heard.on(topic) else None


def without(loaded: Config, meter: str) -> Config:
    """The configuration without a meter, the last of its line."""
    head, _, rest = loaded.path.read_text().partition(f'  [[bus.meter]]\n  name = "{meter}"')
    loaded.path.write_text(head + rest[rest.index("[[bus]]") :])
    return load_config(loaded.path)


def test_a_device_message_a_meter_is_retained_and_emptied_when_the_meter_leaves(
    tmp_path: Path, broker: Mosquitto
) -> None:
    loaded = feed_site(tmp_path / "site", broker.url, ANNOUNCED)

    async def announce() -> None:
        async with running(loaded) as rig:
            await until(lambda: {config_topic(meter) for meter in METERS} <= retained(broker).keys())
            device: Any = json.loads(retained(broker)[config_topic(METER)])
            assert [entry["topic"] for entry in device["availability"]] == [f"{BASE}/status", f"{BASE}/up/{METER}"]
            assert (device["availability_mode"], device["state_topic"]) == ("all", f"{BASE}/meters/{METER}")
            assert len(device["components"]) == 18 + 1
            assert retained(broker)[f"{BASE}/up/{METER}"] == b"unknown"
            await rig.poll()
            await until(lambda: retained(broker)[f"{BASE}/up/{METER}"] == b"1")
            rig.miss(METER, 1000)
            await until(lambda: retained(broker)[f"{BASE}/up/{METER}"] == b"0")
            say(broker.url, "homeassistant/device/another/config", b"{}")
            rig.in_force.now = without(loaded, OTHER)
            rig.live.change(rig.in_force.now.meters)
            rig.feed.reloaded()
            await until(lambda: not any(OTHER in topic for topic in retained(broker)))
            assert config_topic(OTHER) not in retained(broker)
            assert config_topic(METER) in retained(broker)

    async def leave_while_stopped() -> None:
        rest = 'name = "stack-co2"' + loaded.path.read_text().partition('name = "export-main"')[2]
        loaded.path.write_text(loaded.path.read_text().partition('name = "export-main"')[0] + rest)
        async with running(load_config(loaded.path), b"epoch-02") as rig:
            await until(lambda: f"{BASE}/up/{METER}" not in retained(broker))
            assert config_topic(METER) not in retained(broker)
            assert config_topic(OTHER) in retained(broker)
            assert rig.feed.connected

    async def no_more() -> None:
        loaded.path.write_text(loaded.path.read_text().replace(ANNOUNCED, ""))
        async with running(load_config(loaded.path), b"epoch-03"):
            await until(lambda: not any(topic.startswith(f"{BASE}/up/") for topic in retained(broker)))
            assert [topic for topic in retained(broker) if "homeassistant" in topic] == [
                "homeassistant/device/another/config"
            ]

    asyncio.run(announce())
    asyncio.run(leave_while_stopped())
    asyncio.run(no_more())


def test_what_is_retained_already_is_not_published_again_and_points_that_left_are_removed(
    tmp_path: Path, broker: Mosquitto
) -> None:
    loaded = feed_site(tmp_path / "site", broker.url, ANNOUNCED)

    async def begin(config: Config, epoch: bytes, wanted: int) -> list[bytes]:
        with listening(broker.url, config_topic(METER)) as heard:
            before = len(heard.messages)
            async with running(config, epoch) as rig:
                await until(lambda: rig.feed.connected and not rig.feed._publisher._discovery.refused)
                await rig.poll()
                await until(lambda: len(heard.messages) >= before + wanted)
            return [message.data for message in heard.messages[before:]]

    (first,) = asyncio.run(begin(loaded, b"epoch-01", 1))
    assert asyncio.run(begin(loaded, b"epoch-02", 0)) == []
    loaded.path.write_text(loaded.path.read_text().replace(ANNOUNCED, ANNOUNCED + 'points = ["frequency"]\n'))
    (second,) = asyncio.run(begin(load_config(loaded.path), b"epoch-03", 1))
    names = json.loads(first)["components"].keys()
    after = json.loads(second)["components"]
    assert after.keys() == names
    assert {name for name, entity in after.items() if "unique_id" in entity} == {"frequency", "quality"}
    assert after["active_power_total"] == {"platform": "sensor"}


def test_a_broker_that_refuses_device_messages_costs_no_reading(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    rights = folder / "rights.acl"
    rights.write_text(f"topic readwrite {BASE}/meters/#\ntopic readwrite {BASE}/status\ntopic read #\n")
    rights.chmod(0o600)

    async def work() -> None:
        with mosquitto(folder, f"acl_file {rights}\n") as broker, listening(broker.url, "#") as heard:
            loaded = feed_site(tmp_path / "site", broker.url, ANNOUNCED)
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected and rig.feed._publisher.remark is not None)
                assert rig.feed.facts()["message"] == "feed-connected-unannounced"
                records = await rig.poll(times=3)
                await until(lambda: len(heard.on("/meters/")) == 3)
                assert [json.loads(m.data)["record"] for m in heard.on("/meters/")] == records
                rights.write_text("topic readwrite #\n")
                broker.reload()
                async with asyncio.timeout(PATIENCE_S):
                    while rig.feed.facts()["state"] != "connected":
                        rig.feed.reloaded()
                        await asyncio.sleep(0.5)
                await until(lambda: heard.on(config_topic(METER)) and heard.on(f"{BASE}/up/{METER}"))
            assert heard.on("/history/") == []

    asyncio.run(work())


@pytest.mark.parametrize("topic", [b"homeassistant/device/", b"/up/"])
def test_a_broker_that_ends_the_connection_over_them_costs_none_either(
    tmp_path: Path, broker: Mosquitto, topic: bytes
) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, listening(broker.url) as heard:
            wire.forbidden = (PUBLISH, topic)
            loaded = feed_site(tmp_path / "site", wire.url, ANNOUNCED)
            async with running(loaded) as rig:
                records = await rig.poll(METER, Value("frequency", 50, "Hz"), times=3)
                await until(lambda: len(wire.sent) == 2 and rig.feed.connected)
                records += await rig.poll(times=3)
                await until(
                    lambda: {json.loads(m.data)["record"] for m in heard.on(METER) if b"record" in m.data} == {*records}
                )
                assert len(wire.sent) == 2  # it has not tried again
                assert rig.feed.facts()["message"] == "feed-connected-unannounced"

    asyncio.run(work())
