"""The plain JSON feed at a real broker: what is told, when, and what is never told twice or lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds.rig import METER, OTHER, feed_site, listening, running, until
from tests.processes import Mosquitto, mosquitto

BASE = "meterseal-feed/v1/test-gateway"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as started:
        yield started


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
                assert len(heard.on("/meters/")) == 4
                with listening(broker.url) as late:
                    await until(lambda: len(late.on("/meters/")) == 2)
                    assert late.records(METER) == records[2:3]
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
                told = heard_later.records("/history/")
                assert not any(message.retained for message in heard_later.on("/history/"))
        assert heard.records("/meters/") == first + second
        assert told == missed[:-1]
        assert set(heard_later.records("/meters/")) >= {missed[-1], live[-1]}

    asyncio.run(work())
