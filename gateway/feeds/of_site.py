"""The feeds that a configuration asks for, made for one epoch."""

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


def feeds(site: Site) -> list[Feed]:
    """All of them, listening; the order ``feeds`` tells how each one stands."""
    entries = site.config.document.feed
    made = [_feed(site, entry) for entry in entries]
    site.hub.listeners.extend(feed.hear for feed in made)

    async def tell(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"feeds": [feed_facts(entry, feed) for entry, feed in zip(entries, made, strict=True)]}

    site.orders["feeds"] = tell
    return made


def _feed(site: Site, entry: FeedEntry) -> Feed:
    config = site.config
    return Feed(
        entry.name,
        entry.url,
        partial(entry.access, config.path.parent),
        _voice(site, entry),
        History(entry.name, site.recorder, config.database),
        gateway=config.gateway_id,
        rate=sum(1000 / meter.every for meter in config.meters.values()),
        backfill_rate=entry.backfill_rate,
    )


def _voice(site: Site, entry: FeedEntry) -> Voice:
    return PlainVoice(site.config.gateway_id, site.config.meters, site.clock.now_ms)


def feed_facts(entry: FeedEntry, feed: Feed) -> dict[str, Any]:
    """How a feed stands."""
    return {
        "name": entry.name,
        "type": entry.type,
        "url": entry.url,
        "connected": feed.connected,
        "state": feed.state,
        "waiting": feed.waiting,
        "live": feed.live_count,
        "history": feed.history_count,
    }
