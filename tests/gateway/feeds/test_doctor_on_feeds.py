"""What the doctor says of feeds, with and without a running gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.doctor.check import CheckContext
from gateway.doctor.feeds import feeds
from tests.gateway.feeds.rig import feed_site, running, until
from tests.support.processes import free_port, mosquitto


def test_without_a_gateway_the_doctor_knocks_at_the_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        loaded = feed_site(tmp_path / "site", broker.url)
        (finding,) = feeds(CheckContext.of(loaded, 0, pid=None))
        assert (finding.result, finding.text) == ("ok", f"feed scada at {broker.url}: connected")

    async def record() -> None:
        async with running(loaded) as rig:
            await until(lambda: str(rig.feed.state).startswith("the broker is not reachable"))
            await rig.poll(times=3)

    asyncio.run(record())
    (finding,) = feeds(CheckContext.of(loaded, 0, pid=None))
    assert finding.result == "warn"
    assert "the broker is not reachable" in finding.text
    assert "3 readings to backfill" in finding.text
    loaded = feed_site(tmp_path / "login", f"mqtt://127.0.0.1:{free_port()}", 'user = "u"\npassword_file = "none"')
    (finding,) = feeds(CheckContext.of(loaded, 0, pid=None))
    assert finding.result == "bad"
    assert "none does not exist" in finding.text
    assert finding.way_out
