"""Where a private key is held, in plain words: in hardware where somebody answers for it, else in a file. No I/O."""

from __future__ import annotations

from typing import Final

from ledger_client.times import rfc3339
from ledger_client.verification.trust import HARDWARE, Held

FILE: Final = "file"


def held_in_words(held: Held | None) -> str:
    """ "hardware (attested by demo-ledger, 2026-12-01)", or "file"; a ledger's own policy.toml says no date."""
    if held is None:
        return FILE
    if held.by is None or held.at is None:
        return f"{HARDWARE} (attested here)"
    return f"{HARDWARE} (attested by {held.by}, {rfc3339(held.at)[:10]})"
