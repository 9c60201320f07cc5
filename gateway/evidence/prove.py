"""Proof bundle of one record, from the database alone: the record, its path, the statement, its receipts."""

from __future__ import annotations

import re

from gateway.errors import Declined, GatewayError, NotYet
from gateway.evidence.sealing import tree_of
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.storage.elsewhere_tables import UNTOLD
from gateway.storage.rows import Batch
from ledger_client.formats.bundle import Bundle, Locator, decode_locator, is_locator
from ledger_client.formats.statement import id_text, parse_statement

_IDS = "`meterseal readings CONFIG` lists meters and record ids"
_RECORD = re.compile(r"(?P<meter>[^/]+)/(?P<epoch>[0-9a-f]{16})/(?P<seq>[0-9]{1,18})")


def find(store: Database, name: str) -> StoredRecord:
    """A record by its id ``METER/EPOCH/SEQ``, or by a meter's name: its newest reading that a ledger has receipted."""
    match = _RECORD.fullmatch(name)
    if match:
        epoch, seq = bytes.fromhex(match["epoch"]), int(match["seq"])
        found = store.records.find(match["meter"], epoch, seq)
        if found is None and store.repairs.lost_in(match["meter"], epoch, seq):
            raise Declined(f"{name}: this record was lost when the database was damaged", _elsewhere(store))
        if found is None:
            raise GatewayError(
                f"{name}: no such record in {store.path}", "`meterseal readings CONFIG` lists record ids"
            )
        return found[1]
    if "/" in name:
        raise GatewayError(f"{name}: is no record id: METER/EPOCH/SEQ, the epoch 16 hexadecimal digits", _IDS)
    row = store.records.newest_anchored(name)
    if row is None and not store.records.readings(name, 1):
        raise GatewayError(f"{name}: {store.path} holds no reading of a meter of this name", _IDS)
    if row is None:
        raise NotYet(
            f"{name}: no reading of a meter of this name has a receipt yet",
            "wait for the next batch (`meterseal status CONFIG`), or give a record id METER/EPOCH/SEQ",
        )
    return row


def _elsewhere(store: Database) -> str:
    files = ", ".join(repair.file for repair in store.repairs.all())
    return f"take the proof from a backup, or from an export of its batch; the damaged database is kept: {files}"


def prove(store: Database, row: StoredRecord) -> bytes:
    """The bundle (EVIDENCE §6) of one record. Raises NotYet while its batch is not sealed or has no receipt."""
    found = store.records.find(row.meter, row.epoch, row.seq)
    if found is None:
        raise GatewayError(f"{row.id}: no such record in {store.path}", "`meterseal readings CONFIG` lists record ids")
    place = found[0]
    batch = store.batches.holding(place)
    if place <= store.records.pruned()[0]:
        raise GatewayError(
            f"{row.id}: its batch has been pruned, being older than `keep` in [store]",
            "take the proof out of an export of the batch: `meterseal-ledger prove FILE.mbatch RECORD -o FILE.mseal`",
        )
    statement = store.elsewhere.statement_of(place)
    if statement == UNTOLD:
        raise GatewayError(
            f"{row.id}: it may be in a batch that this database lost when it was restored, and no ledger can tell",
            "take the proof from the database that was replaced, or from an export of that batch",
        )
    if statement is not None:
        raise GatewayError(
            f"{row.id}: it is in a batch that this database lost when it was restored (statement {id_text(statement)})",
            "take the proof from the database that was replaced, or from an export of that batch",
        )
    if batch is None and place <= store.batches.sealed_to():
        raise Declined(f"{row.id}: its batch was lost when the database was damaged", _elsewhere(store))
    if batch is None:
        raise NotYet(f"{row.id}: recorded, but in no batch yet", "wait until the next batch is sealed")
    receipts, places = settled_by(store, batch, row.id)
    rows = list(store.batches.leaves(batch.first_id, batch.last_id))
    tree = tree_of(rows)
    if len(rows) != batch.size or tree.root != parse_statement(batch.entry).statement.root:
        held = f"batch {batch.batch} holds {batch.size} records, and {store.path} has {len(rows)} of them"
        if store.repairs.all():
            problem = f"{row.id}: {held}, since it was damaged: without all of them none can be proven"
            raise Declined(problem, _elsewhere(store))
        raise GatewayError(
            f"{held}, or they are not the same: it was damaged, or tampered with", "restore the database from a backup"
        )
    index = next(i for i, r in enumerate(rows) if (r.meter, r.epoch, r.seq) == (row.meter, row.epoch, row.seq))
    return Bundle(
        record=row.data,
        anchors=places,
        size=batch.size,
        index=index,
        path=tuple(tree.path(index)),
        statement=batch.entry,
        receipts=receipts,
    ).encode()


def settled_by(store: Database, batch: Batch, record: str = "") -> tuple[tuple[bytes, ...], tuple[Locator, ...]]:
    """The receipts of a batch, and its places on chains.

    Raises NotYet while it has neither; ``record`` is what was asked for, where it is one.
    """
    settled = [a.receipt for a in store.anchors.of(batch.batch) if a.receipt is not None]
    if not settled:
        what = f"{record}: sealed in batch {batch.batch}, which" if record else f"batch {batch.batch}: it"
        raise NotYet(f"{what} has no receipt yet", "see `meterseal status CONFIG`")
    places = tuple(decode_locator(answer) for answer in settled if is_locator(answer))
    return tuple(answer for answer in settled if not is_locator(answer)), places
