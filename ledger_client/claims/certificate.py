"""Certificates: the id that one has on every registry (C1), its units and who holds which. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger_client.claims.claim import QUARTER_MS, Claim, Export, Issue, Part, Retire, Transfer, Withdraw

HELD: Final = "held"
RETIRED: Final = "retired"
EXPORTED: Final = "exported"
WITHDRAWN: Final = "withdrawn"
STATUSES: Final = (HELD, RETIRED, EXPORTED, WITHDRAWN)
"""Of units; all but the first are final (R3)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was issued: by whom, of which device and interval (ms), how many units (Wh), and by which row of which
    statement. ``holder``: the first."""

    id: bytes
    issuer: str
    holder: str
    device: bytes
    """SHA-256 of the device's id."""
    from_ms: int
    to_ms: int
    units: int
    period: bytes
    row: bytes

    @property
    def quarters(self) -> range:
        """The quarters of an hour that it takes of its device, counted since 1970."""
        return range(self.from_ms // QUARTER_MS, self.to_ms // QUARTER_MS)

    @property
    def whole(self) -> Part:
        """All of its units."""
        return 0, self.units


@dataclass(frozen=True, slots=True)
class Slice:
    """Units [begin, end) of a certificate that have one status and one holder."""

    begin: int
    end: int
    status: str
    holder: str


def withdrawn(slices: Iterable[Slice]) -> bool:
    """Whether the certificate of these slices, all of its, was taken back."""
    return all(one.status == WITHDRAWN for one in slices)


def digest(text: str) -> bytes:
    """SHA-256 of a name or of a device's id, as C1 takes it."""
    return hashlib.sha256(text.encode()).digest()


def hidden(salt: bytes, name: str) -> bytes:
    """Whom a retirement is for, as its claim says it: SHA-256(salt ‖ name) (Z3)."""
    return hashlib.sha256(salt + name.encode()).digest()


def certificate_of(claim: Claim, deed: Issue) -> Certificate:
    """What a claim to issue makes."""
    device = digest(deed.origin.device)
    parts = [
        digest(claim.registry), digest(claim.party), device, (deed.origin.from_ms // 1000).to_bytes(8, "big"),
        (deed.origin.to_ms // 1000).to_bytes(8, "big"), deed.units.to_bytes(8, "big"), deed.period, deed.row,
        digest(deed.to),
    ]  # fmt: skip
    return Certificate(
        hashlib.sha256(b"".join(parts)).digest(), claim.party, deed.to, device, deed.origin.from_ms, deed.origin.to_ms,
        deed.units, deed.period, deed.row,
    )  # fmt: skip


def certificate_named(claim: Claim) -> bytes | None:
    """The id of the certificate that a claim is about; None: it is about none."""
    match claim.deed:
        case Issue() as deed:
            return certificate_of(claim, deed).id
        case Transfer(cert) | Retire(cert) | Export(cert) | Withdraw(cert):
            return cert
        case _:
            return None
