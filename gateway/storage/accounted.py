"""Accounted records: those that books of accounting are kept of, in the commit order, without reading the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from gateway.records import GATEWAY, StoredRecord
from gateway.storage.rows import RECORD_COLUMNS, Connection

_PORTION = 400
_OF_KIND = (
    "SELECT records.id FROM {who} AS w CROSS JOIN records INDEXED BY {kind}_by_meter ON records.meter = w.meter "
    "WHERE records.kind = '{one}' AND records.id BETWEEN {first} AND {last}"
)
_WHOLE = (
    "SELECT records.id FROM whole CROSS JOIN records INDEXED BY records_by_meter ON records.meter = whole.meter "
    "WHERE records.id BETWEEN {first} AND whole.last"
)


def accounted(
    sql: Connection, first_id: int, last_id: int, meters: Mapping[str, int | None]
) -> Iterator[tuple[int, StoredRecord]]:
    """Readings, coverage and events of meters, and events of the gateway, with their places; without what is sealed
    elsewhere. ``meters``: from which place on only their marked readings are wanted (None: all are)."""
    places = _places(sql, first_id, last_id, meters)
    while portion := list(islice(places, _PORTION)):
        marks = ", ".join("?" * len(portion))
        rows = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE id IN ({marks})"
        for row in sql.all(f"{rows} AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id", *portion):
            yield row[0], StoredRecord(*row[1:])


def _places(sql: Connection, first_id: int, last_id: int, meters: Mapping[str, int | None]) -> Iterator[int]:
    bounds = {"first": first_id, "last": last_id}
    whole = [(meter, last_id if place is None else place - 1) for meter, place in sorted(meters.items())]
    tables = (
        f"WITH who (meter) AS (VALUES {', '.join(['(?)'] * len(whole))}), "
        f"own (meter) AS (SELECT meter FROM who UNION SELECT '{GATEWAY}'), "
        f"whole (meter, last) AS (VALUES {', '.join(['(?, ?)'] * len(whole))})"
    )
    found = (
        _OF_KIND.format(who="who", kind="coverage", one="coverage", **bounds),
        _OF_KIND.format(who="own", kind="events", one="event", **bounds),
        _WHOLE.format(first=first_id),
        "SELECT id FROM marks WHERE id BETWEEN {first} AND {last}".format(**bounds),
    )
    values = [*(meter for meter, _ in whole), *(value for pair in whole for value in pair)]
    walked = sql.walk(f"{tables} SELECT id FROM ({' UNION '.join(found)}) WHERE id <= ? ORDER BY id", *values, last_id)
    return (int(place) for (place,) in walked)


def gateway_events(sql: Connection, behind: int = 0) -> Iterator[tuple[int, StoredRecord]]:
    """The events of the gateway behind a place, with their places, oldest first."""
    rows = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'event' AND id > ? ORDER BY id"
    return ((row[0], StoredRecord(*row[1:])) for row in sql.walk(rows, GATEWAY, behind))


def events_saying(
    sql: Connection, meter: str, word: str, behind: int = 0, up_to: int = 1 << 62
) -> Iterator[tuple[int, StoredRecord]]:
    """The events of a meter, or of the gateway, behind a place and up to another, in whose bytes a word stands, with
    their places, newest first."""
    rows = (
        f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'event' AND id > ? "
        "AND id <= ? AND instr(data, ?) ORDER BY id DESC"
    )
    return ((row[0], StoredRecord(*row[1:])) for row in sql.walk(rows, meter, behind, up_to, word.encode()))


def readings_beside(sql: Connection, meter: str, place: int) -> tuple[StoredRecord | None, StoredRecord | None]:
    """The last reading of a meter in front of a place, and the first behind it."""
    of = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'reading' AND id"
    found = (
        sql.one(f"{of} < ? ORDER BY id DESC LIMIT 1", meter, place),
        sql.one(f"{of} > ? ORDER BY id LIMIT 1", meter, place),
    )
    before, behind = (StoredRecord(*row) if row else None for row in found)
    return before, behind


def readings_up_to(sql: Connection, meter: str, place: int, most: int, behind: int = 0) -> Iterator[StoredRecord]:
    """The last readings of a meter up to a place and behind another, newest first."""
    rows = (
        f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'reading' AND id <= ? AND id > ? "
        "ORDER BY id DESC LIMIT ?"
    )
    return (StoredRecord(*row) for row in sql.walk(rows, meter, place, behind, most))


def coverage_reaching(sql: Connection, meter: str, time_ms: int) -> int | None:
    """The place of the first coverage record of a meter that counts its polls up to a time."""
    row = sql.one(
        "SELECT id FROM records INDEXED BY coverage_by_meter WHERE meter = ? AND kind = 'coverage' AND time_ms >= ? "
        "ORDER BY id LIMIT 1",
        meter,
        time_ms,
    )
    return int(row[0]) if row else None


def last_before_epoch_ms(sql: Connection, epoch: bytes | None) -> int | None:
    """When the last record was made in front of the newest epoch; None: there is none."""
    row = sql.one("SELECT time_ms FROM records WHERE epoch <> ? ORDER BY id DESC LIMIT 1", epoch)
    return int(row[0]) if row else None


def batch_ended_by(sql: Connection, time_ms: int) -> int | None:
    """The number of the newest batch that was sealed up to a time."""
    row = sql.one("SELECT batch FROM batches WHERE sealed_ms <= ? ORDER BY batch DESC LIMIT 1", time_ms)
    return int(row[0]) if row else None


def lost_between(sql: Connection, first_id: int, last_id: int) -> bool:
    """Whether records of a stretch have been lost or pruned."""
    lost = "SELECT 1 FROM lost_places WHERE first_id <= ? AND last_id >= ? LIMIT 1"
    pruned = "SELECT 1 FROM pruned WHERE to_id >= ?"
    return sql.one(lost, last_id, first_id) is not None or sql.one(pruned, first_id) is not None
