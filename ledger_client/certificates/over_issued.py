"""Over-issued certificates (C3): of more units than their statement gives for their intervals by now. Pure.

A later version of a statement may give an hour less, or not as `measured` any more. The certificates stay: they are
others' property. Their issuer withdraws them, or somebody retires as much of the same device and month for that
purpose. The excess is counted by certificate: what other hours give beyond theirs makes up for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledger_client.claims.certificate import Certificate, Slice, withdrawn
from ledger_client.claims.claim import Claim, Retire

PURPOSE: Final = "over-issued"
"""Of a retirement that makes up for certificates that were issued in excess."""


class Issued(NamedTuple):
    """A certificate, its slices, and how many units of it were retired to make up for an excess."""

    certificate: Certificate
    slices: Sequence[Slice]
    made_up: int


class Excess(NamedTuple):
    """A certificate of which ``units`` were issued beyond what its interval gives by now."""

    certificate: Certificate
    units: int


@dataclass(slots=True)
class OverIssue:
    """Of one device in one month: certificates in excess, and how many units were retired to make up for it."""

    device: bytes
    month_ms: int
    excess: list[Excess] = field(default_factory=list)
    made_up: int = 0

    @property
    def units(self) -> int:
        """What is still in excess, in Wh; 0: nothing is."""
        return max(sum(one.units for one in self.excess) - self.made_up, 0)


def made_up(claims: Iterable[Claim]) -> int:
    """Units that these claims, all of one certificate, retire for PURPOSE."""
    deeds = (claim.deed for claim in claims)
    return sum(deed.part[1] - deed.part[0] for deed in deeds if isinstance(deed, Retire) and deed.purpose == PURPOSE)


def over_issued(
    issued: Iterable[Issued], given: Callable[[Certificate], int | None], month_of: Callable[[int], int]
) -> list[OverIssue]:
    """The months with an excess, in order of device and time.

    Args:
        issued: certificates of any devices.
        given: how many units the highest version of its statement gives for a certificate's interval; None where
            nobody here knows (that certificate counts as it was issued).
        month_of: when the civil month of a moment begins, both in ms.
    """
    months: list[OverIssue] = []
    by_month: defaultdict[tuple[bytes, int], list[Issued]] = defaultdict(list)
    for one in issued:
        by_month[one.certificate.device, month_of(one.certificate.from_ms)].append(one)
    for (device, month_ms), members in sorted(by_month.items(), key=lambda item: item[0]):
        month = OverIssue(device, month_ms, made_up=sum(one.made_up for one in members))
        for one in members:
            units = given(one.certificate)
            if units is not None and not withdrawn(one.slices) and one.certificate.units > units:
                month.excess.append(Excess(one.certificate, one.certificate.units - units))
        if month.units:
            months.append(month)
    return months
