"""The store of a process whose disk fails: it also says elsewhere what it has reported as committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.errors import Refused
from ledger_client.formats.record import parse_record, record_hash
from tests.contract.memory import NearLedger
from tests.support.gateways.heard_tables import HeardBatches, HeardRecords


class ToldStore(Database):
    """The store, which also tells outside the data folder what it has reported as committed."""

    def __init__(self, path: Path, tell: Callable[[dict[str, Any]], None], ledger: NearLedger | None) -> None:
        super().__init__(path)
        self.committed = self.sealed = 0
        self._tell, self._ledger = tell, ledger
        self._rows: list[StoredRecord] = []
        self._batches: list[Batch] = []
        self.records = HeardRecords(self, lambda rows: self._rows.extend(rows))
        self.batches = HeardBatches(self, self.repairs, lambda batch: self._batches.append(batch))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._rows, self._batches = [], []
        with super().transaction():
            yield
        for row in self._rows:
            prev = parse_record(row.data).claims.prev
            self._tell({"record": row.id, "hash": record_hash(row.data).hex(), "prev": prev.hex() if prev else None})
        for batch in self._batches:
            self._tell({"sealed": batch.entry.hex()})
            self._give(batch)
        self.committed += sum(row.kind == "reading" for row in self._rows)
        self.sealed += len(self._batches)

    def _give(self, batch: Batch) -> None:
        try:
            if self._ledger is not None:
                self._ledger.submit(batch.entry)
        except Refused as error:
            self._tell({"refused": str(error)})
