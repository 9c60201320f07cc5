"""State of a registry in memory: for replays, verifiers and tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ledger_client.claims.certificate import HELD, Certificate, Slice
from ledger_client.claims.claim import Offset, Part, overlap
from ledger_client.claims.registry import Books, standing


@dataclass(slots=True)
class MemoryState:
    """``registry.State`` in dictionaries."""

    numbers: dict[str, int] = field(default_factory=dict)
    certificates: dict[bytes, Certificate] = field(default_factory=dict)
    parts: dict[bytes, list[Slice]] = field(default_factory=dict)
    origins: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    offsets: list[tuple[Books, Offset]] = field(default_factory=list)
    balanced: list[Books] = field(default_factory=list)

    def next_number(self, party: str) -> int:
        """See State."""
        return self.numbers.get(party, 0)

    def certificate(self, cert: bytes) -> Certificate | None:
        """See State."""
        return self.certificates.get(cert)

    def slices(self, cert: bytes, part: Part) -> Sequence[Slice]:
        """See State."""
        begin, end = part
        return [one for one in self.parts.get(cert, ()) if one.begin < end and begin < one.end]

    def taken(self, device: bytes, quarters: range) -> bytes | None:
        """See State."""
        return next((self.origins[device, q] for q in quarters if (device, q) in self.origins), None)

    def serial(self, offset: Offset, books: Books) -> tuple[str, int] | None:
        """See State."""
        others = ((user.party, one) for user, one in self.offsets if not books.covers(user) and overlap(offset, one))
        used = ((party, max(offset.first, one.first)) for party, one in others)
        return min(used, key=lambda found: found[1], default=None)

    def balances(self, party: str) -> Sequence[Books]:
        """See State."""
        return [books for books in self.balanced if books.party == party]

    def count(self, party: str) -> None:
        """See State."""
        self.numbers[party] = self.next_number(party) + 1

    def issue(self, certificate: Certificate) -> None:
        """See State."""
        self.certificates[certificate.id] = certificate
        self.parts[certificate.id] = [Slice(0, certificate.units, HELD, certificate.holder)]
        self.origins |= {(certificate.device, quarter): certificate.id for quarter in certificate.quarters}

    def replace(self, cert: bytes, old: Sequence[Slice], new: Sequence[Slice]) -> None:
        """See State."""
        kept = [one for one in self.parts[cert] if one not in old]
        self.parts[cert] = sorted([*kept, *new], key=lambda one: one.begin)

    def free(self, certificate: Certificate) -> None:
        """See State."""
        for quarter in certificate.quarters:
            del self.origins[certificate.device, quarter]

    def use(self, books: Books, offsets: Iterable[Offset]) -> None:
        """See State."""
        kept = [(user, offset) for user, offset in self.offsets if not books.covers(user)]
        self.offsets = kept + [(books, offset) for offset in offsets]
        self.balanced = standing([*self.balanced, books])
