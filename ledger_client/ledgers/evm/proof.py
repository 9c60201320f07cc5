"""Check of a locator against an EVM node: the chain holds the statement, or the claim, at that place. Network.

It is the word of that node. Whoever does not trust it asks one of his own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger_client.claims.claim import SignedClaim
from ledger_client.contracts import anchor_registry, claim_registry
from ledger_client.contracts.abi import NotAbi
from ledger_client.contracts.anchor_registry import Anchored, AnchoredMany
from ledger_client.errors import BadReceipt, LedgerUnavailable, Refused, UnknownLedger, VerificationError
from ledger_client.formats.bundle import Locator
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.statement import SignedStatement
from ledger_client.ledgers.evm.claim_calls import claim_id, difference, expected_event
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Block, Node, TxReceipt
from ledger_client.messages import Message
from ledger_client.verification.online_facts import ChainFact
from ledger_client.verification.trust import Chain


def confirm(place: Locator, signed: SignedStatement, chains: Sequence[Chain], node: Node) -> ChainFact:
    """The fact behind a statement's locator. ``chains``: what the trust file says of its ledger.

    Raises a ``VerificationError`` (step 6) that says which part does not hold, ``LedgerUnavailable`` if the node cannot
    tell.
    """
    trusted = _trusted(place, chains)
    event = _event(place, signed, _receipt(place, node))
    by = next((chain for chain in trusted if chain.sender == event.account), None)
    if by is None:
        raise _no(place, Message("evm-proof-unknown-account", account=event.account.hex()))
    return ChainFact(signed.id, _final_block(place, by, node).time, isinstance(event, AnchoredMany))


def confirm_claim(place: Locator, signed: SignedClaim, registries: Sequence[Chain], node: Node) -> ChainFact:
    """The fact behind a claim's locator: the contract of its registry has written all that the signed claim says.

    ``registries``: what the trust file says of the registry; raises as ``confirm``. The contract takes the word of
    the party's account: what its owner did in a party's name is found out here, for no claim that the party signed
    says so.
    """
    if place.ledger != signed.claim.registry:
        raise _no(place, Message("evm-proof-other-registry", registry=signed.claim.registry))
    by = _trusted(place, registries)[0]
    receipt = _receipt(place, node)
    try:
        one = expected_event(signed)
        events = [claim_registry.event(log.topics, log.data) for log in receipt.logs if log.address == place.contract]
    except NotAbi as error:
        why = str(error)
        raise _no(place, Message("evm-proof-event-unreadable", error=why)) from None
    except Refused as error:
        raise _no(place, Message("evm-proof-no-claim", error=error.detail)) from None
    event = next((event for event in events if event is not None and claim_id(event) == signed.id), None)
    if event is None:
        raise _no(place, Message("evm-proof-claim-not-written"))
    if otherwise := difference(one, event):
        raise _no(place, Message("evm-proof-claim-otherwise", difference=otherwise))
    return ChainFact(signed.id, _final_block(place, by, node).time, shared=False)


def _trusted(place: Locator, chains: Sequence[Chain]) -> list[Chain]:
    if not chains:
        raise UnknownLedger(Message("at", place=place.ledger, what=Message("evm-proof-no-chain")), step=6)
    on_chain = [chain for chain in chains if chain.chain_id == place.chain]
    if not on_chain:
        raise _no(place, Message("evm-proof-other-chain", chain=place.chain))
    trusted = [chain for chain in on_chain if chain.contract == place.contract]
    if not trusted:
        raise _no(place, Message("evm-proof-other-contract", contract=place.contract.hex()))
    return trusted


def _receipt(place: Locator, node: Node) -> TxReceipt:
    """Of the transaction at a place, in the block that it names."""
    if (chain := node.chain_id()) != place.chain:
        raise LedgerUnavailable(Message("evm-node-other-chain", url=node.url, chain=chain, wanted=place.chain))
    receipt = node.receipt(place.tx)
    if receipt is None:
        raise _no(place, Message("evm-proof-no-transaction"))
    if not receipt.ok:
        raise _no(place, Message("evm-proof-reverted"))
    if (receipt.block, receipt.block_hash) != (place.block, place.block_hash):
        what = Message("evm-proof-other-block", block=receipt.block, hash=receipt.block_hash.hex())
        raise _no(place, what)
    return receipt


def _final_block(place: Locator, by: Chain, node: Node) -> Block:
    block = node.block(place.block)
    if block is None or block.hash != place.block_hash:
        raise _no(place, Message("evm-proof-block-replaced", block=place.block))
    if Finality(by.confirmations).missing(node, place.block):
        raise _no(place, Message("evm-proof-not-final", block=place.block))
    return block


def _event(place: Locator, signed: SignedStatement, receipt: TxReceipt) -> Anchored | AnchoredMany:
    """The contract's event about this statement."""
    try:
        events = [anchor_registry.event(log.topics, log.data) for log in receipt.logs if log.address == place.contract]
    except NotAbi as error:
        why = str(error)
        raise _no(place, Message("evm-proof-event-unreadable", error=why)) from None
    statement = signed.statement
    for event in events:
        if isinstance(event, Anchored) and place.inclusion is None and event.id == signed.id:
            if (event.gateway, event.batch) != (anchor_registry.gateway_hash(statement.gateway), statement.batch):
                raise _no(place, Message("evm-proof-other-number", batch=statement.batch))
            return event
        if isinstance(event, AnchoredMany) and place.inclusion is not None and _under(place, signed, event):
            return event
    if place.inclusion:
        raise _no(place, Message("evm-proof-not-under-root"))
    raise _no(place, Message("evm-proof-not-written", batch=statement.batch))


def _under(place: Locator, signed: SignedStatement, event: AnchoredMany) -> bool:
    """True if the statement's id is a leaf of the event's tree: SHA-256(0x00 ‖ id), as in every tree here."""
    assert place.inclusion is not None
    size, index, path = place.inclusion
    try:
        return size == event.size and root_from_path(leaf_hash(signed.id), size, index, path) == event.root
    except VerificationError:
        return False


def _no(place: Locator, what: Message) -> BadReceipt:
    return BadReceipt(Message("evm-proof", ledger=place.ledger, what=what, tx=place.tx.hex()), step=6)
