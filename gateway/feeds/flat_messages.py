"""Flat messages of the plain JSON feed: one reading each, its points as keys, for displays and Home Assistant.

What a person sees there is what the pages show: the values of a reversed meter are turned, and a value that is bad or
missing has no key. Of a meter that is no longer configured it is not known whether it was reversed, so its points with
a direction are left out of the backfill.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from gateway.config.feed_points import FLAT_KEYS
from gateway.devices.knowledge.direction import Turned, has_direction
from gateway.devices.points import FIRST, SECOND
from gateway.devices.turned_values import shown
from gateway.feeds.json_messages import as_text, content_of, record_fields
from gateway.feeds.reading_message import FeedReading
from gateway.verdicts import verdict, worst
from ledger_client.formats.senml import Value

_WITHOUT_VALUE = ("bad", "missing")


class FlatMessages:
    """The flat messages of one feed. Event loop only."""

    together = 1

    def __init__(
        self, turns: Callable[[], Mapping[str, Mapping[str, Turned]]], points: Collection[str] = frozenset()
    ) -> None:
        """``turns``: by configured meter, what its points are shown as, asked again after a reload; nothing of a meter
        that is not reversed. ``points``: those that are published, by the names that they are shown with; none: all."""
        self._turns, self._points = turns, points
        self._known: dict[str, Mapping[str, Turned]] = {}
        """By meter, also of those that a reload has removed."""
        self.reloaded()

    def reloaded(self) -> None:
        """Take note that the site has other meters."""
        self._known |= self._turns()

    def message(self, items: Sequence[FeedReading]) -> bytes:
        """One reading as a message; ``items`` has one."""
        (item,) = items
        values = self._published(item)
        quality = worst(value.quality for value in values or item.reading.values)
        head = (
            f'"time":{item.reading.time_ms},"meter":{as_text(item.meter)},"quality":"{quality}",{record_fields(item)}'
        )
        return f"{{{head}{''.join(map(_field, values))}}}".encode()

    def _published(self, item: FeedReading) -> list[Value]:
        return [
            value
            for value in self._shown(item)
            if value.name not in FLAT_KEYS
            and not value.name.endswith((FIRST, SECOND))
            and (not self._points or value.name in self._points)
        ]

    def _shown(self, item: FeedReading) -> Iterable[Value]:
        values, known = item.reading.values, self._known.get(item.meter)
        if known is None:
            return [value for value in values if not has_direction(value.name, signed=True)]
        return shown(values, known)


def _field(value: Value) -> str:
    if value.value is None or verdict(value.quality) in _WITHOUT_VALUE:
        return ""
    return f",{as_text(value.name)}:{content_of(value.value)}"
