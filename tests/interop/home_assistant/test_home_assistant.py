"""Home Assistant itself finds each point of each profile, and knows at once that a killed gateway is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.devices.points import UNRECORDED, Point
from gateway.devices.profile import catalog, load_profile
from gateway.feeds import json_messages
from gateway.feeds.flat_messages import FlatMessages
from gateway.feeds.home_assistant import Device, config_topic, device_message
from gateway.feeds.reading_message import FeedReading
from ledger_client.formats.senml import Number, Quality, Reading, Value
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions
from tests.gateway.feeds.rig import PATIENCE_S
from tests.interop.home_assistant.hub import HomeAssistant, home_assistant
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.gateways.farm import farm
from tests.support.gateways.sites import table
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.processes import Mosquitto, mosquitto
from tests.system.demo_site import GatewayProcess, until

GATEWAY = "yunnan.hydro-07"
TOPICS = json_messages.Topics(GATEWAY)
FORM = FlatMessages(lambda: {name: {} for name in catalog()})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture(scope="module")
def hub(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    with home_assistant(tmp_path_factory.mktemp("home") / "assistant", broker.port) as started:
        yield started


def publish(broker: Mosquitto, messages: Mapping[str, bytes]) -> None:
    """Have the broker retain these messages, by topic."""
    left, done = len(messages), threading.Event()

    def taken(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client = Broker(BrokerOptions(broker.url, "publisher", queue=1000), Callbacks(on_ack=taken))
    try:
        assert client.wait_connected(PATIENCE_S)
        for topic, data in messages.items():
            client.publish(topic, data, None, retain=True)
        assert done.wait(PATIENCE_S)
    finally:
        client.close()


def points_of(profile: str) -> dict[str, Point]:
    """All that a profile can record."""
    return {point.name: point for point in load_profile(profile).points if point.kind not in UNRECORDED}


def value_of(point: Point) -> Number | str | bool:
    if point.at.form == "text" or point.kind == "text":
        return "7.0.33" if point.name != "device_model" else "x" * 1000
    if point.at.form == "switch":
        return True
    return Decimal("1234.50") if point.kind in ("gauge", "counter") else 7


def reading(profile: str, quality: int = 0) -> bytes:
    values = tuple(Value(p.name, value_of(p), p.unit, quality) for p in points_of(profile).values())
    return FORM.message([FeedReading(profile, Reading(1_795_650_000_123, values), "S", f"{profile}/00/1")])


def valued(hub: HomeAssistant) -> dict[str, str]:
    """By unique id: the states that say something."""
    return {name: state for name, state in hub.states().items() if state not in ("unknown", "unavailable")}


def test_each_point_of_each_profile_is_an_entity_without_a_warning(broker: Mosquitto, hub: HomeAssistant) -> None:
    profiles = {name: load_profile(name) for name in catalog()}
    devices = {
        config_topic(GATEWAY, name): device_message(
            TOPICS, GATEWAY, name, Device(profile.vendor, profile.device, points_of(name)), [("x_gone", "sensor")]
        )
        for name, profile in profiles.items()
    }
    publish(
        broker, {TOPICS.up(name): b"1" for name in profiles} | {TOPICS.meter(name): reading(name) for name in profiles}
    )
    publish(broker, devices | {TOPICS.status: json_messages.status(online=True)})
    expected = sum(len(points_of(name)) + 1 for name in profiles)
    assert expected > 1400
    until("all entities", lambda: len(valued(hub)) == expected)
    assert hub.log() == []
    states = {entity["entity"]: entity["now"] for entity in hub.entities().values()}
    energy = states["sensor.eastron_sdm630_energy_import"]
    facts = energy["attributes"]
    assert (energy["state"], facts["unit_of_measurement"], facts["device_class"], facts["state_class"]) == (
        "1234.5", "kWh", "energy", "total_increasing",
    )  # fmt: skip
    quality = states["sensor.eastron_sdm630_quality"]
    assert (quality["state"], quality["attributes"]["record"]) == ("good", "eastron-sdm630/00/1")

    bad = {TOPICS.meter(name): reading(name, int(Quality.DEVICE_FAULT)) for name in profiles}
    publish(broker, bad | {TOPICS.up("eastron-sdm630"): b"0", TOPICS.meter("abb-b23"): b""})
    until("no value", lambda: set(hub.states().values()) == {"unknown", "bad", "unavailable"})
    assert sum(state == "unavailable" for state in hub.states().values()) == len(points_of("eastron-sdm630")) + 1
    publish(broker, dict.fromkeys(devices, b""))
    until("no entity", lambda: not hub.states())
    assert hub.log() == []


def test_all_is_unavailable_when_the_gateway_is_killed(tmp_path: Path, broker: Mosquitto, hub: HomeAssistant) -> None:
    feed = table("[feed]", name="home", type="json", url=broker.url, form="flat", discovery="homeassistant")
    with farm(2) as many:
        gateway = GatewayProcess(tcp_site(tmp_path, many.ports, feed, every="1s"))
        gateway.start()
        try:
            before = until("values", lambda: valued(hub) if len(valued(hub)) == 62 else None).keys()
            gateway.kill()
            until("its will", lambda: set(hub.states().values()) == {"unavailable"})
            gateway.start()
            until("values again", lambda: valued(hub).keys() == before)
        finally:
            gateway.close()
    assert hub.log() == []
