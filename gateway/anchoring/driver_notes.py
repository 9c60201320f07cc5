"""Driver notes in the database: what a ledger driver must recall after a crash. Called in the driver's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.storage.database import Database
from gateway.storage.writer import Writer

T = TypeVar("T")


class Notes:
    """The ``ledger_client.ledgers.interface.Memory`` of one ledger's driver. Called from the driver's thread: each
    call waits for the writer, and what it raises is StoreError."""

    def __init__(self, ledger: str, writer: Writer) -> None:
        self._ledger, self._writer = ledger, writer

    def keep(self, statement_id: bytes, note: bytes) -> None:
        """Write a note down; it survives a power cut when this returns."""

        def keep(store: Database) -> None:
            with store.transaction():
                store.anchors.keep_note(self._ledger, statement_id, note)

        self._ask(keep)

    def recall(self, statement_id: bytes) -> bytes | None:
        """The newest note of a statement."""
        return self._ask(lambda store: store.anchors.note(self._ledger, statement_id))

    def notes(self) -> Mapping[bytes, bytes]:
        """Every note of a statement that is not settled, by statement id."""
        return self._ask(lambda store: store.anchors.notes(self._ledger))

    def _ask(self, function: Callable[[Database], T]) -> T:
        return self._writer.call(function).result()
