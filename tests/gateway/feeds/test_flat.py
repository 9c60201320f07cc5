"""Flat messages and the choice of points: what is published, under which name, and what is left out."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.devices.points import UNRECORDED
from gateway.devices.profile import load_profile
from gateway.devices.turned_values import turns_of
from gateway.errors import ConfigError
from gateway.feeds import json_messages
from gateway.feeds.flat_messages import FlatMessages
from gateway.feeds.reading_message import FeedReading
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.feeds.rig import METER, OTHER, feed_site, listening, running, until
from tests.support.processes import Mosquitto

FLAT = 'form = "flat"\n'
NOW_MS = 1_795_650_000_123
DEMO = (
    231.25563049316406, 231.11032104492188, 229.49594116210938, 32.62236785888672, 34.721351623535156,
    34.408905029296875,
    -7500.52783203125, -7975.53564453125, -7858.6435546875, -23334.70703125, 23464.94921875, 2468.8564453125,
    -0.9944495558738708, 50.01253890991211, 1520.0, 4821.55908203125, 310.0062561035156, 95.0,
)  # fmt: skip
"""A reading of the demo's export meter."""


def of(*values: Value, meter: str = METER, record: str | None = f"{METER}/00f1e2d3c4b5a697/41") -> FeedReading:
    return FeedReading(meter, Reading(NOW_MS, values), "S", record, None if record else "disk-full")


def test_a_flat_message_of_18_values_is_a_third_of_the_full_one() -> None:
    points = [p for p in load_profile("eastron-sdm630").select() if p.kind not in UNRECORDED]
    reading = of(*(Value(p.name, number, p.unit) for p, number in zip(points, DEMO, strict=True)))
    flat = FlatMessages(lambda: {METER: {}}).message([reading])
    assert len(flat) <= 750
    assert len(json_messages.readings([reading])) > 3 * len(flat) - 100
    assert json.loads(flat).keys() == {"time", "meter", "quality", "record", *(p.name for p in points)}


def test_bad_values_have_no_key_and_the_worst_quality_is_stated() -> None:
    values = (
        Value("energy_export", Decimal("1234.50"), "kWh"),
        Value("active_power", 5, "W", int(Quality.CLOCK_UNSYNC)),
        Value("frequency", 51, "Hz", int(Quality.RANGE_HIGH)),  # it has a value, and a bad one
        Value("current_l1", None, "A", int(Quality.DECODE_ERR)),
        Value("switch", False, None),
        Value("serial_number", 'a"中', None),
        Value("energy_import.first", 7, "kWh", int(Quality.COUNTER_RESET)),
        Value("record", 1, None),  # of a profile of before: no point replaces a key
    )
    text = FlatMessages(lambda: {METER: {}}).message([of(*values)]).decode()
    assert text == (
        f'{{"time":{NOW_MS},"meter":"{METER}","quality":"bad","record":"{METER}/00f1e2d3c4b5a697/41",'
        '"energy_export":1234.50,"active_power":5,"switch":false,"serial_number":"a\\"中"}'
    )
    chosen = FlatMessages(lambda: {METER: {}}, {"active_power"})
    assert json.loads(chosen.message([of(*values, record=None)])) == {
        "time": NOW_MS, "meter": METER, "quality": "uncertain", "record": None, "not_recorded": "disk-full",
        "active_power": 5,
    }  # fmt: skip
    assert json.loads(chosen.message([of(*values[2:])]))["quality"] == "bad"


def test_a_reversed_meter_is_turned_as_on_the_pages_also_once_it_is_gone() -> None:
    turns = {METER: turns_of(load_profile("sunspec-meter").points), OTHER: {}}
    form = FlatMessages(lambda: turns)
    values = (
        Value("energy_import", 7, "kWh"),
        Value("active_power_total", Decimal("-1.5"), "W"),
        Value("frequency", 50),
    )
    expected = {"energy_export": 7, "active_power_total": 1.5, "frequency": 50}
    assert _points(form.message([of(*values)])) == expected
    assert _points(form.message([of(*values, meter=OTHER)])) == {v.name: float(v.value) for v in values}  # type: ignore[arg-type]
    turns.clear()
    form.reloaded()
    assert _points(form.message([of(*values)])) == expected
    assert _points(FlatMessages(dict).message([of(*values)])) == {"frequency": 50}  # nobody knows how it was installed


def refusal(error: ConfigError) -> Message:
    """What is wrong with the key."""
    assert error.message is not None
    what = error.message.facts["what"]
    while isinstance(what, Message) and what.code == "config-unfit":
        what = what.facts["what"]
    assert isinstance(what, Message)
    return what


def _points(data: bytes) -> dict[str, float]:
    return {
        key: content for key, content in json.loads(data).items() if key not in ("time", "meter", "quality", "record")
    }


def test_each_reading_has_a_message_and_the_backfill_too(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, FLAT)
        with listening(broker.url) as heard:
            async with running(loaded, commit_every_ms=500) as rig:
                await until(lambda: rig.feed.connected)
                live = await rig.poll(times=5)
                await until(lambda: len(heard.on("/meters/")) == 5)
                broker.stop()
                await until(lambda: not rig.feed.connected)
                missed = await rig.poll(times=3)
                broker.start()
                with listening(broker.url) as later:
                    await until(lambda: len(later.on("/history/")) == 2)
        assert [json.loads(m.data)["record"] for m in heard.on("/meters/")][:5] == live
        assert [json.loads(m.data)["record"] for m in later.on("/history/") + later.on("/meters/")] == missed
        first = json.loads(heard.on("/meters/")[0].data)
        assert (first["meter"], first["quality"]) == (METER, "good")

    asyncio.run(work())


def test_a_full_feed_publishes_the_chosen_points_alone(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, 'points = ["frequency"]')
        with listening(broker.url) as heard:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                await rig.poll(METER, Value("frequency", 50, "Hz"), Value("active_power", 1, "W"))
                (reading,) = await until(lambda: heard.readings("/meters/"))
                assert [value["name"] for value in reading["values"]] == ["frequency"]

    asyncio.run(work())


@pytest.mark.parametrize(
    ("keys", "key", "code"),
    [
        ('discovery = "homeassistant"', "discovery", "feed-discovery-form"),
        ("points = []", "points", "feed-points-empty"),
        ('points = ["frequency", "frequncy"]', "points", "feed-no-point-meant"),
        ('points = ["zzz"]', "points", "feed-no-point"),
        ('[[feed]]\nname = "b"\ntype = "json"\nurl = "mqtt://127.0.0.1:1"', "url", "feed-topics-twice"),
    ],
)
def test_what_cannot_be_published_is_refused_by_its_key(tmp_path: Path, keys: str, key: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        feed_site(tmp_path, "mqtt://127.0.0.1:1", keys)
    assert caught.value.key.endswith(key)
    assert refusal(caught.value).code == code


@pytest.mark.parametrize("key", ['form = "flat"', 'points = ["frequency"]', 'discovery = "homeassistant"'])
def test_sparkplug_has_none_of_these_keys(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        feed_site(tmp_path, "mqtt://127.0.0.1:1", f'group = "plant"\n{key}', "sparkplug")
    assert refusal(caught.value).code == "feed-json-only"


def test_a_point_named_as_a_key_of_flat_messages_is_refused_unless_it_is_left_out(tmp_path: Path) -> None:
    loaded = feed_site(tmp_path, "mqtt://127.0.0.1:1", FLAT)
    profile = loaded.path.with_name("own.toml")
    made = (Path(load_profile.__code__.co_filename).parent / "catalog" / "eastron-sdm630.toml").read_text()
    profile.write_text(made.replace("\nfrequency ", "\ntime "))
    text = loaded.path.read_text().replace('profile = "eastron-sdm630"', 'profile = "own.toml"')
    loaded.path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(loaded.path)
    assert (refusal(caught.value).code, refusal(caught.value).facts["point"]) == ("feed-point-key", "time")
    loaded.path.write_text(text.replace(FLAT, FLAT + 'points = ["active_power_total"]\n'))
    assert load_config(loaded.path).document.feed[0].points == ("active_power_total",)
