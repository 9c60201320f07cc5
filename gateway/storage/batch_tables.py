"""Batch tables: cuts and sealed batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.records import StoredRecord
from gateway.storage.repair_tables import Repairs
from gateway.storage.rows import BATCH_COLUMNS, RECORD_COLUMNS, SEALED_TO, Batch, Connection
from gateway.storage.schema import GUARDS

_WHOLE = (
    "first_id > (SELECT to_id FROM pruned) AND (NOT EXISTS (SELECT 1 FROM lost_places AS lost "
    "WHERE lost.first_id <= batches.last_id AND lost.last_id >= batches.first_id) "
    "OR size = (SELECT count(*) FROM records WHERE records.id BETWEEN batches.first_id AND batches.last_id "
    "AND records.id NOT IN (SELECT id FROM elsewhere)))"  # sealed after the loss, it never held what was lost
)


class Batches:
    """Cuts and sealed batches."""

    def __init__(self, sql: Connection, repairs: Repairs) -> None:
        self._sql, self._repairs = sql, repairs

    def unsealed(self) -> tuple[int, int] | None:
        """First and last place in the commit order that no batch holds yet; None when all is sealed."""
        # one aggregate each: SQLite then looks at the two ends only, not at all that lies between
        first = self._sql.count(f"SELECT min(id) FROM records WHERE id > {SEALED_TO}")
        return (first, self._sql.count("SELECT max(id) FROM records")) if first else None

    def sealed_to(self) -> int:
        """The last place of the commit order that a batch holds."""
        return self._sql.count(f"SELECT {SEALED_TO}")

    def count_unsealed(self) -> int:
        """How many records no batch holds yet and no cut has set apart for one, coverage not counted."""
        return self._sql.count(
            "SELECT count(*) FROM records WHERE kind <> 'coverage' AND id > "
            f"max({SEALED_TO}, (SELECT coalesce(max(last_id), 0) FROM cuts)) "
            "AND id NOT IN (SELECT id FROM elsewhere)"
        )

    def waiting(self) -> int:
        """How many records no batch holds, those of waiting cuts included and what is sealed elsewhere left out."""
        row = self.unsealed()
        if row is None:
            return 0
        apart = self._sql.count("SELECT count(*) FROM elsewhere WHERE id >= ?", row[0]) + self._repairs.lost_places(
            row[0]
        )
        return row[1] - row[0] + 1 - apart

    def cut(self) -> None:
        """Here ends a batch: everything up to the newest record. Call within the transaction that holds those."""
        newest = "SELECT id FROM records ORDER BY id DESC LIMIT 1"
        self._sql.run(f"INSERT OR IGNORE INTO cuts (last_id) SELECT id FROM ({newest}) WHERE id > {SEALED_TO}")

    def cuts(self) -> list[tuple[int, int]]:
        """First and last place of every batch that was cut and not sealed, oldest first."""
        ends = [int(last) for (last,) in self._sql.all("SELECT last_id FROM cuts ORDER BY last_id")]
        begin = self._sql.count(f"SELECT {SEALED_TO}") + 1
        return [(first, last) for first, last in zip([begin, *[end + 1 for end in ends]], ends, strict=False)]

    def drop_cut(self, last_id: int) -> None:
        """A cut that holds nothing to seal is none. Call within ``transaction()``."""
        self._sql.run("DELETE FROM cuts WHERE last_id = ?", last_id)

    def leaves(self, first_id: int, last_id: int) -> Iterator[StoredRecord]:
        """The records of a batch one by one: those of its stretch that are not sealed elsewhere."""
        sql = (
            f"SELECT {RECORD_COLUMNS} FROM records WHERE id BETWEEN ? AND ? "
            "AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id"
        )
        return map(StoredRecord._make, self._sql.walk(sql, first_id, last_id))

    def last(self) -> Batch | None:
        """The newest sealed batch."""
        row = self._sql.one(f"SELECT {BATCH_COLUMNS} FROM batches ORDER BY batch DESC LIMIT 1")
        return Batch(*row) if row else None

    def first(self) -> Batch | None:
        """The oldest batch that pruning has left."""
        row = self._sql.one(f"SELECT {BATCH_COLUMNS} FROM batches ORDER BY batch LIMIT 1")
        return Batch(*row) if row else None

    def numbered(self, number: int) -> Batch | None:
        """One sealed batch."""
        row = self._sql.one(f"SELECT {BATCH_COLUMNS} FROM batches WHERE batch = ?", number)
        return Batch(*row) if row else None

    def holding(self, record_id: int) -> Batch | None:
        """The batch whose stretch holds a place of the commit order, or None while it is unsealed."""
        sql = f"SELECT {BATCH_COLUMNS} FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1"
        row = self._sql.one(sql, record_id)
        return Batch(*row) if row and row[3] <= record_id else None

    def all(self) -> list[Batch]:
        """Every sealed batch in order."""
        return [Batch(*row) for row in self._sql.all(f"SELECT {BATCH_COLUMNS} FROM batches ORDER BY batch")]

    def newest(self, count: int, before: int | None = None) -> list[Batch]:
        """The newest ``count`` batches (of those in front of a number), newest first."""
        sql = f"SELECT {BATCH_COLUMNS} FROM batches WHERE batch < ? ORDER BY batch DESC LIMIT ?"
        return [Batch(*row) for row in self._sql.all(sql, 1 << 62 if before is None else before, count)]

    def within(self, numbers: tuple[int, int], count: int, *, oldest: bool = False) -> list[Batch]:
        """The newest ``count`` batches from one number to another, newest first; or the oldest, these first."""
        order = "ASC" if oldest else "DESC"
        sql = f"SELECT {BATCH_COLUMNS} FROM batches WHERE batch BETWEEN ? AND ? ORDER BY batch {order} LIMIT ?"
        return [Batch(*row) for row in self._sql.all(sql, *numbers, count)]

    def number_at(self, time_ms: int) -> int:
        """The first number whose batch was sealed at a moment or later, or one behind the last."""
        low = self._sql.count("SELECT coalesce(min(batch), 0) FROM batches")
        high = self._sql.count("SELECT coalesce(max(batch), -1) FROM batches") + 1
        while low < high:
            middle = (low + high) // 2
            row = self._sql.one("SELECT batch, sealed_ms FROM batches WHERE batch >= ? ORDER BY batch LIMIT 1", middle)
            if row is None or row[1] >= time_ms:
                high = middle
            else:
                low = row[0] + 1
        return low

    def is_whole(self, number: int) -> bool:
        """Whether a sealed batch is there, and none of its records has been pruned or lost."""
        return bool(self._sql.count(f"SELECT count(*) FROM batches WHERE batch = ? AND {_WHOLE}", number))

    def receipted(self, before_ms: int) -> list[int]:
        """The whole batches that have a receipt and were sealed before ``before_ms``, in order."""
        settled = "batch IN (SELECT batch FROM anchors WHERE state = 'settled')"
        sql = f"SELECT batch FROM batches WHERE sealed_ms < ? AND {_WHOLE} AND {settled} ORDER BY batch"
        return [int(batch) for (batch,) in self._sql.all(sql, before_ms)]

    def count(self) -> int:
        """How many batches there are, those included whose records have been pruned."""
        return self._sql.count("SELECT count(*) + (SELECT batches FROM pruned) FROM batches")

    def seal(self, batch: Batch, ledgers: Sequence[str]) -> None:
        """Keep a sealed batch and queue its anchors, with those of all batches behind the newest one that has any: they
        were sealed while there was no ledger. Call within the transaction that holds its last records."""
        self._sql.run(
            f"INSERT INTO batches ({BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(batch.batch, batch.statement_id, batch.entry, batch.first_id, batch.last_id, batch.size, batch.sealed_ms),
        )
        self._sql.run("INSERT INTO batch_changes (batch) VALUES (?)", batch.batch)
        self._sql.run("DELETE FROM cuts WHERE last_id <= ?", batch.last_id)
        asked = self._sql.count("SELECT coalesce(max(batch), -1) FROM anchors")
        queued = (
            "INSERT INTO anchors (batch, ledger, state, updated_ms) "
            "SELECT batch, ?, 'queued', ? FROM batches WHERE batch > ?"
        )
        self._sql.run_each(queued, ((ledger, batch.sealed_ms, asked) for ledger in ledgers))

    def may_open_again(self, number: int, ledger: str) -> bool:
        """Whether no ledger has a batch of this number or above, or may have one on its way, and ``ledger`` has taken
        nothing that was sealed in the present epoch."""
        elsewhere = "SELECT 1 FROM anchors WHERE batch >= ? AND state NOT IN ('queued', 'refused')"
        began = "SELECT min(id) FROM records WHERE epoch = (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
        of_it = f"SELECT 1 FROM batches JOIN anchors USING (batch) WHERE last_id >= ({began})"
        taken = f"{of_it} AND ledger = ? AND state = 'settled'"
        return self._sql.one(elsewhere, number) is None and self._sql.one(taken, ledger) is None

    def open_again(self, number: int) -> None:
        """The batches from this number on are none: they are cut as they were, and get other numbers. Call within
        ``transaction()``, once ``may_open_again`` has said so."""
        self._sql.run("DROP TRIGGER batches_leave_by_pruning")  # back before anybody else sees it
        self._sql.run("INSERT OR IGNORE INTO cuts (last_id) SELECT last_id FROM batches WHERE batch >= ?", number)
        self._sql.run(
            "DELETE FROM notes WHERE statement_id IN (SELECT statement_id FROM batches WHERE batch >= ?)", number
        )
        self._sql.run("DELETE FROM anchors WHERE batch >= ?", number)
        self._sql.run("DELETE FROM batches WHERE batch >= ?", number)
        self._sql.run(f"CREATE TRIGGER batches_leave_by_pruning BEFORE {GUARDS['batches_leave_by_pruning']}")

    def unanchored(self, number: int, meter: str, epoch: bytes, last: int) -> tuple[int, int] | None:
        """First and last number, up to ``last``, of the records of a meter in an epoch that no batch below this number
        holds."""
        sealed = "(SELECT coalesce(max(last_id), 0) FROM batches WHERE batch < ?)"
        sql = (
            "SELECT min(seq), max(seq) FROM records WHERE epoch = ? AND meter = ? AND seq <= ? "
            f"AND id > {sealed} AND id NOT IN (SELECT id FROM elsewhere)"
        )
        row = self._sql.one(sql, epoch, meter, last, number)
        return (int(row[0]), int(row[1])) if row and row[0] is not None else None

    def drop(self, batch: Batch) -> None:
        """Forget a batch whose records have been pruned, with its receipts. Call within ``transaction()``."""
        gone = self._sql.count("SELECT count(*) FROM anchors WHERE batch = ? AND state = 'settled'", batch.batch)
        self._sql.run("UPDATE pruned SET to_id = max(to_id, ?)", batch.last_id)
        self._sql.run("DELETE FROM elsewhere WHERE id <= ?", batch.last_id)
        self._sql.run("DELETE FROM notes WHERE statement_id = ?", batch.statement_id)
        self._sql.run("DELETE FROM batches WHERE batch = ?", batch.batch)
        self._sql.run("DELETE FROM anchors WHERE batch = ?", batch.batch)
        later = "SELECT id FROM batch_changes WHERE batch > ? ORDER BY id LIMIT 1"  # few rows: the oldest batch goes
        self._sql.run(f"DELETE FROM batch_changes WHERE id < coalesce(({later}), 0)", batch.batch)
        self._sql.run("UPDATE pruned SET batches = batches + 1, receipts = receipts + ?", gone)

    def statement_at(self, batch: int) -> bytes | None:
        """The id of the statement with this number, sealed here or reported by a ledger."""
        sql = "SELECT statement_id FROM batches WHERE batch = ? UNION SELECT statement_id FROM known WHERE batch = ?"
        row = self._sql.one(sql, batch, batch)
        return bytes(row[0]) if row else None
