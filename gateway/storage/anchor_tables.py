"""Anchor tables: what each ledger has done with each batch, the drivers' notes, and what ledgers reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.storage.batch_tables import Batches
from gateway.storage.rows import (
    BATCH_COLUMNS,
    Anchor,
    Batch,
    Conflict,
    Connection,
    Known,
    message_column,
    message_in,
)
from ledger_client.messages import Sentence

_ANCHOR = "batch, ledger, state, receipt, detail, updated_ms, message"
_ANCHOR_FIELDS = 7
_KNOWN = "batch, statement_id, ledger, reason, found_ms"
_CONFLICT = "batch, ledger, statement_id, found_ms"


class Missing(NamedTuple):
    """How many batches a ledger has not settled, and the first of them."""

    ledger: str
    batches: int
    first: int


class Anchors:
    """The anchor of each batch at each ledger, the drivers' notes, and what ledgers reported of this gateway."""

    def __init__(self, sql: Connection, batches: Batches) -> None:
        self._sql, self._batches = sql, batches

    def pending(self, ledger: str, most: int) -> list[tuple[Anchor, Batch]]:
        """The oldest batches that ``ledger`` has not settled: batches go to a ledger in order."""
        sql = (
            f"SELECT {_ANCHOR}, {BATCH_COLUMNS} FROM anchors JOIN batches USING (batch) "
            "WHERE ledger = ? AND state <> 'settled' ORDER BY batch LIMIT ?"
        )
        return [
            (_anchor(row[:_ANCHOR_FIELDS]), Batch(*row[_ANCHOR_FIELDS:])) for row in self._sql.all(sql, ledger, most)
        ]

    def of(self, batch: int | None = None) -> list[Anchor]:
        """The anchors of one batch, or all of them."""
        where, values = ("", ()) if batch is None else ("WHERE batch = ?", (batch,))
        sql = f"SELECT {_ANCHOR} FROM anchors {where} ORDER BY batch, ledger"
        return [_anchor(row) for row in self._sql.all(sql, *values)]

    def states(self, ledger: str) -> dict[str, int]:
        """How many batches stand in each state at one ledger."""
        open_ = "SELECT state, count(*) FROM anchors WHERE ledger = ? AND state <> 'settled' GROUP BY state"
        states = {str(state): int(n) for state, n in self._sql.all(open_, ledger)}
        settled = self._sql.count("SELECT count(*) FROM anchors WHERE ledger = ?", ledger) - sum(states.values())
        return states | ({"settled": settled} if settled else {})

    def count_open(self, ledger: str) -> int:
        """How many batches ``ledger`` has not settled."""
        return self._sql.count("SELECT count(*) FROM anchors WHERE ledger = ? AND state <> 'settled'", ledger)

    def missing(self, first_id: int, last_id: int) -> list[Missing]:
        """Of the batches that hold places of a stretch of the commit order, those that ledgers have not settled."""
        sql = (
            "SELECT ledger, count(*), min(batch) FROM anchors JOIN batches USING (batch) "
            "WHERE state <> 'settled' AND last_id >= ? AND first_id <= ? GROUP BY ledger ORDER BY ledger"
        )
        return [Missing(*row) for row in self._sql.all(sql, first_id, last_id)]

    def count_batches_without(self, first_id: int, last_id: int) -> int:
        """How many batches that hold places of a stretch of the commit order have no receipt of any ledger."""
        sql = (
            "SELECT count(*) FROM batches WHERE last_id >= ? AND first_id <= ? "
            "AND batch NOT IN (SELECT batch FROM anchors WHERE state = 'settled')"
        )
        return self._sql.count(sql, first_id, last_id)

    def settled_last(self, first_id: int, last_id: int) -> list[Anchor]:
        """Of each ledger the settled anchor of the newest batch that holds places of such a stretch."""
        newest = (
            "SELECT ledger, max(batch) FROM anchors JOIN batches USING (batch) "
            "WHERE state = 'settled' AND last_id >= ? AND first_id <= ? GROUP BY ledger"
        )
        sql = f"SELECT {_ANCHOR} FROM anchors WHERE (ledger, batch) IN ({newest})"
        return [_anchor(row) for row in self._sql.all(sql, first_id, last_id)]

    def first_refused(self, ledger: str) -> Anchor | None:
        """The oldest batch that ``ledger`` refused and has not settled since."""
        where = "ledger = ? AND state = 'refused' AND state <> 'settled'"  # the latter is the index of what is open
        sql = f"SELECT {_ANCHOR} FROM anchors WHERE {where} ORDER BY batch LIMIT 1"
        row = self._sql.one(sql, ledger)
        return _anchor(row) if row else None

    def last_receipt_ms(self, ledger: str) -> int | None:
        """When ``ledger`` settled the newest batch that it has settled."""
        sql = "SELECT updated_ms FROM anchors WHERE ledger = ? AND state = 'settled' ORDER BY batch DESC LIMIT 1"
        row = self._sql.one(sql, ledger)
        return int(row[0]) if row else None

    def oldest_unanchored_ms(self, ledger: str) -> int | None:
        """The time of the first record that ``ledger`` has given no receipt for; None: it has for all of them."""
        waiting = "SELECT min(batch) FROM anchors WHERE ledger = ? AND state <> 'settled'"
        first_id = (
            self._sql.count(f"SELECT first_id FROM batches WHERE batch = ({waiting})", ledger)
            or self._batches.sealed_to() + 1
        )
        sql = "SELECT time_ms FROM records WHERE id >= ? AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id LIMIT 1"
        row = self._sql.one(sql, first_id)
        return int(row[0]) if row else None

    def oldest_unsettled_ms(self, ledgers: Sequence[str], required: Sequence[str]) -> int | None:
        """The time of the oldest record that is not settled by every required one of the ledgers (where none is
        required: by any; where there is none at all: the oldest record); None when all are."""
        if required:
            times = [self.oldest_unanchored_ms(name) for name in required]
            return min((ms for ms in times if ms is not None), default=None)
        times = [self.oldest_unanchored_ms(name) for name in ledgers]
        if not times:
            first = self._sql.one("SELECT time_ms FROM records ORDER BY id LIMIT 1")
            return int(first[0]) if first else None
        return None if None in times else max(ms for ms in times if ms is not None)

    def count_receipts(self) -> int:
        """How many receipts have settled a batch, those of pruned batches included."""
        sql = "SELECT count(*) + (SELECT receipts FROM pruned) FROM anchors WHERE state = 'settled'"
        return self._sql.count(sql)

    def mark(
        self,
        batch: int,
        ledger: str,
        state: str,
        now_ms: int,
        *,
        receipt: bytes | None = None,
        detail: Sentence | None = None,
    ) -> bool:
        """Move an anchor to ``state``; a settled one never moves again, and one that is gone does not come back: False.

        Call within ``transaction()``.

        Args:
            batch: number of the batch.
            ledger: name of the ledger.
            state: as of ``Anchor``.
            now_ms: record time of the change.
            receipt: what settles it: a receipt, or the place on the chain.
            detail: why it is refused; kept in English, and as a message where it is one.
        """
        moved = self._sql.run(
            "UPDATE anchors SET state = ?, receipt = ?, detail = ?, updated_ms = ?, message = ? "
            "WHERE batch = ? AND ledger = ? AND state <> 'settled'",
            *(state, receipt, None if detail is None else str(detail), now_ms, message_column(detail), batch, ledger),
        )
        if state == "settled":
            which = "statement_id = (SELECT statement_id FROM batches WHERE batch = ?)"
            self._sql.run(f"DELETE FROM notes WHERE ledger = ? AND {which}", ledger, batch)
            if moved:
                self._sql.run("INSERT INTO batch_changes (batch) VALUES (?)", batch)
        return moved > 0

    def keep_note(self, ledger: str, statement_id: bytes, note: bytes) -> None:
        """A driver's note of a statement, in place of the one before. Call within ``transaction()``."""
        sql = "INSERT OR REPLACE INTO notes (ledger, statement_id, note) VALUES (?, ?, ?)"
        self._sql.run(sql, ledger, statement_id, note)

    def note(self, ledger: str, statement_id: bytes) -> bytes | None:
        """The newest note of a statement."""
        row = self._sql.one("SELECT note FROM notes WHERE ledger = ? AND statement_id = ?", ledger, statement_id)
        return bytes(row[0]) if row else None

    def notes(self, ledger: str) -> dict[bytes, bytes]:
        """All notes of one ledger's driver, by statement id."""
        rows = self._sql.all("SELECT statement_id, note FROM notes WHERE ledger = ?", ledger)
        return {bytes(statement_id): bytes(note) for statement_id, note in rows}

    def drop_settled_notes(self, ledger: str) -> None:
        """Forget the notes of statements that are settled. Call within ``transaction()``."""
        open_ = "SELECT statement_id FROM anchors JOIN batches USING (batch) WHERE ledger = ? AND state <> 'settled'"
        self._sql.run(f"DELETE FROM notes WHERE ledger = ? AND statement_id NOT IN ({open_})", ledger, ledger)

    def last_settled(self, ledger: str) -> int | None:
        """The highest batch that ``ledger`` gave a receipt for."""
        row = self._sql.one("SELECT max(batch) FROM anchors WHERE ledger = ? AND state = 'settled'", ledger)
        return int(row[0]) if row and row[0] is not None else None

    def next_settled(self, ledger: str, after: int) -> Batch | None:
        """The first batch above ``after`` that ``ledger`` gave a receipt for."""
        sql = (
            f"SELECT {BATCH_COLUMNS} FROM batches JOIN anchors USING (batch) "
            "WHERE ledger = ? AND state = 'settled' AND batch > ? ORDER BY batch LIMIT 1"
        )
        row = self._sql.one(sql, ledger, after)
        return Batch(*row) if row else None

    def go_on_from(self, known: Known) -> None:
        """The next batch follows this statement of a ledger. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO known ({_KNOWN}) VALUES (?, ?, ?, ?, ?)"
        self._sql.run(sql, known.batch, known.statement_id, known.ledger, known.reason, known.found_ms)

    def known(self) -> Known | None:
        """The newest statement that a ledger has and this database does not hold."""
        row = self._sql.one(f"SELECT {_KNOWN} FROM known ORDER BY batch DESC LIMIT 1")
        return Known(*row) if row else None

    def conflict(self, conflict: Conflict) -> None:
        """A ledger holds another statement for a number that is sealed here. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO conflicts ({_CONFLICT}) VALUES (?, ?, ?, ?)"
        self._sql.run(sql, conflict.batch, conflict.ledger, conflict.statement_id, conflict.found_ms)

    def conflicts(self) -> list[Conflict]:
        """Every such conflict that was found, oldest first."""
        return [Conflict(*row) for row in self._sql.all(f"SELECT {_CONFLICT} FROM conflicts ORDER BY found_ms")]


def _anchor(row: tuple[Any, ...]) -> Anchor:
    return Anchor(*(*row[:-1], message_in(row[-1])))
