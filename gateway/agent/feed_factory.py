"""Feed factory: a configured feed, made for one epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from gateway.config.feed import FeedEntry
from gateway.config.feed_points import published_points, recorded_points
from gateway.devices.points import Point
from gateway.feeds.backlog import History
from gateway.feeds.feed import Feed
from gateway.feeds.home_assistant import Device
from gateway.feeds.json_messages import FullMessages
from gateway.feeds.json_publisher import MessageForm, PlainPublisher
from gateway.feeds.publisher import Publisher
from gateway.process.background import BackgroundTask
from gateway.runtime.context import GatewayContext
from gateway.storage.alarm_tables import AlarmRow

if TYPE_CHECKING:  # the vocabulary, which most feeds need not load
    from gateway.devices.knowledge.direction import Turned
    from gateway.feeds.records.feed import RecordsFeed

T = TypeVar("T")


class SiteFeed(BackgroundTask):
    """A feed that listens to one epoch's news, and to its alarms or commits, from the moment it is made until it is
    closed."""

    def __init__(self, site: GatewayContext, entry: FeedEntry) -> None:
        self.feed: Feed | RecordsFeed
        self._leave: list[Callable[[], None]] = []
        if entry.type == "records":
            self.feed = records = _records_feed(site, entry)
            self._join(site.recorder.along, records.note)
        else:
            self.feed = readings = _readings_feed(site, entry)
            self._join(site.board.listeners, readings.alarms_changed)
        self._join(site.hub.listeners, self.feed.hear)
        site.feeds.join(entry.name, self.feed.facts)
        self._leave.append(lambda: site.feeds.leave(entry.name))

    def _join(self, listeners: list[T], listener: T) -> None:
        listeners.append(listener)
        self._leave.append(lambda: listeners.remove(listener))

    async def run(self) -> None:
        """Publish until cancelled."""
        await self.feed.run()

    def reloaded(self) -> None:
        """Another configuration: other meters, at another rate."""
        self.feed.reloaded()

    def close(self) -> None:
        """Hear no more."""
        for leave in self._leave:
            leave()


def make_feed(site: GatewayContext, entry: FeedEntry) -> SiteFeed:
    """Make one, which begins to listen."""
    return SiteFeed(site, entry)


def _readings_feed(site: GatewayContext, entry: FeedEntry) -> Feed:
    config = site.config
    return Feed(
        entry.name,
        entry.url,
        partial(entry.access, config.path.parent),
        _publisher(site, entry),
        History(entry.name, site.recorder, config.database),
        gateway=config.gateway_id,
        rate=lambda: sum(1000 / meter.every for meter in site.config.meters.values()),
        backfill_rate=entry.backfill_rate,
    )


def _records_feed(site: GatewayContext, entry: FeedEntry) -> RecordsFeed:
    from gateway.feeds.records.feed import RecordsFeed  # what gateways without such a feed need not load
    from gateway.feeds.records.status import online

    config = site.config
    return RecordsFeed(
        entry.name,
        entry.url,
        partial(entry.access, config.path.parent),
        site.recorder,
        config.database,
        partial(online, site, entry.name),
        site.clock.now_ms,
        gateway=config.gateway_id,
        since=entry.since,
        again_rate=entry.again_rate,
    )


def _publisher(site: GatewayContext, entry: FeedEntry) -> Publisher:
    gateway, now_ms = site.config.gateway_id, site.clock.now_ms
    if entry.type == "json":
        return PlainPublisher(
            gateway,
            lambda: site.config.meters,
            lambda: _active_alarms(site),
            now_ms,
            _form(site, entry),
            lambda: _devices(site, entry),
            lambda: {name: now.up for name, now in site.live.meters.items()},
        )
    from gateway.feeds.sparkplug.node import Node
    from gateway.feeds.sparkplug.primary_host import PrimaryHost  # protobuf, which other gateways need not load
    from gateway.feeds.sparkplug.publisher import Meters, SparkplugPublisher

    meters = Meters(
        lambda: _points(site),
        lambda: site.live.meters,
        lambda: {name: meter.every for name, meter in site.config.meters.items()},
        lambda: _active_alarms(site),
        now_ms,
    )
    node = Node(entry.group or "", gateway, f"meterseal {version('meterseal')}", now_ms)
    host = PrimaryHost(entry.primary_host, now_ms) if entry.primary_host else None
    return SparkplugPublisher(node, meters, host)


def _form(site: GatewayContext, entry: FeedEntry) -> MessageForm:
    points = frozenset(entry.points)
    if entry.form == "full":
        return FullMessages(points)
    from gateway.devices.turned_values import turns_of
    from gateway.feeds.flat_messages import FlatMessages

    def turns() -> dict[str, Mapping[str, Turned]]:
        config = site.config
        return {
            name: turns_of(config.profiles[name].points) if meter.reversed else {}
            for name, meter in config.meters.items()
        }

    return FlatMessages(turns, points)


def _devices(site: GatewayContext, entry: FeedEntry) -> dict[str, Device]:
    """The meters to announce: those of which the feed publishes a point."""
    config = site.config
    if entry.discovery is None:
        return {}
    return {
        name: Device(config.profiles[name].vendor, config.profiles[name].device, points)
        for name, points in published_points(config, entry).items()
        if points
    }


def _points(site: GatewayContext) -> dict[str, list[Point]]:
    """By meter: the points that have values."""
    config = site.config
    return {name: recorded_points(meter, config.profiles[name]) for name, meter in config.meters.items()}


def _active_alarms(site: GatewayContext) -> Sequence[AlarmRow]:
    return [alarm for alarm in site.board.listed() if alarm.active]
