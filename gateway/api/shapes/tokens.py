"""Tokens of the HTTP API: their form, their hash, what each opens. Pure.

A token is 256 random bits behind ``mst_``, by which scanners of source code know it. Its SHA-256 alone is kept: a guess
at so many bits needs no slow hash, and a token is looked up by its hash, so that no comparison takes longer for a guess
that is nearly right.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ledger_client.formats.base64url import base64url

Scope = Literal["status", "readings", "proofs"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""From the narrowest to the widest: each opens what those before it open."""
PREFIX: Final = "mst_"
BITS: Final = 256
_TOKEN: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token opens.

    ``hash``: SHA-256 of its text, hexadecimal. ``meter``: the one that it may ask about, None: the whole site.
    ``expires_ms``: Unix time from which it opens nothing, None: never. ``gateway``: of a control room's token the one
    gateway that it may ask about, None: all of them.
    """

    name: str
    scope: Scope
    hash: str
    meter: str | None = None
    expires_ms: int | None = None
    gateway: str | None = None

    def opens(self, scope: Scope) -> bool:
        """Whether a route of this scope may be asked."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def is_expired(self, now_ms: int) -> bool:
        """Whether its time is over."""
        return self.expires_ms is not None and now_ms >= self.expires_ms


def written(random: bytes) -> str:
    """The text of a token. ``random``: ``BITS`` of them, from the system's generator."""
    assert len(random) * 8 == BITS
    return PREFIX + base64url(random)


def hash_of(text: str) -> str | None:
    """The hash by which a token is known; None: it has not the form of one."""
    return hashlib.sha256(text.encode()).hexdigest() if _TOKEN.fullmatch(text) else None
