"""Finality of an anchor on a chain: one rule for the driver and the verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.evm.node import Node, NodeError
from ledger_client.messages import Message

_NOTHING_FINAL: Final = Message("evm-nothing-final")


@dataclass(frozen=True, slots=True)
class Finality:
    """When an anchor counts: in a block of the chain's own ``finalized`` (None), or with so many blocks on it, its own
    included (1: at once, where one commit is final: QBFT, IBFT, PBFT)."""

    confirmations: int | None = None

    def missing(self, node: Node, block: int) -> int:
        """How many blocks are missing until a block of the chain is final; raises ``LedgerUnavailable``."""
        try:
            newest = node.block("latest" if self.confirmations else "finalized")
        except NodeError as error:
            if self.confirmations:
                raise
            raise LedgerUnavailable(Message("evm-nothing-final-because", error=error.sentence)) from None
        if newest is None:
            raise LedgerUnavailable(Message("at", place=node.url, what=_NOTHING_FINAL))
        return max(0, block + (self.confirmations or 1) - 1 - newest.number)
