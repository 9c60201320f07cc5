"""Partitions by UTC day of record time, of the tables that grow: made when something of their day comes in, dropped
when they are old.

A day of ``records`` goes after ``hot``. What is archived then goes with it; every other row, unsealed or of a batch
that is not proven yet, moves to the default partition and stays until it is archived: a gateway that lost a record
keeps its own rows, and no other's. A day of ``readings`` and ``coverage`` goes after ``readings``. Days far from now,
of a clock that is years off, have no partition of their own: their rows stand in the default one.

A partition is made or dropped while no portion is stored: portions hold a lock shared, this holds it alone, and waits
for it and for readers two seconds at most.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Final, LiteralString, NamedTuple

from psycopg import sql

from control_room.errors import DatabaseBusy
from control_room.store.connection import Database

DAY_MS: Final = 86_400_000
PORTIONS: Final = 0x6D_65_74_65_72_02
"""Key of the advisory lock between portions and whoever changes partitions or the hours that are made."""
KEEPERS: Final = 0x6D_65_74_65_72_03
"""Key of the advisory lock of the one receiver that looks for what is old."""
PAST_DAYS, AHEAD_DAYS = 400, 2
"""Of which days there are partitions: what is older or later stands in the default one."""
WAIT: Final = "2s"
_AT_ONCE: Final = 10_000
_FIRST: Final = date(1970, 1, 1)


class Table(NamedTuple):
    """A table by days: its name, the column of its time, and its columns."""

    name: LiteralString
    time: LiteralString


RECORDS = Table("records", "time")
TABLES: Final = (RECORDS, Table("readings", "time"), Table("coverage", "to_at"))


def share(db: Database) -> None:
    """Hold off whoever changes partitions until the end of the transaction. The first lock of a portion."""
    db.run("SELECT pg_advisory_xact_lock_shared(%s)", PORTIONS)


def alone(db: Database) -> None:
    """Wait until no portion is being stored, and hold off others until the end of the transaction."""
    db.run("SELECT set_config('lock_timeout', %s, true)", WAIT)
    db.run("SELECT pg_advisory_xact_lock(%s)", PORTIONS)


class _Days:
    """Days of which this session knows the partitions; one that has gone since does no harm."""

    def __init__(self, db: Database) -> None:
        self.known = {
            int(name.rpartition("_")[2])
            for (name,) in db.all("SELECT relname FROM pg_class WHERE relname ~ '^coverage_\\d{8}$'")
        }


def demand(db: Database, days: Collection[int], now_ms: int) -> None:
    """Have partitions of these days (since 1970), where they are near enough to now. Where somebody holds the tables
    the rows go to the default partition."""
    known, today = db.kept(_Days).known, now_ms // DAY_MS
    for day in sorted(days):
        if today - PAST_DAYS <= day <= today + AHEAD_DAYS and (number := _number(day)) not in known:
            try:
                _make(db, day)
            except DatabaseBusy:
                continue
            known.add(number)


def _number(day: int) -> int:
    """As it stands in names: 20261201."""
    at = _FIRST + timedelta(days=day)
    return at.year * 10_000 + at.month * 100 + at.day


def _make(db: Database, day: int) -> None:
    begin = _FIRST + timedelta(days=day)
    with db.transaction():
        alone(db)
        for table in TABLES:
            name = f"{table.name}_{_number(day)}"
            if db.one("SELECT to_regclass(%s) IS NOT NULL", name) != (True,):
                _attach(db, table, name, begin, begin + timedelta(days=1))


def _attach(db: Database, table: Table, name: str, begin: date, end: date) -> None:
    """A partition with the rows of its day that stood in the default one."""
    names = {
        "table": sql.Identifier(table.name),
        "new": sql.Identifier(name),
        "default": sql.Identifier(f"{table.name}_default"),
        "time": sql.Identifier(table.time),
        "begin": sql.Literal(f"{begin} 00:00:00+00"),
        "end": sql.Literal(f"{end} 00:00:00+00"),
    }
    for text in (
        "CREATE TABLE {new} (LIKE {table} INCLUDING ALL)",
        "WITH moved AS (DELETE FROM {default} WHERE {time} >= {begin} AND {time} < {end} RETURNING *) "
        "INSERT INTO {new} SELECT * FROM moved",
        "ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({begin}) TO ({end})",
    ):
        db.run(sql.SQL(text).format(**names))


def drop_old(db: Database, now_ms: int, hot_ms: int, readings_ms: int) -> bool:
    """One step of dropping what is older than ``hot`` and ``readings``; whether there may be more. Only one receiver
    does so at a time."""
    with db.transaction():
        if db.one("SELECT pg_try_advisory_xact_lock(%s)", KEEPERS) != (True,):
            return False
        for table in TABLES:
            keep_ms = hot_ms if table is RECORDS else readings_ms
            for name in _older(db, table, (now_ms - keep_ms) // DAY_MS):
                alone(db)
                _drop(db, table, name)
                return True
        return _drop_from_defaults(db, now_ms, hot_ms, readings_ms)


def _older(db: Database, table: Table, day: int) -> list[str]:
    """Partitions whose day has ended when this one (since 1970) begins, oldest first."""
    rows = db.all(
        "SELECT relname FROM pg_class WHERE relname ~ %s AND relname < %s AND relkind = 'r' ORDER BY relname",
        f"^{table.name}_\\d{{8}}$",
        f"{table.name}_{_number(max(day, 0))}",
    )
    return [name for (name,) in rows]


def _drop(db: Database, table: Table, name: str) -> None:
    names = {
        "table": sql.Identifier(table.name),
        "old": sql.Identifier(name),
        "default": sql.Identifier(f"{table.name}_default"),
    }
    db.run(sql.SQL("ALTER TABLE {table} DETACH PARTITION {old}").format(**names))
    if table is RECORDS:
        # by the few numbers that are not archived: a day may have more rows than can be read in an hour
        db.run("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        db.run("SET LOCAL statement_timeout = '1h'")
        db.run(
            sql.SQL(
                "INSERT INTO {default} SELECT o.* FROM ranges r CROSS JOIN "
                "LATERAL unnest(r.seqs - r.archived) AS left_ JOIN {old} o ON o.meter = r.meter "
                "AND o.epoch = r.epoch AND o.seq >= lower(left_) AND o.seq < upper(left_)"
            ).format(**names)
        )
    db.run(sql.SQL("DROP TABLE {old}").format(**names))


def _drop_from_defaults(db: Database, now_ms: int, hot_ms: int, readings_ms: int) -> bool:
    hot, readings = (datetime.fromtimestamp((now_ms - ms) / 1000, UTC) for ms in (hot_ms, readings_ms))
    gone = db.run(
        "DELETE FROM records_default WHERE (meter, epoch, seq, time) IN (SELECT d.meter, d.epoch, d.seq, d.time "
        "FROM records_default d JOIN ranges r USING (meter, epoch) WHERE d.time < %s AND r.archived @> d.seq LIMIT %s)",
        hot,
        _AT_ONCE,
    )
    for text in (
        "DELETE FROM readings_default WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM readings_default WHERE time < %s LIMIT %s))",
        "DELETE FROM coverage_default WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM coverage_default WHERE to_at < %s LIMIT %s))",
    ):
        gone += db.run(text, readings, _AT_ONCE)
    return gone > 0
