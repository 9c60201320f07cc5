"""Feed factory: a configured feed, made for one epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from gateway.config.feed import FeedEntry
from gateway.devices.points import Point
from gateway.feeds.backlog import History
from gateway.feeds.feed import Feed
from gateway.feeds.plain_json.publisher import PlainVoice
from gateway.feeds.publisher import Voice
from gateway.runtime.context import GatewayContext
from gateway.storage.alarm_tables import AlarmRow


class SiteFeed(Feed):
    """A feed of a site: it listens to the hub; the order ``feed NAME`` and the site's ``feeds`` say how it stands."""

    def __init__(self, site: GatewayContext, entry: FeedEntry) -> None:
        config = site.config
        super().__init__(
            entry.name,
            entry.url,
            partial(entry.access, config.path.parent),
            _voice(site, entry),
            History(entry.name, site.recorder, config.database),
            gateway=config.gateway_id,
            rate=lambda: sum(1000 / meter.every for meter in site.config.meters.values()),
            backfill_rate=entry.backfill_rate,
        )
        self._site, self._entry = site, entry
        site.hub.listeners.append(self.hear)
        site.board.listeners.append(self.alarms_changed)
        site.orders[self.name], site.feeds[entry.name] = self._tell, self.facts

    def close(self) -> None:
        self._site.hub.listeners.remove(self.hear)
        self._site.board.listeners.remove(self.alarms_changed)
        del self._site.orders[self.name], self._site.feeds[self._entry.name]

    async def _tell(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self.facts()


def make_feed(site: GatewayContext, entry: FeedEntry) -> SiteFeed:
    """Make one, which begins to listen."""
    return SiteFeed(site, entry)


def _voice(site: GatewayContext, entry: FeedEntry) -> Voice:
    gateway, now_ms = site.config.gateway_id, site.clock.now_ms
    if entry.type == "json":
        return PlainVoice(gateway, lambda: site.config.meters, lambda: _active_alarms(site), now_ms)
    from gateway.feeds.sparkplug.node import Node
    from gateway.feeds.sparkplug.primary_host import PrimaryHost  # protobuf, which other gateways need not load
    from gateway.feeds.sparkplug.publisher import Meters, SparkplugVoice

    meters = Meters(
        lambda: _points(site),
        lambda: site.live.meters,
        lambda: {name: meter.every for name, meter in site.config.meters.items()},
        lambda: _active_alarms(site),
        now_ms,
    )
    node = Node(entry.group or "", gateway, f"meterseal {version('meterseal')}", now_ms)
    host = PrimaryHost(entry.primary_host, now_ms) if entry.primary_host else None
    return SparkplugVoice(node, meters, host)


def _points(site: GatewayContext) -> dict[str, list[Point]]:
    """By meter: the points that have values."""
    config = site.config
    return {
        name: [p for p in config.profiles[name].select(meter.points or None) if p.kind != "scale"]
        for name, meter in config.meters.items()
    }


def _active_alarms(site: GatewayContext) -> Sequence[AlarmRow]:
    return [alarm for alarm in site.board.listed() if alarm.active]
