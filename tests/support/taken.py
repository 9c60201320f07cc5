"""Whether a ledger would take a gateway's statements, from the first one on or coming later: by its own rules."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger_client.formats.statement import SignedStatement
from ledger_client.transparency.ledger.admission import check_order
from ledger_client.transparency.log import ranges


class Order:
    """The rules of order alone, without keys and clock."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:")
        for table in ranges.TABLES:
            self._db.execute(table)
        self._ids: dict[int, bytes] = {}

    def take(self, signed: SignedStatement) -> None:
        """Raises ``Refused``."""
        check_order(self, signed.statement)
        ranges.take(self._db, signed)
        self._ids[signed.statement.batch] = signed.id

    def at(self, gateway: str, batch: int) -> bytes | None:
        return self._ids.get(batch)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        return max(self._ids.items(), default=None)

    def order(self, gateway: str) -> ranges.Order | None:
        return ranges.order(self._db, gateway)

    def held(self, gateway: str, epoch: bytes) -> dict[str, ranges.Held]:
        return ranges.held(self._db, gateway, epoch)


def check_taken(statements: Sequence[SignedStatement]) -> None:
    """A ledger takes them all in order, and so does one that comes later, or that was given nothing for a while because
    the statements between are lost."""
    for begin in {0, len(statements) // 3, len(statements) // 2}:
        order, before = Order(), -1
        for signed in statements[begin:]:
            if signed.statement.batch != before + 1 and signed.statement.resume is None:
                order = Order()
            order.take(signed)
            before = signed.statement.batch
