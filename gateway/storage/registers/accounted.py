"""Accounted records: those that books of accounting are kept of, in the commit order, without reading the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from gateway.records import GATEWAY, StoredRecord
from gateway.storage.rows import RECORD_COLUMNS, Connection

_PORTION = 400
_OF_MANY = (
    "SELECT records.id AS id FROM who CROSS JOIN records INDEXED BY {index} ON records.meter = who.meter "
    "WHERE {kind} records.id BETWEEN {first} AND {last}"
)


def accounted(
    sql: Connection, first_id: int, last_id: int, meters: Collection[str]
) -> Iterator[tuple[int, StoredRecord]]:
    """Readings, coverage and events of ``meters``, and events of the gateway, with their places; without what is
    sealed elsewhere."""
    places = _places(sql, first_id, last_id, sorted(meters))
    while portion := list(islice(places, _PORTION)):
        marks = ", ".join("?" * len(portion))
        rows = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE id IN ({marks})"
        for row in sql.all(f"{rows} AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id", *portion):
            yield row[0], StoredRecord(*row[1:])


def _places(sql: Connection, first_id: int, last_id: int, meters: list[str]) -> Iterator[int]:
    who = f"WITH who (meter) AS (VALUES {', '.join(['(?)'] * (len(meters) + 1))})"
    bounds = {"first": first_id, "last": last_id}
    of_meters = _OF_MANY.format(index="records_by_meter", kind=f"who.meter <> '{GATEWAY}' AND", **bounds)
    events = f"who.meter = '{GATEWAY}' AND records.kind = 'event' AND"
    of_gateway = _OF_MANY.format(index="events_by_meter", kind=events, **bounds)
    found = sql.walk(f"{who} SELECT id FROM ({of_meters} UNION ALL {of_gateway}) ORDER BY id", *meters, GATEWAY)
    return (int(place) for (place,) in found)


def coverage_reaching(sql: Connection, meter: str, time_ms: int) -> int | None:
    """The place of the first coverage record of a meter that counts its polls up to a time."""
    row = sql.one(
        "SELECT id FROM records INDEXED BY coverage_by_meter WHERE meter = ? AND kind = 'coverage' AND time_ms >= ? "
        "ORDER BY id LIMIT 1",
        meter,
        time_ms,
    )
    return int(row[0]) if row else None


def batch_ended_by(sql: Connection, time_ms: int) -> int | None:
    """The number of the newest batch that was sealed up to a time."""
    row = sql.one("SELECT batch FROM batches WHERE sealed_ms <= ? ORDER BY batch DESC LIMIT 1", time_ms)
    return int(row[0]) if row else None


def configured_before(sql: Connection, place: int, most: int) -> list[tuple[int, StoredRecord]]:
    """Up to ``most`` events of the gateway in front of a place, newest first."""
    rows = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'event' AND id < ?"
    found = sql.all(f"{rows} ORDER BY id DESC LIMIT ?", GATEWAY, place, most)
    return [(row[0], StoredRecord(*row[1:])) for row in found]


def lost_between(sql: Connection, first_id: int, last_id: int) -> bool:
    """Whether records of a stretch have been lost or pruned."""
    lost = "SELECT 1 FROM lost_places WHERE first_id <= ? AND last_id >= ? LIMIT 1"
    pruned = "SELECT 1 FROM pruned WHERE to_id >= ?"
    return sql.one(lost, last_id, first_id) is not None or sql.one(pruned, first_id) is not None
