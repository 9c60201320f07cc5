"""Meters, their newest readings, and the steps of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from control_room.store.connection import Database
from gateway.verdicts import VERDICT_OF

HOUR_MS: Final = 3_600_000
UNUSABLE: Final = sum(int(flag) for flag, verdict in VERDICT_OF.items() if verdict in ("bad", "missing"))
"""Quality bits of values that no chart draws, nor any that is not in ``KNOWN``."""
KNOWN: Final = sum(int(flag) for flag in VERDICT_OF)

_PAGE: Final[LiteralString] = """
SELECT m.id, m.gateway, g.name, m.name, m.configured, (extract(epoch FROM r.newest) * 1000)::bigint
FROM meters m JOIN gateways g ON g.id = m.gateway
LEFT JOIN LATERAL (SELECT max(newest_reading) AS newest FROM ranges WHERE meter = m.id) r ON true
WHERE m.name <> 'gateway' AND (%s::text IS NULL OR g.name = %s) AND (%s::text IS NULL OR m.name = %s)
    AND (m.gateway, m.name) > (%s, %s)
ORDER BY m.gateway, m.name LIMIT %s
"""
_NEWEST: Final[LiteralString] = """
SELECT DISTINCT ON (r.meter) r.meter, (extract(epoch FROM r.time) * 1000)::bigint, e.epoch, r.seq,
    r.shape, r.quality, r.num, r.rest
FROM unnest(%s::int[], %s::bigint[]) AS w (meter, ms)
CROSS JOIN LATERAL (SELECT to_timestamp(w.ms / 1000.0) AS time) t
JOIN readings r ON r.meter = w.meter AND r.time = t.time
JOIN epochs e ON e.id = r.epoch
ORDER BY r.meter, r.epoch DESC, r.seq DESC
"""
_READINGS: Final[LiteralString] = """
SELECT (extract(epoch FROM r.time) * 1000)::bigint, e.epoch, r.epoch, r.seq, r.shape, r.quality, r.num, r.rest
FROM readings r JOIN epochs e ON e.id = r.epoch
WHERE r.meter = %s AND r.time >= to_timestamp(%s / 1000.0) AND r.time < to_timestamp(%s / 1000.0)
    AND (r.time, r.epoch, r.seq) > (to_timestamp(%s / 1000.0), %s, %s)
ORDER BY r.time, r.epoch, r.seq LIMIT %s
"""
# OFFSET 0: a value is taken out of its row before the rows are sorted, which else carry all of their values with them
_STEPS: Final[LiteralString] = """
SELECT (extract(epoch FROM step) * 1000)::bigint, count(v),
    (array_agg(v ORDER BY time) FILTER (WHERE v IS NOT NULL))[1],
    (array_agg(v ORDER BY time DESC) FILTER (WHERE v IS NOT NULL))[1],
    min(v), max(v), avg(v), bit_or(bits), count(*)
FROM (
    SELECT time, bits, date_bin(%(step)s * interval '1 millisecond', time, timestamptz 'epoch') AS step,
        CASE WHEN bits & %(unusable)s = 0 AND bits & ~%(known)s::bigint = 0 THEN v END AS v
    FROM (
        SELECT r.time, r.num[s.place] AS v,
            CASE WHEN r.quality IS NULL THEN 0 WHEN cardinality(r.quality) = 1 THEN r.quality[1]
                ELSE coalesce(r.quality[s.place], 0) END AS bits
        FROM readings r
        JOIN (SELECT id, array_position(names, %(point)s) AS place FROM shapes) s ON s.id = r.shape
        WHERE r.meter = %(meter)s AND s.place IS NOT NULL
            AND r.time >= to_timestamp(%(from)s / 1000.0) AND r.time < to_timestamp(%(to)s / 1000.0)
        OFFSET 0
    ) x
) y GROUP BY step ORDER BY step
"""
_HOURS: Final[LiteralString] = """
SELECT (extract(epoch FROM h.hour) * 1000)::bigint, h.n[s.place], h.first[s.place], h.last[s.place],
    h.low[s.place], h.high[s.place], h.sum[s.place], h.bits[s.place], h.readings
FROM hours h JOIN (SELECT id, array_position(names, %s) AS place FROM shapes) s ON s.id = h.shape
WHERE h.meter = %s AND h.hour >= to_timestamp(%s / 1000.0) AND h.hour < to_timestamp(%s / 1000.0)
    AND s.place IS NOT NULL
ORDER BY h.hour
"""


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter of a gateway. ``configured``: what its gateway's newest signed event `configuration` says of it (None:
    none came in); ``newest_ms``: time of its newest reading."""

    id: int
    gateway_id: int
    gateway: str
    name: str
    configured: Mapping[str, Any] | None
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A stored reading; its values are made by ``control_room.store.values``."""

    time_ms: int
    epoch: bytes
    epoch_id: int
    seq: int
    shape: int
    quality: Sequence[int] | None
    num: Sequence[float | None]
    rest: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chart. ``count``: numbers that may be drawn; ``first`` … ``mean``: of them, None where there is
    none; ``bits``: the quality bits of all ``readings``."""

    start_ms: int
    count: int
    first: float | None
    last: float | None
    low: float | None
    high: float | None
    mean: float | None
    bits: int | None = None
    readings: int | None = None


def meters(
    db: Database,
    limit: int,
    *,
    gateway: str | None = None,
    meter: str | None = None,
    after: tuple[int, str] = (0, ""),
) -> list[MeterRow]:
    """Meters in the order of their gateways' numbers and their own names, behind ``after``."""
    rows = db.all(_PAGE, gateway, gateway, meter, meter, *after, limit)
    return [MeterRow(*row) for row in rows]


def meter_of(db: Database, gateway: str, meter: str) -> MeterRow | None:
    """One meter; None: nothing of it that holds ever came in."""
    found = meters(db, 1, gateway=gateway, meter=meter)
    return found[0] if found else None


def newest(db: Database, of: Sequence[MeterRow]) -> dict[int, ReadingRow]:
    """The newest reading of each of these meters, by the meter's number."""
    known = [row for row in of if row.newest_ms is not None]
    if not known:
        return {}
    found = db.all(_NEWEST, [row.id for row in known], [row.newest_ms for row in known])
    return {meter: ReadingRow(time, epoch, 0, *rest) for meter, time, epoch, *rest in found}


def first_ms(db: Database, meter: int, from_ms: int, to_ms: int) -> int | None:
    """The time of a meter's first reading in [from_ms, to_ms); None: there is none."""
    row = db.one(
        "SELECT (extract(epoch FROM min(time)) * 1000)::bigint FROM readings WHERE meter = %s "
        "AND time >= to_timestamp(%s / 1000.0) AND time < to_timestamp(%s / 1000.0)",
        meter,
        from_ms,
        to_ms,
    )
    return None if row is None else row[0]


def readings(
    db: Database, meter: int, from_ms: int, to_ms: int, after: tuple[int, int, int], limit: int
) -> list[ReadingRow]:
    """Readings of a meter in [from_ms, to_ms), in the order of time, behind ``after`` (time in ms, number of the epoch,
    number of the record)."""
    return [ReadingRow(*row) for row in db.all(_READINGS, meter, from_ms, to_ms, *after, limit)]


def steps(db: Database, meter: int, point: str, from_ms: int, to_ms: int, step_ms: int) -> list[Step]:
    """A chart's steps of one point in [from_ms, to_ms), those without a reading left out.

    Whole steps of whole hours are of what is kept by the hour, as far as that is made; all others of the readings.
    """
    if step_ms % HOUR_MS:
        return _of_readings(db, meter, point, from_ms, to_ms, step_ms)
    row = db.one(
        "SELECT (extract(epoch FROM least(at, (SELECT min(hour) FROM hours_due WHERE meter = %s))) * 1000)::bigint "
        "FROM hours_to WHERE isfinite(at)",
        meter,
    )
    begin_ms = min(-(-from_ms // step_ms) * step_ms, to_ms)  # a step that is asked for in part is of readings
    made_ms = min(max(begin_ms, row[0] // step_ms * step_ms if row else begin_ms), to_ms)
    before = _of_readings(db, meter, point, from_ms, begin_ms, step_ms)
    found = _of_hours(db, meter, point, begin_ms, made_ms, step_ms)
    return [*before, *found, *_of_readings(db, meter, point, made_ms, to_ms, step_ms)]


def _of_readings(db: Database, meter: int, point: str, from_ms: int, to_ms: int, step_ms: int) -> list[Step]:
    if from_ms >= to_ms:
        return []
    asked = {"meter": meter, "point": point, "from": from_ms, "to": to_ms, "step": step_ms}
    rows = db.named(_STEPS, asked | {"unusable": UNUSABLE, "known": KNOWN})
    return [Step(*row) for row in rows]


def _of_hours(db: Database, meter: int, point: str, from_ms: int, to_ms: int, step_ms: int) -> list[Step]:
    together: dict[int, list[tuple[Any, ...]]] = {}
    for hour, *figures in db.all(_HOURS, point, meter, from_ms, to_ms) if from_ms < to_ms else ():
        together.setdefault(hour // step_ms * step_ms, []).append(tuple(figures))
    return [_step(start_ms, hours) for start_ms, hours in together.items()]


def _step(start_ms: int, hours: Sequence[tuple[Any, ...]]) -> Step:
    """Hours, or parts of hours with other decimals, as one step."""
    bits = 0
    for *_, of_hour, _ in hours:
        bits |= of_hour
    readings = sum(hour[-1] for hour in hours)
    used = [hour for hour in hours if hour[0]]
    if not used:
        return Step(start_ms, 0, None, None, None, None, None, bits, readings)
    n, first, last, low, high, total, _, _ = zip(*used, strict=True)
    count = sum(n)
    return Step(start_ms, count, first[0], last[-1], min(low), max(high), sum(total) / count, bits, readings)


def points(db: Database, shape: int) -> list[tuple[str, str | None]]:
    """The points of a shape, each with its unit."""
    row = db.one("SELECT names, units FROM shapes WHERE id = %s", shape)
    return [] if row is None else [(name, unit or None) for name, unit in zip(*row, strict=True)]
