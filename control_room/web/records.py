"""Routes about one record: its content, and its proof from the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response

from control_room.store import meters as meter_rows
from control_room.store.connection import Database
from control_room.store.found import Found, record
from control_room.web import models
from control_room.web.gateways import reversed_
from control_room.web.lists import batch_of
from control_room.web.route import Call, Rest
from gateway.api.shapes.bodies import coverage_of, event_of, values_of
from gateway.api.shapes.models import at
from gateway.api.shapes.parameters import OfRecord
from gateway.api.shapes.problems import Refusal
from gateway.messages.message import Message
from gateway.verdicts import worst
from ledger_client.errors import LedgerClientError
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.record import Coverage, Record, parse_record, record_hash
from ledger_client.formats.senml import Reading
from ledger_client.messages import sentence_of

MSEAL = "application/octet-stream"


def one(call: Call[OfRecord]) -> Rest:
    """One record and where it stands."""
    asked, archive = call.parameters, call.site.archive

    def rest(db: Database) -> models.Record:
        found = _found(db, asked)
        parsed = parse_record(found.data) if found.data is not None else _archived(archive, found, asked)[0]
        batch, proven = found.batch, found.batch is not None and found.batch.state == "proven"
        ledgers = tuple(one.ledger for one in batch_of(batch).anchors) if batch is not None and proven else ()
        return models.Record(
            gateway=asked.gateway,
            meter=asked.meter,
            epoch=asked.epoch,
            seq=asked.seq,
            kind=parsed.kind,  # type: ignore[arg-type]  # one of these
            time=at(parsed.time_ms),
            hash=record_hash(parsed.data).hex(),
            size=len(parsed.data),
            state="recorded" if batch is None else "anchored" if proven else "sealed",
            batch=None if batch is None else batch.batch,
            ledgers=ledgers or None,
            **_content(db, asked, parsed),
        )

    return rest


def bundle(call: Call[OfRecord]) -> Rest:
    """The proof of one record, a ``.mseal`` file."""
    asked, archive = call.parameters, call.site.archive

    def rest(db: Database) -> Response:
        found = _found(db, asked)
        name = _name(asked)
        if found.batch is None:
            raise Refusal(Message("not-anchored", record=name, why=Message("control-not-sealed")))
        if found.batch.state != "proven":
            raise Refusal(
                Message("not-anchored", record=name, why=Message("control-not-proven", batch=found.batch.batch))
            )
        _, data = _archived(archive, found, asked)
        file = f"{name.replace('/', '_')}.mseal"
        return Response(data, media_type=MSEAL, headers={"Content-Disposition": f'attachment; filename="{file}"'})

    return rest


def _name(asked: OfRecord) -> str:
    return f"{asked.meter}/{asked.epoch}/{asked.seq}"


def _found(db: Database, asked: OfRecord) -> Found:
    found = record(db, asked.gateway, asked.meter, bytes.fromhex(asked.epoch), asked.seq)
    if found is None:
        raise Refusal(Message("record-unknown", record=_name(asked)))
    return found


def _archived(archive: Path, found: Found, asked: OfRecord) -> tuple[Record, bytes]:
    """A record and its proof from the file of its batch. Raises Refusal: there is none, or it cannot be read."""
    name = _name(asked)
    if found.batch is None or found.batch.file is None:
        raise Refusal(Message("record-lost", record=name))
    path = archive / found.batch.file
    try:
        batch = BatchFile.open(path)
        return batch.prove(batch.find(name))
    except LedgerClientError as error:
        raise Refusal(
            Message("not-provable", record=name, why=Message("control-archive", error=sentence_of(error)))
        ) from None


def _content(db: Database, asked: OfRecord, parsed: Record) -> dict[str, Any]:
    body = parsed.body
    if isinstance(body, Coverage):
        return {"coverage": coverage_of(body)}
    if isinstance(body, Reading):
        meter = meter_rows.meter_of(db, asked.gateway, asked.meter)
        reading = models.Reading(
            gateway=asked.gateway,
            meter=asked.meter,
            time=at(body.time_ms),
            reversed=None if meter is None else reversed_(meter),
            quality=worst(value.quality for value in body.values),
            record=_name(asked),
            clock=parsed.claims.clock,
            values=tuple(values_of(body.values, body.time_ms)),
        )
        return {"reading": reading}
    event = event_of(asked.gateway, asked.meter, parsed.time_ms, _name(asked), body, fields=True)
    return {"event": event}
