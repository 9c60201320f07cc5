"""Facts of the list of batches, and of one batch."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dashboard.shell.page import NotFound
from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.dashboard.shell.time.paging import Page, Turn, page_of
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
_EVER = 1 << 62


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
    """A page of the list. ``sealing_waits``: why nothing is sealed for the time being; ``marked``: of a moment that was
    jumped to, the first batch that was sealed then or later."""

    page: Page[BatchRow]
    bounds: Bounds
    sealing_waits: Sentence | None
    marked: int | None


class _Sealed:
    """The batches that were sealed within bounds, as a list."""

    def __init__(self, store: Database, bounds: Bounds) -> None:
        self._batches = store.batches
        self._first = 0 if bounds.from_ms is None else self.number_at(bounds.from_ms)
        self._last = _EVER if bounds.to_ms is None else self.number_at(bounds.to_ms) - 1

    def older(self, before: int, count: int) -> list[tuple[int, Batch]]:
        return _numbered(self._batches.within((self._first, min(self._last, before - 1)), count))

    def newer(self, after: int, count: int) -> list[tuple[int, Batch]]:
        return _numbered(self._batches.within((max(self._first, after + 1), self._last), count, oldest=True))

    def number_at(self, time_ms: int) -> int:
        return self._batches.number_at(time_ms)


def _numbered(batches: list[Batch]) -> list[tuple[int, Batch]]:
    return [(batch.batch, batch) for batch in batches]


def batches(store: Database, bounds: Bounds, turn: Turn, health: Sentence | None) -> BatchList:
    """Up to ``PAGE`` batches of those that were sealed within bounds. Raises StoreError."""
    page = page_of(_Sealed(store, bounds), turn, PAGE).map(lambda _, batch: _row(store, batch))
    marked = (
        None
        if turn.at_ms is None
        else min((n for n, _ in page.rows if n >= store.batches.number_at(turn.at_ms)), default=None)
    )
    return BatchList(page, bounds, health, marked)


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
