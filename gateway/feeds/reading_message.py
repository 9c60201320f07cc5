"""Feed reading: one reading with its record's id, or with the reason why it is not recorded."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.records import NotRecorded, SignedRecord
from ledger_client.formats.record import Record
from ledger_client.formats.senml import Reading


@dataclass(frozen=True, slots=True)
class FeedReading:
    """One reading of one meter with the clock's letter and its record's id, or the reason why it has none."""

    meter: str
    reading: Reading
    clock: str
    record: str | None
    not_recorded: str | None = None


def reading_of_news(item: SignedRecord | NotRecorded) -> FeedReading | None:
    """A reading that has just become durable, or is not recorded; None: this is no reading."""
    if isinstance(item, NotRecorded):
        return FeedReading(item.meter, item.reading, item.stamp.clock, None, item.reason)
    if isinstance(item.body, Reading):
        return FeedReading(item.row.meter, item.body, item.stamp.clock, item.row.id)
    return None


def reading_of_record(record: Record) -> FeedReading | None:
    """A reading from the database."""
    if isinstance(record.body, Reading):
        return FeedReading(record.claims.meter, record.body, record.claims.clock, record.id)
    return None
