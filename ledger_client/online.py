"""``verify --online``: ask the ledgers of a bundle what they hold now. Needs the network; brings ``Facts``."""

from __future__ import annotations

from collections.abc import Mapping

from ledger_client.bundle import Bundle, Locator
from ledger_client.errors import LedgerUnavailable, VerificationError
from ledger_client.facts import Facts, Placed
from ledger_client.ledgers.evm_node import Node
from ledger_client.ledgers.evm_proof import confirm
from ledger_client.statement import SignedStatement, read_statement
from ledger_client.trust import Trust


def refresh(bundle: bytes, trust: Trust, nodes: Mapping[str, str], *, timeout_s: float = 10.0) -> Facts:
    """Ask about everything in a bundle that can be asked about; nothing that a ledger says or fails to say raises.

    ``nodes``: ledger name → URL of a node of its chain. Raises ``Malformed`` for a bundle that cannot be read.
    """
    parts = Bundle.parse(bundle)
    signed = read_statement(parts.statement)
    return Facts(places={place: _place(place, signed, trust, nodes, timeout_s) for place in parts.anchors})


def _place(
    place: Locator, signed: SignedStatement, trust: Trust, nodes: Mapping[str, str], timeout_s: float
) -> Placed | VerificationError | str:
    if place.ledger not in nodes:
        return f"no node was given to ask, as --rpc {place.ledger}=URL"
    node = Node(nodes[place.ledger], timeout_s=timeout_s)
    try:
        return confirm(place, signed, [chain for chain in trust.chains if chain.ledger == place.ledger], node)
    except VerificationError as error:
        return error
    except LedgerUnavailable as error:
        return f"its chain could not be asked: {error}"
    finally:
        node.close()
