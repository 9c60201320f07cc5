"""Receipts that a replaced key still needs: of each batch with a record or statement by it, from every ledger.

A ledger that was away would refuse such a batch once the key counts no more, and a verifier would not believe it.
"""

from __future__ import annotations

from contextlib import closing

from gateway.config.key_folder import STATEMENT, FormerKey
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.process import instance_lock
from gateway.process.file_owner import is_there
from gateway.records import GATEWAY, KEYS, StoredRecord
from gateway.storage.database import Database
from gateway.storage.rows import Anchor
from ledger_client.errors import VerificationError
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import parse_statement


def receipts_until(config: Config, former: FormerKey) -> int:
    """When the last ledger had the last batch that needs the key, in Unix seconds; 0 where it signed nothing that is
    here. Raises GatewayError: it is still needed, and for what."""
    if not is_there(config.database):
        raise GatewayError(Message("retire-no-database", path=str(config.database)))
    with closing(Database(config.database, read_only=True)) as store:
        owner = GATEWAY if former.owner == STATEMENT else former.owner
        first, last = _places(store, owner, former.kid, _replaced_ms(config, store, former, owner))
        _demand_sealed(config, store, last)
        _demand_receipts(config, store, first, last)
        return max(map(_received_s, store.anchors.settled_last(first, last)), default=0)


def _replaced_ms(config: Config, store: Database, former: FormerKey, owner: str) -> int:
    """When the gateway took the key in its place; 0 where it has never recorded anything of its owner. Raises
    GatewayError: it has not yet, and signs on."""
    for whose, kid, replaced_ms in store.replaced_keys.all():
        if (whose, kid) == (owner, former.kid):
            return replaced_ms
    if store.replaced_keys.last_used(owner) is not None or instance_lock.running(config.data) is not None:
        raise GatewayError(Message("retire-signs-on", name=former.owner, config=str(config.path)))
    return 0


def _places(store: Database, owner: str, kid: bytes, replaced_ms: int) -> tuple[int, int]:
    """Between which places of the commit order records by a key can be: from the event that names it to the one that
    replaces it. Where that is pruned there are none; where it is lost, up to the last that is sealed."""
    oldest = store.batches.first()
    if oldest is not None and parse_statement(oldest.entry).statement.from_ms > replaced_ms:
        return 0, 0
    last = store.batches.sealed_to()
    for row in store.records.events_of(GATEWAY):
        if KEYS.encode() not in row.data:  # saves to parse it
            continue
        event = parse_record(row.data).body
        if not isinstance(event, Event) or event.name != KEYS or event.fields.get("owner") != owner:
            continue
        if event.fields.get("before") == kid:
            last = _place(store, row)
        if event.fields.get("key") == kid:
            return _place(store, row), last
    return 0, last


def _place(store: Database, row: StoredRecord) -> int:
    return store.records.place(row.meter, row.epoch, row.seq) or 0


def _demand_sealed(config: Config, store: Database, last: int) -> None:
    if store.batches.sealed_to() < last:
        raise GatewayError(Message("retire-not-sealed", config=str(config.path)))


def _demand_receipts(config: Config, store: Database, first: int, last: int) -> None:
    ledgers = [entry.name for entry in config.document.ledger]
    missing = [one for one in store.anchors.missing(first, last) if one.ledger in ledgers]
    if missing:
        each = tuple(Message("retire-ledger-lacks", ledger=x.ledger, n=x.batches, batch=x.first) for x in missing)
        raise GatewayError(Message("retire-no-receipt", each=each, config=str(config.path)))
    if n := store.anchors.count_batches_without(first, last):
        raise GatewayError(Message("retire-never-sent", n=n, config=str(config.path)))


def _received_s(anchor: Anchor) -> int:
    """When a ledger had a batch, by its own clock where its receipt says it, or when the gateway knew, if later."""
    known_s = -(-anchor.updated_ms // 1000)
    try:
        return max(known_s, parse_receipt(anchor.receipt or b"").iat or 0)
    except VerificationError:  # of a chain, or of another service
        return known_s
