"""Tables of a database which also say what is put into them, once it is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.records import StoredRecord
from gateway.storage.batch_tables import Batches
from gateway.storage.record_tables import Records
from gateway.storage.repair_tables import Repairs
from gateway.storage.rows import Batch, Connection


class HeardRecords(Records):
    """Records; ``heard`` gets the rows of each ``append``."""

    def __init__(self, sql: Connection, heard: Callable[[Sequence[StoredRecord]], object]) -> None:
        super().__init__(sql)
        self._heard = heard

    def append(self, rows: Sequence[StoredRecord]) -> None:
        super().append(rows)
        self._heard(rows)


class HeardBatches(Batches):
    """Batches; ``heard`` gets each one that is sealed."""

    def __init__(self, sql: Connection, repairs: Repairs, heard: Callable[[Batch], object]) -> None:
        super().__init__(sql, repairs)
        self._heard = heard

    def seal(self, batch: Batch, ledgers: Sequence[str]) -> None:
        super().seal(batch, ledgers)
        self._heard(batch)
