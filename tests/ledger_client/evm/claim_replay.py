"""The state of a ClaimRegistry from its events alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from ledger_client.contracts.claim_registry import (
    Event,
    Exported,
    Issued,
    Registered,
    Retired,
    Revoked,
    Rotated,
    Transferred,
    Withdrawn,
)

Slices = dict[int, tuple[int, str, bytes]]  # start → end, status, holder


@dataclass(slots=True)
class Replay:
    """``taken``: (device, quarters since 1970); ``active``: party → the account that may write for it."""

    numbers: Counter[bytes] = field(default_factory=Counter)
    slices: dict[bytes, Slices] = field(default_factory=dict)
    taken: set[tuple[bytes, int]] = field(default_factory=set)
    active: dict[bytes, bytes] = field(default_factory=dict)
    roles: dict[bytes, int] = field(default_factory=dict)

    def hear(self, events: Iterable[Event]) -> None:
        """Events in order: each with the next number of its party, from the account that writes for it."""
        for event in events:
            match event:
                case Registered(party, account, role):
                    self.active[party], self.roles[party] = account, role
                case Rotated(party, old, new):
                    assert self.active[party] == old
                    self.active[party] = new
                case Revoked(party, account):
                    assert self.active.pop(party) == account
                case Issued():
                    self._count(event.issuer, event.number, event.account)
                    self.slices[event.cert] = {0: (event.units, "held", event.holder)}
                    self.taken |= _quarters(event)
                case Withdrawn():
                    self._count(event.issuer, event.number, event.account)
                    self._move(event.cert, 0, event.units, "withdrawn", event.holder)
                    self.taken -= _quarters(event)
                case Transferred() | Retired() | Exported():
                    self._count(event.party, event.number, event.account)
                    assert event.start == self.start(event.cert, event.a)
                    to = event.to if isinstance(event, Transferred) else event.party
                    self._move(event.cert, event.a, event.b, _STATUS[type(event)], to)

    def start(self, cert: bytes, unit: int) -> int | None:
        """Where the slice begins that has a unit; None: the certificate has no such unit."""
        found = (start for start, (end, _, _) in self.slices.get(cert, {}).items() if start <= unit < end)
        return next(found, None)

    def _count(self, party: bytes, number: int, account: bytes) -> None:
        assert (number, account) == (self.numbers[party], self.active[party])
        self.numbers[party] += 1

    def _move(self, cert: bytes, a: int, b: int, status: str, to: bytes) -> None:
        left: Slices = {}
        for start, (end, was, holder) in sorted(self.slices[cert].items()):
            cuts = sorted({start, end} | {cut for cut in (a, b) if start < cut < end})
            for one, other in pairwise(cuts):
                left[one] = (other, status, to) if a <= one < b else (other, was, holder)
        self.slices[cert] = left


_STATUS = {Transferred: "held", Retired: "retired", Exported: "exported"}


def _quarters(event: Issued | Withdrawn) -> set[tuple[bytes, int]]:
    return {(event.device, quarter) for quarter in range(event.begin // 900, event.end // 900)}
