"""Repair tables: the repairs made, and the records and places known to be lost."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.storage.rows import SEALED_TO, Connection, Repair
from gateway.storage.schema import GUARDS

_REPAIR = "id, repaired_ms, file, why, records, lost, batches, lost_batches, last_id, last_batch, sealed_to"

Hole = tuple[str, bytes, int, int]
"""Meter, epoch, first and last number of records that are known to be lost."""


class Repairs:
    """Repairs, and what is known to be lost by them."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def all(self) -> list[Repair]:
        """Every repair, oldest first."""
        return [Repair(*row) for row in self._sql.all(f"SELECT {_REPAIR} FROM repairs ORDER BY id")]

    def unreported(self) -> list[Repair]:
        """The repairs that stand in no signed event yet."""
        return [Repair(*row) for row in self._sql.all(f"SELECT {_REPAIR} FROM repairs WHERE told IS NULL ORDER BY id")]

    def reported(self) -> None:
        """Note that every repair stands in a signed event. Call within the transaction that holds it."""
        self._sql.run("UPDATE repairs SET told = 1 WHERE told IS NULL")

    def add(self, repair: Repair, *, reported: bool) -> None:
        """Keep a repair; ``reported``: it stands in a signed event. Call within ``transaction()``."""
        self._sql.run(
            f"INSERT OR IGNORE INTO repairs ({_REPAIR}, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(repair.id, repair.repaired_ms, repair.file, repair.why, repair.records, repair.lost, repair.batches),
            *(repair.lost_batches, repair.last_id, repair.last_batch, repair.sealed_to, 1 if reported else None),
        )

    def note_lost(self, holes: Iterable[Hole]) -> None:
        """Records are known to be lost by their names. Call within ``transaction()``."""
        sql = "INSERT OR REPLACE INTO lost_records (meter, epoch, first, last) VALUES (?, ?, ?, ?)"
        self._sql.run_each(sql, holes)

    def lost(self, most: int = 1 << 60) -> list[Hole]:
        """The first ``most`` stretches of records that are known to be lost."""
        sql = "SELECT meter, epoch, first, last FROM lost_records ORDER BY meter, epoch, first LIMIT ?"
        return [(str(m), bytes(e), int(a), int(z)) for m, e, a, z in self._sql.all(sql, most)]

    def lost_in(self, meter: str, epoch: bytes, seq: int) -> bool:
        """Whether this record is known to be lost."""
        sql = "SELECT 1 FROM lost_records WHERE meter = ? AND epoch = ? AND ? BETWEEN first AND last"
        return self._sql.one(sql, meter, epoch, seq) is not None

    def lost_within(self, meter: str, epoch: bytes, first: int, last: int) -> list[tuple[int, int]]:
        """The stretches of lost numbers of a meter and epoch that touch these, in order."""
        sql = "SELECT first, last FROM lost_records WHERE epoch = ? AND meter = ? AND last >= ? AND first <= ?"
        return self._sql.all(f"{sql} ORDER BY first", epoch, meter, first, last)

    def lost_unsealed(self) -> list[Hole]:
        """The stretches that may lie among records which no batch holds yet; none where nothing was lost there."""
        found = self._sql.one(f"SELECT 1 FROM lost_places WHERE last_id > {SEALED_TO}")
        return self.lost() if found else []

    def lost_places(self, first_id: int) -> int:
        """How many places of the commit order from this one on are empty, because their records are lost."""
        sql = "SELECT sum(last_id - max(first_id, ?) + 1) FROM lost_places WHERE last_id >= ?"
        return self._sql.count(sql, first_id, first_id)

    def lift_guards(self) -> None:
        """Let a recovery write what only pruning and anchoring may; ``set_guards`` before anybody else sees it."""
        for name in GUARDS:
            self._sql.run(f"DROP TRIGGER {name}")

    def set_guards(self) -> None:
        """Guard again what is written, so that nothing changes it from now on."""
        for name, guard in GUARDS.items():
            self._sql.run(f"CREATE TRIGGER {name} BEFORE {guard}")
