"""A feed that the configuration asks for, made for one epoch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.feed_settings import FeedEntry
from gateway.feeds.feed import Feed
from gateway.feeds.history import History
from gateway.feeds.plain_voice import PlainVoice
from gateway.feeds.voice import Voice
from gateway.site import Site


class SiteFeed(Feed):
    """A feed of a site: it listens to the hub, and the order ``feed NAME`` tells how it stands."""

    def __init__(self, site: Site, entry: FeedEntry) -> None:
        config = site.config
        super().__init__(
            entry.name,
            entry.url,
            partial(entry.access, config.path.parent),
            _voice(site, entry),
            History(entry.name, site.recorder, config.database),
            gateway=config.gateway_id,
            rate=sum(1000 / meter.every for meter in config.meters.values()),
            backfill_rate=entry.backfill_rate,
        )
        self._site = site
        site.hub.listeners.append(self.hear)
        site.orders[self.name] = self._tell

    def close(self) -> None:
        self._site.hub.listeners.remove(self.hear)
        del self._site.orders[self.name]

    async def _tell(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self.facts()


def make_feed(site: Site, entry: FeedEntry) -> SiteFeed:
    """Make one, which begins to listen."""
    return SiteFeed(site, entry)


def _voice(site: Site, entry: FeedEntry) -> Voice:
    return PlainVoice(site.config.gateway_id, lambda: site.config.meters, site.clock.now_ms)
