"""Check of a ledger's log against its root on a chain (``meterseal-ledger evm check-log``). Network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger_client.contracts import anchor_registry
from ledger_client.contracts.abi import NotAbi
from ledger_client.contracts.anchor_registry import AnchoredMany
from ledger_client.errors import LedgerUnavailable, NotIncluded
from ledger_client.formats.log_head import LogHead
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.evm.views import demand_contract, shared
from ledger_client.online.log_proof import Log, demand_grown, signed_head
from ledger_client.times import rfc3339
from ledger_client.verification.trust import Trust


@dataclass(frozen=True, slots=True)
class Written:
    """A root over ``size`` entries, written by ``account`` in transaction ``tx`` of a block of this time (Unix s)."""

    root: bytes
    size: int
    account: bytes
    tx: bytes
    block: int
    time: int

    def __str__(self) -> str:
        return f"root {self.root.hex()}, written by account 0x{self.account.hex()} in block {self.block}"

    def as_json(self, head: LogHead) -> dict[str, Any]:
        """The facts for ``--json``, with the head that begins with this root."""
        return {
            "root": self.root.hex(),
            "entries": self.size,
            "time": rfc3339(self.time),
            "block": self.block,
            "tx": "0x" + self.tx.hex(),
            "account": "0x" + self.account.hex(),
            "log": {"ledger": head.ledger, "entries": head.size, "time": rfc3339(head.iat)},
        }


def written(root: bytes, contract: bytes, node: Node, confirmations: int | None) -> Written:
    """What the chain holds of a root, by the word of ``node``; finality is as in ``trust.Chain``.

    Raises ``NotIncluded`` where it does not hold it in a final block, ``Refused`` where the contract is another one,
    ``LedgerUnavailable``.
    """
    demand_contract(node, contract)
    held = shared(node, contract, root)
    if held is None:
        raise NotIncluded(f"contract 0x{contract.hex()} holds no root {root.hex()}", step=6)
    size, number = held
    if Finality(confirmations).missing(node, number):
        raise NotIncluded(f"root {root.hex()} is in block {number}, which is not final yet", step=6)
    block = node.block(number)
    for log in node.logs(contract, number, [anchor_registry.CONTRACT.topic(anchor_registry.ANCHORED_MANY), root]):
        try:
            event = anchor_registry.event(log.topics, log.data)
        except NotAbi:
            continue
        if isinstance(event, AnchoredMany) and event.size == size and block and block.hash == log.block_hash:
            return Written(root, size, event.account, log.tx, number, block.time)
    raise LedgerUnavailable(f"{node.url}: the contract has root {root.hex()}, the node does not show its event")


def grown_from(what: Written, ledger: str, trust: Trust, log: Log) -> LogHead:
    """The log's present head, which begins with what was written; ``Inconsistent`` (step 6), ``LedgerUnavailable``."""
    head = signed_head(ledger, trust, log)
    demand_grown(head, what.size, what.root, what.time, log, str(what))
    return head
