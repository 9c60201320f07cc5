"""The tables of the new database as a recovery fills them: the SQL that nothing else needs.

What is there already stays, but for known statements, conflicts and notes, of which the last row counts, and anchors,
of which the newer state does. Every call that changes something stands within ``transaction()``, between
``Repairs.lift_guards`` and ``set_guards``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.storage.elsewhere_tables import UNKNOWN
from gateway.storage.key_table import NOTE_REPLACED
from gateway.storage.rows import RECORD_COLUMNS, SEALED_TO, Connection

_ADD: Final[Mapping[str, str]] = {
    "batches": "INSERT OR IGNORE INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)",
    "schedules": "INSERT OR IGNORE INTO schedules VALUES (?, ?, ?, ?, ?)",
    "elsewhere": "INSERT OR IGNORE INTO elsewhere VALUES (?, ?)",
    "known": "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?)",
    "conflicts": "INSERT OR REPLACE INTO conflicts VALUES (?, ?, ?, ?)",
    "notes": "INSERT OR REPLACE INTO notes VALUES (?, ?, ?)",
    "cuts": "INSERT OR IGNORE INTO cuts VALUES (?)",
    "heard": "INSERT OR IGNORE INTO heard VALUES (?, ?, ?, ?, ?)",
    "replaced_keys": NOTE_REPLACED,
}

_NEWEST = "SELECT max(id) FROM records WHERE kind <> 'event' GROUP BY meter, kind"
_PRUNABLE = f"kind <> 'event' AND id NOT IN ({_NEWEST})"
"""What pruning takes: it leaves events, and of each meter the newest records."""


class RecoveredTables:
    """The tables that a recovery fills and mends."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    # — rows as they were found —

    def add(self, table: str, values: Sequence[object]) -> int:
        """A whole row of a small table; gives the number of rows that changed."""
        return self._sql.run(_ADD[table], *values)

    def add_records(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Records, each with its place in front."""
        self._sql.run_each(f"INSERT OR IGNORE INTO records (id, {RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def add_anchor(self, values: Sequence[object]) -> None:
        """An anchor. A receipt replaces every state and is replaced by none; else the newer state counts."""
        self._sql.run(
            "INSERT INTO anchors (batch, ledger, state, receipt, detail, updated_ms, message) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (batch, ledger) DO UPDATE SET state = excluded.state, receipt = excluded.receipt, "
            "detail = excluded.detail, updated_ms = excluded.updated_ms, message = excluded.message "
            "WHERE state <> 'settled' AND (excluded.state = 'settled' OR excluded.updated_ms >= updated_ms)",
            *values,
        )

    # — what pruning has left —

    def set_pruned(self, to_id: int, records: int, batches: int, receipts: int) -> int:
        """Up to which place pruning went, and what it took; gives the number of batches that leave again."""
        self._sql.run(
            "UPDATE pruned SET to_id = ?, records = ?, batches = ?, receipts = ?", to_id, records, batches, receipts
        )
        return self._sql.run("DELETE FROM batches WHERE last_id <= ?", to_id)

    def drop_pruned(self, to_id: int) -> None:
        """Pages that pruning has freed keep what it took away: it leaves again, but for what pruning leaves."""
        self._sql.run(f"DELETE FROM records WHERE id <= ? AND {_PRUNABLE}", to_id)

    def first_prunable(self) -> int | None:
        """The place of the first record that pruning would have taken, had it come that far."""
        found = self._sql.all(f"SELECT id FROM records WHERE {_PRUNABLE} ORDER BY id LIMIT 1")
        return int(found[0][0]) if found else None

    # — what is missing —

    def empty_places(self, after_id: int, last_id: int) -> list[tuple[int, int]]:
        """First and last of each stretch of places behind ``after_id``, up to ``last_id``, that has no record."""
        return self._sql.all(
            "SELECT id + 1, following - 1 FROM (SELECT id, lead(id, 1, ?) OVER (ORDER BY id) AS following "
            "FROM (SELECT id FROM records WHERE id > ? UNION SELECT ?)) WHERE following > id + 1",
            *(last_id + 1, after_id, after_id),
        )

    def note_lost_places(self, places: Iterable[tuple[int, int]]) -> None:
        """The records of these places are lost."""
        self._sql.run_each("INSERT INTO lost_places (first_id, last_id) VALUES (?, ?)", places)

    def numbers(self) -> Iterator[tuple[str, bytes, int, int, int, int | None]]:
        """Of each record its meter, epoch, number and place, and the numbers of its meter and epoch before it (-1:
        none) and behind it (None: none)."""
        return self._sql.walk(
            "SELECT meter, epoch, seq, id, lag(seq, 1, -1) OVER w, lead(seq) OVER w FROM records "
            "WINDOW w AS (PARTITION BY epoch, meter ORDER BY seq)"
        )

    def count_records(self) -> int:
        """How many records there are, counted one by one."""
        return self._sql.count("SELECT count(*) FROM records")

    def batches(self) -> set[int]:
        """The numbers of the batches that are there."""
        return {int(number) for (number,) in self._sql.all("SELECT batch FROM batches")}

    # — what follows from the rest —

    def count_again(self) -> None:
        """Count the records of each kind."""
        self._sql.run("DELETE FROM totals")
        self._sql.run("INSERT INTO totals (kind, count) SELECT kind, count(*) FROM records GROUP BY kind")

    def note_batches(self) -> None:
        """Every batch that is there counts as new for whoever publishes batches from the oldest on."""
        self._sql.run("DELETE FROM batch_changes")
        self._sql.run("INSERT INTO batch_changes (batch) SELECT batch FROM batches ORDER BY batch")

    def drop_beyond(self, pruned_to: int, last_id: int) -> None:
        """Drop cuts and marks of places that no unsealed or unpruned record can have."""
        self._sql.run(f"DELETE FROM cuts WHERE last_id > ? OR last_id <= {SEALED_TO}", last_id)
        self._sql.run("DELETE FROM elsewhere WHERE id > ? OR id <= ?", last_id, pruned_to)

    def drop_unheard(self) -> None:
        """Forget the tokens of messages whose records are lost: they are to be recorded again."""
        there = "SELECT 1 FROM records WHERE id = heard.id AND meter = heard.meter AND kind = 'reading'"
        self._sql.run(f"DELETE FROM heard WHERE NOT EXISTS ({there})")

    def drop_known(self, after: int) -> None:
        """Forget the statements behind this batch that only a ledger has."""
        self._sql.run("DELETE FROM known WHERE batch > ?", after)

    def never_seal(self, before_ms: int) -> None:
        """Whether unsealed records from before this time are sealed elsewhere is unknown: they enter no batch."""
        sql = (
            "INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records "
            f"WHERE id > {SEALED_TO} AND time_ms < ?"
        )
        self._sql.run(sql, UNKNOWN, before_ms)

    def first_anchors(self) -> dict[str, int]:
        """The first batch with an anchor, by ledger."""
        found = self._sql.all("SELECT ledger, min(batch) FROM anchors GROUP BY ledger")
        return {str(ledger): int(number) for ledger, number in found}

    def queue(self, ledger: str, begin: int, *, alone: bool) -> None:
        """Ask a ledger about every batch from ``begin`` on; ``alone``: also about those that have no anchor at all."""
        others = "batch NOT IN (SELECT batch FROM anchors)" if alone else "0"
        self._sql.run(
            "INSERT OR IGNORE INTO anchors (batch, ledger, state, updated_ms) SELECT batch, ?, 'submitted', sealed_ms "
            f"FROM batches WHERE batch >= ? OR {others}",
            *(ledger, begin),
        )

    def unscheduled(self) -> tuple[bytes, list[tuple[str, int]]] | None:
        """The epoch of the newest record, where its schedules are lost, with each meter and the time of its first
        coverage record in it."""
        newest: tuple[Any, ...] | None = self._sql.one("SELECT epoch FROM records ORDER BY id DESC LIMIT 1")
        if newest is None or self._sql.one("SELECT 1 FROM schedules WHERE epoch = ?", newest[0]):
            return None
        first = "SELECT meter, time_ms FROM records WHERE epoch = ? AND seq = 0 AND kind = 'coverage'"
        return bytes(newest[0]), self._sql.all(first, newest[0])
