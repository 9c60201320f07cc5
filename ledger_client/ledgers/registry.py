"""Registry interface: claims offered to a registry, and what it shows of them; one driver a module. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ledger_client.claims.answers import Shown


class RegistryClient(Protocol):
    """What every driver does: plain blocking calls, each bounded in time and size.

    Nothing that is shown is believed: whoever needs to know verifies the claims with their receipts. Every method
    raises ``LedgerUnavailable`` for whatever may pass by itself, ``Refused`` with the registry's title and detail.
    """

    @property
    def name(self) -> str:
        """The registry's name: the ``aud`` of its claims."""
        ...

    def submit(self, entry: bytes) -> bytes:
        """Offer a claim (its entry); the same one again is harmless. Its receipt, or a locator, unverified."""
        ...

    def submit_many(self, entries: Sequence[bytes]) -> list[bytes]:
        """``submit`` of claims of one party in their order, together where that costs less.

        Raises Refused for the first that is not taken; those before it may have been.
        """
        ...

    def party(self, name: str) -> tuple[int, str | None]:
        """(number of a party's next claim, its role; None: not enrolled, or its keys count no more)."""
        ...

    def certificate(self, cert: bytes) -> Shown | None:
        """A certificate with all that is claimed of it; None: there is none of this id."""
        ...

    def of_device(self, device: bytes, from_ms: int, to_ms: int) -> Iterator[Shown]:
        """Certificates of a device (SHA-256 of its id) whose interval begins in [from, to), in order of time."""
        ...

    def of_holder(self, party: str) -> Iterator[Shown]:
        """Certificates with the slices of a party, and those alone."""
        ...

    def close(self) -> None:
        """Let go of connections; no call may follow."""
        ...
