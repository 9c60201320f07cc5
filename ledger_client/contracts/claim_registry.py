"""ClaimRegistry: the contract that says who holds which units of which certificate (docs/claims.md, R8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger_client.contracts.abi import Contract, NotAbi, address, number, words_and_texts

CONTRACT: Final = Contract("ClaimRegistry")
PARTY: Final = 1
ISSUER: Final = 2
"""Roles of an account."""
STATUSES: Final = (None, "held", "retired", "exported", "withdrawn")
"""Of a slice, by the contract's number; None: there is no slice."""
MOST_INTERVALS: Final = 24
"""Of one call of ``issue``."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An account may write for a party, SHA-256 of ``name``, from here on, in its one role."""

    party: bytes
    account: bytes
    role: int
    name: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """A party's account was replaced."""

    party: bytes
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Revoked:
    """A party's account writes no more, and the party has none."""

    party: bytes
    account: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate: parties, device, row, period as hashes, times in Unix seconds, units in Wh. In each event from
    here on ``number`` and ``claim`` are the claim's number and SHA-256, ``account`` the one that wrote it."""

    cert: bytes
    issuer: bytes
    holder: bytes
    number: int
    device: bytes
    begin: int
    end: int
    units: int
    period: bytes
    row: bytes
    claim: bytes
    account: bytes


@dataclass(frozen=True, slots=True)
class Transferred:
    """Units [a, b) went from ``party`` to ``to``; ``start``: where the slice began that had unit a."""

    cert: bytes
    party: bytes
    to: bytes
    number: int
    start: int
    a: int
    b: int
    claim: bytes
    account: bytes


@dataclass(frozen=True, slots=True)
class Retired:
    """Units [a, b) were used for a period of consumption in Unix seconds; ``beneficiary``: Z3, empty for the holder."""

    cert: bytes
    party: bytes
    beneficiary: bytes
    number: int
    start: int
    a: int
    b: int
    begin: int
    end: int
    claim: bytes
    account: bytes
    purpose: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Units [a, b) go on in another registry."""

    cert: bytes
    party: bytes
    number: int
    start: int
    a: int
    b: int
    claim: bytes
    account: bytes
    into: str
    reference: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A certificate was taken back, its quarter hours are free."""

    cert: bytes
    issuer: bytes
    holder: bytes
    number: int
    device: bytes
    begin: int
    end: int
    units: int
    period: bytes
    row: bytes
    claim: bytes
    account: bytes
    reason: str


Event = Registered | Rotated | Revoked | Issued | Transferred | Retired | Exported | Withdrawn
"""What changes the state of a registry; who owns it does not."""

_FIELDS: Final[tuple[tuple[Callable[..., Event], str], ...]] = (
    (Registered, "hant"),
    (Rotated, "haa"),
    (Revoked, "ha"),
    (Issued, "hhhnhnnnhhha"),
    (Transferred, "hhhnnnnha"),
    (Retired, "hhhnnnnnnhat"),
    (Exported, "hhnnnnhatt"),
    (Withdrawn, "hhhnhnnnhhhat"),
)
"""The fields of each event in order: hash, address, number, text."""
_READ: Final[dict[str, Callable[[bytes], bytes | int]]] = {"h": bytes, "a": address, "n": number}


def name_hash(name: str) -> bytes:
    """How the contract knows a party, a registry or a device."""
    return hashlib.sha256(name.encode()).digest()


def event(topics: list[bytes], data: bytes) -> Event | None:
    """What a log entry of the contract tells of; None for one of its ownership; raises ``NotAbi``."""
    for made, kinds in _FIELDS:
        if topics[:1] == [CONTRACT.topic(made.__name__)]:
            texts = kinds.count("t")
            static = kinds.removesuffix("t" * texts)
            if len(topics) > 1 + len(static):
                raise NotAbi(f"{len(topics)} topics of an event with {len(static)} words")
            rest, strings = words_and_texts(data, len(static) - len(topics[1:]), texts)
            return made(*(_READ[kind](one) for kind, one in zip(static, [*topics[1:], *rest], strict=True)), *strings)
    return None
