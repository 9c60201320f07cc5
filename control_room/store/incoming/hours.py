"""Hours of readings, made behind: of each value how many numbers there are, the first, the last, the lowest, the
highest and their sum, over record time. Flagged values count as they were recorded.

Every hour before ``hours_to`` is made, but those in ``hours_due``. An hour becomes due when it is over, and again when
a reading of it comes late. Between both there is no gap: a portion reads ``hours_to`` under a lock that whoever moves
it has to wait for (partitions.py).
"""

from __future__ import annotations

from typing import Final, LiteralString

from control_room.store.connection import Database
from control_room.store.incoming import partitions
from control_room.store.incoming.portions import HOUR_MS, moment

SETTLE_MS: Final = 300_000
"""An hour that is over waits so long for what is on its way."""
_AT_ONCE: Final = 100
_NUMBER: Final[LiteralString] = (
    "(SELECT array_agg(coalesce(edge.num[i], (SELECT r.num[i] FROM readings r WHERE r.meter = {0}.meter "
    "AND r.time >= {0}.hour AND r.time < {0}.hour + interval '1 hour' AND r.shape = {0}.shape "
    "AND r.num[i] IS NOT NULL ORDER BY r.time {1} LIMIT 1)) ORDER BY i) "
    "FROM (SELECT r.num FROM readings r WHERE r.meter = {0}.meter AND r.time >= {0}.hour "
    "AND r.time < {0}.hour + interval '1 hour' AND r.shape = {0}.shape ORDER BY r.time {1} LIMIT 1) AS edge, "
    "generate_subscripts(edge.num, 1) AS i)"
)
_MAKE: Final[LiteralString] = (
    "WITH due AS (DELETE FROM hours_due WHERE (meter, hour) IN (SELECT meter, hour FROM hours_due "
    "ORDER BY meter, hour LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING meter, hour), "
    "each AS (SELECT due.meter, due.hour, r.shape, v.i, count(v.x) AS n, min(v.x) AS low, max(v.x) AS high, "
    "sum(v.x) AS sum FROM due JOIN readings r ON r.meter = due.meter AND r.time >= due.hour "
    "AND r.time < due.hour + interval '1 hour' CROSS JOIN LATERAL unnest(r.num) WITH ORDINALITY AS v (x, i) "
    "GROUP BY due.meter, due.hour, r.shape, v.i), "
    "whole AS (SELECT meter, hour, shape, array_agg(n ORDER BY i) AS n, array_agg(low ORDER BY i) AS low, "
    "array_agg(high ORDER BY i) AS high, array_agg(sum ORDER BY i) AS sum FROM each GROUP BY meter, hour, shape) "
    "INSERT INTO hours AS h (meter, hour, shape, n, first, last, low, high, sum) "
    "SELECT meter, hour, shape, n, " + _NUMBER.format("whole", "ASC") + ", " + _NUMBER.format("whole", "DESC") + ", "
    "low, high, sum FROM whole ORDER BY meter, hour, shape "
    "ON CONFLICT (meter, hour, shape) DO UPDATE SET n = excluded.n, first = excluded.first, last = excluded.last, "
    "low = excluded.low, high = excluded.high, sum = excluded.sum"
)


def make(db: Database, now_ms: int, *, most: int = _AT_ONCE) -> bool:
    """One step: hours that are over become due, or ``most`` that are due are made. Whether there may be more."""
    if _advance(db, now_ms):
        return True
    with db.transaction():
        due = db.one("SELECT count(*) FROM (SELECT FROM hours_due LIMIT 1) AS one")
        if due == (0,):
            return False
        db.run(_MAKE, most)
    return True


def _advance(db: Database, now_ms: int) -> bool:
    to = moment((now_ms - SETTLE_MS) // HOUR_MS * HOUR_MS)
    if db.one("SELECT at < %s FROM hours_to", to) != (True,):
        return False
    with db.transaction():
        partitions.alone(db)
        db.run(
            "INSERT INTO hours_due (meter, hour) SELECT DISTINCT r.meter, h FROM ranges r, hours_to t, "
            "LATERAL generate_series(t.at, least(%s - interval '1 hour', r.newest_reading), interval '1 hour') AS h "
            "WHERE r.newest_reading >= t.at ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            to,
        )
        db.run("UPDATE hours_to SET at = %s WHERE at < %s", to, to)
    return True
