"""Registered record ranges: the last number of each meter and epoch over all batches. SQL of both stores.

Two tables beside whatever keeps the statements, written in the transaction that appends one: ``orders`` with a line a
gateway, ``ranges`` with a line a meter and epoch. They never shrink, so that no number is ever registered twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.log.store import Rows

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


def take(db: Rows, signed: SignedStatement) -> None:
    """The ranges of a statement that is being appended. Call within that transaction."""
    statement = signed.statement
    gateway, batch = statement.gateway, statement.batch
    db.execute(
        "INSERT INTO orders (gateway, since, batch, id, from_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (gateway) DO UPDATE SET batch = excluded.batch, id = excluded.id, "
        f"from_ms = {'excluded.from_ms' if statement.resume is not None else _LATER}",
        (gateway, batch, batch, signed.id, statement.from_ms),
    )
    db.executemany(
        "INSERT INTO ranges (gateway, epoch, meter, since, first, batch, last) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (gateway, epoch, meter) DO UPDATE SET last = excluded.last, batch = excluded.batch "
        "WHERE excluded.last > ranges.last",
        [
            (gateway, stretch.epoch, meter, batch, min(stretch.first, _MOST), batch, min(stretch.last, _MOST))
            for meter, stretches in statement.meters.items()
            for stretch in stretches
        ],
    )
