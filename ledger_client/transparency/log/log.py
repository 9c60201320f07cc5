"""Append-only log with Merkle tree and receipts, in SQLite or PostgreSQL, that signs for no tree but the one it has
signed for before.

After the end of ``with Log.write()`` what was appended through its ``Writer`` is durable: entries, tree nodes, first
receipts, ranges, together or not at all; and so is ``LDIR/head`` (head_file.py), which says so. Each block begins with
the question whether the log contains that head; a log that lost its end, or has grown again since, does not, and
nothing of it is shown or signed. One lock owns the one connection that writes: whoever checks an order and appends does
both under it. Another connection reads, so that a question never waits for a writer's disk.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ledger_client.errors import LedgerUnavailable
from ledger_client.transparency.log import tree
from ledger_client.transparency.log.entries import Reader, Writer, node_of, receipts_of
from ledger_client.transparency.log.head_file import Head, HeadFile
from ledger_client.transparency.log.sqlite import SqliteStore
from ledger_client.transparency.log.store import Rows, State, Store


class LogBehind(LedgerUnavailable):
    """The log does not contain the head that this ledger has signed for: it lost entries, and may have others now."""

    def __init__(self, where: str, size: int, head: Head) -> None:
        lost = (
            f"has {size} entries, not the {head.size}"
            if size < head.size
            else f"has other entries than the {head.size}"
        )
        root = head.root.hex()[:16]
        super().__init__(
            f"log-behind: {where} {lost} with root {root}… that this ledger has signed for; nothing is signed"
        )
        self._way_out = "bring the newest state of the log back: docs/ledger.md, A log that is behind"


class Log:
    """One open log; every method may be called from any thread. ``create`` and ``open`` make one of a file."""

    def __init__(self, store: Store, head: HeadFile | None = None, *, read_only: bool = False) -> None:
        """``head``: of the folder that the log is of; None for a copy, and where nothing is to be signed."""
        self.name, self.where = store.name, store.where
        self._store, self._head, self._read_only = store, head, read_only
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    @classmethod
    def create(cls, path: Path, name: str) -> Self:
        """Make an empty log of the ledger ``name`` in SQLite, at a path where nothing is yet; raises ``LogError``."""
        return cls(SqliteStore.create(path, name))

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open an existing log of this version in SQLite, without a head; raises ``LogError``."""
        return cls(SqliteStore.open(path, read_only=read_only))

    def close(self) -> None:
        """Close it; the log's state on disk does not depend on it."""
        with self._reading, self._lock:
            self._store.close()

    def copy(self, path: Path) -> None:
        """Copy the log as it is at this moment to a new SQLite file; whoever writes is not held up. Raises
        ``LogError``."""
        with self._reading:
            self._store.copy(path)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """The only writer while it is held: all of it durable at its end, none of it when it ends by an error.

        Raises ``LedgerUnavailable``: nothing of it was written, or nobody knows yet; nothing of it may leave.
        """
        with self._lock:
            head = self._known()
            with self._store.writing() as transaction:
                self._demand_contained(head, transaction.rows, transaction.state)
                writer = Writer(transaction)
                yield writer
                writer.commit()
            self._advance(Head(writer.size(), writer.root()))

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A look at what is durable, the same for as long as it lasts."""
        with self._reading:
            head = self._known()
            with self._store.reading() as (rows, state):
                self._demand_contained(head, rows, state)
                if head is not None and state.size > head.size and not self._read_only:
                    self._advance(Head(state.size, tree.root_of(state.edge)))
                yield Reader(rows, state)

    def receipt(self, statement_id: bytes) -> bytes | None:
        """The first receipt of an entry: one question, which needs no moment of its own."""
        return self.receipts([statement_id]).get(statement_id)

    def receipts(self, ids: Collection[bytes]) -> dict[bytes, bytes]:
        """The first receipts of entries, of those that have one."""
        with self._reading:
            head = self._known()
            with self._store.looking() as rows:
                found = receipts_of(rows, ids)
        if head is not None and any(number >= head.size for number, _ in found.values()):
            with self.read():  # it is durable, and now the head says so
                pass
        return {id_: receipt for id_, (_, receipt) in found.items() if receipt is not None}

    def adopt(self) -> bool:
        """Take the log as it is where its folder has no head; whether that was so. Raises ``LedgerUnavailable``."""
        if self._head is None or self._known() is not None:
            return False
        with self._reading, self._store.reading() as (_, state):
            self._head.begin(Head(state.size, tree.root_of(state.edge)))
        return True

    def _known(self) -> Head | None:
        """Taken before a block begins: what is durable then is in the state that it sees."""
        return None if self._head is None else self._head.read()

    def _advance(self, head: Head) -> None:
        if self._head is not None:
            self._head.advance(head)

    def _demand_contained(self, head: Head | None, rows: Rows, state: State) -> None:
        if head is not None and not contains(rows, state, head):
            raise LogBehind(self.where, state.size, head)


def contains(rows: Rows, state: State, head: Head) -> bool:
    """Whether a log in this state begins with the one that a head is of: by its root there, whatever its size."""
    if head.size >= state.size:
        return head == Head(state.size, tree.root_of(state.edge))
    return head.size == 0 or tree.root(head.size, lambda level, number: node_of(rows, level, number)) == head.root
