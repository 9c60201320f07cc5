"""Marks: the places of readings that matter for registers (docs/accounting.md, I1–I4), and since when.

A month of a meter that is read every 10 s has 267,840 readings, of which some 6,000 lie beside an edge or a break.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.records import StoredRecord
from gateway.storage.rows import RECORD_COLUMNS, Connection


class Marks:
    """What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def begin(self, counters: Mapping[str, Iterable[str]], place: int) -> None:
        """Mark the readings of these counters, by meter, from a place on; those of no others any more."""
        wanted = {(meter, point) for meter, points in counters.items() for point in points}
        there = {(str(meter), str(point)) for meter, point in self._sql.all("SELECT meter, point FROM marked")}
        self._sql.run_each("DELETE FROM marked WHERE meter = ? AND point = ?", sorted(there - wanted))
        new = ((meter, point, place) for meter, point in sorted(wanted - there))
        self._sql.run_each("INSERT INTO marked (meter, point, from_id) VALUES (?, ?, ?)", new)

    def give_up(self) -> None:
        """End all marks: statements read all records from now on."""
        self._sql.run("DELETE FROM marked")

    def add(self, places: Iterable[int]) -> None:
        """Mark readings."""
        self._sql.run_each("INSERT OR IGNORE INTO marks (id) VALUES (?)", ((place,) for place in places))

    def whole_from(self, meter: str, points: Iterable[str]) -> int | None:
        """From which place on the marks of these points are whole; None: they are not."""
        found = {str(p): int(at) for p, at in self._sql.all("SELECT point, from_id FROM marked WHERE meter = ?", meter)}
        wanted = set(points)
        return max(found[point] for point in wanted) if wanted and wanted <= set(found) else None

    def last_reading(self, meter: str) -> tuple[int, StoredRecord] | None:
        """The newest reading of a meter, with its place."""
        sql = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'reading' ORDER BY id DESC LIMIT 1"
        row = self._sql.one(sql, meter)
        return (row[0], StoredRecord(*row[1:])) if row else None
