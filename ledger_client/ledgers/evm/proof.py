"""Check of a locator against an EVM node: the chain holds the statement id at that place. Network.

It is the word of that node. Whoever does not trust it asks one of his own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger_client import contracts
from ledger_client.contracts import Anchored, AnchoredMany, NotAbi
from ledger_client.errors import BadReceipt, LedgerUnavailable, UnknownLedger, VerificationError
from ledger_client.formats.bundle import Locator
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.statement import SignedStatement
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Node, TxReceipt
from ledger_client.verification.online_facts import ChainFact
from ledger_client.verification.trust import Chain


def confirm(place: Locator, signed: SignedStatement, chains: Sequence[Chain], node: Node) -> ChainFact:
    """The fact behind a locator. ``chains``: what the trust file says of its ledger.

    Raises a ``VerificationError`` (step 6) that says which part does not hold, ``LedgerUnavailable`` if the node cannot
    tell.
    """
    trusted = _trusted(place, chains)
    if (chain := node.chain_id()) != place.chain:
        raise LedgerUnavailable(f"{node.url} follows chain {chain}, not {place.chain}")
    receipt = node.receipt(place.tx)
    if receipt is None:
        raise _no(place, "the chain has no such transaction")
    if not receipt.ok:
        raise _no(place, "its transaction was reverted: nothing was written")
    if (receipt.block, receipt.block_hash) != (place.block, place.block_hash):
        raise _no(place, f"its transaction is in another block, {receipt.block} 0x{receipt.block_hash.hex()}")
    event = _event(place, signed, receipt)
    by = next((chain for chain in trusted if chain.sender == event.account), None)
    if by is None:
        raise _no(place, f"it was written by account 0x{event.account.hex()}, which the trust file does not name")
    block = node.block(place.block)
    if block is None or block.hash != place.block_hash:
        raise _no(place, f"block {place.block} of the chain is another one by now")
    if Finality(by.confirmations).missing(node, place.block):
        raise _no(place, f"block {place.block} is not final yet")
    return ChainFact(signed.id, block.time, isinstance(event, AnchoredMany))


def _trusted(place: Locator, chains: Sequence[Chain]) -> list[Chain]:
    if not chains:
        raise UnknownLedger(f"{place.ledger}: the trust file has no [[chain]] of this ledger", step=6)
    on_chain = [chain for chain in chains if chain.chain_id == place.chain]
    if not on_chain:
        raise _no(place, f"it is on chain {place.chain}, which is not the trust file's")
    trusted = [chain for chain in on_chain if chain.contract == place.contract]
    if not trusted:
        raise _no(place, f"it is at contract 0x{place.contract.hex()}, which is not the trust file's")
    return trusted


def _event(place: Locator, signed: SignedStatement, receipt: TxReceipt) -> Anchored | AnchoredMany:
    """The contract's event about this statement."""
    try:
        events = [contracts.event(log.topics, log.data) for log in receipt.logs if log.address == place.contract]
    except NotAbi as error:
        raise _no(place, f"the contract's event cannot be read: {error}") from None
    statement = signed.statement
    for event in events:
        if isinstance(event, Anchored) and place.inclusion is None and event.id == signed.id:
            if (event.gateway, event.batch) != (contracts.gateway_hash(statement.gateway), statement.batch):
                raise _no(place, f"the id stands under another gateway or number than batch {statement.batch}'s")
            return event
        if isinstance(event, AnchoredMany) and place.inclusion is not None and _under(place, signed, event):
            return event
    what = "under a shared root" if place.inclusion else f"as batch {statement.batch}"
    raise _no(place, f"its transaction does not write this statement {what}")


def _under(place: Locator, signed: SignedStatement, event: AnchoredMany) -> bool:
    """True if the statement's id is a leaf of the event's tree: SHA-256(0x00 ‖ id), as in every tree here."""
    assert place.inclusion is not None
    size, index, path = place.inclusion
    try:
        return size == event.size and root_from_path(leaf_hash(signed.id), size, index, path) == event.root
    except VerificationError:
        return False


def _no(place: Locator, problem: str) -> BadReceipt:
    return BadReceipt(f"{place.ledger}: {problem} (transaction 0x{place.tx.hex()})", step=6)
