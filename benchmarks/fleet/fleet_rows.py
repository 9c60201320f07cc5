"""A meter's day among many values: rows that PostgreSQL makes itself, as receivers would have written them, and the
chart of one point over a day."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

from psycopg import sql

from benchmarks.fleet.fleet_records import POINTS, VALUES
from control_room.store import meters, schema
from control_room.store.connection import connect
from tests.support.brokers import postgres

PERIOD_S = 10
METERS = 100
A_DAY = 86_400 // PERIOD_S
CHART_STEP_MS = 300_000
_RUNS = 9
_SHAPE = (
    "INSERT INTO shapes (points, names, units, decimals) "
    "VALUES (decode(repeat('00', 32), 'hex'), %s::text[], %s::text[], %s::smallint[])"
)
# the meters in turn, as they come in: the rows of one are spread over all pages of its day
_FILL = """
    INSERT INTO meterseal.readings (time, seq, meter, epoch, shape, quality, num, rest)
    SELECT {day}::timestamptz + make_interval(secs => n * {period} + meter * 0.01), n, meter, 1, 1, NULL,
        ARRAY[{values}]::float8[], NULL
    FROM generate_series(0, {count} - 1) AS n CROSS JOIN LATERAL generate_series(1, {meters} + 0 * n) AS meter
"""


def day_figures(cluster: postgres.Cluster, values: int, now: datetime) -> dict[str, object]:
    """Milliseconds of a meter's day, one point of it, in a database of so many values: a hundred meters of 30 values
    every 10 s, for as many days as that takes, a partition a day."""
    database = cluster.database("rows")
    db = connect(database.url, database.password_file)
    try:
        schema.make(db)
        readings = max(values // VALUES, METERS)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        days: list[datetime] = []
        left = readings
        names, units = zip(*POINTS, strict=True)
        db.run(_SHAPE, list(names), [unit or "" for unit in units], [100] * VALUES)
        numbers = ", ".join(f"{10 * k} + random()" for k in range(VALUES))
        started = time.perf_counter()
        while left > 0:
            day = today - timedelta(days=len(days) + 1)
            count = min(A_DAY, -(-left // METERS))
            db.run(_partition(day))
            filled = _FILL.format(
                day=f"'{day.isoformat()}'", period=PERIOD_S, values=numbers, count=count, meters=METERS
            )
            database.run(filled)
            left -= count * METERS
            days.append(day)
        database.run("VACUUM (ANALYZE) meterseal.readings")
        made_s = time.perf_counter() - started
        ((rows, size),) = db.all(
            "SELECT (SELECT count(*) FROM readings), "
            "sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'readings'::regclass"
        )
        from_ms = int(days[0].timestamp() * 1000)
        took, steps = [], 0
        for n in range(_RUNS):
            begun = time.perf_counter()
            steps = len(meters.steps(db, 1 + n * 7, POINTS[6][0], from_ms, from_ms + 86_400_000, CHART_STEP_MS))
            took.append((time.perf_counter() - begun) * 1000)
        assert steps == -(-min(A_DAY, readings // METERS) * PERIOD_S * 1000 // CHART_STEP_MS)
        return {
            "day_of_values": rows * VALUES,
            "day_ms": statistics.median(took),
            "day_first_ms": took[0],
            "day_readings_bytes_a_value": float(size) / rows / VALUES,
            "day_made_s": made_s,
        }
    finally:
        db.close()
        database.drop()


def _partition(day: datetime) -> sql.Composed:
    end = day + timedelta(days=1)
    return sql.SQL("CREATE TABLE {} PARTITION OF readings FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(f"readings_{day:%Y%m%d}"), sql.Literal(day.astimezone(UTC)), sql.Literal(end.astimezone(UTC))
    )
