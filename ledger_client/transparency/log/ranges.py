"""Registered record ranges: the last number of each meter and epoch over all batches. SQL of both stores.

Two tables beside whatever keeps the statements, written in the transaction that appends one: ``orders`` with a line a
gateway, ``ranges`` with a line a meter and epoch. They never shrink, so that no number is ever registered twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Sized
from itertools import groupby
from typing import Final, NamedTuple, TypeVar

from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.log.store import Rows

_T = TypeVar("_T")
TABLES: Final = (
    "CREATE TABLE orders (gateway TEXT PRIMARY KEY, since INTEGER NOT NULL, batch INTEGER NOT NULL, id BLOB NOT NULL, "
    "from_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE ranges (gateway TEXT NOT NULL, epoch BLOB NOT NULL, meter TEXT NOT NULL, since INTEGER NOT NULL, "
    "first INTEGER NOT NULL, batch INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (gateway, epoch, meter)) "
    "STRICT, WITHOUT ROWID",
    "CREATE TRIGGER ranges_never_go BEFORE DELETE ON ranges BEGIN SELECT RAISE(ABORT, 'ranges never shrink'); END",
)
"""What makes the tables in SQLite, to be run in one transaction."""
_MOST: Final = 2**63 - 1  # both stores' integers
_LATER: Final = "CASE WHEN excluded.from_ms > orders.from_ms THEN excluded.from_ms ELSE orders.from_ms END"


class Order(NamedTuple):
    """Of one gateway: ``since``, the number of its first batch here; number and id of its last; ``from_ms``, the
    greatest ``from`` of a batch since the last one with ``resume``."""

    since: int
    batch: int
    id: bytes
    from_ms: int


class Held(NamedTuple):
    """Of one meter in one epoch: the batch in which it came first and the ``first`` number; the ``last`` number and the
    ``batch`` of that."""

    since: int
    first: int
    batch: int
    last: int


def order(db: Rows, gateway: str) -> Order | None:
    """What is known of a gateway's order; None before its first statement."""
    row = db.execute("SELECT since, batch, id, from_ms FROM orders WHERE gateway = ?", (gateway,)).fetchone()
    return None if row is None else Order(*row)


def held(db: Rows, gateway: str, epoch: bytes) -> dict[str, Held]:
    """What is held of an epoch, by meter."""
    query = "SELECT meter, since, first, batch, last FROM ranges WHERE gateway = ? AND epoch = ?"
    return {row[0]: Held._make(row[1:]) for row in db.execute(query, (gateway, epoch))}


def orders(db: Rows, gateways: Collection[str]) -> dict[str, Order]:
    """``order`` of several gateways, of those that have one."""
    names = padded(gateways)
    query = f"SELECT gateway, since, batch, id, from_ms FROM orders WHERE gateway IN ({blanks(names)})"
    return {row[0]: Order(*row[1:]) for row in db.execute(query, names)}


def all_held(db: Rows, epochs: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], dict[str, Held]]:
    """``held`` of several epochs of gateways."""
    found: dict[tuple[str, bytes], dict[str, Held]] = {place: {} for place in epochs}
    gateways, names = padded({gateway for gateway, _ in epochs}), padded({epoch for _, epoch in epochs})
    query = (
        "SELECT gateway, epoch, meter, since, first, batch, last FROM ranges "
        f"WHERE gateway IN ({blanks(gateways)}) AND epoch IN ({blanks(names)})"
    )
    if not epochs:
        return found
    for gateway, epoch, meter, *line in db.execute(query, (*gateways, *names)):
        if (gateway, bytes(epoch)) in found:
            found[gateway, bytes(epoch)][meter] = Held._make(line)
    return found


def padded(values: Collection[_T]) -> tuple[_T, ...]:
    """The values, the first one so often that they are a power of two: a database prepares few queries then."""
    many = tuple(values)
    return many + many[:1] * ((1 << (len(many) - 1).bit_length()) - len(many)) if many else ()


def blanks(values: Sized) -> str:
    """As many ``?`` as there are values."""
    return ", ".join("?" * len(values))


def take(db: Rows, signed: SignedStatement) -> None:
    """The ranges of a statement that is being appended. Call within that transaction."""
    take_all(db, [signed])


def take_all(db: Rows, many: Sequence[SignedStatement]) -> None:
    """The same of several, in their order."""
    for resumed, run in groupby(many, lambda signed: signed.statement.resume is not None):
        db.executemany(
            "INSERT INTO orders (gateway, since, batch, id, from_ms) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (gateway) DO UPDATE SET batch = excluded.batch, id = excluded.id, "
            f"from_ms = {'excluded.from_ms' if resumed else _LATER}",
            [(s.statement.gateway, s.statement.batch, s.statement.batch, s.id, s.statement.from_ms) for s in run],
        )
    db.executemany(
        "INSERT INTO ranges (gateway, epoch, meter, since, first, batch, last) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (gateway, epoch, meter) DO UPDATE SET last = excluded.last, batch = excluded.batch "
        "WHERE excluded.last > ranges.last",
        [
            (
                one.gateway,
                stretch.epoch,
                meter,
                one.batch,
                min(stretch.first, _MOST),
                one.batch,
                min(stretch.last, _MOST),
            )
            for one in (signed.statement for signed in many)
            for meter, stretches in one.meters.items()
            for stretch in stretches
        ],
    )
