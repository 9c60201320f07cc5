"""Points that a feed publishes: of each meter, under which names, and whether the names in gateway.toml exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.config.bus import Meter
from gateway.config.feed import FeedEntry
from gateway.config.model import Config
from gateway.devices.points import UNRECORDED, Point, Profile
from gateway.errors import ConfigError
from gateway.key_errors import closest
from gateway.messages.message import Message

FLAT_KEYS = ("time", "meter", "quality", "record", "not_recorded")
"""Keys of a flat message that are no points."""


def recorded_points(meter: Meter, profile: Profile) -> list[Point]:
    """The points of a meter that have values in its records."""
    return [
        point
        for point in profile.select(meter.points or None)
        if point.kind not in UNRECORDED and (point.record or point.name != profile.freshness)
    ]


def published_points(config: Config, entry: FeedEntry) -> Mapping[str, Mapping[str, Point]]:
    """By meter: the points that a feed publishes, each by the name that it has there. A flat feed turns those of a
    reversed meter."""
    return {
        name: {key: point for key, point in _named(meter, config.profiles[name], entry) if _wanted(key, entry)}
        for name, meter in config.meters.items()
    }


def _named(meter: Meter, profile: Profile, entry: FeedEntry) -> Iterator[tuple[str, Point]]:
    points = recorded_points(meter, profile)
    if not meter.reversed or entry.form != "flat":
        return ((point.name, point) for point in points)
    from gateway.devices.turned_values import turned_point  # 20 ms: it reads the vocabulary

    return ((turned_point(point).name, point) for point in points)


def _wanted(key: str, entry: FeedEntry) -> bool:
    return not entry.points or key in entry.points


def check_feed_points(config: Config) -> None:
    """Every point that a feed names is one of a meter, no point takes the place of another key of a flat message, and
    no two feeds publish to the same topics. Raises ConfigError."""
    urls: dict[tuple[str, str], str] = {}
    for entry in config.document.feed:
        if entry.type == "sparkplug":
            continue
        other = urls.setdefault((entry.type, entry.url), entry.name)
        if other != entry.name:
            raise _refusal(config, entry, "url", Message("feed-topics-twice", feed=other, url=entry.url))
        if entry.points or entry.form == "flat":
            _check_points(config, entry)


def _check_points(config: Config, entry: FeedEntry) -> None:
    published = published_points(config, entry)
    for meter, points in published.items():
        if entry.form == "flat" and (taken := next((key for key in points if key in FLAT_KEYS), None)):
            sentence = Message("feed-point-key", meter=meter, point=taken, profile=config.profiles[meter].name)
            raise _refusal(config, entry, "form", sentence)
    known = {key for points in published.values() for key in points}
    if unknown := next((name for name in entry.points if name not in known), None):
        every = published_points(config, entry.model_copy(update={"points": ()}))
        meant = closest(unknown, sorted({key for points in every.values() for key in points}))
        if meant is None:
            raise _refusal(config, entry, "points", Message("feed-no-point", point=unknown))
        raise _refusal(config, entry, "points", Message("feed-no-point-meant", point=unknown, other=meant))


def _refusal(config: Config, entry: FeedEntry, key: str, sentence: Message) -> ConfigError:
    return ConfigError(config.path, f"feed {entry.name!r}, {key}", sentence)
