"""Salvage: records, batches and receipts on the pages of a damaged database → a new database.

Nothing is believed that does not prove itself: a record by its signature, or by the hash that its successor, which was
proven, holds of it; a batch by its statement's signature; a receipt by its ledger's. The small tables hold no evidence
and are taken where their rows make sense. What the indexes, statements and places tell of and is not there is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gateway.process.failpoints import failpoint
from gateway.records import GATEWAY
from gateway.storage.anchor_tables import Anchors
from gateway.storage.batch_tables import Batches
from gateway.storage.database import Database
from gateway.storage.recovery.sqlite_pages import Pages, Row, Value
from gateway.storage.recovery.tables import RecoveredTables
from gateway.storage.repair_tables import Hole, Repairs
from gateway.storage.rows import Repair
from ledger_client.errors import LedgerClientError
from ledger_client.formats.bundle import is_locator
from ledger_client.formats.cose_key import PublicKey
from ledger_client.formats.record import Record, parse_record, record_hash
from ledger_client.formats.statement import parse_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import check_receipt

PORTION = 2000  # rows a transaction
MAX_PLACE = 1 << 48  # a place, a number or a time beyond it is noise
STATES = ("queued", "submitted", "included", "final", "settled", "refused")

_N, _I, _T, _B = (type(None),), (int,), (str,), (bytes,)
_RECORD = (_N, _T, _B, _I, _T, _I, _B)
_ANCHOR_OF_5 = (_I, _T, _T, (bytes, type(None)), (str, type(None)), _I)
_ANCHOR = (*_ANCHOR_OF_5, (str, type(None)))  # a row of version 5 that was not written again is the shorter one
_SMALL = {
    "batches": (_N, _B, _B, _I, _I, _I, _I),
    "schedules": (_N, _T, _B, _I, _I),
    "elsewhere": (_N, _B),
    "known": (_N, _B, _T, _T, _I),
    "conflicts": (_I, _T, _B, _I),
    "notes": (_T, _B, _B),
    "replaced_keys": (_T, _B, _I),
    "pruned": (_I, _I, _I, _I),
    "cuts": (_N,),
    "heard": (_N, _T, _T, _I, _B),
    "repairs": (_N, _I, _T, _T, _I, _I, _I, _I, _I, _I, _I, (int, type(None))),
}
"""The tables by the shape of their rows; no two are alike."""
_RECORD_NAME = (_B, _T, _I, _I)  # entries of indexes: epoch, meter, number, place
_BATCH_END = (_I, _I)  # last place, number


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Whom the evidence must be by: ``keys`` by owner (a meter, or ``gateway`` for its statement keys) and kid; and the
    configuration's periods in ms, and ledgers."""

    gateway: str
    keys: Mapping[tuple[str, bytes], PublicKey]
    trust: Trust
    now_s: int
    periods_ms: Mapping[str, int]
    ledgers: Collection[str]


@dataclass(slots=True)
class Found:
    """What a recovery has found so far, and what it knows to have been there."""

    records: int = 0
    lost: int = 0
    """Places of the commit order that are empty, as far as it is known how many there were."""
    batches: int = 0
    last_id: int = 0
    pruned: list[tuple[int, ...]] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    """Batches that an index or an anchor names, with their last places (0: unknown); in the end the lost ones."""
    ends: dict[tuple[str, bytes], tuple[int, int]] = field(default_factory=dict)
    """The highest number of each meter and epoch that an index or a statement names, and up to which place."""
    begins: dict[tuple[str, bytes], int] = field(default_factory=dict)
    """The lowest number of each that a statement names."""

    def used(self, meter: str, epoch: bytes, last: int, place: int) -> None:
        """Take note that this number was given once."""
        self.ends[meter, epoch] = max((last, place), self.ends.get((meter, epoch), (-1, 0)))
        self.last_id = max(self.last_id, place)


def salvage(pages: Pages, store: Database, witness: TrustedKeys) -> Found:
    """Recover everything into the empty ``store``. Raises StoreError where that cannot be written."""
    found, tables = Found(), RecoveredTables(store)
    with store.transaction():
        store.repairs.lift_guards()
    for rows in _portions(pages, lambda row: _small(row) is not None):
        with store.transaction():
            for row in rows:
                _keep_small(row, store, tables, witness, found)
    pruned = _pruned(found)
    if pruned is not None:
        with store.transaction():
            found.batches -= tables.set_pruned(*pruned)
    pruned_to = pruned[0] if pruned is not None else 0
    for rows in _portions(pages, lambda row: row.rowid is None or _is(row, _RECORD) or _is_anchor(row)):
        failpoint("recover")
        with store.transaction():
            _keep_records([row for row in rows if _is(row, _RECORD)], tables, witness, found)
            for row in rows:
                if row.rowid is None:
                    _note_entry(row, pruned_to, found)
                elif _is_anchor(row):
                    _keep_anchor(row, store.batches, tables, witness, found)
    with store.transaction():
        if pruned is None:
            pruned_to = _presumed_pruned(store, tables)
            tables.set_pruned(pruned_to, 0, 0, 0)
        tables.drop_pruned(pruned_to)
        _note_lost(store.repairs, tables, found, pruned_to)
        _mend(store, tables, witness, found)
        store.repairs.set_guards()
    return found


def _portions(pages: Pages, wanted: Callable[[Row], bool]) -> Iterator[list[Row]]:
    rows = filter(wanted, pages.rows())
    while portion := list(islice(rows, PORTION)):
        yield portion


def _shaped(values: tuple[Value, ...], shape: tuple[tuple[type, ...], ...]) -> bool:
    return len(values) == len(shape) and all(type(v) in kinds for v, kinds in zip(values, shape, strict=True))


def _is(row: Row, shape: tuple[tuple[type, ...], ...]) -> bool:
    return row.rowid is not None and 0 <= row.rowid < MAX_PLACE and _shaped(row.values, shape)


def _is_anchor(row: Row) -> bool:
    return _is(row, _ANCHOR) or _is(row, _ANCHOR_OF_5)


def _small(row: Row) -> str | None:
    """The small table that a row belongs to."""
    return next((name for name, shape in _SMALL.items() if _is(row, shape)), None)


# — the small tables —


def _keep_small(row: Row, store: Database, tables: RecoveredTables, witness: TrustedKeys, found: Found) -> None:
    table, values = _small(row) or "", row.values
    if table == "batches":
        _keep_batch(row, tables, witness, found)
    elif table == "repairs":
        facts: tuple[Any, ...] = (row.rowid, *values[1:11])
        store.repairs.add(Repair(*facts), reported=True)
    elif table == "pruned":
        found.pruned.append(values)  # type: ignore[arg-type]
    else:
        tables.add(table, (row.rowid, *values[1:]) if _SMALL[table][0] is _N else values)


def _keep_batch(row: Row, tables: RecoveredTables, witness: TrustedKeys, found: Found) -> None:
    values: tuple[Any, ...] = (row.rowid, *row.values[1:])
    number, identifier, entry, _, last_id, size, _ = values
    try:
        signed = parse_statement(entry)
        key = witness.keys.get((GATEWAY, signed.kid))
        if key is None:
            return
        signed.sign1.verify(key)
    except LedgerClientError:
        return
    statement = signed.statement
    if (statement.gateway, statement.batch, statement.size, signed.id) != (witness.gateway, number, size, identifier):
        return
    found.batches += tables.add("batches", values)
    for meter, stretches in statement.meters.items():
        for stretch in stretches:
            found.used(meter, stretch.epoch, stretch.last, last_id)
            name = meter, stretch.epoch
            found.begins[name] = min(stretch.first, found.begins.get(name, stretch.first))


def _pruned(found: Found) -> tuple[int, ...] | None:
    """How far pruning went, and what it took: the newest image of its one row; None where there is none."""
    return max((image for image in found.pruned if all(0 <= n < MAX_PLACE for n in image)), default=None)


def _presumed_pruned(store: Database, tables: RecoveredTables) -> int:
    """How far pruning went where its row is lost: to the oldest batch, but no further than to the first record that is
    there and that pruning would have taken. The batches before that one may be lost as well, and not pruned."""
    oldest, first_id = store.batches.first(), tables.first_prunable()
    if oldest is None or oldest.batch == 0:
        return 0
    return min(oldest.first_id, first_id if first_id is not None else oldest.first_id) - 1


def _mend(store: Database, tables: RecoveredTables, witness: TrustedKeys, found: Found) -> None:
    """What follows from the rest: counts, cuts, anchors that every batch has, the schedule of the last epoch."""
    tables.count_again()
    tables.note_batches()
    tables.drop_unheard()
    store.replaced_keys.note_from_events()
    tables.drop_beyond(store.records.pruned()[0], found.last_id)
    _ask_again(store, tables)
    _queue_again(store.anchors, tables, witness)
    if (unscheduled := tables.unscheduled()) is not None:
        epoch, begun = unscheduled
        periods = witness.periods_ms
        store.epochs.schedule(epoch, [(meter, anchor, periods[meter]) for meter, anchor in begun if meter in periods])


def _ask_again(store: Database, tables: RecoveredTables) -> None:
    """Marks of what is sealed elsewhere may be lost. While nothing was sealed since, the ledger is asked again; later
    that is unknown, and records that old enter no batch any more."""
    last, known = store.batches.last(), store.anchors.known()
    if known is None:
        return
    if last is None or known.batch > last.batch:
        tables.drop_known(last.batch if last else -1)
        return
    tables.never_seal(known.found_ms)


def _queue_again(anchors: Anchors, tables: RecoveredTables, witness: TrustedKeys) -> None:
    """A batch whose anchors are lost is looked up at its ledgers: all from a ledger's first on, and what has none
    at all at the ledgers that were there first."""
    firsts = tables.first_anchors()
    first = min(firsts.values(), default=0)
    for ledger in firsts or witness.ledgers:
        begin = firsts.get(ledger, first)
        tables.queue(ledger, begin, alone=begin == first)
        anchors.drop_settled_notes(ledger)


# — records —


def _keep_records(rows: Collection[Row], tables: RecoveredTables, witness: TrustedKeys, found: Found) -> None:
    """Verify from the newest to the oldest: of records that hang together only the last needs its signature checked."""
    expected: dict[str, bytes | None] = {}
    kept = []
    for row in sorted(set(rows), key=lambda row: row.rowid or 0, reverse=True):
        record = proven(row, witness, expected)
        if record is not None:
            claims, place = record.claims, row.rowid or 0
            expected[claims.meter] = claims.prev
            kept.append((place, claims.meter, claims.epoch, claims.seq, record.kind, record.time_ms, record.data))
            found.last_id = max(found.last_id, place)
    tables.add_records(reversed(kept))


def proven(
    row: Row, witness: TrustedKeys, expected: Mapping[str, bytes | None], *, known_keys: bool = True
) -> Record | None:
    """The record of a row, if the row says what it says and it is ours: what a proven record of its meter was said to
    follow (``expected``), or signed by a key that is known, which may be left unasked. None if not."""
    named: tuple[Any, ...] = row.values[1:]
    data = named[5]
    if type(data) is not bytes:
        return None
    try:
        record = parse_record(data)
        claims = record.claims
        facts = (claims.meter, claims.epoch, claims.seq, record.kind, record.time_ms)
        if (claims.gateway, *facts) != (witness.gateway, *named[:5]) or claims.seq >= (row.rowid or 0):
            return None
        if expected.get(claims.meter) != record_hash(data):
            key = witness.keys.get((claims.meter, record.kid))
            if key is None:
                return None if known_keys else record
            record.sign1.verify(key)
    except LedgerClientError:
        return None
    return record


def _keep_anchor(row: Row, batches: Batches, tables: RecoveredTables, witness: TrustedKeys, found: Found) -> None:
    values: tuple[Any, ...] = (*row.values, None)[: len(_ANCHOR)]
    number, ledger, state, receipt, _, updated_ms, _ = values
    if state not in STATES or not 0 <= number < MAX_PLACE or (receipt is not None) != (state == "settled"):
        return
    found.numbers.setdefault(number, 0)
    batch = batches.numbered(number)
    if batch is None:
        return
    if receipt is not None and is_locator(receipt):  # only the chain itself can tell if it holds: it is asked again
        values = (number, ledger, "submitted", None, None, updated_ms, None)
    elif receipt is not None:
        try:
            if check_receipt(batch.entry, receipt, witness.trust, witness.now_s)[0] != ledger:
                return
        except LedgerClientError:
            return
    tables.add_anchor(values)


def _note_entry(row: Row, pruned_to: int, found: Found) -> None:
    """What an index tells of; the number of a record is less than its place."""
    values: tuple[Any, ...] = row.values
    if _shaped(values, _RECORD_NAME):
        epoch, meter, seq, place = values
        if len(epoch) == 8 and 0 <= seq < place < MAX_PLACE and place > pruned_to:
            found.used(meter, epoch, seq, place)
    elif _shaped(values, _BATCH_END):
        last_id, number = values
        if 0 <= number < last_id < MAX_PLACE and last_id > pruned_to:
            found.numbers[number] = last_id
            found.last_id = max(found.last_id, last_id)


# — what is missing —


def _note_lost(repairs: Repairs, tables: RecoveredTables, found: Found, pruned_to: int) -> None:
    places = tables.empty_places(pruned_to, found.last_id)
    tables.note_lost_places(places)
    repairs.note_lost(list(_lost_names(tables, found, pruned_to)))
    found.lost = sum(last - first + 1 for first, last in places)
    found.records = tables.count_records()
    kept = tables.batches()
    oldest = min(kept, default=0)
    missing = {n: place for n, place in found.numbers.items() if n not in kept}
    found.numbers = {n: place for n, place in missing.items() if n >= oldest or place > pruned_to}


def _lost_names(tables: RecoveredTables, found: Found, pruned_to: int) -> Iterator[Hole]:
    """The numbers that are missing: between those that are there, before the first and behind the last."""
    ends = {name: last for name, (last, place) in found.ends.items() if place > pruned_to}
    seen = set[tuple[str, bytes]]()
    for meter, epoch, seq, place, before, after in tables.numbers():
        name = str(meter), bytes(epoch)
        seen.add(name)
        first = before + 1
        if pruned_to:  # what is missing before the oldest batch was pruned
            first = max(first, min(seq, found.begins.get(name, seq)))
        if place > pruned_to and first < seq:
            yield *name, first, seq - 1
        if after is None and ends.get(name, -1) > seq:
            yield *name, seq + 1, ends[name]
    for (meter, epoch), last in ends.items():
        if (meter, epoch) not in seen:
            yield meter, epoch, found.begins.get((meter, epoch), 0), last
