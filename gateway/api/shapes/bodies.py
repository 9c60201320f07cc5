"""Contents of records as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.api.shapes import models
from gateway.verdicts import verdict, worst
from ledger_client.formats.record import Coverage
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


def plain(value: Any) -> Any:
    """A fact of an event as JSON has it; bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
