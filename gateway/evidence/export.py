"""Sealed batches → batch files: whole, with their receipts, for proofs and audits after pruning.

Beside a batch that does not begin with what is configured go the proofs of the events that say so, from batches before:
by them an audit of this file alone can count what was due (docs/decisions/032).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.evidence.prove import prove, settled_by
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.records import CONFIGURATION, GATEWAY, StoredRecord
from gateway.storage.capacity import exported
from gateway.storage.database import Database
from gateway.storage.record_tables import Records
from gateway.storage.recovery.repair_report import REPAIRED
from gateway.storage.rows import Batch
from ledger_client.durable_files import whole_file
from ledger_client.errors import EncodeError, LedgerClientError
from ledger_client.formats.batch_file import SUFFIX, BatchFile, write_batch
from ledger_client.formats.record import Event, parse_record
from ledger_client.messages import Sentence, sentence_of

PROOF_SUFFIX = ".mseal"


@dataclass(frozen=True, slots=True)
class Exported:
    """A batch file that was written."""

    batch: int
    records: int
    path: Path
    size: int
    proofs: tuple[Path, ...] = ()
    """Of what was configured before it, beside it."""
    unproven: Sentence | None = None
    """Why there is none."""


def export(store: Database, number: int, path: Path) -> Exported:
    """Write one batch, as it is at this moment, to a file that is there as a whole or not at all.

    Raises NotYet while it has no receipt, GatewayError for a batch that is not there (any more) and for a file that
    cannot be written.
    """
    with store.snapshot():
        batch = _batch(store, number)
        receipts, places = settled_by(store.anchors, batch)
        records = (row.data for row in store.batches.leaves(batch.first_id, batch.last_id))
        try:
            with whole_file(path) as file:
                size = write_batch(file, records, batch.entry, receipts, places)
        except EncodeError as error:
            raise GatewayError(Message("export-tampered", path=str(store.path), error=sentence_of(error))) from None
        except OSError as error:
            raise GatewayError(Message("export-not-writable", path=str(path), error=os_error(error))) from None
        proofs, unproven = _configured_before(store, batch, path.parent)
    return Exported(number, batch.size, path, size, proofs, unproven)


def _configured_before(store: Database, batch: Batch, folder: Path) -> tuple[tuple[Path, ...], Sentence | None]:
    """Write the proofs of the newest ``configuration`` before a batch and of the grids since, where they are not there
    yet; none for a batch that begins with one of a day. One of a start does not tell by which grids the downtime before
    it counts. Gives the files, and why one could not be written."""
    leaves = (_event(row) for row in store.batches.leaves(batch.first_id, batch.last_id))
    first = next((event for event in leaves if event is None or event.name != REPAIRED), None)
    if first is not None and first.name == CONFIGURATION and first.fields["at"] == "day":
        return (), None
    proofs: list[Path] = []
    for row in _announced_before(store.records, batch.first_id):
        path = folder / f"{parse_record(row.data).claims.gateway}-event-{row.epoch.hex()}-{row.seq:010d}{PROOF_SUFFIX}"
        try:
            if not path.exists():
                proof = prove(store, row)
                with whole_file(path) as file:
                    file.write(proof)
        except GatewayError as error:
            return tuple(proofs), error.sentence
        except OSError as error:
            return tuple(proofs), Message("export-not-writable", path=str(path), error=os_error(error))
        proofs.append(path)
    return tuple(proofs), None


def _announced_before(records: Records, place: int) -> list[StoredRecord]:
    """The newest configuration in front of a place, in all its parts, and the events with new grids behind it."""
    found = []
    for row in records.events_before(GATEWAY, place):
        event = _event(row)
        if event is not None and (event.name == CONFIGURATION or "grids" in event.fields):
            found.append(row)
            if event.name == CONFIGURATION and event.fields["part"][0] == 1:
                break
    return found


def _event(row: StoredRecord) -> Event | None:
    """The body of an event of the gateway; None: it is another record."""
    body = parse_record(row.data).body if row.meter == GATEWAY else None
    return body if isinstance(body, Event) else None


def _batch(store: Database, number: int) -> Batch:
    batch, last = store.batches.numbered(number), store.batches.last()
    if batch is not None and store.batches.is_whole(number):
        return batch
    first, path = store.batches.first(), str(store.path)
    if first is None or last is None:
        raise GatewayError(Message("export-no-batch-yet", batch=number, path=path))
    if batch is not None or number < first.batch:
        raise GatewayError(Message("export-batch-gone", batch=number, path=path, first=first.batch, last=last.batch))
    raise GatewayError(Message("export-no-batch", batch=number, path=path, first=first.batch, last=last.batch))


def note_files(store: Database, files: Mapping[int, Path]) -> list[Message]:
    """Note that these batches are in files, so that pruning need not wait for them: each that is there, also where an
    earlier run has written it. What could not be noted is logged, and costs no file."""
    batches, lacking = list[Batch](), list[Message]()
    noted = exported.noted(store)
    for number, path in files.items():
        batch = store.batches.numbered(number)
        if batch is None or not path.is_file() or any(each.first <= number <= each.last for each in noted):
            continue
        try:
            entry = BatchFile.open(path).entry
        except LedgerClientError as error:
            lacking.append(Message("export-not-this-batch", path=str(path), batch=number, error=error.sentence))
            continue
        if entry == batch.entry:
            batches.append(batch)
        else:
            other = Message("export-of-other-statement")
            lacking.append(Message("export-not-this-batch", path=str(path), batch=number, error=other))
    try:
        if batches:
            exported.note(store, batches)
    except OSError as error:
        path = store.path.with_name(exported.NAME)
        lacking.append(Message("export-not-noted", path=str(path), error=os_error(error)))
    return lacking


def file_name(gateway: str, number: int) -> str:
    """The name that a batch's file gets in a folder: such names sort as the batches do."""
    return f"{gateway}-batch-{number:010d}{SUFFIX}"


def export_to(
    store: Database, gateway: str, numbers: Sequence[int], folder: Path, *, pruning: bool = False
) -> Iterator[Exported]:
    """Write each batch to its own file in ``folder``; existing files stay as they are.

    Args:
        store: the database.
        gateway: id of the gateway, for the file names.
        numbers: batches to write.
        folder: is created if it does not exist.
        pruning: pass over batches that were pruned since they were counted.

    Raises:
        NotYet: a batch has no receipt yet.
        GatewayError: a batch is not there, or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(Message("export-no-folder", folder=str(folder), error=os_error(error))) from None
    for number in numbers:
        path = folder / file_name(gateway, number)
        gone = pruning and not store.batches.is_whole(number)
        if not gone and not path.exists():
            yield export(store, number, path)
