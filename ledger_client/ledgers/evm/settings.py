"""Settings of the EVM ledger driver: which contract, at what price, from when an anchor counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """How an account anchors on a chain.

    Args:
        contract: the 20 bytes of the AnchorRegistry's address.
        chain_id: the chain's number (EIP-155).
        confirmations: blocks from which on an anchor counts, its own included; None: the chain's ``finalized``.
        legacy: one price of gas, though the chain knows EIP-1559.
        gas_limit: units of gas that one transaction may use; an anchor takes about 60,000, and what is not used is not
            paid.
        max_fee: wei that a unit of gas may cost.
        poll_s: seconds after which a statement on its way is worth another look.
        stuck_after_s: seconds that the account's next transaction may wait, while blocks come without it, before its
            fee is raised.
        timeout_s: seconds for one answer of the node.
    """

    contract: bytes
    chain_id: int
    confirmations: int | None = None
    legacy: bool = False
    gas_limit: int = 150_000
    max_fee: int = 10**12
    poll_s: float = 1.0
    stuck_after_s: float = 60.0
    timeout_s: float = 10.0
