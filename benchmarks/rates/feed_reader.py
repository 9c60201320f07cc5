"""Who reads a feed: ``python -m benchmarks.rates.feed_reader URL KIND`` (json, sparkplug, bare) subscribes, prints
``ready``, and answers each line of two moments in ms on its standard input with what came of the readings between them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.rates.bare_feed import BARE
from gateway.feeds.json_messages import ROOT
from gateway.feeds.sparkplug.node import NAMESPACE, RECORD
from gateway.feeds.sparkplug.payload import Payload

TOPICS = {"json": f"{ROOT}/#", "sparkplug": f"{NAMESPACE}/#", "bare": f"{BARE}/#"}

NamedTime = tuple[str, int]
"""A reading: the name of its record, and its time in ms."""


@dataclass(slots=True)
class Heard:
    """What has come: by record, its time and when it came, in ms; messages and history by when they came."""

    live: dict[str, tuple[int, int]] = field(default_factory=dict)
    messages_ms: list[int] = field(default_factory=list)
    history: list[int] = field(default_factory=list)
    aliases: set[int] = field(default_factory=set)
    """Sparkplug's numbers of the metrics that name a record."""

    def take(self, kind: str, message: MQTTMessage) -> None:
        """One message of the broker."""
        now_ms = time.time_ns() // 1_000_000
        live, found = self._sparkplug(message) if kind == "sparkplug" else _json(message)
        readings = list(found)
        if readings and live:
            self.messages_ms.append(now_ms)
            self.live.update((record, (time_ms, now_ms)) for record, time_ms in readings if record not in self.live)
        else:
            self.history += (time_ms for _, time_ms in readings)

    def _sparkplug(self, message: MQTTMessage) -> tuple[bool, Iterator[NamedTime]]:
        """Readings by the metric that names their record; history says so of each."""
        kind = message.topic.split("/")[2]
        if kind not in ("DBIRTH", "DDATA"):
            return True, iter(())
        metrics = Payload.FromString(message.payload).metrics
        if kind == "DBIRTH":
            self.aliases.update(metric.alias for metric in metrics if metric.name == RECORD)
        found = [metric for metric in metrics if metric.alias in self.aliases and metric.string_value]
        live = not any(metric.is_historical for metric in found)
        return live, ((metric.string_value, metric.timestamp) for metric in found)

    def figures(self, begin_ms: int, end_ms: int) -> dict[str, object]:
        """Of the readings of a stretch of time."""
        late = sorted(came - made for made, came in list(self.live.values()) if begin_ms <= made < end_ms)
        return {
            "readings": len(late),
            "p50_s": late[len(late) // 2] / 1000 if late else None,
            "p99_s": late[len(late) * 99 // 100] / 1000 if late else None,
            "messages": sum(begin_ms <= came < end_ms for came in self.messages_ms),
            "history": sum(begin_ms <= made < end_ms for made in self.history),
        }


def _json(message: MQTTMessage) -> tuple[bool, Iterator[NamedTime]]:
    section = message.topic.split("/")[-2]
    if section not in ("meters", "history"):
        return True, iter(())
    return section == "meters", ((one["record"], one["time"]) for one in json.loads(message.payload)["readings"])


def main(url: str, kind: str) -> None:
    """Listen until the standard input ends."""
    heard, address = Heard(), urlsplit(url)
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _userdata, message: heard.take(kind, message)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect(address.hostname or "", address.port or 0)
    client.subscribe(TOPICS[kind], qos=1)
    client.loop_start()
    for line in sys.stdin:
        begin_ms, end_ms = map(int, line.split())
        print(json.dumps(heard.figures(begin_ms, end_ms)), flush=True)
    client.loop_stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
