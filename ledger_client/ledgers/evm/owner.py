"""Administration of our contracts: deployment and single calls, each followed until mined. Network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger_client.contracts import anchor_registry
from ledger_client.contracts.abi import Contract
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.evm.account import Account, Transaction
from ledger_client.ledgers.evm.node import Node, NodeError, Reverted, TxReceipt
from ledger_client.ledgers.evm.transactions import suggested
from ledger_client.ledgers.evm.views import contract_at
from ledger_client.messages import Message

_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Owner:
    """``account`` speaks to the chain of ``node``; ``tell`` hears what was sent before anybody waits for it.

    Every act raises ``Refused`` with the contract's reason, ``LedgerUnavailable`` when there is no answer, or no block
    within ``wait_s``; the transaction may still be mined then.
    """

    node: Node
    account: Account
    tell: Callable[[str], None]
    legacy: bool = False
    wait_s: float = 300.0

    def deploy(self, contract: Contract = anchor_registry.CONTRACT, *arguments: str) -> TxReceipt:
        """A new contract, owned by the account; its address is the receipt's ``contract``."""
        receipt = self._send(contract.creation_code(*arguments), None)
        ours = contract.runtime_code()
        if receipt.contract is None or self.node.code(receipt.contract)[: len(ours)] != ours:
            raise LedgerUnavailable(Message("evm-deployed-elsewhere", url=self.node.url, tx=receipt.tx.hex()))
        return receipt

    def act(self, contract: bytes, method: str, *arguments: bytes | int | str) -> TxReceipt:
        """One call of the contract, whichever of ours has it."""
        data = contract_at(self.node, contract).call(method, *arguments)
        try:
            self.node.call(contract, data, self.account.address)
        except Reverted as error:
            raise Refused(str(error), Message("evm-call", contract=contract.hex(), account=str(self.account))) from None
        return self._send(data, contract)

    def _send(self, data: bytes, to: bytes | None) -> TxReceipt:
        sender = self.account.address
        try:
            gas = self.node.gas(sender, data, to) * 5 // 4
            call = Transaction(
                self.node.chain_id(), self.node.nonce(sender), to, data, gas, suggested(self.node, legacy=self.legacy)
            )
            raw, tx = self.account.sign(call)
            self.tell(f"transaction 0x{tx.hex()}, {gas} gas at most")
            self.node.send(raw)
        except NodeError as error:
            if "insufficient" in error.message.lower():
                raise Refused(
                    "No funds", Message("evm-cannot-pay", account=str(self.account), error=error.sentence)
                ) from None
            raise
        deadline = time.monotonic() + self.wait_s
        while (receipt := self.node.receipt(tx)) is None:
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    Message("evm-not-mined", url=self.node.url, tx=tx.hex(), waited_s=round(self.wait_s))
                )
            time.sleep(_PAUSE_S)
        if not receipt.ok:
            raise Refused("Reverted", Message("evm-reverted", tx=tx.hex(), block=receipt.block))
        return receipt
