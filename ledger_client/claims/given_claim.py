"""A claim as files keep it: its entry with receipts in header 394, or beside its place on a chain. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Locator, locator_map, parse_locator
from ledger_client.formats.checks import MAX_BUNDLE, array, within
from ledger_client.formats.statement import attach_receipts, detach_receipts


@dataclass(frozen=True, slots=True)
class GivenClaim:
    """A claim (its entry) with its receipts, or with the place where a chain is said to hold it."""

    entry: bytes
    receipts: tuple[bytes, ...] = ()
    locator: Locator | None = None

    def plain(self) -> Any:
        """As it stands in a certificate file; ``EncodeError``."""
        try:
            attached = attach_receipts(self.entry, self.receipts)
        except Malformed as error:
            raise EncodeError(f"claim: {error.detail}") from None
        return attached if self.locator is None else [attached, locator_map(self.locator)]

    def encode(self) -> bytes:
        """The bytes of a ``.claim`` file; ``EncodeError``."""
        plain = self.plain()
        return plain if isinstance(plain, bytes) else cbor.encode(plain)

    @classmethod
    def of(cls, value: object) -> GivenClaim:
        """Read ``plain``; Malformed."""
        locator = None
        if type(value) is list:
            value, place = array(value, "a claim with its locator", 2, 2)
            locator = parse_locator(place)
        if type(value) is not bytes:
            raise Malformed("a claim is not a byte string")
        entry, receipts = detach_receipts(within(value, MAX_BUNDLE, "a claim"))
        return cls(entry, receipts, locator)

    @classmethod
    def decode(cls, data: bytes) -> GivenClaim:
        """Read ``encode``; Malformed."""
        return cls.of(cbor.decode(within(data, MAX_BUNDLE, "a claim")) if _is_pair(data) else data)


def _is_pair(data: bytes) -> bool:
    """Whether a .claim file is a pair: a COSE_Sign1 begins with its tag."""
    return data[:1] == b"\x82"
