"""Feed tables: the cursor of each feed in commit order, and the gaps before it that are not yet published.

Nothing of it is evidence. Whatever is behind the cursor comes live; a reading that does not is in a gap from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.records import StoredRecord
from gateway.storage.record_tables import Records
from gateway.storage.rows import RECORD_COLUMNS, Connection


class Feeds:
    """Cursors and gaps of the feeds. What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection, records: Records) -> None:
        self._sql, self._records = sql, records

    def start(self, feed: str) -> None:
        """A feed begins now, or goes on: then all that was recorded since its cursor is a gap."""
        if self._cursor(feed) is None:
            self._sql.run("INSERT INTO cursors VALUES (?, ?)", feed, self._records.last_place())
        else:
            self.leave_behind(feed, self._records.last_place())

    def leave_behind(self, feed: str, place: int) -> None:
        """The cursor moves to a place; all before it that it had not reached is a gap. A feed that has not begun has
        none."""
        at = self._cursor(feed)
        if at is not None and place > at:
            self._sql.run("INSERT INTO gaps VALUES (?, ?, ?)", feed, at + 1, place)
            self.reached(feed, place)

    def reached(self, feed: str, place: int) -> None:
        """Note that everything up to this place has been published, or is in a gap."""
        self._sql.run("UPDATE cursors SET last_id = max(last_id, ?) WHERE feed = ?", place, feed)

    def published(self, feed: str, stretches: Iterable[tuple[int, int]]) -> None:
        """Take these stretches of the commit order, both ends included, out of the gaps."""
        for first, last in stretches:
            sql = "SELECT first_id, last_id FROM gaps WHERE feed = ? AND first_id <= ? AND last_id >= ?"
            for begin, end in self._sql.all(sql, feed, last, first):
                self._sql.run("DELETE FROM gaps WHERE feed = ? AND first_id = ?", feed, begin)
                rest = [(a, b) for a, b in ((begin, first - 1), (last + 1, end)) if a <= b]
                self._sql.run_each("INSERT INTO gaps VALUES (?, ?, ?)", ((feed, *piece) for piece in rest))

    def gaps(self, feed: str) -> list[tuple[int, int]]:
        """First and last place of each gap, in order."""
        return self._sql.all("SELECT first_id, last_id FROM gaps WHERE feed = ? ORDER BY first_id", feed)

    def owed(self, feed: str, most: int = -1) -> int:
        """How many readings stand in the gaps of a feed; looks at no more than ``most`` (-1: all of them)."""
        sql = "SELECT 1 FROM gaps JOIN records ON id BETWEEN first_id AND gaps.last_id WHERE feed = ?"
        return self._sql.count(f"SELECT count(*) FROM ({sql} AND kind = 'reading' LIMIT ?)", feed, most)

    def rows(self, first: int, last: int, most: int) -> Iterator[tuple[int, StoredRecord]]:
        """The first readings of a stretch of the commit order, each with its place."""
        where = "WHERE id BETWEEN ? AND ? AND kind = 'reading'"
        sql = f"SELECT id, {RECORD_COLUMNS} FROM records {where} ORDER BY id LIMIT ?"
        return ((place, StoredRecord(*row)) for place, *row in self._sql.walk(sql, first, last, most))

    def _cursor(self, feed: str) -> int | None:
        row = self._sql.one("SELECT last_id FROM cursors WHERE feed = ?", feed)
        return None if row is None else int(row[0])
