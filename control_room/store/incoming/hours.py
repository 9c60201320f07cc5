"""Hours of readings, made behind: of each value how many numbers there are that may be used, the first, the last, the
lowest, the highest and their sum, over record time; and the quality bits of all of them, used or not.

Every hour before ``hours_to`` is made, but those in ``hours_due``. An hour becomes due when it is over, and again when
a reading of it comes late. Between both there is no gap: a portion reads ``hours_to`` under a lock that whoever moves
it has to wait for (partitions.py).
"""

from __future__ import annotations

from typing import Final, LiteralString

from control_room.store.connection import Database
from control_room.store.incoming import partitions
from control_room.store.incoming.portions import HOUR_MS, moment
from control_room.store.meters import KNOWN, UNUSABLE

SETTLE_MS: Final = 300_000
"""An hour that is over waits so long for what is on its way."""
_AT_ONCE: Final = 100
_QUALITY: Final[LiteralString] = (
    "CASE WHEN r.quality IS NULL THEN 0 WHEN cardinality(r.quality) = 1 THEN r.quality[1] ELSE r.quality[{0}] END"
)
_USABLE: Final[LiteralString] = (
    "CASE WHEN (" + _QUALITY + ") & (%(unusable)s::bigint | ~%(known)s::bigint) = 0 THEN r.num[{0}] END"
)
_OF_HOUR: Final[LiteralString] = (
    "FROM readings r WHERE r.meter = w.meter AND r.time >= w.hour AND r.time < w.hour + interval '1 hour' "
    "AND r.shape = w.shape"
)
_EDGE: Final[LiteralString] = (  # of the first row, or the last one, and where it has no such number of the next ones
    "(SELECT array_agg(coalesce(" + _USABLE.format("i") + ", (SELECT x FROM (SELECT r.time, " + _USABLE.format("i")
    + " AS x " + _OF_HOUR + ") AS every WHERE x IS NOT NULL ORDER BY time {0} LIMIT 1)) ORDER BY i) "
    "FROM (SELECT r.num, r.quality " + _OF_HOUR + " ORDER BY r.time {0} LIMIT 1) AS r, "
    "generate_subscripts(r.num, 1) AS i)"
)  # fmt: skip
_MAKE: Final[LiteralString] = (
    "WITH due AS (DELETE FROM hours_due WHERE (meter, hour) IN (SELECT meter, hour FROM hours_due "
    "ORDER BY meter, hour LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING meter, hour), "
    "each AS (SELECT due.meter, due.hour, r.shape, v.i, count(*) AS readings, bit_or(q.bits) AS bits, count(u.x) AS n, "
    "min(u.x) AS low, max(u.x) AS high, sum(u.x) AS sum FROM due JOIN readings r ON r.meter = due.meter "
    "AND r.time >= due.hour AND r.time < due.hour + interval '1 hour' "
    "CROSS JOIN LATERAL generate_subscripts(r.num, 1) AS v (i) "
    "CROSS JOIN LATERAL (SELECT " + _QUALITY.format("v.i") + " AS bits) AS q "
    "CROSS JOIN LATERAL (SELECT " + _USABLE.format("v.i") + " AS x) AS u GROUP BY due.meter, due.hour, r.shape, v.i), "
    "w AS (SELECT meter, hour, shape, max(readings) AS readings, array_agg(bits ORDER BY i) AS bits, "
    "array_agg(n ORDER BY i) AS n, array_agg(low ORDER BY i) AS low, array_agg(high ORDER BY i) AS high, "
    "array_agg(sum ORDER BY i) AS sum FROM each GROUP BY meter, hour, shape) "
    "INSERT INTO hours AS h (meter, hour, shape, readings, bits, n, first, last, low, high, sum) "
    "SELECT meter, hour, shape, readings, bits, n, " + _EDGE.format("ASC") + ", " + _EDGE.format("DESC") + ", "
    "low, high, sum FROM w ORDER BY meter, hour, shape "
    "ON CONFLICT (meter, hour, shape) DO UPDATE SET readings = excluded.readings, bits = excluded.bits, "
    "n = excluded.n, first = excluded.first, last = excluded.last, low = excluded.low, high = excluded.high, "
    "sum = excluded.sum RETURNING h.meter"
)  # fmt: skip


def make(db: Database, now_ms: int, *, most: int = _AT_ONCE) -> bool:
    """One step: hours that are over become due, or ``most`` that are due are made. Whether there may be more."""
    if _advance(db, now_ms):
        return True
    with db.transaction():
        due = db.one("SELECT count(*) FROM (SELECT FROM hours_due LIMIT 1) AS one")
        if due == (0,):
            return False
        db.named(_MAKE, {"most": most, "unusable": UNUSABLE, "known": KNOWN})
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
