"""Batch tables: cuts, batches, the anchors of each batch, and ledger statements missing from this database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.records import StoredRecord
from gateway.storage.repair_tables import Repairs
from gateway.storage.rows import Anchor, Batch, Conflict, Known
from gateway.storage.schema import GUARDS

_BATCH = "batch, statement_id, entry, first_id, last_id, size, sealed_ms"
_ANCHOR = "batch, ledger, state, receipt, detail, updated_ms"
_ANCHOR_FIELDS = 6
_KNOWN = "batch, statement_id, ledger, reason, found_ms"
_CONFLICT = "batch, ledger, statement_id, found_ms"
_ROW = "meter, epoch, seq, kind, time_ms, data"
_SEALED_TO = "(SELECT coalesce(max(last_id), 0) FROM batches)"
_WHOLE = (
    "first_id > (SELECT to_id FROM pruned) AND (NOT EXISTS (SELECT 1 FROM lost_places AS lost "
    "WHERE lost.first_id <= batches.last_id AND lost.last_id >= batches.first_id) "
    "OR size = (SELECT count(*) FROM records WHERE records.id BETWEEN batches.first_id AND batches.last_id "
    "AND records.id NOT IN (SELECT id FROM elsewhere)))"  # sealed after the loss, it never held what was lost
)
_UNSEALED = f"id > {_SEALED_TO} AND id NOT IN (SELECT id FROM elsewhere)"
_OLD_UNSEALED = f"{_UNSEALED} AND epoch <> (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
_STRETCH_UNSEALED = f"epoch = ? AND meter = ? AND seq BETWEEN ? AND ? AND {_UNSEALED}"
_LOST_BATCH = f"{_UNSEALED} AND id <= (SELECT coalesce(max(sealed_to), 0) FROM repairs)"

UNTOLD = b""
"""Stands for the id of a statement of which nobody can tell whether there is one."""


class Batches(Repairs):
    """The batches' half of the store."""

    # — what no batch holds yet —

    def unsealed(self) -> tuple[int, int] | None:
        """First and last place in the commit order that no batch holds yet; None when all is sealed."""
        # one aggregate each: SQLite then looks at the two ends only, not at all that lies between
        first = self.count(f"SELECT min(id) FROM records WHERE id > {_SEALED_TO}")
        return (first, self.count("SELECT max(id) FROM records")) if first else None

    def sealed_to(self) -> int:
        """The last place of the commit order that a batch holds."""
        return self.count(f"SELECT {_SEALED_TO}")

    def count_unsealed(self) -> int:
        """How many records no batch holds yet and no cut has set apart for one, coverage not counted."""
        return self.count(
            "SELECT count(*) FROM records WHERE kind <> 'coverage' AND id > "
            f"max({_SEALED_TO}, (SELECT coalesce(max(last_id), 0) FROM cuts)) "
            "AND id NOT IN (SELECT id FROM elsewhere)"
        )

    def waiting(self) -> int:
        """How many records no batch holds, those of waiting cuts included and what is sealed elsewhere left out."""
        row = self.unsealed()
        if row is None:
            return 0
        apart = self.count("SELECT count(*) FROM elsewhere WHERE id >= ?", row[0]) + self.lost_places(row[0])
        return row[1] - row[0] + 1 - apart

    def cut(self) -> None:
        """Here ends a batch: everything up to the newest record. Call within the transaction that holds those."""
        newest = "SELECT id FROM records ORDER BY id DESC LIMIT 1"
        self.run(f"INSERT OR IGNORE INTO cuts (last_id) SELECT id FROM ({newest}) WHERE id > {_SEALED_TO}")

    def cuts(self) -> list[tuple[int, int]]:
        """First and last place of every batch that was cut and not sealed, oldest first."""
        ends = [int(last) for (last,) in self.all("SELECT last_id FROM cuts ORDER BY last_id")]
        begin = self.count(f"SELECT {_SEALED_TO}") + 1
        return [(first, last) for first, last in zip([begin, *[end + 1 for end in ends]], ends, strict=False)]

    def drop_cut(self, last_id: int) -> None:
        """A cut that holds nothing to seal is none. Call within ``transaction()``."""
        self.run("DELETE FROM cuts WHERE last_id = ?", last_id)

    def leaves(self, first_id: int, last_id: int) -> Iterator[StoredRecord]:
        """The records of a batch one by one: those of its stretch that are not sealed elsewhere."""
        sql = (
            f"SELECT {_ROW} FROM records WHERE id BETWEEN ? AND ? AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id"
        )
        return map(StoredRecord._make, self.walk(sql, first_id, last_id))

    # — batches —

    def last_batch(self) -> Batch | None:
        """The newest sealed batch."""
        row = self.one(f"SELECT {_BATCH} FROM batches ORDER BY batch DESC LIMIT 1")
        return Batch(*row) if row else None

    def first_batch(self) -> Batch | None:
        """The oldest batch that pruning has left."""
        row = self.one(f"SELECT {_BATCH} FROM batches ORDER BY batch LIMIT 1")
        return Batch(*row) if row else None

    def batch(self, number: int) -> Batch | None:
        """One sealed batch."""
        row = self.one(f"SELECT {_BATCH} FROM batches WHERE batch = ?", number)
        return Batch(*row) if row else None

    def batch_of(self, record_id: int) -> Batch | None:
        """The batch whose stretch holds a place of the commit order, or None while it is unsealed."""
        sql = f"SELECT {_BATCH} FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1"
        row = self.one(sql, record_id)
        return Batch(*row) if row and row[3] <= record_id else None

    def batches(self) -> list[Batch]:
        """Every sealed batch in order."""
        return [Batch(*row) for row in self.all(f"SELECT {_BATCH} FROM batches ORDER BY batch")]

    def newest_batches(self, count: int, before: int | None = None) -> list[Batch]:
        """The newest ``count`` batches (of those in front of a number), newest first."""
        sql = f"SELECT {_BATCH} FROM batches WHERE batch < ? ORDER BY batch DESC LIMIT ?"
        return [Batch(*row) for row in self.all(sql, 1 << 62 if before is None else before, count)]

    def is_whole(self, number: int) -> bool:
        """Whether a sealed batch is there, and none of its records has been pruned or lost."""
        return bool(self.count(f"SELECT count(*) FROM batches WHERE batch = ? AND {_WHOLE}", number))

    def receipted(self, before_ms: int) -> list[int]:
        """The whole batches that have a receipt and were sealed before ``before_ms``, in order."""
        settled = "batch IN (SELECT batch FROM anchors WHERE state = 'settled')"
        sql = f"SELECT batch FROM batches WHERE sealed_ms < ? AND {_WHOLE} AND {settled} ORDER BY batch"
        return [int(batch) for (batch,) in self.all(sql, before_ms)]

    def count_batches(self) -> int:
        """How many batches there are, those included whose records have been pruned."""
        return self.count("SELECT count(*) + (SELECT batches FROM pruned) FROM batches")

    def seal(self, batch: Batch, ledgers: Sequence[str]) -> None:
        """Keep a sealed batch and queue its anchors. Call within the transaction that holds its last records."""
        self.run(
            f"INSERT INTO batches ({_BATCH}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(batch.batch, batch.statement_id, batch.entry, batch.first_id, batch.last_id, batch.size, batch.sealed_ms),
        )
        self.run("DELETE FROM cuts WHERE last_id <= ?", batch.last_id)
        queued = "INSERT INTO anchors (batch, ledger, state, updated_ms) VALUES (?, ?, 'queued', ?)"
        self.run_each(queued, ((batch.batch, ledger, batch.sealed_ms) for ledger in ledgers))

    def may_open_again(self, number: int, ledger: str) -> bool:
        """Whether no ledger has a batch of this number or above, or may have one on its way, and ``ledger`` has taken
        nothing that was sealed in the present epoch."""
        elsewhere = "SELECT 1 FROM anchors WHERE batch >= ? AND state NOT IN ('queued', 'refused')"
        began = "SELECT min(id) FROM records WHERE epoch = (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
        of_it = f"SELECT 1 FROM batches JOIN anchors USING (batch) WHERE last_id >= ({began})"
        taken = f"{of_it} AND ledger = ? AND state = 'settled'"
        return self.one(elsewhere, number) is None and self.one(taken, ledger) is None

    def open_again(self, number: int) -> None:
        """The batches from this number on are none: they are cut as they were, and get other numbers. Call within
        ``transaction()``, once ``may_open_again`` has said so."""
        self.run("DROP TRIGGER batches_leave_by_pruning")  # back before anybody else sees it
        self.run("INSERT OR IGNORE INTO cuts (last_id) SELECT last_id FROM batches WHERE batch >= ?", number)
        self.run("DELETE FROM notes WHERE statement_id IN (SELECT statement_id FROM batches WHERE batch >= ?)", number)
        self.run("DELETE FROM anchors WHERE batch >= ?", number)
        self.run("DELETE FROM batches WHERE batch >= ?", number)
        self.run(f"CREATE TRIGGER batches_leave_by_pruning BEFORE {GUARDS['batches_leave_by_pruning']}")

    def unanchored(self, number: int, meter: str, epoch: bytes, last: int) -> tuple[int, int] | None:
        """First and last number, up to ``last``, of the records of a meter in an epoch that no batch below this number
        holds."""
        sealed = "(SELECT coalesce(max(last_id), 0) FROM batches WHERE batch < ?)"
        sql = (
            "SELECT min(seq), max(seq) FROM records WHERE epoch = ? AND meter = ? AND seq <= ? "
            f"AND id > {sealed} AND id NOT IN (SELECT id FROM elsewhere)"
        )
        row = self.one(sql, epoch, meter, last, number)
        return (int(row[0]), int(row[1])) if row and row[0] is not None else None

    def drop_batch(self, batch: Batch) -> None:
        """Forget a batch whose records have been pruned, with its receipts. Call within ``transaction()``."""
        gone = self.count("SELECT count(*) FROM anchors WHERE batch = ? AND state = 'settled'", batch.batch)
        self.run("UPDATE pruned SET to_id = max(to_id, ?)", batch.last_id)
        self.run("DELETE FROM elsewhere WHERE id <= ?", batch.last_id)
        self.run("DELETE FROM notes WHERE statement_id = ?", batch.statement_id)
        self.run("DELETE FROM batches WHERE batch = ?", batch.batch)
        self.run("DELETE FROM anchors WHERE batch = ?", batch.batch)
        self.run("UPDATE pruned SET batches = batches + 1, receipts = receipts + ?", gone)

    # — anchors —

    def open_anchors(self, ledger: str, most: int) -> list[tuple[Anchor, Batch]]:
        """The oldest batches that ``ledger`` has not settled: batches go to a ledger in order."""
        sql = (
            f"SELECT {_ANCHOR}, {_BATCH} FROM anchors JOIN batches USING (batch) "
            "WHERE ledger = ? AND state <> 'settled' ORDER BY batch LIMIT ?"
        )
        return [(Anchor(*row[:_ANCHOR_FIELDS]), Batch(*row[_ANCHOR_FIELDS:])) for row in self.all(sql, ledger, most)]

    def anchors(self, batch: int | None = None) -> list[Anchor]:
        """The anchors of one batch, or all of them."""
        where, values = ("", ()) if batch is None else ("WHERE batch = ?", (batch,))
        sql = f"SELECT {_ANCHOR} FROM anchors {where} ORDER BY batch, ledger"
        return [Anchor(*row) for row in self.all(sql, *values)]

    def anchor_states(self, ledger: str) -> dict[str, int]:
        """How many batches stand in each state at one ledger."""
        open_ = "SELECT state, count(*) FROM anchors WHERE ledger = ? AND state <> 'settled' GROUP BY state"
        states = {str(state): int(n) for state, n in self.all(open_, ledger)}
        settled = self.count("SELECT count(*) FROM anchors WHERE ledger = ?", ledger) - sum(states.values())
        return states | ({"settled": settled} if settled else {})

    def count_open(self, ledger: str) -> int:
        """How many batches ``ledger`` has not settled."""
        return self.count("SELECT count(*) FROM anchors WHERE ledger = ? AND state <> 'settled'", ledger)

    def first_refused(self, ledger: str) -> Anchor | None:
        """The oldest batch that ``ledger`` refused and has not settled since."""
        where = "ledger = ? AND state = 'refused' AND state <> 'settled'"  # the latter is the index of what is open
        sql = f"SELECT {_ANCHOR} FROM anchors WHERE {where} ORDER BY batch LIMIT 1"
        row = self.one(sql, ledger)
        return Anchor(*row) if row else None

    def last_receipt_ms(self, ledger: str) -> int | None:
        """When ``ledger`` settled the newest batch that it has settled."""
        sql = "SELECT updated_ms FROM anchors WHERE ledger = ? AND state = 'settled' ORDER BY batch DESC LIMIT 1"
        row = self.one(sql, ledger)
        return int(row[0]) if row else None

    def oldest_unanchored_ms(self, ledger: str) -> int | None:
        """The time of the first record that ``ledger`` has given no receipt for; None: it has for all of them."""
        waiting = "SELECT min(batch) FROM anchors WHERE ledger = ? AND state <> 'settled'"
        first_id = self.count(f"SELECT first_id FROM batches WHERE batch = ({waiting})", ledger) or self.sealed_to() + 1
        sql = "SELECT time_ms FROM records WHERE id >= ? AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id LIMIT 1"
        row = self.one(sql, first_id)
        return int(row[0]) if row else None

    def count_receipts(self) -> int:
        """How many receipts have settled a batch, those of pruned batches included."""
        sql = "SELECT count(*) + (SELECT receipts FROM pruned) FROM anchors WHERE state = 'settled'"
        return self.count(sql)

    def mark(
        self,
        batch: int,
        ledger: str,
        state: str,
        now_ms: int,
        *,
        receipt: bytes | None = None,
        detail: str | None = None,
    ) -> bool:
        """Move an anchor to ``state``; a settled one never moves again, and one that is gone does not come back: False.
        Call within ``transaction()``."""
        moved = self.run(
            "UPDATE anchors SET state = ?, receipt = ?, detail = ?, updated_ms = ? "
            "WHERE batch = ? AND ledger = ? AND state <> 'settled'",
            *(state, receipt, detail, now_ms, batch, ledger),
        )
        if state == "settled":
            which = "statement_id = (SELECT statement_id FROM batches WHERE batch = ?)"
            self.run(f"DELETE FROM notes WHERE ledger = ? AND {which}", ledger, batch)
        return moved > 0

    # — what the drivers of ledgers must still know after a crash —

    def keep_note(self, ledger: str, statement_id: bytes, note: bytes) -> None:
        """A driver's note of a statement, in place of the one before. Call within ``transaction()``."""
        sql = "INSERT OR REPLACE INTO notes (ledger, statement_id, note) VALUES (?, ?, ?)"
        self.run(sql, ledger, statement_id, note)

    def note(self, ledger: str, statement_id: bytes) -> bytes | None:
        """The newest note of a statement."""
        row = self.one("SELECT note FROM notes WHERE ledger = ? AND statement_id = ?", ledger, statement_id)
        return bytes(row[0]) if row else None

    def notes(self, ledger: str) -> dict[bytes, bytes]:
        """All notes of one ledger's driver, by statement id."""
        rows = self.all("SELECT statement_id, note FROM notes WHERE ledger = ?", ledger)
        return {bytes(statement_id): bytes(note) for statement_id, note in rows}

    def drop_settled_notes(self, ledger: str) -> None:
        """Forget the notes of statements that are settled. Call within ``transaction()``."""
        open_ = "SELECT statement_id FROM anchors JOIN batches USING (batch) WHERE ledger = ? AND state <> 'settled'"
        self.run(f"DELETE FROM notes WHERE ledger = ? AND statement_id NOT IN ({open_})", ledger, ledger)

    # — what ledgers know of this gateway and this database does not —

    def unsealed_before(self) -> dict[tuple[str, bytes], int]:
        """The highest unsealed number of each meter and epoch that were recorded before the present epoch."""
        sql = f"SELECT meter, epoch, max(seq) FROM records WHERE {_OLD_UNSEALED} GROUP BY meter, epoch"
        return {(str(meter), bytes(epoch)): int(seq) for meter, epoch, seq in self.all(sql)}

    def count_unsealed_before(self) -> int:
        """How many records those are."""
        return self.count(f"SELECT count(*) FROM records WHERE {_OLD_UNSEALED}")

    def count_sealed_elsewhere(self, meter: str, epoch: bytes, first: int, last: int) -> int:
        """How many records ``sealed_elsewhere`` would mark."""
        return self.count(f"SELECT count(*) FROM records WHERE {_STRETCH_UNSEALED}", epoch, meter, first, last)

    def sealed_elsewhere(self, statement_id: bytes, meter: str, epoch: bytes, first: int, last: int) -> None:
        """The unsealed ones of these records are in a batch that this database does not hold: they enter no other.
        Call within ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_STRETCH_UNSEALED}"
        self.run(sql, statement_id, epoch, meter, first, last)

    def never_sealed(self) -> None:
        """Nobody can tell whether what was recorded before the present epoch, and is unsealed here, is in a batch of
        another database: it enters none. Call within ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_OLD_UNSEALED}"
        self.run(sql, UNTOLD)

    def count_lost_batches(self) -> int:
        """How many unsealed records stand in batches that were lost with a damaged database."""
        return self.count(f"SELECT count(*) FROM records WHERE {_LOST_BATCH}")

    def never_seal_lost_batches(self) -> None:
        """Nobody can tell which ledgers hold those batches: their records enter no other. Call within
        ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_LOST_BATCH}"
        self.run(sql, UNTOLD)

    def count_elsewhere(self) -> tuple[int, int]:
        """How many records are sealed elsewhere, and of how many nobody can tell."""
        told = self.count("SELECT count(*) FROM elsewhere WHERE statement_id <> ?", UNTOLD)
        return told, self.count("SELECT count(*) FROM elsewhere WHERE statement_id = ?", UNTOLD)

    def any_apart(self) -> bool:
        """Whether records may be in no batch of this database although later ones are."""
        sql = "SELECT EXISTS (SELECT 1 FROM elsewhere) OR EXISTS (SELECT 1 FROM repairs)"
        return bool(self.count(sql))

    def is_apart(self, meter: str, epoch: bytes, seq: int) -> bool:
        """Whether this record is lost, or in none of this database's batches."""
        named = "epoch = ? AND meter = ? AND seq = ?"
        sql = f"SELECT 1 FROM records WHERE {named} AND id IN (SELECT id FROM elsewhere)"
        return self.lost_in(meter, epoch, seq) or self.one(sql, epoch, meter, seq) is not None

    def elsewhere(self, record_id: int) -> bytes | None:
        """The statement of another database that holds this record; ``UNTOLD``: nobody can tell if there is one."""
        row = self.one("SELECT statement_id FROM elsewhere WHERE id = ?", record_id)
        return bytes(row[0]) if row else None

    def statement_at(self, batch: int) -> bytes | None:
        """The id of the statement that bears this number, sealed here or told by a ledger."""
        sql = "SELECT statement_id FROM batches WHERE batch = ? UNION SELECT statement_id FROM known WHERE batch = ?"
        row = self.one(sql, batch, batch)
        return bytes(row[0]) if row else None

    def last_settled(self, ledger: str) -> int | None:
        """The highest batch that ``ledger`` gave a receipt for."""
        row = self.one("SELECT max(batch) FROM anchors WHERE ledger = ? AND state = 'settled'", ledger)
        return int(row[0]) if row and row[0] is not None else None

    def next_settled(self, ledger: str, after: int) -> Batch | None:
        """The first batch above ``after`` that ``ledger`` gave a receipt for."""
        sql = (
            f"SELECT {_BATCH} FROM batches JOIN anchors USING (batch) "
            "WHERE ledger = ? AND state = 'settled' AND batch > ? ORDER BY batch LIMIT 1"
        )
        row = self.one(sql, ledger, after)
        return Batch(*row) if row else None

    def go_on_from(self, known: Known) -> None:
        """The next batch follows this statement of a ledger. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO known ({_KNOWN}) VALUES (?, ?, ?, ?, ?)"
        self.run(sql, known.batch, known.statement_id, known.ledger, known.reason, known.found_ms)

    def known(self) -> Known | None:
        """The newest statement that a ledger told of and this database does not hold."""
        row = self.one(f"SELECT {_KNOWN} FROM known ORDER BY batch DESC LIMIT 1")
        return Known(*row) if row else None

    def conflict(self, conflict: Conflict) -> None:
        """A ledger holds another statement for a number that is sealed here. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO conflicts ({_CONFLICT}) VALUES (?, ?, ?, ?)"
        self.run(sql, conflict.batch, conflict.ledger, conflict.statement_id, conflict.found_ms)

    def conflicts(self) -> list[Conflict]:
        """Every such conflict that was found, oldest first."""
        return [Conflict(*row) for row in self.all(f"SELECT {_CONFLICT} FROM conflicts ORDER BY found_ms")]
