"""Repair report: a repair as fields and text, for the signed event, the alarm and the status. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.storage.repair_tables import Hole
from gateway.storage.rows import Repair

REPAIRED = "repaired"  # the first event of an epoch behind a repair
RANGES_TOLD = 500  # stretches of lost records that an event names, which has room for no more


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
    return fields | ({"ranges": [list(hole) for hole in lost[:RANGES_TOLD]]} if lost else {})


def text(repair: Repair) -> str:
    """What was recovered, what is lost, where the damaged database is."""
    batches = f" and {repair.lost_batches} batches" if repair.lost_batches else ""
    return (
        f"the database was damaged and was recovered: {repair.records} records and {repair.batches} batches are here, "
        f"at least {repair.lost} records{batches} are lost; the damaged one is kept as {repair.file}"
    )
