"""A key whose token stops: a small real signer with fault hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ledger_client.errors import KeyAway
from ledger_client.formats.cose_key import EDDSA, PrivateKey, PublicKey

WHY = "the token does not answer"


class Absence(NamedTuple):
    """Why it does not sign."""

    why: str


class AwayKey:
    """A key that signs, or is away from one signature on. ``waits`` is called where whoever signs waits for the token,
    which is once each time that it stops."""

    def __init__(self, alg: int = EDDSA, key: PrivateKey | None = None) -> None:
        self._key = key or PrivateKey.generate(alg)
        self._left: int | None = None
        self.away: Absence | None = None
        self.waits: Callable[[], object] = lambda: None
        self.signed = 0

    @property
    def public(self) -> PublicKey:
        return self._key.public

    def stop(self, after: int = 0, *, known: bool = False) -> None:
        """Be away after so many signatures more; ``known``: at once, and nobody has to wait to see it."""
        self._left = after
        if known:
            self.away = Absence(WHY)

    def go_on(self) -> None:
        """Be at hand again."""
        self._left = self.away = None

    def sign(self, message: bytes) -> bytes:
        if self._left == 0:
            if self.away is None:
                self.waits()
                self.away = Absence(WHY)
            raise KeyAway(WHY)
        if self._left is not None:
            self._left -= 1
        self.signed += 1
        return self._key.sign(message)
