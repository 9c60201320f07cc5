"""Values of a meter that is installed the wrong way round, turned for display: points and recorded values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.devices.knowledge.direction import Turned, turned
from gateway.devices.points import Point
from ledger_client.formats.senml import Number, Value


def turned_point(point: Point) -> Turned:
    """What a point of a reversed meter is shown as."""
    return turned(point.name, signed=point.signed, unit=point.unit)


def turns_of(points: Iterable[Point]) -> Mapping[str, Turned]:
    """What each of these points of a reversed meter is shown as, by its recorded name."""
    return {point.name: turned_point(point) for point in points}


def shown(recorded: Iterable[Value], turned_as: Mapping[str, Turned]) -> tuple[Value, ...]:
    """Recorded values as they are shown. ``turned_as``: from ``turns_of``; empty of a meter that is not reversed."""
    if not turned_as:
        return tuple(recorded)
    return tuple(_shown(value, turned_as.get(value.name)) for value in recorded)


def _shown(value: Value, turn: Turned | None) -> Value:
    if turn is None:
        return value
    content = value.value
    if isinstance(content, Number) and not isinstance(content, bool):
        content = turn.of(content)
    return value._replace(name=turn.name, value=content)
