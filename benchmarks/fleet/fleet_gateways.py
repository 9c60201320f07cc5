"""Gateways without a fieldbus: the shipped recorder and the shipped feed of records, fed with readings of 30 values.

``python -m benchmarks.fleet.fleet_gateways FOLDER RATE SECONDS`` runs every site below FOLDER in one process, at RATE
records a second in all, and prints for each record when it had become durable, as JSON: ``[[gateway, meter, epoch in
hex, number, Unix seconds], …]``. A line on its standard input begins it, the next one ends it.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.fleet.fleet_records import KINDS, POINTS
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.feeds.records.feed import RecordsFeed
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import News, PollResult, SignedRecord, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.feed_messages import encode_status
from ledger_client.formats.senml import Reading, Value

Durable = list[tuple[str, str, str, int, float]]


class Gateway:
    """One of them."""

    def __init__(self, loaded: Config, loop: asyncio.AbstractEventLoop, durable: Durable) -> None:
        self._loaded, self._loop, self._durable = loaded, loop, durable
        self._clock = Clock()
        self.recorder = Recorder(
            Database(loaded.database), load_keys(loaded), Rules.of(loaded), self._clock, secrets.token_bytes(8)
        )
        (entry,) = loaded.document.feed
        self.feed = RecordsFeed(
            entry.name, entry.url, partial(entry.access, loaded.path.parent), self.recorder, loaded.database,
            self._status, self._clock.now_ms, gateway=loaded.gateway_id, since=entry.since, again_rate=entry.again_rate,
        )  # fmt: skip
        self.recorder.along.append(self.feed.note)
        self.recorder.on_news.append(self._news)

    def _status(self) -> bytes:
        return encode_status({"online": True, "since": self._clock.now_ms()})

    def _news(self, news: Sequence[News]) -> None:
        now_s = time.time()
        for item in news:
            if isinstance(item, SignedRecord) and item.row.kind == "reading":
                row = item.row
                self._durable.append((self._loaded.gateway_id, row.meter, row.epoch.hex(), row.seq, now_s))
        self._loop.call_soon_threadsafe(self.feed.hear, news)

    def poll(self, due_ms: int, chance: random.Random) -> None:
        """Every meter answers."""
        for meter in self._loaded.meters:
            now = Timestamp.now(self._clock)
            values = tuple(Value(name, KINDS["float32"](chance), unit) for name, unit in POINTS)
            self.recorder.put(PollResult(meter, due_ms, Reading(now.time_ms, values), now))


async def run(sites: Sequence[Config], rate: float, seconds: float) -> Durable:
    """All of these sites, their polls spread evenly."""
    loop, durable, chance = asyncio.get_running_loop(), Durable(), random.Random(1)
    gateways = [Gateway(loaded, loop, durable) for loaded in sites]
    pause_s = sum(len(loaded.meters) for loaded in sites) / rate / len(gateways)
    feeds = [asyncio.create_task(gateway.feed.run()) for gateway in gateways]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    anchors = []
    for gateway in gateways:  # spread, so that they do not all commit at one moment
        anchors.append(gateway.recorder.open())
        gateway.recorder.start()
        await asyncio.sleep(1 / len(gateways))
    begun, number = loop.time(), 0
    while (now := loop.time() - begun) < seconds:
        turn, at = divmod(number, len(gateways))
        gateways[at].poll(anchors[at] + turn * sites[at].document.bus[0].meter[0].every, chance)
        number += 1
        await asyncio.sleep(max(0.0, number * pause_s - now))
    for gateway in gateways:
        gateway.recorder.call(lambda _: None).result()
    print("done", flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # what was recorded is published meanwhile
    for task in feeds:
        task.cancel()
    await asyncio.gather(*feeds, return_exceptions=True)
    for gateway in gateways:
        gateway.recorder.stop()
    return durable


if __name__ == "__main__":
    found = [load_config(path) for path in sorted(Path(sys.argv[1]).glob("*/gateway.toml"))]
    print(json.dumps(asyncio.run(run(found, float(sys.argv[2]), float(sys.argv[3])))))
