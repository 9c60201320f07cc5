"""Heard table: the tokens of recorded messages, each with the place of its record, as long as that is there.

A message that is sent again is known by it, over restarts too. Pruning takes tokens away with their records.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.records import Token
from gateway.storage.rows import Connection


class HeardTokens:
    """What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def keep(self, heard: Iterable[tuple[int, str, Token]]) -> None:
        """Note the tokens of records: place, meter, token. With the commit that appends them."""
        sql = "INSERT INTO heard (id, meter, label, part, digest) VALUES (?, ?, ?, ?, ?)"
        self._sql.run_each(sql, ((place, meter, *token) for place, meter, token in heard))

    def place(self, meter: str, token: Token) -> int | None:
        """The place of the record of this very message; None: there is none."""
        sql = "SELECT id FROM heard WHERE meter = ? AND label = ? AND part = ? AND digest = ?"
        row = self._sql.one(sql, meter, *token)
        return int(row[0]) if row else None

    def has_label(self, meter: str, label: str, part: int) -> bool:
        """Whether a message of this label and part is recorded, whatever it holds."""
        sql = "SELECT 1 FROM heard WHERE meter = ? AND label = ? AND part = ? LIMIT 1"
        return self._sql.one(sql, meter, label, part) is not None
