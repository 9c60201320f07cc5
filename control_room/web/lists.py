"""Routes of lists: `/batches`, `/alarms`, `/holes`, `/refused`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from control_room.store import alarms as alarm_rows
from control_room.store import listed
from control_room.store.alarms import AlarmRow
from control_room.store.connection import Database
from control_room.store.listed import BatchRow, HoleRow, RefusedRow
from control_room.web import models
from control_room.web.fleet import severity
from control_room.web.route import Call, Rest
from gateway.api.shapes.models import Listed, Text, at, time
from gateway.api.shapes.parameters import AlarmPage, Page
from gateway.api.shapes.problems import Refusal
from gateway.messages.message import Message
from ledger_client.errors import LedgerClientError
from ledger_client.formats.bundle import decode_locator
from ledger_client.formats.checks import is_name
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import parse_statement

R = TypeVar("R", AlarmRow, HoleRow, RefusedRow)
T = TypeVar("T")


def batches(call: Call[Page]) -> Rest:
    """Batches of which a statement came in; of each gateway the newest first."""
    asked, before = call.parameters, _batch_place(call)

    def rest(db: Database) -> Listed[models.Batch]:
        found = listed.batches(db, asked.limit + 1, gateway=asked.gateway, before=before)
        shown = found[: asked.limit]
        number, batch, identifier = shown[-1].place if shown else listed.FIRST
        following = call.cursor(number, batch, identifier.hex()) if len(found) > asked.limit else None
        return Listed[models.Batch](items=tuple(map(batch_of, shown)), next=following)

    return rest


def _batch_place(call: Call[Page]) -> tuple[int, int, bytes]:
    match call.place():
        case None:
            return listed.FIRST
        case (int(number), int(batch), str(identifier)) if len(identifier) == 64 and abs(number) < 1 << 31:
            try:
                return number, batch, bytes.fromhex(identifier)
            except ValueError:
                pass
    raise Refusal(Message("cursor-invalid"))


def batch_of(row: BatchRow) -> models.Batch:
    """A batch as the API shows it."""
    statement = parse_statement(row.entry).statement
    return models.Batch(
        gateway=row.gateway,
        batch=row.batch,
        sealed=at(statement.iat * 1000),
        from_=at(statement.from_ms),
        to=at(statement.to_ms),
        size=statement.size,
        root=statement.root.hex(),
        statement=row.statement_id.hex(),
        resume=statement.resume,
        meters=tuple(statement.meters),
        arrived=at(row.arrived_ms),
        state=row.state,  # type: ignore[arg-type]  # one of these words
        why=None if row.why is None else text_of(row.why),
        proven=time(row.proven_ms),
        anchors=(*map(_receipt, row.receipts), *map(_place, row.anchors)),
    )


def _receipt(data: bytes) -> models.Receipt:
    try:
        found = parse_receipt(bytes(data))
    except LedgerClientError:
        return models.Receipt(ledger="?")
    return models.Receipt(ledger=found.ledger, receipt=time(None if found.iat is None else found.iat * 1000))


def _place(data: bytes) -> models.Receipt:
    try:
        found = decode_locator(bytes(data))
    except LedgerClientError:
        return models.Receipt(ledger="?")
    return models.Receipt(ledger=found.ledger, place=f"block {found.block}, tx 0x{found.tx.hex()}")


def text_of(stored: Mapping[str, Any]) -> Text:
    """A stored message: its code, its facts, and its English."""
    message = Message.from_fields(stored)
    return Text(text=str(stored.get("text", ""))) if message is None else text_of_message(message)


def text_of_message(message: Message) -> Text:
    """A message: its code, its facts, and its English."""
    return Text(text=message.problem, **message.to_fields())


def alarms(call: Call[AlarmPage]) -> Rest:
    """Alarms of the gateways and of the control room: active or not acknowledged here, or all that are kept."""
    asked, before = call.parameters, _before(call)

    def rest(db: Database) -> Listed[models.Alarm]:
        found = alarm_rows.alarms(
            db, asked.limit + 1, before=before, gateway=asked.gateway, meter=asked.meter, over=asked.state == "all"
        )
        return _page(call, found, Listed[models.Alarm], alarm_of)

    return rest


def alarm_of(row: AlarmRow) -> models.Alarm:
    """An alarm as the API shows it."""
    message = None if row.message is None else Message.from_fields(row.message)
    return models.Alarm(
        gateway=row.gateway,
        id=row.id,
        source=row.source,  # type: ignore[arg-type]  # one of these words
        meter=row.meter or None,
        code=row.code,
        line=row.line,
        severity=severity(row.code),
        active=row.cleared_ms is None,
        text=row.text,
        **({} if message is None else message.to_fields()),
        since=time(row.since_ms),
        raised=at(row.raised_ms),
        cleared=time(row.cleared_ms),
        acknowledged=time(row.acked_ms),
        acknowledged_by=row.acked_by,
        acknowledged_note=row.acked_note,
    )


def holes(call: Call[Page]) -> Rest:
    """What is missing now, the newest first."""
    asked, before = call.parameters, _before(call)

    def rest(db: Database) -> Listed[models.Hole]:
        found = listed.holes(db, asked.limit + 1, gateway=asked.gateway, before=before)
        return _page(call, found, Listed[models.Hole], _hole)

    return rest


def _hole(row: HoleRow) -> models.Hole:
    return models.Hole(
        gateway=row.gateway,
        id=row.id,
        meter=row.meter,
        epoch=None if row.epoch is None else row.epoch.hex(),
        first=row.first,
        last=row.last,
        batch=row.batch,
        first_batch=row.first_batch,
        last_batch=row.last_batch,
        since=at(row.since_ms),
        asked=row.asked,
        next_ask=time(row.next_ask_ms),
        gone=row.gone,  # type: ignore[arg-type]  # one of these words
    )


def refused(call: Call[Page]) -> Rest:
    """Messages that were not believed, the newest first."""
    asked, before = call.parameters, _before(call)

    def rest(db: Database) -> Listed[models.Refused]:
        found = listed.refused(db, asked.limit + 1, gateway=asked.gateway, before=before)
        return _page(call, found, Listed[models.Refused], _refused)

    return rest


def _refused(row: RefusedRow) -> models.Refused:
    return models.Refused(
        id=row.id,
        time=at(row.at_ms),
        topic=row.topic,
        gateway=row.gateway if is_name(row.gateway) else None,
        step=row.step,
        why=text_of(row.why),
        key=None if row.kid is None else row.kid.hex(),
        size=row.size,
    )


def _page(
    call: Call[Page] | Call[AlarmPage], found: Sequence[R], shape: type[Listed[T]], item: Callable[[R], T]
) -> Listed[T]:
    """A page of numbered rows, of which one more than asked for was looked for."""
    limit = call.parameters.limit
    following = call.cursor(found[limit - 1].id) if len(found) > limit else None
    return shape(items=tuple(map(item, found[:limit])), next=following)


def _before(call: Call[Page] | Call[AlarmPage]) -> int | None:
    """The number in front of which a page goes on."""
    match call.place():
        case None:
            return None
        case (int(number),):
            return number
    raise Refusal(Message("cursor-invalid"))
