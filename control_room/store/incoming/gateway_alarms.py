"""Alarms of gateways, from the signed events in which they are raised and cleared, in whatever order these come in.

An alarm is known by gateway, meter (or "gateway"), code and line. Events come late, twice, and of two receivers in any
order; the times that they bear say what follows what. An end that comes in before its beginning stands as a row without
``raised``, which the beginning then fills; a beginning that lies before an end that is known, or before the next
beginning, is not open any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from control_room.judged import JudgedRecord
from control_room.store.connection import Database
from gateway.messages.message import Message
from ledger_client.formats.record import Event

ALARM: Final = "alarm"
_MOST_TEXT: Final = 2000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OF: Final[LiteralString] = "gateway = %s AND source = 'gateway' AND meter = %s AND code = %s AND line = %s"

Key = tuple[int, str, str, str]
"""Gateway, meter, code and line."""


def take(db: Database, records: Iterable[tuple[int, JudgedRecord]]) -> None:
    """Have the alarms follow the events among these new records: (number of the gateway, record)."""
    found: list[tuple[Key, int, int, Event]] = []
    for gateway, record in records:
        event = record.body
        if isinstance(event, Event) and event.name == ALARM and _is_alarm(event.fields):
            meter = str(event.fields.get("meter", record.meter))
            key = gateway, meter[:64], event.fields["code"][:200], event.fields["line"][:200]
            found.append((key, record.time_ms, record.seq, event))
    for key, time_ms, _, event in sorted(found, key=lambda each: each[:3]):
        at = _EPOCH + timedelta(milliseconds=time_ms)
        if event.fields["raised"]:
            _raise(db, key, at, event.fields)
        else:
            _clear(db, key, at, event.fields)


def _is_alarm(fields: Any) -> bool:
    """Whether an event has the fields of an alarm (docs/evidence.cddl); a signed event may have any others."""
    texts = all(isinstance(fields.get(name), str) for name in ("code", "line", "text"))
    return texts and isinstance(fields.get("raised"), bool)


def _raise(db: Database, key: Key, at: datetime, fields: Any) -> None:
    text, message = _sentence(fields)
    since_ms = fields.get("since")
    since = _EPOCH + timedelta(milliseconds=since_ms) if type(since_ms) is int and 0 <= since_ms < 10**14 else at
    filled = db.run(
        "UPDATE alarms SET raised = %s, since = %s, text = %s, message = %s WHERE id = (SELECT id FROM alarms "
        f"WHERE {_OF} AND raised IS NULL AND cleared >= %s ORDER BY cleared LIMIT 1)",
        at, since, text, message, *key, at,
    )  # fmt: skip
    if filled:
        return
    there = db.run(
        f"UPDATE alarms SET text = %s, message = %s WHERE {_OF} AND raised <= %s AND (cleared IS NULL OR cleared > %s)",
        text, message, *key, at, at,
    )  # fmt: skip
    if there:
        return  # raised again while it was: there is more of it
    later = db.one(f"SELECT min(raised) FROM alarms WHERE {_OF} AND raised > %s", *key, at)
    db.run(
        "INSERT INTO alarms (gateway, source, meter, code, line, text, message, since, raised, cleared) "
        "VALUES (%s, 'gateway', %s, %s, %s, %s, %s, %s, %s, %s)",
        *key, text, message, since, at, later and later[0],
    )  # fmt: skip


def _clear(db: Database, key: Key, at: datetime, fields: Any) -> None:
    ended = db.run(
        "UPDATE alarms SET cleared = %s WHERE id = (SELECT id FROM alarms "
        f"WHERE {_OF} AND raised <= %s ORDER BY raised DESC LIMIT 1) AND (cleared IS NULL OR cleared >= %s)",
        at, *key, at, at,
    )  # fmt: skip
    if not ended:
        text, message = _sentence(fields)
        db.run(
            "INSERT INTO alarms (gateway, source, meter, code, line, text, message, cleared) "
            "VALUES (%s, 'gateway', %s, %s, %s, %s, %s, %s)",
            *key, text, message, at,
        )  # fmt: skip


def _sentence(fields: Any) -> tuple[str, Jsonb | None]:
    """The text of an alarm as it was signed, and the message that it was made of, where it bears one."""
    message = Message.from_fields(fields)
    return fields["text"][:_MOST_TEXT], Jsonb(message.to_fields()) if message is not None else None
