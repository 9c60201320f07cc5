"""AnchorRegistry: the contract that says which statement id each gateway has anchored under which batch number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from ledger_client.contracts.abi import Contract, address, flag, number, words

CONTRACT: Final = Contract("AnchorRegistry")
ANCHORED: Final = "Anchored"
ANCHORED_MANY: Final = "AnchoredMany"


@dataclass(frozen=True, slots=True)
class Anchored:
    """The event of one anchor: SHA-256 of the gateway's name, batch, statement id, what it said of its predecessor, the
    account that wrote it, and the block of the gateway's anchor before (0: none)."""

    gateway: bytes
    batch: int
    id: bytes
    prev: bytes
    resume: bool
    account: bytes
    previous: int


@dataclass(frozen=True, slots=True)
class AnchoredMany:
    """The event of one shared root over ``size`` statement ids."""

    root: bytes
    account: bytes
    size: int


def gateway_hash(name: str) -> bytes:
    """How the contract knows a gateway."""
    return hashlib.sha256(name.encode()).digest()


def event(topics: list[bytes], data: bytes) -> Anchored | AnchoredMany | None:
    """The anchor that a log entry of the contract tells of; None for its other events; raises ``NotAbi``."""
    if topics[:1] == [CONTRACT.topic(ANCHORED)] and len(topics) == 4:
        prev, resume, account, previous = words(data, 4)
        return Anchored(topics[1], number(topics[2]), topics[3], prev, flag(resume), address(account), number(previous))
    if topics[:1] == [CONTRACT.topic(ANCHORED_MANY)] and len(topics) == 3:
        (size,) = words(data, 1)
        return AnchoredMany(topics[1], address(topics[2]), number(size))
    return None
