"""What may leave the store: the oldest batches, once they are older than ``keep`` and have the receipts that count.

Called by the recorder on its own thread, a slice at a time, so that no commit of readings waits long for it.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.hold import station
from gateway.store import Batch, Store

SLICE = 500  # records a transaction


def may_go(store: Store, required: Collection[str], before_ms: int) -> Batch | None:
    """The oldest batch, if it was sealed before ``before_ms`` and has a receipt of every required ledger (where none is
    required: of any), and is not the newest, from which the chain of statements goes on."""
    batch, last = store.first_batch(), store.last_batch()
    if batch is None or last is None or batch.batch == last.batch or batch.sealed_ms >= before_ms:
        return None
    settled = {anchor.ledger for anchor in store.anchors(batch.batch) if anchor.state == "settled"}
    asked = {anchor.ledger for anchor in store.anchors(batch.batch)} & set(required)
    return batch if settled and asked <= settled else None


def prune(store: Store, required: Collection[str], before_ms: int) -> bool:
    """Take one slice of the oldest batch that may go; False when there is nothing more to take."""
    batch = may_go(store, required, before_ms)
    if batch is None:
        return False
    with store.transaction():
        taken = store.prune(batch.last_id, SLICE)
        station("prune")
        if taken < SLICE:
            store.drop_batch(batch)
    station("pruned")
    return True
