"""What an anchor costs on a chain: measured on a fresh contract, by the receipts of its transactions."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from ledger_client.merkle import Tree, leaf_hash
from tests.evm.chain import Registry, accounts, chain, deploy


@dataclass(frozen=True, slots=True)
class Gas:
    """Gas of a deployment; of a gateway's first anchor and each next one; of a root, and of that for each of 1, 10 and
    100 gateways that share it (one transaction, whoever is under it)."""

    deploy: int
    first_anchor: int
    anchor: int
    shared_root: int
    a_gateway_of_1: int
    a_gateway_of_10: int
    a_gateway_of_100: int


def measure(folder: Path) -> Gas:
    """Start a node in ``folder``, deploy, anchor, and read off the gas."""
    with chain(folder) as (_, node):
        registry = deploy(node)
        sender, bridge = accounts(node)[1:3]
        created = registry.logs()[0].tx
        registry.send(registry.owner, "register", sender, "gw")
        registry.send(registry.owner, "setBridge", bridge, 1)
        ids = [sha256(bytes([n])).digest() for n in range(12)]
        anchors = [_anchor(registry, sender, n, ids) for n in range(len(ids))]
        roots = {gateways: gas_of_shared(registry, bridge, gateways) for gateways in (1, 10, 100)}
        receipt = node.receipt(created)
        assert receipt is not None
        shares = (-(-gas // gateways) for gateways, gas in roots.items())
        return Gas(receipt.gas_used, anchors[0], max(anchors[2:]), max(roots.values()), *shares)


def gas_of_shared(registry: Registry, bridge: bytes, gateways: int) -> int:
    """What one root over the statement ids of so many gateways costs in all, written by an account with the role
    bridge; each call makes ids of its own."""
    tree = Tree([leaf_hash(secrets.token_bytes(32)) for _ in range(gateways)])
    return registry.send(bridge, "anchorMany", tree.root, gateways).gas_used


def _anchor(registry: Registry, sender: bytes, batch: int, ids: list[bytes]) -> int:
    prev = ids[batch - 1] if batch else bytes(32)
    return registry.anchor(sender, batch, ids[batch], prev).gas_used


def figures(folder: Path) -> dict[str, object]:
    """As a benchmark prints them."""
    return {f"gas_{name}": value for name, value in asdict(measure(folder)).items()}
