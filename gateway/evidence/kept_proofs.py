"""Kept proofs: bundles of commissioning records whose batch is pruned, as files in the data folder.

A record of how a meter was put into service is asked for years after its batch has left the database. Its proof is
written before the first record of that batch goes.
"""

from __future__ import annotations

import logging

from gateway.errors import GatewayError, StoreError
from gateway.evidence.prove import kept_path, prove
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.records import StoredRecord
from gateway.storage.accounted import events_saying
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.durable_files import whole_file
from ledger_client.formats.record import COMMISSIONED, is_commissioning_record, parse_record
from ledger_client.formats.statement import parse_statement

log = logging.getLogger("meterseal.recorder")


def keep(store: Database, batch: Batch) -> None:
    """Keep the proof of every commissioning record of a whole batch that is about to be pruned.

    Raises:
        StoreError: a proof cannot be written, and the batch has to stay.
    """
    for meter in parse_statement(batch.entry).statement.meters:
        for _, row in events_saying(store, meter, COMMISSIONED, batch.first_id - 1, batch.last_id):
            if is_commissioning_record(parse_record(row.data).body):
                _keep(store, row)


def _keep(store: Database, row: StoredRecord) -> None:
    path = kept_path(store, row)
    try:
        bundle = prove(store, row)
    except GatewayError as error:
        log.warning("%s: its proof cannot be kept: %s", row.id, error)
        return
    try:
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as file:
            file.write(bundle)
    except OSError as error:
        raise StoreError(Message("proof-not-kept", path=str(path), error=os_error(error))) from None
