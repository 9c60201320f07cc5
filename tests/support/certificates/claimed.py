"""Parties as a registry sees them: a key, claims numbered one behind the other."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ledger_client.claims.certificate import certificate_of
from ledger_client.claims.claim import QUARTER_MS, Claim, Deed, Issue, Origin, sign_claim
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.verification.trust_text import key_entry

HASH = b"\x01" * 32
UNITS = 100


@dataclass
class Party:
    """One who claims; ``number`` is that of the next claim."""

    name: str
    role: str
    registry: str
    number: int = 0
    key: PrivateKey = field(default_factory=PrivateKey.generate)

    def sign(self, deed: Deed, number: int | None = None, registry: str = "", iat: int | None = None) -> bytes:
        """The entry of a claim; it takes the next number unless one is given, and is of now unless ``iat`` says else
        (Unix seconds)."""
        if number is None:
            number, self.number = self.number, self.number + 1
        return sign_claim(
            Claim(self.name, number, registry or self.registry, int(time.time()) if iat is None else iat, deed),
            self.key,
        )

    def cert(self, deed: Issue) -> bytes:
        """The id of what it issues."""
        return certificate_of(Claim(self.name, 0, self.registry, 0, deed), deed).id


def policy_entries(parties: Iterable[Party]) -> str:
    """The ``[[key]]`` entries of their keys."""
    return "\n".join(key_entry(party.role, party.key.public, 0, party=party.name) for party in parties)


def enrol(policy: Path, parties: Iterable[Party]) -> None:
    """Put them into a ledger's policy file."""
    policy.write_text(f"{policy.read_text()}\n{policy_entries(parties)}")


def issue(to: str, quarters: int = 4, first: int = 0, device: str = "dev", row: bytes = HASH) -> Issue:
    """An hour, or so many quarters of one, of a device."""
    origin = Origin("gw", "node", device, first * QUARTER_MS, (first + quarters) * QUARTER_MS)
    return Issue(origin, UNITS, to, HASH, row)
