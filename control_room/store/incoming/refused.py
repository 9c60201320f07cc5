"""What was not believed, and what forks: kept for whoever looks, the newest of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from control_room.judged import JudgedRecord, Refusal
from control_room.store.connection import Database
from control_room.store.names import Chain
from gateway.messages.message import Message

MOST: Final = 10_000
"""Rows of each of the two tables."""
MOST_BYTES: Final = 128 * 1024
"""Of one message; what is longer is not judged again, since it is not kept whole."""
_MOST_TOPIC: Final = 300
FORKED: Final = "forked"
"""Kind of the control room's alarm about a fork; its line is the meter."""
_TRIM: Final[LiteralString] = (
    "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE id < "
    "(SELECT id FROM {0} ORDER BY id DESC OFFSET %s LIMIT 1) ORDER BY id FOR UPDATE SKIP LOCKED)"
)


def keep_refused(db: Database, refusals: Sequence[Refusal], now: datetime) -> None:
    """Keep what was refused, once however often it comes, and count it. The last step of a portion's transaction."""
    if not refusals:
        return
    rows: list[tuple[Any, ...]] = []
    for refusal in refusals:
        whole = len(refusal.data) <= MOST_BYTES
        digest = hashlib.sha256(refusal.topic.encode(errors="replace") + b"\0" + refusal.data).digest()
        rows.append(
            (now, _text(refusal.topic), _text(refusal.gateway), refusal.step, Jsonb(_why(refusal)),
             refusal.kid if whole else None, len(refusal.data), refusal.data[:MOST_BYTES], digest)
        )  # fmt: skip
    db.run_each(
        "INSERT INTO refused (at, topic, gateway, step, why, kid, size, bytes, hash) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (hash) DO NOTHING",
        sorted(rows, key=itemgetter(-1)),
    )
    db.run(_TRIM.format("refused"), MOST - 1)
    db.run(
        "INSERT INTO counters AS c (name, n) VALUES ('refused', %s) "
        "ON CONFLICT (name) DO UPDATE SET n = c.n + excluded.n",
        len(refusals),
    )


def keep_forks(db: Database, forks: Sequence[tuple[Chain, JudgedRecord]], now: datetime) -> None:
    """Keep records whose numbers belong to other bytes, and raise an alarm for each meter."""
    if not forks:
        return
    by_key = {(chain.meter, chain.epoch, record.seq, record.hash): (chain, record) for chain, record in forks}
    db.run_each(
        "INSERT INTO forks (at, gateway, meter, epoch, seq, time, hash, bytes) "
        "VALUES (%s, %s, %s, %s, %s, to_timestamp(%s::int8 / 1000.0), %s, %s) ON CONFLICT DO NOTHING",
        [
            (now, chain.gateway, chain.meter, chain.epoch, record.seq, record.time_ms, record.hash, record.data)
            for _, (chain, record) in sorted(by_key.items())
        ],
    )
    db.run(_TRIM.format("forks"), MOST - 1)
    alarms = {(chain.gateway, record.meter): record for _, (chain, record) in sorted(by_key.items(), reverse=True)}
    for (gateway, meter), record in sorted(alarms.items()):
        message = Message("control-forked", meter=meter, epoch=record.epoch.hex(), seq=record.seq)
        db.run(
            "INSERT INTO alarms (gateway, source, code, line, text, message, since, raised) "
            "VALUES (%s, 'control', %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (gateway, source, meter, code, line) WHERE cleared IS NULL DO NOTHING",
            gateway, FORKED, meter, str(message), Jsonb(message.to_fields()), now, now,
        )  # fmt: skip


def _why(refusal: Refusal) -> dict[str, object]:
    """The message as JSON, without a character that JSON in PostgreSQL cannot hold; in English alone where it is too
    large to be one."""
    fields: dict[str, object] = json.loads(json.dumps(refusal.why.to_fields()).replace("\\u0000", "\\ufffd"))
    return fields or {"text": _text(str(refusal.why))}


def _text(text: str) -> str:
    """Text that PostgreSQL can hold, of a length that indexes can."""
    return text[:_MOST_TOPIC].replace("\0", "�").encode(errors="replace").decode()
