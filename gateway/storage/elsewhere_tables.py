"""Tables of records whose batch is in another database, or was lost with one."""

from __future__ import annotations

from gateway.storage.repair_tables import Repairs
from gateway.storage.rows import SEALED_TO, Connection

_UNSEALED = f"id > {SEALED_TO} AND id NOT IN (SELECT id FROM elsewhere)"
_OLD_UNSEALED = f"{_UNSEALED} AND epoch <> (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
_STRETCH_UNSEALED = f"epoch = ? AND meter = ? AND seq BETWEEN ? AND ? AND {_UNSEALED}"
_LOST_BATCH = f"{_UNSEALED} AND id <= (SELECT coalesce(max(sealed_to), 0) FROM repairs)"

UNKNOWN = b""
"""In place of a statement id: whether such a statement exists is unknown."""


class SealedElsewhere:
    """Records that are, or may be, in batches which this database does not hold."""

    def __init__(self, sql: Connection, repairs: Repairs) -> None:
        self._sql, self._repairs = sql, repairs

    def unsealed_before(self) -> dict[tuple[str, bytes], int]:
        """The highest unsealed number of each meter and epoch that were recorded before the present epoch."""
        sql = f"SELECT meter, epoch, max(seq) FROM records WHERE {_OLD_UNSEALED} GROUP BY meter, epoch"
        return {(str(meter), bytes(epoch)): int(seq) for meter, epoch, seq in self._sql.all(sql)}

    def count_unsealed_before(self) -> int:
        """How many records those are."""
        return self._sql.count(f"SELECT count(*) FROM records WHERE {_OLD_UNSEALED}")

    def count_in(self, meter: str, epoch: bytes, first: int, last: int) -> int:
        """How many records ``sealed_elsewhere`` would mark."""
        return self._sql.count(f"SELECT count(*) FROM records WHERE {_STRETCH_UNSEALED}", epoch, meter, first, last)

    def add(self, statement_id: bytes, meter: str, epoch: bytes, first: int, last: int) -> None:
        """The unsealed ones of these records are in a batch that this database does not hold: they enter no other.
        Call within ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_STRETCH_UNSEALED}"
        self._sql.run(sql, statement_id, epoch, meter, first, last)

    def never_sealed(self) -> None:
        """Nobody can tell whether what was recorded before the present epoch, and is unsealed here, is in a batch of
        another database: it enters none. Call within ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_OLD_UNSEALED}"
        self._sql.run(sql, UNKNOWN)

    def count_lost_batches(self) -> int:
        """How many unsealed records stand in batches that were lost with a damaged database."""
        return self._sql.count(f"SELECT count(*) FROM records WHERE {_LOST_BATCH}")

    def never_seal_lost_batches(self) -> None:
        """Nobody can tell which ledgers hold those batches: their records enter no other. Call within
        ``transaction()``."""
        sql = f"INSERT OR IGNORE INTO elsewhere (id, statement_id) SELECT id, ? FROM records WHERE {_LOST_BATCH}"
        self._sql.run(sql, UNKNOWN)

    def count(self) -> tuple[int, int]:
        """How many records are sealed elsewhere, and of how many that is unknown."""
        sealed = self._sql.count("SELECT count(*) FROM elsewhere WHERE statement_id <> ?", UNKNOWN)
        return sealed, self._sql.count("SELECT count(*) FROM elsewhere WHERE statement_id = ?", UNKNOWN)

    def any_apart(self) -> bool:
        """Whether records may be in no batch of this database although later ones are."""
        sql = "SELECT EXISTS (SELECT 1 FROM elsewhere) OR EXISTS (SELECT 1 FROM repairs)"
        return bool(self._sql.count(sql))

    def is_apart(self, meter: str, epoch: bytes, seq: int) -> bool:
        """Whether this record is lost, or in none of this database's batches."""
        named = "epoch = ? AND meter = ? AND seq = ?"
        sql = f"SELECT 1 FROM records WHERE {named} AND id IN (SELECT id FROM elsewhere)"
        return self._repairs.lost_in(meter, epoch, seq) or self._sql.one(sql, epoch, meter, seq) is not None

    def statement_of(self, record_id: int) -> bytes | None:
        """The statement of another database that holds this record; ``UNKNOWN``: unknown if there is one."""
        row = self._sql.one("SELECT statement_id FROM elsewhere WHERE id = ?", record_id)
        return bytes(row[0]) if row else None
