"""Readings as they were recorded: rows of the table, made into values by their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from control_room.store.connection import Database
from control_room.store.meters import ReadingRow
from control_room.store.shapes import shape_of
from control_room.store.values import Row, Shape, values
from ledger_client.formats.senml import Value

_MOST = 20_000
_known: WeakKeyDictionary[Database, dict[int, Shape]] = WeakKeyDictionary()
"""Shapes by the connection through which they were read: a database that was put back to yesterday ends it."""


def recorded(db: Database, row: ReadingRow) -> Sequence[Value]:
    """The values of a reading, with the decimals that were recorded."""
    known = _known.setdefault(db, {})
    if row.shape not in known:
        if len(known) >= _MOST:
            known.clear()
        known[row.shape] = shape_of(db, row.shape)
    quality = None if row.quality is None else list(row.quality)
    return values(known[row.shape], Row(row.shape, quality, row.num, dict(row.rest) if row.rest else None))
