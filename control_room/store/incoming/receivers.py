"""The receivers of a control room: who runs, how far each has stored, and alarms of theirs that only they would clear.

``delivered`` is the number, among the consumer's deliveries, of the latest that a receiver stored; it is part of the
portion's transaction. The broker's consumer never counts more as acknowledged than that, unless the database lost what
it once had.
"""

from __future__ import annotations

import socket
from datetime import datetime
from typing import Final, NamedTuple

from psycopg.types.json import Jsonb

from control_room.errors import DatabaseError
from control_room.store.connection import Database
from control_room.store.spans import AT
from gateway.messages.message import Message
from ledger_client import messages

ALIVE_S: Final = 60
"""A receiver that was not seen for so long is not running."""
_NAMES: Final = 0x6D_65_74_66
"""First key of PostgreSQL's advisory locks of receivers' names."""
_MOST: Final = 1000


class State(NamedTuple):
    """What a receiver says of itself: its consumer's age (None: not known yet), messages that wait at the broker, those
    that are held, and what is wrong (None: nothing)."""

    consumer: datetime | None
    pending: int
    held: int
    trouble: messages.Message | None


def take_name(db: Database) -> str:
    """A name that no other receiver of this database has, of this machine's name and a number; this connection's."""
    host = socket.gethostname()
    for number in range(1, _MOST):
        name = f"{host}/{number}"
        row = db.one("SELECT pg_try_advisory_lock(%s, hashtext(%s))", _NAMES, name)
        if row and row[0]:
            return name
    raise DatabaseError(Message("control-receivers-many", n=_MOST))


def elect(db: Database, lock: int) -> bool:
    """Whether this connection holds a lock, which one holds at a time, until it ends."""
    row = db.one("SELECT pg_try_advisory_lock(%s)", lock)
    return bool(row and row[0])


def seen(db: Database, name: str, state: State, now_ms: int) -> None:
    """This receiver runs."""
    trouble = None if state.trouble is None else Jsonb(state.trouble.to_fields())
    db.run(
        "INSERT INTO receivers AS r (name, seen, pending, held, trouble) "
        f"VALUES (%s, {AT}, %s, %s, %s) ON CONFLICT (name) DO UPDATE "
        "SET seen = excluded.seen, pending = excluded.pending, held = excluded.held, trouble = excluded.trouble",
        name, now_ms, state.pending, state.held, trouble,
    )  # fmt: skip


def stored(db: Database, name: str, consumer: datetime, delivered: int) -> None:
    """This receiver stored the deliveries of a consumer up to this number; in the transaction that stores them."""
    db.run(
        "INSERT INTO receivers AS r (name, seen, consumer, delivered) VALUES (%s, now(), %s, %s) "
        "ON CONFLICT (name) DO UPDATE SET consumer = excluded.consumer, delivered = CASE "
        "WHEN r.consumer = excluded.consumer THEN greatest(r.delivered, excluded.delivered) "
        "ELSE excluded.delivered END",
        name, consumer, delivered,
    )  # fmt: skip


def latest(db: Database, consumer: datetime) -> int | None:
    """The latest delivery of a consumer that any receiver stored; None: none of it."""
    row = db.one("SELECT max(delivered) FROM receivers WHERE consumer = %s", consumer)
    return row[0] if row else None


def leave(db: Database, name: str) -> None:
    """This receiver ends; its row stays, since it says how far it stored."""
    db.run("UPDATE receivers SET seen = NULL, held = 0, pending = 0, trouble = NULL WHERE name = %s", name)


def raise_event(db: Database, kind: str, message: messages.Message, now_ms: int) -> None:
    """Raise an alarm about what happened; if one of its kind is not acknowledged yet, that one has the newer facts."""
    db.run(
        "INSERT INTO alarms AS a (source, code, text, message, since, raised) "
        f"VALUES ('control', %s, %s, %s, {AT}, {AT}) "
        "ON CONFLICT (gateway, source, meter, code, line) WHERE cleared IS NULL DO UPDATE SET text = excluded.text, "
        "message = excluded.message, since = excluded.since, raised = excluded.raised, acked = NULL, acked_by = NULL, "
        "acked_note = NULL",
        kind, str(message), Jsonb(message.to_fields()), now_ms, now_ms,
    )  # fmt: skip


def clear_old(db: Database, events: tuple[str, ...], now_ms: int) -> None:
    """Clear alarms about what happened that a person has acknowledged, and those of receivers that are gone."""
    db.run(
        f"UPDATE alarms SET cleared = {AT} WHERE gateway IS NULL AND source = 'control' AND cleared IS NULL "
        "AND (code = ANY(%s) AND acked IS NOT NULL OR line <> '' AND NOT EXISTS (SELECT 1 FROM receivers r "
        f"WHERE r.name = alarms.line AND r.seen > {AT} - %s * interval '1 s'))",
        now_ms, list(events), now_ms, ALIVE_S,
    )  # fmt: skip
