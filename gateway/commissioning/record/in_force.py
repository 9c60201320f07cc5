"""Commissioning records in the database: the newest of a meter, and where it stands. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.commissioning.record import content
from gateway.commissioning.record.content import CommissioningRecord
from gateway.errors import GatewayError
from gateway.records import StoredRecord
from gateway.storage.accounted import events_saying
from gateway.storage.database import Database
from ledger_client.formats.record import COMMISSIONED, EXCHANGE, Event, is_commissioning_record, parse_record


@dataclass(frozen=True, slots=True)
class InForce:
    """A signed record. ``row``: as it is stored; ``event``: what it bears; ``batch``: that it is sealed in, None: in
    none yet, or in one that this database does not hold; ``ledgers``: those that have settled it; ``identity``: the
    device that stands for the meter since, by an accepted exchange behind the record, else that of the record."""

    row: StoredRecord
    event: Event
    record: CommissioningRecord
    batch: int | None
    ledgers: tuple[str, ...]
    identity: str | None
    pruned: bool

    @property
    def state(self) -> str:
        """How far it has come: recorded, sealed, anchored; pruned where its anchored batch has left the database."""
        if self.pruned:
            return "pruned"
        return "anchored" if self.ledgers else "recorded" if self.batch is None else "sealed"


def in_force(store: Database, meter: str) -> InForce | None:
    """The newest commissioning record of a meter; None: it has none that this version can read. Raises StoreError."""
    for place, row in events_saying(store, meter, COMMISSIONED):
        event = parse_record(row.data).body
        if not isinstance(event, Event) or not is_commissioning_record(event):
            continue
        try:
            record = content.of(meter, event)
        except GatewayError:
            continue
        batch = None if store.elsewhere.statement_of(place) is not None else store.batches.holding(place)
        anchors = store.anchors.of(batch.batch) if batch is not None else ()
        ledgers = tuple(anchor.ledger for anchor in anchors if anchor.state == "settled")
        identity = next(_exchanged_to(store, meter, place), record.identity) or None
        number, pruned = batch.batch if batch is not None else None, place <= store.records.pruned()[0]
        return InForce(row, event, record, number, ledgers, identity, pruned)
    return None


def _exchanged_to(store: Database, meter: str, behind: int) -> Iterator[str]:
    """The devices that were accepted for a meter behind a place of the commit order, the newest first; "" for one that
    does not say who it is."""
    for _, row in events_saying(store, meter, EXCHANGE, behind):
        event = parse_record(row.data).body
        if isinstance(event, Event) and event.name == EXCHANGE:
            yield str(event.fields["identity"])
