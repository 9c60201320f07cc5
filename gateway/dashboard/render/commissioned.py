"""Commissioning record on a page: its facts and comparisons as rows, in the page's language and zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from gateway.commissioning.record import content
from gateway.commissioning.record.rows import ComparedRow, Row, compared, rows
from gateway.commissioning.record.words import Words
from gateway.errors import GatewayError
from ledger_client.formats.record import Event, is_commissioning_record


@dataclass(frozen=True, slots=True)
class Commissioned:
    """The rows of a record."""

    rows: list[Row]
    compared: list[ComparedRow]


def commissioned(language: str, meter: str, event: Event, zone: tzinfo) -> Commissioned | None:
    """The commissioning record in an event, if it is one that this version can read."""
    if not is_commissioning_record(event):
        return None
    try:
        record = content.of(meter, event)
    except GatewayError:
        return None
    words = Words(language)
    return Commissioned(rows(record, words, zone), compared(record, words, zone))
