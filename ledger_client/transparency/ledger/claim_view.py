"""Claim view of a ledger: certificates with their slices and claims, a party's holdings and next number."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from typing import Final

from ledger_client.claims.answers import Receipted, Shown
from ledger_client.claims.certificate import Certificate, Slice
from ledger_client.transparency.ledger.claim_admission import roles_of
from ledger_client.transparency.ledger.directory import LedgerDir
from ledger_client.transparency.ledger.service import PolicyInForce
from ledger_client.transparency.log.entries import Reader

MOST_LISTED: Final = 500
"""Certificates of one answer."""


class ClaimView:
    """Questions to one ledger's registry; safe to call from any thread. All raise ``LedgerUnavailable``."""

    def __init__(self, folder: LedgerDir, policy: PolicyInForce, now: Callable[[], float] = time.time) -> None:
        self._log, self._policy, self._now = folder.log, policy, now

    def party(self, name: str) -> tuple[int, str | None]:
        """(number of its next claim, its role; None: not enrolled, or its keys count no more)."""
        self._policy.current()  # what the file asks for by now is registered before somebody is told
        with self._log.read() as log:
            return log.claims.next_number(name), roles_of(self._policy.at(log), int(self._now()))(name)

    def certificate(self, cert: bytes) -> Shown | None:
        """One certificate with all that is claimed of it; None: there is none of this id."""
        with self._log.read() as log:
            made = log.claims.certificate(cert)
            if made is None:
                return None
            claims = tuple(Receipted(*claim) for claim in log.claims.claims_of(cert))
            return Shown(made, self._slices(log, made), claims)

    def of_device(self, device: bytes, from_ms: int, to_ms: int) -> list[Shown]:
        """Certificates of a device whose interval begins in [from, to), in order of time: the first MOST_LISTED."""
        with self._log.read() as log:
            many = log.claims.of_device(device, from_ms, to_ms, MOST_LISTED)
            return [Shown(made, self._slices(log, made)) for made in many]

    def of_holder(self, party: str, after: bytes) -> list[Shown]:
        """Certificates with slices of a party, and those slices alone, in the order of ids behind ``after``: at most
        MOST_LISTED."""
        found = []
        with self._log.read() as log:
            for cert, slices in groupby(log.claims.of_holder(party, after, MOST_LISTED), key=lambda one: one[0]):
                made = log.claims.certificate(cert)
                assert made is not None  # slices are of certificates
                found.append(Shown(made, tuple(one for _, one in slices)))
        return found

    def _slices(self, log: Reader, made: Certificate) -> tuple[Slice, ...]:
        return tuple(log.claims.slices(made.id, made.whole))
