"""How each gateway stands: everything that the database knows of them, in a few queries whatever their number is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, LiteralString, NamedTuple

from control_room.store.connection import Database
from ledger_client.formats.checks import MAX_TIME_MS

# date_part and not extract: of ten thousand rows a numeric costs 80 ms, and a float8 holds milliseconds exactly
_ROWS: Final[LiteralString] = """
SELECT g.name, g.id, (date_part('epoch', g.heard) * 1000)::bigint, (date_part('epoch', g.newest) * 1000)::bigint,
    CASE WHEN %s THEN g.status END, (date_part('epoch', g.status_at) * 1000)::bigint,
    CASE g.status->'online' WHEN 'true' THEN true WHEN 'false' THEN false END,
    CASE jsonb_typeof(g.status->'version') WHEN 'string' THEN left(g.status->>'version', 64) END,
    CASE jsonb_typeof(g.status->'oldest_without_receipt') WHEN 'number' THEN g.status->>'oldest_without_receipt' END,
    g.clock, g.records, g.repeated, g.forked, d.due, d.recorded, (date_part('epoch', g.proven) * 1000)::bigint
FROM gateways g LEFT JOIN days d ON d.gateway = g.id AND d.day = %s
WHERE %s::text[] IS NULL OR g.name = ANY(%s)
"""
_UNPROVEN: Final[LiteralString] = """
SELECT gateway, count(*), (extract(epoch FROM min(from_at)) * 1000)::bigint
FROM batches WHERE state <> 'proven' AND (%s::int[] IS NULL OR gateway = ANY(%s)) GROUP BY gateway
"""
_HOLES: Final[LiteralString] = """
SELECT gateway, count(*) FROM holes WHERE closed IS NULL AND (%s::int[] IS NULL OR gateway = ANY(%s)) GROUP BY gateway
"""
_ALARMS: Final[LiteralString] = """
SELECT gateway, source, code, count(*), count(*) FILTER (WHERE acked IS NULL)
FROM alarms WHERE cleared IS NULL AND (%s::int[] IS NULL OR gateway = ANY(%s)) GROUP BY gateway, source, code
"""
_REFUSED: Final[LiteralString] = """
SELECT gateway, count(*), (extract(epoch FROM max(at)) * 1000)::bigint
FROM refused WHERE %s::text[] IS NULL OR gateway = ANY(%s) GROUP BY gateway
"""

_NOTHING: Final[tuple[int, int | None]] = 0, None


@dataclass(frozen=True, slots=True)
class OpenAlarms:
    """Alarms of one code that are active: ``source`` is "gateway" for its own ones and "control" for those raised here;
    ``unacknowledged``: so many of the ``count`` nobody has acknowledged here."""

    source: str
    code: str
    count: int
    unacknowledged: int


class GatewayRow(NamedTuple):
    """What is known of a gateway; None: it has not been heard.

    Times are Unix ms. ``heard_ms``: when something of it that holds last came in; ``newest_ms``: the latest time of its
    records; ``status``: what it says of itself, where it was asked for by name; ``online``, ``version`` and
    ``waiting_ms``, the time of its oldest record without a receipt, are of that; ``clock``: the letter in its newest
    record; ``records``, ``repeated``, ``forked``: since the database was made; ``refused``: among those that are kept,
    the last at ``refused_ms``; ``due``, ``recorded``: polls of the coverage that ended on the day; ``unproven``:
    batches without what proves them, the earliest of whose records is of ``unproven_ms``; ``proven_ms``: the latest
    time of the records of those that are proven.
    """

    name: str
    id: int | None = None
    heard_ms: int | None = None
    newest_ms: int | None = None
    status: Mapping[str, Any] | None = None
    status_ms: int | None = None
    online: bool | None = None
    version: str | None = None
    waiting_ms: int | None = None
    clock: str | None = None
    records: int = 0
    repeated: int = 0
    forked: int = 0
    refused: int = 0
    refused_ms: int | None = None
    due: int | None = None
    recorded: int | None = None
    unproven: int = 0
    unproven_ms: int | None = None
    proven_ms: int | None = None
    holes: int = 0
    alarms: tuple[OpenAlarms, ...] = ()


def gateways(db: Database, day: date, only: Sequence[str] | None = None) -> dict[str, GatewayRow]:
    """Every gateway that something came in of, be it refused, by name. ``day``: of the polls, in UTC; ``only``: of
    these alone."""
    names = None if only is None else list(only)
    rows = db.all(_ROWS, names is not None, day, names, names)
    numbers = None if only is None else [row[1] for row in rows]
    unproven = {of: (count, at) for of, count, at in db.all(_UNPROVEN, numbers, numbers)}
    holes = {row[0]: row[1] for row in db.all(_HOLES, numbers, numbers)}
    refused = {row[0]: (row[1], row[2]) for row in db.all(_REFUSED, names, names)}
    alarms: dict[int, list[OpenAlarms]] = {}
    for of, *facts in db.all(_ALARMS, numbers, numbers):
        alarms.setdefault(of, []).append(OpenAlarms(*facts))
    found = {}
    for name, of, heard, newest, status, status_at, online, version, waiting, clock, *counted, proven in rows:
        records, repeated, forked, due, recorded = counted
        count, oldest = unproven.get(of, (0, None))
        found[name] = GatewayRow(
            name, of, heard, newest, status, status_at, online, version, _time(waiting), clock,
            records, repeated, forked, *refused.pop(name, _NOTHING), due, recorded,
            count, oldest, proven, holes.get(of, 0), tuple(alarms.get(of, ())),
        )  # fmt: skip
    return found | {name: GatewayRow(name, refused=count, refused_ms=at) for name, (count, at) in refused.items()}


def _time(number: str | None) -> int | None:
    """A number that a gateway gives as a time in Unix ms; None where it can be none."""
    found = int(number) if number is not None and number.isdigit() and len(number) < 16 else None
    return found if found is not None and found <= MAX_TIME_MS else None


def names(db: Database) -> list[str]:
    """The gateways of which something that holds came in."""
    return [row[0] for row in db.all("SELECT name FROM gateways ORDER BY name")]


def number_of(db: Database, gateway: str) -> int | None:
    """The number that stands for a gateway; None: nothing of it that holds ever came in."""
    row = db.one("SELECT id FROM gateways WHERE name = %s", gateway)
    return None if row is None else row[0]


def last_batches(db: Database, of: Sequence[int]) -> dict[int, int]:
    """The newest batch of which a statement came in, by the numbers of these gateways; nothing of those without one."""
    sql: LiteralString = (
        "SELECT id, batch FROM unnest(%s::int[]) AS of (id) "
        "CROSS JOIN LATERAL (SELECT max(batch) AS batch FROM batches WHERE gateway = of.id) b WHERE batch IS NOT NULL"
    )
    return {row[0]: row[1] for row in db.all(sql, list(of))}


def open_of_the_room(db: Database) -> tuple[OpenAlarms, ...]:
    """The active alarms of the control room as a whole, by code."""
    sql: LiteralString = (
        "SELECT source, code, count(*), count(*) FILTER (WHERE acked IS NULL) FROM alarms "
        "WHERE cleared IS NULL AND gateway IS NULL GROUP BY source, code"
    )
    return tuple(OpenAlarms(*row) for row in db.all(sql))
