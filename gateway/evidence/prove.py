"""Proof bundle of one record, from the database alone: the record, its path, the statement, its receipts."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.errors import Declined, GatewayError, NotYet
from gateway.evidence.sealing import tree_of
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.storage.anchor_tables import Anchors
from gateway.storage.database import Database
from gateway.storage.elsewhere_tables import UNKNOWN
from gateway.storage.repair_tables import Repairs
from gateway.storage.rows import Batch
from ledger_client.errors import VerificationError
from ledger_client.formats.bundle import Bundle, Locator, decode_locator, is_locator
from ledger_client.formats.statement import id_text, parse_statement

_RECORD = re.compile(r"(?P<meter>[^/]+)/(?P<epoch>[0-9a-f]{16})/(?P<seq>[0-9]{1,18})")


def find(store: Database, name: str) -> StoredRecord:
    """A record by its id ``METER/EPOCH/SEQ``, or by a meter's name: its newest reading that a ledger has receipted."""
    match = _RECORD.fullmatch(name)
    if match:
        epoch, seq = bytes.fromhex(match["epoch"]), int(match["seq"])
        found = store.records.find(match["meter"], epoch, seq)
        if found is None and store.repairs.lost_in(match["meter"], epoch, seq):
            raise Declined(Message("proof-record-lost", record=name, files=_damaged_files(store.repairs)))
        if found is None:
            raise GatewayError(Message("proof-no-record", record=name, path=str(store.path)))
        return found[1]
    if "/" in name:
        raise GatewayError(Message("proof-bad-id", record=name))
    row = store.records.newest_anchored(name)
    if row is None and not store.records.readings(name, 1):
        raise GatewayError(Message("proof-no-meter", meter=name, path=str(store.path)))
    if row is None:
        raise NotYet(Message("proof-no-receipt-of-meter", meter=name))
    return row


def _damaged_files(repairs: Repairs) -> tuple[str, ...]:
    """The damaged databases that were set aside."""
    return tuple(repair.file for repair in repairs.all())


def prove(store: Database, row: StoredRecord) -> bytes:
    """The bundle (EVIDENCE §6) of one record. Raises NotYet while its batch is not sealed or has no receipt."""
    found = store.records.find(row.meter, row.epoch, row.seq)
    if found is None:
        raise GatewayError(Message("proof-no-record", record=row.id, path=str(store.path)))
    place = found[0]
    batch = store.batches.holding(place)
    if place <= store.records.pruned()[0]:
        return _kept(store, row)
    statement = store.elsewhere.statement_of(place)
    if statement == UNKNOWN:
        raise GatewayError(Message("proof-batch-maybe-lost", record=row.id))
    if statement is not None:
        raise GatewayError(Message("proof-batch-elsewhere", record=row.id, statement=id_text(statement)))
    if batch is None and place <= store.batches.sealed_to():
        raise Declined(Message("proof-batch-lost", record=row.id, files=_damaged_files(store.repairs)))
    if batch is None:
        raise NotYet(Message("proof-not-sealed", record=row.id))
    receipts, places = settled_by(store.anchors, batch, row.id)
    rows = list(store.batches.leaves(batch.first_id, batch.last_id))
    tree = tree_of(rows)
    if len(rows) != batch.size or tree.root != parse_statement(batch.entry).statement.root:
        raise _incomplete(store, batch, row.id, len(rows))
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


def kept_path(store: Database, row: StoredRecord) -> Path:
    """The file that holds the proof of a commissioning record whose batch is pruned (evidence/kept_proofs.py)."""
    return store.path.parent / "commissioning" / f"{row.id.replace('/', '-')}.mseal"


def _kept(store: Database, row: StoredRecord) -> bytes:
    try:
        bundle = kept_path(store, row).read_bytes()
        if Bundle.parse(bundle).record == row.data:
            return bundle
    except (OSError, VerificationError):
        pass
    raise GatewayError(Message("proof-pruned", record=row.id))


def _incomplete(store: Database, batch: Batch, record: str, n: int) -> GatewayError:
    """Why a batch of which only ``n`` records are here, or other ones, proves none of them."""
    path, files = str(store.path), _damaged_files(store.repairs)
    if not files:
        return GatewayError(Message("proof-batch-differs", batch=batch.batch, size=batch.size, path=path, n=n))
    return Declined(
        Message(
            "proof-batch-incomplete", record=record, batch=batch.batch, size=batch.size, path=path, n=n, files=files
        )
    )


def settled_by(anchors: Anchors, batch: Batch, record: str = "") -> tuple[tuple[bytes, ...], tuple[Locator, ...]]:
    """The receipts of a batch, and its places on chains.

    Raises NotYet while it has neither; ``record`` is what was asked for, where it is one.
    """
    receipts, places = settled_so_far(anchors, batch)
    if not receipts and not places:
        if record:
            raise NotYet(Message("proof-not-settled", record=record, batch=batch.batch))
        raise NotYet(Message("batch-not-settled", batch=batch.batch))
    return receipts, places


def settled_so_far(anchors: Anchors, batch: Batch) -> tuple[tuple[bytes, ...], tuple[Locator, ...]]:
    """The receipts of a batch, and its places on chains, as many as there are."""
    settled = [a.receipt for a in anchors.of(batch.batch) if a.receipt is not None]
    places = tuple(decode_locator(answer) for answer in settled if is_locator(answer))
    return tuple(answer for answer in settled if not is_locator(answer)), places
