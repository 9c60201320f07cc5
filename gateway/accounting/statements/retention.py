"""Retention: what pruning waits for besides age and receipts, the statements of plans and the export (T6).

A site without a plan waits for nothing.
"""

from __future__ import annotations

from gateway.accounting.plans.history import History
from gateway.accounting.statements.needed import needs_of
from gateway.messages.message import Message
from gateway.storage.capacity.exported import is_exported
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence


class Retention:
    """Reads each signed event of the gateway once. Owned by one thread."""

    def __init__(self) -> None:
        self._history = History()

    def waits(self, store: Database, batch: Batch) -> Message | None:
        """Why the oldest batch may not be pruned yet: a statement still has to be made of its records, or it has
        records of a plan and is in no file yet, or a plan cannot be read; None: nothing needs it. Raises StoreError."""
        try:
            self._history.read_on(store)
        except LedgerClientError as error:
            return unreadable(error.sentence)
        behind_ms = _next_sealed_ms(store, batch)
        for need in needs_of(self._history):
            if need.unstated_ms is not None and need.is_read(batch.batch, behind_ms):
                return Message("pruning-waits-statement", plan=need.plan, from_ms=need.unstated_ms)
        return export_waits(self._history, store, batch)


def unreadable(error: Sentence) -> Message:
    """The message that nothing may be pruned while a plan cannot be read."""
    return Message("pruning-waits-unreadable", error=error)


def export_waits(history: History, store: Database, batch: Batch) -> Message | None:
    """The message that a batch has records of a plan and is in no exported file yet; None: it has none, or is. Raises
    StoreError."""
    behind_ms = _next_sealed_ms(store, batch)
    if any(need.is_of_plan(behind_ms) for need in needs_of(history)) and not is_exported(store, batch):
        return Message("pruning-waits-export", batch=batch.batch, sealed_ms=batch.sealed_ms)
    return None


def _next_sealed_ms(store: Database, batch: Batch) -> int:
    """When the batch behind one was sealed: until then that one has readings."""
    row = store.one("SELECT sealed_ms FROM batches WHERE batch > ? ORDER BY batch LIMIT 1", batch.batch)
    return int(row[0]) if row else 1 << 62
