"""Store of a log: what SQLite and PostgreSQL each do for ``log.Log``. Interface.

A store knows connections, transactions and how to write down what was appended; every question about the contents is
SQL that both understand, and stands once, in ``entries``, ``ranges`` and ``claim_tables``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ledger_client.errors import LedgerClientError


class LogError(LedgerClientError):
    """A log cannot be opened or copied: what, where, and the way out."""


class Cursor(Protocol):
    """What a query has found."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Rows(Protocol):
    """A connection, as ``sqlite3`` has it: a value takes the place of each ``?``."""

    def execute(self, query: str, values: Sequence[Any] = ..., /) -> Cursor: ...
    def executemany(self, query: str, many: Iterable[Sequence[Any]], /) -> object: ...


class State(NamedTuple):
    """Of a log: its number of entries, the ``edge`` of its tree (see ``tree``), and the number of the last entry that
    is the ledger's own, -1 where there is none."""

    size: int
    edge: tuple[bytes, ...]
    last_own: int


class EntryRow(NamedTuple):
    """A line of the table ``entries``."""

    number: int
    id: bytes
    gateway: str | None
    batch: int | None
    entry: bytes
    receipt: bytes | None


class NodeRow(NamedTuple):
    """A line of the table ``nodes``."""

    level: int
    number: int
    hash: bytes


class Transaction(ABC):
    """The only one that writes, from its begin on; ``state`` is that of its begin."""

    rows: Rows
    state: State

    @abstractmethod
    def add(self, entries: Sequence[EntryRow], nodes: Sequence[NodeRow]) -> None:
        """Write down what was appended."""

    @abstractmethod
    def touch(self) -> None:
        """Write what is there already, to see whether the disk takes it."""

    @abstractmethod
    def commit(self, state: State) -> None:
        """All of it durable, with the state that it leads to, when this returns."""


class Store(ABC):
    """Where a log is. Raises ``LedgerUnavailable``, also for what its database raises inside of the blocks."""

    name: str
    """The ledger's."""
    where: str
    """The file or the database, for messages."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[tuple[Rows, State]]:
        """One state of what is durable; one block at a time."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Transaction]:
        """One transaction, rolled back unless it was committed; one block at a time, beside one that reads."""

    @abstractmethod
    def looking(self) -> AbstractContextManager[Rows]:
        """For one question, which needs no moment of its own; not within ``reading``."""

    @abstractmethod
    def copy(self, path: Path) -> None:
        """Write the log as it is at this moment to a new SQLite file; not within ``reading``. Raises ``LogError``."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""
