"""Fall of a meter's counters that nobody has accounted for: where a device without a number may have been exchanged.

A meter without a serial number is read on when another one takes its place. What shows it is the alarm `counter-back`,
whose event stands in the meter's chain beside the reading. A counter that stands at 0 shows it when it counts again
(acquisition/counters.py), so falls within a day are one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.messages.alarm_kinds import AlarmCode
from gateway.records import ALARM, StoredRecord
from gateway.storage.accounted import events_saying, readings_up_to
from gateway.storage.database import Database
from gateway.storage.record_reader import read_reading
from ledger_client.formats.record import EXCHANGE, Event, parse_record
from ledger_client.formats.senml import Quality

_DAY_MS: Final = 86_400_000
_READINGS: Final = 100
"""Readings in front of the alarm's event that are looked through at most: more than a commit holds."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """The first reading of the newest fall, in ms; the counters that fell in it; all values of the reading before it
    and of itself, by point."""

    time_ms: int
    points: tuple[str, ...]
    last: Mapping[str, Any]
    first: Mapping[str, Any]


def fallen(store: Database, meter: str, counters: Set[str]) -> Fallen | None:
    """The newest fall of one of these counters behind the last exchange of a meter. Raises StoreError."""
    behind = next((place for place, _ in events_saying(store, meter, EXCHANGE)), 0)
    newest_ms, found = None, None
    for place, row in events_saying(store, meter, AlarmCode.COUNTER_BACK, behind):
        if newest_ms is not None and newest_ms - row.time_ms > _DAY_MS:
            break
        if _raised(row) and (one := _beside(store, meter, place, behind, counters)) is not None:
            newest_ms, found = row.time_ms if newest_ms is None else newest_ms, one
    return found


def _raised(row: StoredRecord) -> bool:
    body = parse_record(row.data).body
    if not isinstance(body, Event) or body.name != ALARM:
        return False
    return body.fields["code"] == AlarmCode.COUNTER_BACK and bool(body.fields["raised"])


def _beside(store: Database, meter: str, place: int, behind: int, counters: Set[str]) -> Fallen | None:
    """The fall in the readings in front of an alarm's event. A counter that stood at 0 in the meantime had no value."""
    fell: Fallen | None = None
    for row in readings_up_to(store, meter, place, _READINGS, behind):
        values = _values(row)
        if fell is not None:
            fell = replace(fell, last={**(values if not fell.last else {}), **_some(values, counters), **fell.last})
            if fell.last.keys() >= counters & fell.first.keys():
                break
            continue
        reading = read_reading(row)[0]
        down = (value.name for value in reading.values if value.quality & Quality.COUNTER_RESET)
        if points := tuple(name for name in down if name in counters):
            fell = Fallen(reading.time_ms, points, {}, values)
    return fell


def _some(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _values(row: StoredRecord) -> dict[str, Any]:
    return {value.name: value.value for value in read_reading(row)[0].values if value.value is not None}
