"""Pruning: settled batches and minute summaries older than ``keep``, hour summaries older than two years.

What somebody still needs stays: the function ``waits`` says why. Called by the recorder on its own thread, a slice at a
time, so that no commit of readings waits long for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.storage.database import Database
from gateway.storage.rows import Batch

Going = Callable[[Batch], object]
Waits = Callable[[Database, Batch], Message | None]
"""Why a batch may not go yet; None: nothing needs it."""
SLICE = 500  # records, or summaries, a transaction
MINUTES_LEAST_MS = 2 * HOUR_MS  # the running hour is made of them after a start
HOURS_KEPT_MS = 2 * 366 * 24 * HOUR_MS


class Pruner:
    """A gateway's pruning. Owned by the writer thread."""

    def __init__(self, waits: Waits, going: Going = lambda batch: None) -> None:
        """``waits``, ``going``: as of ``prune``."""
        self._waits, self._going = waits, going

    def take(self, store: Database, required: Collection[str], now_ms: int, keep_ms: int) -> bool:
        """Take one slice of what is older than ``keep_ms``; False when there is nothing more to take."""
        minutes_before_ms = now_ms - max(keep_ms, MINUTES_LEAST_MS)
        return prune(store, required, now_ms - keep_ms, self._waits, self._going) or prune_summaries(
            store, minutes_before_ms, now_ms - HOURS_KEPT_MS
        )


def may_go(store: Database, required: Collection[str], before_ms: int) -> Batch | None:
    """The oldest batch, if it was sealed before ``before_ms`` and has a receipt of every required ledger (where none is
    required: of any), and is not the newest, from which the chain of statements goes on."""
    batch, last = store.batches.first(), store.batches.last()
    if batch is None or last is None or batch.batch == last.batch or batch.sealed_ms >= before_ms:
        return None
    settled = {anchor.ledger for anchor in store.anchors.of(batch.batch) if anchor.state == "settled"}
    asked = {anchor.ledger for anchor in store.anchors.of(batch.batch)} & set(required)
    return batch if settled and asked <= settled else None


def prune(
    store: Database,
    required: Collection[str],
    before_ms: int,
    waits: Waits,
    going: Going = lambda batch: None,
) -> bool:
    """Take one slice of the oldest batch that may go; False when there is nothing more to take.

    ``waits``: asked of each batch; ``going``: called with each one while it still is whole. What that raises leaves the
    batch there.
    """
    batch = may_go(store, required, before_ms)
    if batch is None or waits(store, batch) is not None:
        return False
    if store.records.pruned()[0] < batch.first_id:
        going(batch)
    with store.transaction():
        taken = store.records.prune(batch.last_id, SLICE)
        failpoint("prune")
        if taken < SLICE:
            store.batches.drop(batch)
    failpoint("pruned")
    return True


def prune_summaries(store: Database, minutes_before_ms: int, hours_before_ms: int) -> bool:
    """Take one slice of the summaries that end before these times; False when there are none more than an hour older.
    The newest rows of a meter stay, from which its summaries go on."""
    for meter in store.summaries.meters():
        for span_ms, before_ms in ((MINUTE_MS, minutes_before_ms), (HOUR_MS, hours_before_ms)):
            oldest_ms = store.summaries.oldest(meter, span_ms)
            if oldest_ms is not None and oldest_ms < before_ms - HOUR_MS:
                with store.transaction():
                    if store.summaries.drop(meter, span_ms, before_ms - span_ms + 1, SLICE):
                        return True
    return False
