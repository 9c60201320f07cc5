"""Routes about one record: its content, and its proof."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from gateway.api.route import Call, Rest
from gateway.api.shapes import models
from gateway.api.shapes.bodies import coverage_of, event_of, reading_of
from gateway.api.shapes.parameters import OfRecord
from gateway.api.shapes.problems import Refusal
from gateway.dashboard.pages.record_state import States
from gateway.errors import GatewayError, NotYet, StoreError
from gateway.evidence import prove
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.status.readings import parsed_body
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record, record_hash
from ledger_client.formats.senml import Reading

MSEAL = "application/octet-stream"


def record(call: Call[OfRecord]) -> Rest:
    """One record and where it stands."""
    config, asked = call.site.config, call.parameters
    meter = config.meters.get(asked.meter)
    reversed_ = meter is not None and meter.reversed

    def rest(store: Database) -> models.Record:
        place, row = _found(store, asked)
        state, content = States(store).at(place), _content(config.gateway_id, row, reversed_)
        return models.Record(
            gateway=config.gateway_id,
            meter=row.meter,
            epoch=row.epoch.hex(),
            seq=row.seq,
            kind=row.kind,  # type: ignore[arg-type]  # one of these
            time=models.at(row.time_ms),
            hash=record_hash(row.data).hex(),
            size=len(row.data),
            state=state.word,
            batch=state.batch,
            ledgers=state.ledgers or None,
            **content,
        )

    return rest


def bundle(call: Call[OfRecord]) -> Rest:
    """The proof of one record, a ``.mseal`` file."""
    asked = call.parameters

    def rest(store: Database) -> Response:
        _, row = _found(store, asked)
        try:
            body = prove.prove(store, row)
        except NotYet as error:
            raise Refusal(Message("not-anchored", record=row.id, why=error.sentence)) from None
        except StoreError:
            raise
        except GatewayError as error:
            if error.message is not None and error.message.code == "proof-pruned":
                raise Refusal(Message("pruned", record=row.id, why=error.sentence)) from None
            raise Refusal(Message("not-provable", record=row.id, why=error.sentence)) from None
        name = f"{row.id.replace('/', '_')}.mseal"
        return Response(body, media_type=MSEAL, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    return rest


def _found(store: Database, asked: OfRecord) -> tuple[int, StoredRecord]:
    """A record and its place. Raises Refusal: there is none, it was lost or pruned."""
    epoch = bytes.fromhex(asked.epoch)
    found = store.records.find(asked.meter, epoch, asked.seq)
    if found is not None:
        return found
    record = f"{asked.meter}/{asked.epoch}/{asked.seq}"
    if store.repairs.lost_in(asked.meter, epoch, asked.seq):
        raise Refusal(Message("record-lost", record=record))
    if store.epochs.is_pruned(asked.meter, epoch, asked.seq):
        raise Refusal(Message("pruned", record=record, why=Message("proof-pruned", record=record)))
    raise Refusal(Message("record-unknown", record=record))


def _content(gateway: str, row: StoredRecord, reversed_: bool) -> dict[str, Any]:
    body = parsed_body(row)
    if isinstance(body, Reading):
        clock = parse_record(row.data).claims.clock
        return {"reading": reading_of(gateway, row.meter, body, reversed_, row.id, clock)}
    if isinstance(body, Coverage):
        return {"coverage": coverage_of(body)}
    return {"event": event_of(gateway, row.meter, row.time_ms, row.id, body, fields=True)}
