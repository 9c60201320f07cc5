"""Where the keys of a proof are held: in hardware where somebody answers for it, else in a file. No I/O.

An attestation speaks from its time on: of what was signed before, a file that was copied then may be the author. So a
key counts as held in hardware for what its signer dates at or behind ``held_at``, and as a file for all before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ledger_client.formats.cose_key import base64url
from ledger_client.times import rfc3339
from ledger_client.verification.trust import HARDWARE, Held, TrustKey

FILE: Final = "file"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, and when it signed: the first and the last of what it did, by the clock of whoever signed (Unix s)."""

    key: TrustKey
    first_s: int
    last_s: int

    @property
    def in_hardware(self) -> bool:
        """Somebody answers for it that it was held in hardware at all of these times."""
        held = self.key.held
        return held is not None and held.at is not None and held.at <= self.first_s

    def in_words(self) -> str:
        """ "hardware (attested by demo-ledger, 2026-12-01)", or "file", with the time from which on it is attested."""
        held = self.key.held
        if held is None or held.at is None or held.at <= self.first_s:
            return held_in_words(held)
        if held.at <= self.last_s:
            return f"{FILE} until {rfc3339(held.at)}, then {held_in_words(held)}"
        return f"{FILE} ({HARDWARE} is attested by {held.by} from {rfc3339(held.at)} on only, and it signed before)"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; ``held`` is "hardware" or "file", the next three are what the trust file says."""
        key, held = self.key, self.key.held
        at = None if held is None or held.at is None else rfc3339(held.at)
        return {
            "role": key.role,
            "meter": key.meter,
            "ledger": key.ledger,
            "kid": base64url(key.kid),
            "held": HARDWARE if self.in_hardware else FILE,
            "held_by": None if held is None else held.by,
            "held_at": at,
            "evidence": None if held is None else held.evidence,
        }


def held_in_words(held: Held | None) -> str:
    """What a file says: "hardware (attested by demo-ledger, 2026-12-01)", or "file". A ledger's own policy.toml says no
    date."""
    if held is None:
        return FILE
    if held.by is None or held.at is None:
        return f"{HARDWARE} (attested here)"
    return f"{HARDWARE} (attested by {held.by}, {rfc3339(held.at)[:10]})"
