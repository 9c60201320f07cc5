"""Read-only view of our contracts: which one it is, owner, accounts, what an AnchorRegistry has anchored. Network."""

from __future__ import annotations

from dataclasses import dataclass

from ledger_client.contracts import anchor_registry, claim_registry
from ledger_client.contracts.abi import Contract, NotAbi, address, flag, number, words
from ledger_client.contracts.anchor_registry import gateway_hash
from ledger_client.contracts.claim_registry import name_hash
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.evm.node import Node, Reverted
from ledger_client.messages import Message


@dataclass(frozen=True, slots=True)
class ContractState:
    """What the contract holds of a gateway: the account that may write (None: none), and its last batch and id."""

    account: bytes | None
    last: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class PartyState:
    """What a ClaimRegistry holds of a party: its account (None: none may write), its role by the contract's number (0
    without an account), the number of its next claim."""

    account: bytes | None
    role: int
    following: int


def demand_chain(node: Node, chain_id: int) -> None:
    """Raise ``Refused`` unless the node follows this chain."""
    if (found := node.chain_id()) != chain_id:
        raise Refused("Wrong chain", Message("evm-other-chain", url=node.url, chain=found, own_chain=chain_id))


def contract_at(node: Node, contract: bytes) -> Contract:
    """Which of our contracts stands at an address; raises ``Refused``."""
    code = node.code(contract)
    if code == anchor_registry.CONTRACT.runtime_code():
        return anchor_registry.CONTRACT
    if is_claim_registry(code):
        return claim_registry.CONTRACT
    what = Message("evm-none-of-ours", contract=contract.hex(), chain=node.chain_id())
    raise Refused("Wrong contract", what)


def is_claim_registry(code: bytes, registry: str | None = None) -> bool:
    """Whether code is that of a ClaimRegistry, and of one that was deployed for this name (None: for any)."""
    ours = claim_registry.CONTRACT.runtime_code()
    name = code[len(ours) :]
    return code[: len(ours)] == ours and (len(name) == 32 if registry is None else name == name_hash(registry))


def demand_contract(node: Node, contract: bytes) -> None:
    """Raise ``Refused`` unless AnchorRegistry stands at this address."""
    if node.code(contract) != anchor_registry.CONTRACT.runtime_code():
        what = Message("evm-not-deployed-there", contract=contract.hex(), chain=node.chain_id())
        raise Refused("Wrong contract", what)


def owner_of(node: Node, contract: bytes) -> bytes:
    """The account that owns the contract."""
    (owner,) = _view(node, contract, "owner", count=1)
    return address(owner)


def registry_of(node: Node, contract: bytes) -> bytes:
    """SHA-256 of the name of the registry that a ClaimRegistry was deployed for."""
    (name,) = _view(node, contract, "registry", count=1, of=claim_registry.CONTRACT)
    return name


def party_standing(node: Node, contract: bytes, party: str) -> PartyState:
    """What a ClaimRegistry holds of a party."""
    (account,), (role,), (following,) = (
        _view(node, contract, view, name_hash(party), count=1, of=claim_registry.CONTRACT)
        for view in ("accountOf", "roleOf", "nextNumber")
    )
    return PartyState(address(account) if any(account) else None, number(role), number(following))


def standing(node: Node, contract: bytes, gateway: str) -> ContractState:
    """What the contract holds of a gateway."""
    (account,) = _view(node, contract, "accountOf", gateway_hash(gateway), count=1)
    known, batch, id_, _ = _view(node, contract, "last", gateway_hash(gateway), count=4)
    return ContractState(address(account) if any(account) else None, (number(batch), id_) if flag(known) else None)


def anchored(node: Node, contract: bytes, gateway: str, batch: int) -> bytes | None:
    """The statement id that a gateway has anchored under a batch number; None: none."""
    (id_,) = _view(node, contract, "get", gateway_hash(gateway), batch, count=1)
    return id_ if any(id_) else None


def is_bridge(node: Node, contract: bytes, account: bytes) -> bool:
    """Whether an account may write shared roots now."""
    (allowed,) = _view(node, contract, "isBridge", account, count=1)
    return flag(allowed)


def shared(node: Node, contract: bytes, root: bytes) -> tuple[int, int] | None:
    """Of a root that was written for many: how many are under it, and its block; None if it was not written."""
    size, block = (number(word) for word in _view(node, contract, "shared", root, count=2))
    return (size, block) if size else None


def _view(
    node: Node, contract: bytes, method: str, *arguments: bytes | int, count: int,
    of: Contract = anchor_registry.CONTRACT,
) -> list[bytes]:  # fmt: skip
    try:
        return words(node.call(contract, of.call(method, *arguments)), count)
    except (NotAbi, Reverted) as error:
        why = str(error)
        raise LedgerUnavailable(Message("evm-not-registry", url=node.url, error=why)) from None
