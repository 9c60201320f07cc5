"""Entries of a log: questions to them, and appending. One ``Reader`` and one ``Writer`` over both stores.

What a writer appends is written down as late as possible, in one piece: with a question that may be about it, or at the
end of its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

from ledger_client.formats.merkle import leaf_hash
from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.log import claim_tables, ranges, tree
from ledger_client.transparency.log.store import Cursor, EntryRow, NodeRow, Rows, State, Transaction

MAX_NUMBER: Final = 2**63 - 1  # both stores' integers
_ADMINISTRATIVE: Final = "FROM entries WHERE gateway IS NULL"
_STATEMENTS: Final = f"FROM entries WHERE gateway IS NOT NULL AND gateway NOT LIKE '{claim_tables.OWNER}%'"
_PAGE: Final = 250
_MOST_EPOCHS: Final = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry came to stand: its index, and size, path and root of the tree that it completed."""

    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes


class Reader:
    """Questions to the log, valid while its ``with`` lasts."""

    def __init__(self, db: Rows, state: State) -> None:
        self._db, self._state = db, state
        self._nodes: dict[tree.Node, bytes] = {}
        self.claims = claim_tables.ClaimTables(db)
        """What the registry knows; writes are a ``Writer``'s."""

    def size(self) -> int:
        """How many entries the log holds, its own among them."""
        return self._state.size

    def root(self) -> bytes:
        """The root over all of them."""
        return tree.root_of(self._state.edge)

    def receipt(self, statement_id: bytes) -> bytes | None:
        """The first receipt of an entry; ``None`` for one that is not here."""
        return receipt_of(self._db, statement_id)[1]

    def number(self, statement_id: bytes) -> int | None:
        """The number of an entry; ``None`` for one that is not here."""
        number = receipt_of(self._db, statement_id)[0]
        return None if number < 0 else number

    def at(self, gateway: str, batch: int) -> bytes | None:
        """The id of the statement that holds a batch number."""
        return id_at(self._db, gateway, batch)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's highest batch."""
        query = "SELECT batch, id FROM entries WHERE gateway = ? ORDER BY batch DESC LIMIT 1"
        row = self._db.execute(query, (gateway,)).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def order(self, gateway: str) -> ranges.Order | None:
        """What is known of a gateway's order."""
        return ranges.order(self._db, gateway)

    def held(self, gateway: str, epoch: bytes) -> dict[str, ranges.Held]:
        """What is held of an epoch of a gateway, by meter."""
        return ranges.held(self._db, gateway, epoch)

    def after(self, gateway: str, batch: int) -> Iterator[bytes]:
        """A gateway's entries with a batch number above ``batch``, in order."""
        query = "SELECT batch, entry FROM entries WHERE gateway = ? AND batch > ? ORDER BY batch LIMIT ?"
        return (bytes(entry) for _, entry in self._pages(query, (gateway,), batch))

    def newest(self, gateway: str) -> Iterator[tuple[bytes, bytes | None]]:
        """(entry, first receipt) of a gateway's statements, that of the highest batch first."""
        place = "FROM entries WHERE gateway = ? AND batch <= ? ORDER BY batch DESC LIMIT ?"
        query = f"SELECT batch - 1, entry, receipt {place}"
        for _, entry, receipt in self._pages(query, (gateway,), MAX_NUMBER):
            yield bytes(entry), None if receipt is None else bytes(receipt)

    def gateways(self) -> list[tuple[str, int, int]]:
        """Every gateway with its number of statements and its last batch, by name."""
        query = f"SELECT gateway, count(*), max(batch) {_STATEMENTS} GROUP BY gateway"
        return sorted((str(name), int(count), int(last)) for name, count, last in self._db.execute(query))

    def entries(self, first: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """(number, entry) of at most ``limit`` entries from number ``first`` on."""
        query = "SELECT number, entry FROM entries WHERE number > ? ORDER BY number LIMIT ?"
        rows = islice(self._pages(query, (), first - 1), limit)
        return ((int(number), bytes(entry)) for number, entry in rows)

    def own_entry_bytes(self, after: int = -1) -> list[bytes]:
        """The ledger's own entries in order: its rules, every change of its key, every gateway let in or shut out."""
        return [entry for _, entry, _ in self.own_entries(after)]

    def own_entries(self, after: int = -1) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(number, entry, receipt) of the ledger's own entries behind entry ``after``."""
        query = f"SELECT number, entry, receipt {_ADMINISTRATIVE} AND number > ? ORDER BY number LIMIT ?"
        for number, entry, receipt in self._pages(query, (), after):
            yield int(number), bytes(entry), None if receipt is None else bytes(receipt)

    def last_own(self) -> int:
        """The number of the ledger's own newest entry; -1 where there is none."""
        return self._state.last_own

    def last_receipt(self) -> bytes | None:
        """The receipt of the newest entry that has one."""
        query = "SELECT receipt FROM entries WHERE receipt IS NOT NULL ORDER BY number DESC LIMIT 1"
        row = self._db.execute(query).fetchone()
        return None if row is None else bytes(row[0])

    def entry(self, number: int) -> bytes | None:
        """The bytes of entry ``number``."""
        row = self._db.execute("SELECT entry FROM entries WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def entry_with_receipt(self, number: int) -> tuple[bytes, bytes | None]:
        """The bytes of entry ``number``, which the log has, and its first receipt."""
        row = self._db.execute("SELECT entry, receipt FROM entries WHERE number = ?", (number,)).fetchone()
        return bytes(row[0]), None if row[1] is None else bytes(row[1])

    def node(self, level: int, number: int) -> bytes:
        """The hash of a complete subtree (see ``tree``)."""
        known = self._nodes.get((level, number))
        if known is None:
            known = self._nodes[level, number] = node_of(self._db, level, number)
        return known

    def _pages(self, query: str, values: Sequence[Any], after: int) -> Iterator[tuple[Any, ...]]:
        """Lines with a number above ``after``, which stands first in each, some at a time: nobody holds a whole log."""
        while rows := self._db.execute(query, (*values, after, _PAGE)).fetchall():
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]


class Expected(NamedTuple):
    """What a work will ask of a statement: its id, its gateway, the epochs that it names."""

    id: bytes
    gateway: str
    epochs: frozenset[bytes]


def receipts_of(db: Rows, ids: Collection[bytes]) -> dict[bytes, tuple[int, bytes | None]]:
    """``receipt_of`` of several, of those that are here."""
    asked = ranges.padded(ids)
    query = f"SELECT id, number, receipt FROM entries WHERE id IN ({ranges.blanks(asked)})"
    found = db.execute(query, asked)
    return {bytes(id_): (int(number), None if receipt is None else bytes(receipt)) for id_, number, receipt in found}


def receipt_of(db: Rows, statement_id: bytes) -> tuple[int, bytes | None]:
    """Number and first receipt of an entry; (-1, None) for one that is not here."""
    row = db.execute("SELECT number, receipt FROM entries WHERE id = ?", (statement_id,)).fetchone()
    return (-1, None) if row is None else (int(row[0]), None if row[1] is None else bytes(row[1]))


def id_at(db: Rows, gateway: str, batch: int) -> bytes | None:
    """The id of the statement that holds a batch number."""
    row = db.execute("SELECT id FROM entries WHERE gateway = ? AND batch = ?", (gateway, batch)).fetchone()
    return None if row is None else bytes(row[0])


def node_of(db: Rows, level: int, number: int) -> bytes:
    """The hash of a complete subtree."""
    return bytes(db.execute("SELECT hash FROM nodes WHERE level = ? AND number = ?", (level, number)).fetchone()[0])


class Writer(Reader):
    """The writer's hands: everything done through it becomes durable together."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(_Flushed(self, transaction.rows), transaction.state)
        self._transaction = transaction
        self._appended: list[EntryRow] = []
        self._completed: list[NodeRow] = []
        self._receipts: dict[bytes, bytes | None] = {}
        self._ids: dict[tuple[str | None, int | None], bytes] = {}
        self._taken: list[SignedStatement] = []
        self._orders: dict[str, ranges.Order | None] = {}
        self._held: dict[tuple[str, bytes], dict[str, ranges.Held]] = {}

    @property
    def state(self) -> State:
        """That of the log with all that was appended."""
        return self._state

    def touch(self) -> None:
        """Write what is there already, to see whether the disk takes it."""
        self._transaction.touch()

    def append(
        self,
        entry: bytes,
        receipt: Callable[[Place], bytes] | None,
        *,
        gateway: str | None = None,
        batch: int | None = None,
    ) -> bytes | None:
        """Add an entry and the receipt that ``receipt`` signs for its place; returns that receipt.

        ``gateway`` and ``batch`` say whose it is and its number there: a gateway's batch, or a party's claim
        (``claim_tables.owner``). ``None`` as ``receipt`` is for the ledger's rules at 0 and its changes of key; the
        path of entry 0 would be empty and so no RFC 9942 receipt at all.
        """
        index, statement_id = self._state.size, sha256(entry).digest()
        grown = tree.grown(index, self._state.edge, leaf_hash(entry))
        signed = None if receipt is None else receipt(Place(index, index + 1, grown.path, grown.root))
        self._appended.append(EntryRow(index, statement_id, gateway, batch, entry, signed))
        self._completed += [NodeRow(level, number, value) for (level, number), value in grown.nodes]
        self._receipts[statement_id] = signed
        self._ids[gateway, batch] = statement_id
        self._state = State(index + 1, grown.edge, index if gateway is None else self._state.last_own)
        return signed

    def take_ranges(self, signed: SignedStatement) -> None:
        """Whose records the statement holds that is being appended."""
        gateway = signed.statement.gateway
        self._taken.append(signed)
        self._orders.pop(gateway, None)
        self._held = {place: held for place, held in self._held.items() if place[0] != gateway}

    def commit(self) -> None:
        """All of it is durable when this returns."""
        self.flush()
        self._transaction.commit(self._state)

    def flush(self) -> None:
        """Write down what was appended."""
        if self._taken:
            taken, self._taken = self._taken, []
            ranges.take_all(self._transaction.rows, taken)
        if self._appended:
            appended, completed, self._appended, self._completed = self._appended, self._completed, [], []
            self._transaction.add(appended, completed)

    # what every statement asks is asked of all that share the transaction at once

    def expect(self, many: Sequence[Expected]) -> None:
        """Find what works will ask, before the first of them; each may ask anything else as well."""
        if not many:
            return
        rows, gateways = self._transaction.rows, {one.gateway for one in many}
        known = receipts_of(rows, {one.id for one in many})
        self._receipts |= {one.id: known.get(one.id, (-1, None))[1] for one in many}
        found = ranges.orders(rows, gateways)
        self._orders |= {gateway: found.get(gateway) for gateway in gateways}
        self._held |= ranges.all_held(rows, _few(many))

    def receipt(self, statement_id: bytes) -> bytes | None:
        if statement_id in self._receipts:
            return self._receipts[statement_id]
        return receipt_of(self._transaction.rows, statement_id)[1]

    def at(self, gateway: str, batch: int) -> bytes | None:
        return self._ids.get((gateway, batch)) or id_at(self._transaction.rows, gateway, batch)

    def order(self, gateway: str) -> ranges.Order | None:
        return self._orders[gateway] if gateway in self._orders else super().order(gateway)

    def held(self, gateway: str, epoch: bytes) -> dict[str, ranges.Held]:
        return self._held[gateway, epoch] if (gateway, epoch) in self._held else super().held(gateway, epoch)


def _few(many: Sequence[Expected]) -> set[tuple[str, bytes]]:
    """The epochs of those that name few; one that names thousands asks them one by one."""
    return {(one.gateway, epoch) for one in many if len(one.epochs) <= _MOST_EPOCHS for epoch in one.epochs}


class _Flushed:
    """The connection of a writer, for questions about all that was appended."""

    def __init__(self, writer: Writer, db: Rows) -> None:
        self._writer, self._db = writer, db

    def execute(self, query: str, values: Sequence[Any] = (), /) -> Cursor:
        self._writer.flush()
        return self._db.execute(query, values)

    def executemany(self, query: str, many: Iterable[Sequence[Any]], /) -> object:
        return self._db.executemany(query, many)
