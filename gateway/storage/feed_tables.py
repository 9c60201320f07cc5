"""Feed tables: the cursor of each feed in commit order, and the gaps before it that are not yet published.

Nothing of it is evidence. Whatever is behind the cursor comes live; a reading that does not is in a gap from then on.
A feed of records has no gaps, but two cursors: up to where records, and changes of batches, have been acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.records import StoredRecord
from gateway.storage.record_tables import Records
from gateway.storage.rows import RECORD_COLUMNS, Connection


def batches_cursor(feed: str) -> str:
    """The name of the cursor of a feed of records in the changes of batches: no feed has such a name."""
    return f"{feed}/batches"


class Feeds:
    """Cursors and gaps of the feeds. What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection, records: Records) -> None:
        self._sql, self._records = sql, records

    def start(self, feed: str) -> None:
        """A feed begins now, or goes on: then all that was recorded since its cursor is a gap."""
        self._sql.run("DELETE FROM cursors WHERE feed = ?", batches_cursor(feed))  # it is no feed of records any more
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
        """How many readings stand in the gaps of a feed; looks at no more than ``most`` (-1: all of them). Of a feed of
        records: how many places of the commit order are behind its cursor."""
        if self._cursor(batches_cursor(feed)) is not None:
            return self.behind(feed)
        sql = "SELECT 1 FROM gaps JOIN records ON id BETWEEN first_id AND gaps.last_id WHERE feed = ?"
        return self._sql.count(f"SELECT count(*) FROM ({sql} AND kind = 'reading' LIMIT ?)", feed, most)

    def rows(self, first: int, last: int, most: int) -> Iterator[tuple[int, StoredRecord]]:
        """The first readings of a stretch of the commit order, each with its place."""
        where = "WHERE id BETWEEN ? AND ? AND kind = 'reading'"
        sql = f"SELECT id, {RECORD_COLUMNS} FROM records {where} ORDER BY id LIMIT ?"
        return ((place, StoredRecord(*row)) for place, *row in self._sql.walk(sql, first, last, most))

    # — feeds of records —

    def begin(self, cursor: str, first: int, last: int) -> int:
        """A cursor begins at ``first``, or goes on where it is; never behind ``last``, the last place or change that
        there is: what is recorded next would stay unpublished. Gives where it is."""
        self._sql.run("DELETE FROM gaps WHERE feed = ?", cursor)  # of a feed of another type that had this name
        self._sql.run("INSERT OR IGNORE INTO cursors VALUES (?, ?)", cursor, first)
        self._sql.run("UPDATE cursors SET last_id = min(last_id, ?) WHERE feed = ?", last, cursor)
        return self._cursor(cursor) or 0

    def move(self, cursor: str, to: int) -> None:
        """Everything up to here has been published. Writes nothing where the cursor is there already."""
        self._sql.run("UPDATE cursors SET last_id = ? WHERE feed = ? AND last_id < ?", to, cursor, to)

    def behind(self, cursor: str) -> int:
        """How many places of the commit order are behind a cursor; 0 where it has not begun."""
        at = self._cursor(cursor)
        return 0 if at is None else max(0, self._records.last_place() - at)

    def records(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Place and signed bytes of every record behind a place, in order; read as they are taken."""
        return self._sql.walk("SELECT id, data FROM records WHERE id > ? ORDER BY id", after)

    def named(self, meter: str, epoch: bytes, first: int, last: int, most: int) -> list[tuple[int, int, bytes]]:
        """Number, place and signed bytes of the first ``most`` records of a meter and epoch from one number on to
        another."""
        sql = "SELECT seq, id, data FROM records WHERE epoch = ? AND meter = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        return self._sql.all(f"{sql} LIMIT ?", epoch, meter, first, last, most)

    def last_change(self) -> int:
        """The number of the newest change of a batch: that it was sealed, or got a receipt; 0: there was none."""
        return self._sql.count("SELECT max(id) FROM batch_changes")

    def changes(self, after: int, most: int) -> list[tuple[int, int]]:
        """Changes behind a number, up to ``most``, each with its number and its batch, which need not be there."""
        return self._sql.all("SELECT id, batch FROM batch_changes WHERE id > ? ORDER BY id LIMIT ?", after, most)

    def count_pruned_batches(self) -> int:
        """How many batches pruning has taken."""
        return self._sql.count("SELECT batches FROM pruned")

    def _cursor(self, feed: str) -> int | None:
        row = self._sql.one("SELECT last_id FROM cursors WHERE feed = ?", feed)
        return None if row is None else int(row[0])
