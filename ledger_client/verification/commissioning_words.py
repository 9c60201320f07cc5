"""Commissioning record in plain words: how a meter was put into service, a fact a line. No I/O.

The record says what somebody stated; whoever reads it elsewhere may meet any content, so nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.record import Event, is_commissioning_record
from ledger_client.times import rfc3339_ms

_LABELS: Final = {
    "identity": "device", "plate": "on its plate", "position": "position", "role": "role", "ratios": "ratios",
    "reversed": "direction", "reversed-phase": "phase", "seals": "seals", "settings": "settings",
    "profile": "profile", "profile-hash": "profile hash", "photos": "photo", "remarks": "remarks",
    "comparisons": "compared", "by": "by", "at": "on",
}  # fmt: skip
"""What each fact is called, in the order in which they are said."""
_DIRECTION: Final = {False: "as the meter counts", True: "reversed, it hangs the wrong way round"}


def has_words(body: Event) -> bool:
    """Whether an event is a commissioning record whose facts all have a name here."""
    return is_commissioning_record(body) and body.fields.keys() <= _LABELS.keys()


def commissioning_facts(fields: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Each fact with what it is called; one of several parts gives several. ``fields``: of the event."""
    for key, label in _LABELS.items():
        if key in fields:
            yield from _facts(key, label, fields[key])


def _facts(key: str, label: str, value: Any) -> Iterator[tuple[str, object]]:
    if key == "reversed" and isinstance(value, bool):
        yield label, _DIRECTION[value]
    elif key == "reversed-phase" and isinstance(value, str):
        yield label, f"one may run against both others: {value}"
    elif key == "at" and type(value) is int and 0 <= value <= MAX_TIME_MS:
        yield label, rfc3339_ms(value)
    elif key == "comparisons" and _is_table(value, {"point", "value", "display", "verdict"}):
        for each in value:
            read = f"{_plain(each['value'])} {each.get('unit', '')}".strip()
            yield label, f"{each['point']}: {read} read, {each['display']} on the display: {each['verdict']}"
            yield from ((f"  {name}", each[name]) for name in ("request", "answer") if name in each)
    elif key == "photos" and _is_table(value, {"name", "size", "sha256"}):
        for each in value:
            yield label, f"{each['name']}, {each['size']} bytes, SHA-256 {_plain(each['sha256'])}"
    elif key in ("settings", "ratios") and isinstance(value, Mapping):
        yield label, ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    else:
        yield label, value


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _is_table(value: object, keys: set[str]) -> bool:
    return isinstance(value, list) and all(isinstance(row, Mapping) and keys <= row.keys() for row in value)
