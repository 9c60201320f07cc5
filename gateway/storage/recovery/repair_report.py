"""Repair report: a repair as fields and message, for the signed event, the alarm and the status. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.messages.message import Message
from gateway.storage.repair_tables import Hole
from gateway.storage.rows import Repair

REPAIRED = "repaired"  # the first event of an epoch behind a repair
MOST_RANGES = 500  # stretches of lost records that an event names, which has room for no more


def facts(repair: Repair, lost: Sequence[Hole]) -> dict[str, Any]:
    """The fields of the event; ``ranges``: [meter, epoch, first, last] of the first lost records."""
    fields: dict[str, Any] = {
        "file": repair.file,
        "why": repair.why,
        "records": repair.records,
        "lost": repair.lost,
        "batches": repair.batches,
        "batches-lost": repair.lost_batches,
    }
    return fields | ({"ranges": [list(hole) for hole in lost[:MOST_RANGES]]} if lost else {})


def message(repair: Repair) -> Message:
    """What was recovered, what is lost, where the damaged database is."""
    records, batches, lost, file = repair.records, repair.batches, repair.lost, repair.file
    if not repair.lost_batches:
        return Message("database-recovered", records=records, batches=batches, lost=lost, file=file)
    return Message(
        "database-recovered-batches-lost",
        records=records,
        batches=batches,
        lost=lost,
        lost_batches=repair.lost_batches,
        file=file,
    )
