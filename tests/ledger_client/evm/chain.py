"""A chain with a contract of ours on it, and a plain way to call it: from the node's own accounts, without a driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger_client.contracts import abi, anchor_registry
from ledger_client.contracts.abi import Argument, Contract, address, flag, number, words
from ledger_client.contracts.anchor_registry import Anchored, AnchoredMany
from ledger_client.ledgers.evm.node import Log, Node, NodeError, Reverted, TxReceipt
from tests.support.processes import Anvil, anvil

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Registry:
    """A deployed contract; ``owner`` is the account of the node that deployed it."""

    node: Node
    address: bytes
    owner: bytes
    contract: Contract = anchor_registry.CONTRACT

    def send(self, sender: bytes, method: str, *arguments: Argument) -> TxReceipt:
        """A transaction that must succeed; raises ``Reverted`` with the contract's reason."""
        data = self.contract.call(method, *arguments)
        self.node.call(self.address, data, sender)
        try:
            receipt = transact(self.node, sender, data, self.address)
        except NodeError as error:
            raise Reverted(abi.reason(error.data) or error.message) from error
        assert receipt.ok
        return receipt

    def anchor(self, sender: bytes, batch: int, id_: bytes, prev: bytes = bytes(32), resume: bool = False) -> TxReceipt:
        return self.send(sender, "anchor", batch, id_, prev, int(resume))

    def view(self, method: str, *arguments: Argument, count: int = 1) -> list[bytes]:
        return words(self.node.call(self.address, self.contract.call(method, *arguments)), count)

    def last(self, gateway: str) -> tuple[int, bytes, int] | None:
        """(batch, id, block) of a gateway's last anchor."""
        known, batch, id_, block = self.view("last", anchor_registry.gateway_hash(gateway), count=4)
        return (number(batch), id_, number(block)) if flag(known) else None

    def get(self, gateway: str, batch: int) -> bytes:
        (id_,) = self.view("get", anchor_registry.gateway_hash(gateway), batch)
        return id_

    def account_of(self, gateway: str) -> bytes:
        (account,) = self.view("accountOf", anchor_registry.gateway_hash(gateway))
        return address(account)

    def anchors(self) -> list[Anchored | AnchoredMany]:
        """Every anchor of the whole chain, in order."""
        events = (anchor_registry.event(log.topics, log.data) for log in self.logs())
        return [event for event in events if event is not None]

    def logs(self) -> list[Log]:
        """Every event of the whole chain, in order."""
        latest = self.node.block("latest")
        assert latest is not None
        return [log for n in range(latest.number + 1) for log in self.node.logs(self.address, n, [])]


def refused(registry: Registry, sender: bytes, method: str, *arguments: Argument) -> str:
    """The reason of a call that changes nothing, however often it is made."""
    before = registry.logs()
    reasons = set()
    for _ in range(2):
        with pytest.raises(Reverted) as caught:
            registry.send(sender, method, *arguments)
        reasons.add(str(caught.value))
    assert registry.logs() == before
    (reason,) = reasons
    return reason


def transact(node: Node, sender: bytes, data: bytes, to: bytes | None = None) -> TxReceipt:
    """Send from an account that the node signs for."""
    asked: dict[str, Any] = {"from": "0x" + sender.hex(), "data": "0x" + data.hex(), "gas": hex(4_000_000)}
    latest = node.block("latest")
    if latest is not None and latest.base_fee is None:  # else the node sets the fee as it should be
        asked["gasPrice"] = hex(node.gas_price())
    if to is not None:
        asked["to"] = "0x" + to.hex()
    return mined(node, bytes.fromhex(node.ask("eth_sendTransaction", asked)[2:]))


def mined(node: Node, tx: bytes) -> TxReceipt:
    """The receipt of a transaction that the node mines by itself, a moment after it took it."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while (receipt := node.receipt(tx)) is None:
        assert time.monotonic() < deadline
        pause.wait(0.002)
    return receipt


def accounts(node: Node) -> list[bytes]:
    """The accounts that the node signs for, all of them rich."""
    return [bytes.fromhex(account[2:]) for account in node.ask("eth_accounts")]


def deploy(node: Node, contract: Contract = anchor_registry.CONTRACT, *arguments: Argument) -> Registry:
    """A fresh contract of the node's first account."""
    owner = accounts(node)[0]
    receipt = transact(node, owner, contract.creation_code(*arguments))
    assert receipt.ok
    assert receipt.contract is not None
    return Registry(node, receipt.contract, owner, contract)


@contextmanager
def chain(folder: Path, *options: str) -> Iterator[tuple[Anvil, Node]]:
    """A running node and a way to ask it."""
    with anvil(folder, *options) as process:
        node = Node(process.url)
        try:
            yield process, node
        finally:
            node.close()
