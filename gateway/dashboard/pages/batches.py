"""Facts of the list of batches, and of one batch."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dashboard.pages.page import NotFound
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.storage.database import Database
from gateway.storage.rows import Anchor, Batch
from ledger_client.errors import LedgerClientError
from ledger_client.formats.bundle import decode_locator, is_locator
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import Statement, parse_statement
from ledger_client.messages import Sentence

PAGE = 40


@dataclass(frozen=True, slots=True)
class Vouched:
    """What one ledger says of a batch. ``state``: of the anchor, since ``since_ms``; ``receipt_s``: time in its
    receipt, by the ledger's clock."""

    ledger: str
    state: str
    since_ms: int
    receipt_s: int | None = None
    place: str = ""
    detail: Stored | None = None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch of the list."""

    batch: Batch
    statement: Statement
    anchors: tuple[Vouched, ...]


@dataclass(frozen=True, slots=True)
class BatchList:
    """A stretch of the list, the newest first. ``older``: the number in front of which it goes on; None: at its end.
    ``sealing_waits``: why nothing is sealed for the time being."""

    rows: tuple[BatchRow, ...]
    older: int | None
    newest: bool
    sealing_waits: Sentence | None


def batches(store: Database, before: int | None, health: Sentence | None) -> BatchList:
    """Up to ``PAGE`` batches in front of a number. Raises StoreError."""
    found = store.batches.newest(PAGE + 1, before)
    rows = tuple(_row(store, batch) for batch in found[:PAGE])
    return BatchList(rows, rows[-1].batch.batch if len(found) > PAGE else None, before is None, health)


def batch(store: Database, number: int) -> BatchRow:
    """One batch. Raises NotFound and StoreError."""
    found = store.batches.numbered(number)
    if found is None:
        raise NotFound(Message("page-no-batch", batch=number))
    return _row(store, found)


def _row(store: Database, batch: Batch) -> BatchRow:
    anchors = tuple(vouched(anchor) for anchor in store.anchors.of(batch.batch))
    return BatchRow(batch, parse_statement(batch.entry).statement, anchors)


def vouched(anchor: Anchor) -> Vouched:
    """An anchor in plain facts."""
    receipt_s, place = None, ""
    if anchor.receipt is not None:
        try:
            if is_locator(anchor.receipt):
                locator = decode_locator(anchor.receipt)
                place = f"block {locator.block}, tx 0x{locator.tx.hex()[:16]}…"
            else:
                receipt_s = parse_receipt(anchor.receipt).iat
        except LedgerClientError:
            place = "?"
    detail = anchor.stored if anchor.detail else None
    return Vouched(anchor.ledger, anchor.state, anchor.updated_ms, receipt_s, place, detail)


def number_of(text: str | None) -> int | None:
    """A number that came with an address; None where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None
