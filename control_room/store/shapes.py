"""Shapes of readings in the database: found, or made where none fits (values.py says what a shape is)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from control_room.store.connection import Database
from control_room.store.values import (
    MOST_SHAPES,
    Content,
    Points,
    Row,
    Shape,
    apart,
    columns,
    decimals_of,
    numbers,
    rest,
)
from ledger_client.formats.record import Reading

_MOST: Final = 10_000
"""Points whose shapes are remembered; whoever has more asks again."""


class Shapes:
    """What is known of one database, through one connection. A shape that is made is kept at once, as a name is."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._shapes: dict[Points, list[Shape]] = {}

    def row(self, reading: Reading) -> Row:
        """The columns of a reading."""
        points, contents, quality, steps = columns(reading)
        shapes = self._shapes.get(points)
        if shapes is None:
            shapes = self._known(points)
        for shape in shapes:
            if (found := shape.numbers(contents)) is not None:
                return Row(shape.id, quality, found, rest({}, steps))
        shape, parts = self._nearest(points, shapes, contents)
        return Row(shape.id, quality, numbers(contents), rest(parts, steps))

    def _nearest(
        self, points: Points, shapes: list[Shape], contents: Sequence[Content]
    ) -> tuple[Shape, dict[str, Any]]:
        """The shape that most of the contents fit, and what does not; a new one while there is room for it."""
        found = [(shape, apart(shape, contents)) for shape in reversed(shapes)]  # of equals the newest
        best = min(found, key=lambda each: _unfit(each[1]), default=None)
        if best is None or (_unfit(best[1]) and len(shapes) < MOST_SHAPES):
            decimals = decimals_of(contents, best[0].decimals if best else None)
            known = next((each for each in found if each[0].decimals == tuple(decimals)), None)
            if known is not None:  # numbers of more digits than any shape holds
                return known
            made = self._make(points, decimals)
            shapes.append(made)
            return made, apart(made, contents)
        return best

    def _known(self, points: Points) -> list[Shape]:
        if len(self._shapes) >= _MOST:
            self._shapes.clear()
        rows = self._db.all("SELECT id, decimals FROM shapes WHERE points = %s ORDER BY id", points.key)
        self._shapes[points] = [Shape(number, points, decimals) for number, decimals in rows]
        return self._shapes[points]

    def _make(self, points: Points, decimals: list[int]) -> Shape:
        key = points.key
        self._db.run(
            "INSERT INTO shapes (points, names, units, decimals) "
            "VALUES (%s, %s::text[], %s::text[], %s::smallint[]) ON CONFLICT DO NOTHING",
            key,
            list(points.names),
            list(points.units),
            decimals,
        )
        row = self._db.one("SELECT id FROM shapes WHERE points = %s AND decimals = %s::smallint[]", key, decimals)
        assert row is not None  # it was there, or it is now
        return Shape(row[0], points, decimals)


def shape_of(db: Database, number: int) -> Shape:
    """The shape of a row that was read."""
    row = db.one("SELECT names, units, decimals FROM shapes WHERE id = %s", number)
    assert row is not None  # shapes never go
    names, units, decimals = row
    return Shape(number, Points(tuple(names), tuple(units)), decimals)


def _unfit(parts: dict[str, Any]) -> int:
    """Values apart that would fit another shape; text fits none."""
    return sum(not isinstance(part, str) for part in parts.values())
