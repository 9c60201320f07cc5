"""Rows of signed statements, from their rows files: found by the root that was signed, kept for as much memory as that.

The reasons of a stated hour are looked up in the records of its day, where they still are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from gateway.accounting.hours.feeding import feed
from gateway.accounting.hours.hour import NO_ROW, Hour, Seen
from gateway.accounting.plans.history import History, SignedPeriod, SignedPlan
from gateway.accounting.statements.stating import rows_name
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.storage.accounted import batch_ended_by, lost_between
from gateway.storage.database import Database
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import HOUR_MS, Plan
from ledger_client.accounting.formats.rows import SUFFIX, Row, Rows, parse_row
from ledger_client.accounting.statement import parse_choice
from ledger_client.errors import LedgerClientError, VerificationError

MOST_BYTES: Final = 32 << 20
"""Bytes of rows that are kept."""
MOST_DAYS: Final = 8
"""Days of which registers are kept."""
_BACK_MS: Final = 3 * HOUR_MS
"""Time before a day and behind it in which records may be sealed that decide about its edges."""


class _Kept(NamedTuple):
    """Rows of a statement by node, in order of time: from, to, bytes."""

    rows: Mapping[str, Sequence[tuple[int, int, bytes]]]
    size: int


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of a node with one status in some time. ``rows``: their number (None: a signed total does not have it);
    ``amount``: their sum in thousandths of the base unit (None: they have none)."""

    status: str
    rows: int | None
    amount: int | None


class StatedRows:
    """The rows of a gateway's statements; used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._days: OrderedDict[tuple[bytes, int, int, tuple[bytes, ...]], Seen | None] = OrderedDict()

    def rows(self, plan: Plan, period: SignedPeriod, node: str, from_ms: int, to_ms: int) -> list[Row]:
        """The rows of a node that touch a time. Raises GatewayError: no file has the rows of that statement."""
        kept = self._of(plan, period).rows.get(node, ())
        return [parse_row(row) for begin, end, row in kept if begin < to_ms and end > from_ms]

    def seen(self, store: Database, history: History, signed: SignedPlan, from_ms: int, to_ms: int) -> Seen | None:
        """What is recorded of the registers in a time that is stated, for the reasons of its hours; those of gauges are
        in the rows. None: the records are not here (any more). Raises StoreError."""
        entries = tuple(entry.record for _, entry in history.on_plan(signed.plan))
        key = (signed.record, from_ms, to_ms, entries)
        with self._lock:
            if key not in self._days:
                self._days[key] = _seen(store, history, signed, from_ms, to_ms)
            self._days.move_to_end(key)
            while len(self._days) > MOST_DAYS:
                self._days.popitem(last=False)
            return self._days[key]

    def _of(self, plan: Plan, period: SignedPeriod) -> _Kept:
        with self._lock:
            if period.record in self._kept:
                self._kept.move_to_end(period.record)
                return self._kept[period.record]
            kept = _sorted(self._found(plan, period))
            self._kept[period.record] = kept
            while len(self._kept) > 1 and sum(one.size for one in self._kept.values()) > MOST_BYTES:
                self._kept.popitem(last=False)
            return kept

    def _found(self, plan: Plan, period: SignedPeriod) -> Rows:
        """The rows file with the signed root: the one of the usual name, else any."""
        count, root = period.fields["rows"]
        usual = self._folder / rows_name(plan, parse_choice(period.fields, 0))
        with suppress(OSError):
            for path in (usual, *sorted(self._folder.glob(f"{plan.name}-*{SUFFIX}"))):
                with suppress(VerificationError, LedgerClientError, OSError):
                    rows = Rows.parse(path.read_bytes())
                    if len(rows.rows) == count and rows.root == root:
                        return rows
        raise GatewayError(
            Message("figures-rows-missing", folder=str(self._folder), from_ms=period.from_ms, to_ms=period.to_ms)
        )


def _sorted(rows: Rows) -> _Kept:
    found: dict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
    for data in rows.rows:
        row = parse_row(data)
        found[row.node].append((row.from_ms, row.to_ms, data))
    return _Kept(found, sum(map(len, rows.rows)))


def sums(hours: Sequence[Hour]) -> list[Sum]:
    """Sums of hours by status, in the order of statements; substitutes included, hours without a row not."""
    found: dict[str, list[int | None]] = defaultdict(list)
    for status, amount in _amounts(hours):
        found[status].append(amount)
    return [
        Sum(status, len(found[status]), sum(known) if (known := [a for a in found[status] if a is not None]) else None)
        for status in sorted(found, key=words.RANK.__getitem__)
    ]


def _amounts(hours: Sequence[Hour]) -> Iterator[tuple[str, int | None]]:
    for hour in hours:
        if hour.status not in NO_ROW:
            yield hour.status, hour.amount
        if hour.beside is not None:
            yield hour.beside.status, hour.beside.amount


def _seen(store: Database, history: History, signed: SignedPlan, from_ms: int, to_ms: int) -> Seen | None:
    last, end = store.batches.last(), batch_ended_by(store, to_ms + _BACK_MS)
    begin = batch_ended_by(store, from_ms - _BACK_MS)
    first = store.batches.numbered(begin) if begin is not None else store.batches.first()
    if last is None or first is None:
        return None
    beyond = store.batches.numbered(end + 1) if end is not None else None
    last_id = (beyond or last).last_id
    if lost_between(store, first.first_id, last_id):
        return None
    books = Books(signed.plan, [entry for _, entry in history.on_plan(signed.plan)])
    return Seen(books, feed(books, store, first.first_id, last_id, gauges=False).unclocked)
