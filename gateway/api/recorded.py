"""Recorded readings as the source of a list."""

from __future__ import annotations

from gateway.api.shapes.reading_lines import ReadingLines
from gateway.history.value_lines import Walk, of_row
from gateway.records import StoredRecord
from gateway.storage.database import Database


class Recorded:
    """The readings of a walk (``gateway.api.shapes.reading_lists``)."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    @property
    def over(self) -> bool:
        """Whether the walk is at its end."""
        return self._walk.over

    def begin(self, store: Database) -> None:
        """Find where the readings lie, unless the walk has begun."""
        if not self._walk.begun:
            self._walk.begin(store)

    def take(self, store: Database, most: int) -> list[StoredRecord]:
        """Up to so many further rows."""
        return [row for _, row in self._walk.take(store, most)]

    def lines(self, row: StoredRecord) -> ReadingLines | None:
        """The wanted values of a row; None: it has none of the points."""
        points = self._walk.wanted.points
        reading = of_row(row, points)
        return reading if reading.values or points is None else None
