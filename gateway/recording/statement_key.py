"""Statement key as the writer uses it: at hand, or away since when.

A key in a file is always at hand. A key in a token may be away: the token does not answer within 5 s, or is not there
(ledger_client/tokens). Then readings, coverage and meters' own events go on being signed and committed, since meters
sign with keys in files. What the statement key signs waits (docs/decisions/063):

1. Events of the gateway wait in the order in which they came, in memory and in the database, and are signed in it.
2. A cut waits for the events before it, a seal for its cut: so both wait too. A batch that has grown to
   ``MOST_BATCHES`` times its size is cut all the same, without events, so that no batch grows without bounds.
3. A correction of the clock, thinning and a change of the configuration are not made: each is an event that has to
   stand in front of the records that follow from it.
4. Only one call of the writer can meet a token that has just stopped, and waits for it 5 s at most. While the key is
   known to be away nothing is asked of it here; its own thread tries again.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, runtime_checkable

from gateway.clock import Clock
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.messages import Sentence

MOST_BATCHES: Final = 4
"""How many times its count of records a batch may have that waits for the key to be cut."""
MOST_WAITING: Final = 5_000
"""Events of the gateway that are kept while the key is away; those behind them are counted, and the count is signed."""
LOOK_MS: Final = 500
"""How often it is looked whether the key is back."""
SIGN_MS: Final = 500
"""How long the writer signs waiting events at a time, before it turns to readings again."""


class Absence(Protocol):
    """Why a key does not sign."""

    @property
    def why(self) -> Sentence: ...


@runtime_checkable
class _MayBeAway(Protocol):
    """A signer that knows whether it can sign now."""

    @property
    def away(self) -> Absence | None: ...


class Away(NamedTuple):
    """Since when the statement key has been away, by record time in ms, and why."""

    since_ms: int
    why: Sentence


class StatementKey:
    """The statement key, and whether it is away. Signs on the writer thread; any thread may ask."""

    def __init__(self, key: Signer, clock: Clock) -> None:
        self._key, self._clock = key, clock
        self._token: _MayBeAway | None = key if isinstance(key, _MayBeAway) else None
        self._since_ms: int | None = None

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._key.public

    def sign(self, message: bytes) -> bytes:
        """Raises KeyAway, after 5 s at most, and at once while the key is known to be away."""
        return self._key.sign(message)

    @property
    def away(self) -> Away | None:
        """None: the key is at hand, as far as is known."""
        absence = None if self._token is None else self._token.away
        if absence is None:
            self._since_ms = None
            return None
        since_ms = self._since_ms = self._since_ms or self._clock.now_ms()
        return Away(since_ms, absence.why)
