"""What an anchor costs on a chain: measured on a fresh contract, by the receipts of its transactions."""

from __future__ import annotations

from hashlib import sha256

from ledger_client.formats.merkle import Tree, leaf_hash
from tests.ledger_client.evm.chain import Registry, accounts

GATEWAYS = (1, 10, 100)
_ANCHORS = 12


def measure(registry: Registry) -> dict[str, object]:
    """Anchor at a contract that nobody has used, and read off the gas.

    ``gas_per_anchor``: the dearest that is not a gateway's first; ``gas_per_gateway``: the share of each of so many
    whose statement ids stand under one root, in one transaction, rounded up.
    """
    node = registry.node
    sender, bridge = accounts(node)[1:3]
    created = node.receipt(registry.logs()[0].tx)
    assert created is not None
    registry.send(registry.owner, "register", sender, "gw")
    registry.send(registry.owner, "setBridge", bridge, 1)
    ids = [sha256(bytes([n])).digest() for n in range(max(GATEWAYS))]
    anchors = [_anchor(registry, sender, n, ids) for n in range(_ANCHORS)]
    roots = {n: registry.send(bridge, "anchorMany", _root(ids[:n]), n).gas_used for n in GATEWAYS}
    return {
        "gas_deploy": created.gas_used,
        "gas_first_anchor": anchors[0],
        "gas_per_anchor": max(anchors[1:]),
        "gas_per_gateway": {str(n): -(-roots[n] // n) for n in GATEWAYS},
    }


def _root(ids: list[bytes]) -> bytes:
    return Tree([leaf_hash(one) for one in ids]).root


def _anchor(registry: Registry, sender: bytes, batch: int, ids: list[bytes]) -> int:
    prev = ids[batch - 1] if batch else bytes(32)
    return registry.anchor(sender, batch, ids[batch], prev).gas_used
