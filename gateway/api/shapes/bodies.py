"""Contents of records as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.api.shapes import models
from gateway.records import ALARM, GATEWAY, SENTENCES, event_name
from gateway.verdicts import verdict, worst
from ledger_client.formats.record import Coverage, Event
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.verification.value_words import quality_phrases


def reading_of(
    gateway: str, meter: str, reading: Reading, reversed_: bool, record: str | None, clock: str | None
) -> models.Reading:
    """A reading as the API shows it."""
    return models.Reading(
        gateway=gateway,
        meter=meter,
        time=models.at(reading.time_ms),
        reversed=reversed_,
        quality=worst(value.quality for value in reading.values),
        record=record,
        clock=clock,
        values=tuple(values_of(reading.values, reading.time_ms)),
    )


def values_of(values: Iterable[Value], time_ms: int) -> Iterator[models.Value]:
    """Values of a reading of that time."""
    for value in values:
        yield models.Value(
            point=value.name,
            value=value.value,
            unit=value.unit,
            quality=verdict(value.quality),
            bits=int(value.quality),
            words="; ".join(quality_phrases(Quality(value.quality))) or None,
            time=models.at(time_ms + value.offset_ms) if value.offset_ms else None,
        )


def coverage_of(body: Coverage) -> models.Coverage:
    """An account of polls."""
    return models.Coverage(
        from_=models.at(body.from_ms),
        to=models.at(body.to_ms),
        due=body.due,
        recorded=body.recorded,
        missed=dict(body.missed),
    )


_ALARM: Mapping[str, type] = {"code": str, "raised": bool, "line": str}
"""Facts of an event `alarm` that have keys of their own."""
_MESSAGE: Mapping[str, type] = {"message": str, "facts": dict}


def event_of(gateway: str, meter: str, time_ms: int, record: str, body: Event, *, fields: bool) -> models.Event:
    """An event of a record. ``fields``: with what it says besides, what is not of its usual kind among it."""
    facts = dict(body.fields)
    sentence = next((key for key in SENTENCES if isinstance(facts.get(key), str)), None)
    kinds = {**(_MESSAGE if sentence else {}), **(_ALARM if body.name == ALARM else {})}
    apart = {key: plain(facts[key]) for key, kind in kinds.items() if type(facts.get(key)) is kind}
    rest = {key: plain(one) for key, one in facts.items() if key not in {sentence, *apart}}
    return models.Event(
        gateway=gateway,
        meter=None if meter == GATEWAY else meter,
        time=models.at(time_ms),
        event=event_name(body),
        text=facts[sentence] if sentence else None,
        **apart,
        fields=(rest or None) if fields else None,
        record=record,
    )


def plain(value: Any) -> Any:
    """A fact of an event as JSON has it; bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
