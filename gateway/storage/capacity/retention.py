"""Retention: what pruning waits for besides age and receipts, the statements of plans and the export (T6).

A site without a plan waits for nothing.
"""

from __future__ import annotations

from gateway.accounting.history import History
from gateway.accounting.needed import needs_of
from gateway.messages.message import Message
from gateway.storage.capacity.exported import is_exported
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.errors import LedgerClientError


class Retention:
    """Reads each signed event of the gateway once. Owned by one thread, as is the ``history`` that it goes on with."""

    def __init__(self, history: History | None = None) -> None:
        self._history = history or History()

    def waits(self, store: Database, batch: Batch, *, statements: bool = True) -> Message | None:
        """Why the oldest batch may not be pruned yet: a statement still has to be made of its records, or it has
        records of a plan and is in no file yet, or a plan cannot be read; None: nothing needs it. Raises StoreError.

        Args:
            statements: whether statements are looked for, too.
        """
        try:
            self._history.read_on(store)
        except LedgerClientError as error:
            return Message("pruning-waits-unreadable", error=error.said)
        needs, behind_ms = list(needs_of(self._history)), _next_sealed_ms(store, batch)
        for need in needs if statements else ():
            if need.unstated_ms is not None and need.is_read(batch.batch, behind_ms):
                return Message("pruning-waits-statement", plan=need.plan, from_ms=need.unstated_ms)
        if any(need.is_of_plan(behind_ms) for need in needs) and not is_exported(store, batch):
            return Message("pruning-waits-export", batch=batch.batch, sealed_ms=batch.sealed_ms)
        return None


def _next_sealed_ms(store: Database, batch: Batch) -> int:
    """When the batch behind one was sealed: until then that one has readings."""
    row = store.one("SELECT sealed_ms FROM batches WHERE batch > ? ORDER BY batch LIMIT 1", batch.batch)
    return int(row[0]) if row else 1 << 62
