"""Certificate files of all units that a party holds, or has retired: what belongs to each, and its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ledger_client.accounting.formats.refusal import AccountingError, refuse
from ledger_client.certificates.mcert.file import SUFFIX
from ledger_client.certificates.mcert.prove import Evidence, History, history, looks_of, plan_named
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import Slice
from ledger_client.claims.claim import Part

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_DEVICE, _ID = 60, 8
"""Characters of a device's id and of a certificate's in a name."""


class HeldSlices(NamedTuple):
    """A certificate with a party's slices of one status."""

    shown: Shown
    slices: Sequence[Slice]


class Unproven(NamedTuple):
    """Units that no file was written of, and why."""

    cert: bytes
    part: Part
    why: AccountingError

    def __str__(self) -> str:
        begin, end = self.part
        return f"{self.cert.hex()}:{begin}-{end}: {self.why}"


def slices_of(shown: Iterable[Shown], party: str, status: str, from_ms: int, to_ms: int) -> list[HeldSlices]:
    """A party's slices of a status, of intervals that begin in [from, to), in order of time."""
    found = [
        HeldSlices(one, [part for part in one.slices if (part.status, part.holder) == (status, party)])
        for one in shown
        if from_ms <= one.certificate.from_ms < to_ms
    ]
    return sorted((one for one in found if one.slices), key=lambda one: one.shown.certificate.from_ms)


def histories(evidence: Evidence, owned: Iterable[HeldSlices]) -> tuple[list[History], list[Unproven]]:
    """What leads to each slice, and the slices of which no file can be. Slices that one claim moved have one file."""
    found, unproven = dict[tuple[bytes, Part], History](), list[Unproven]()
    for one in owned:
        cert = one.shown.certificate.id
        for part in ((piece.begin, piece.end) for piece in one.slices):
            try:
                chain = history(evidence, cert, part)
                _demand_all(chain.part, one.slices)
            except AccountingError as error:
                unproven.append(Unproven(cert, part, error))
            else:
                found.setdefault((cert, chain.part), chain)
    return list(found.values()), unproven


def prepare(evidence: Evidence, found: Sequence[History]) -> None:
    """Take all that files of these histories need out of the batches at once. Raises nothing for what is missing."""
    periods = {chain.issue.period for chain in found}
    evidence.gather(periods)
    plans = (plan_named(evidence.proofs[period]) for period in periods if period in evidence.proofs)
    evidence.gather([plan for plan in plans if plan is not None])
    rows = (evidence.row(chain.issue.row) for chain in found)
    evidence.gather([look for row in rows if row is not None for look in looks_of(row)])


def name_of(chain: History) -> str:
    """Name of its file: when the hour begins, device, certificate, units: ``20261001T0400Z-device-1-0a1b2c3d-0-500``
    with ``.mcert``. Of a device's id only letters, digits, points and hyphens stand in it."""
    begin = datetime.fromtimestamp(chain.made.from_ms // 1000, UTC).strftime("%Y%m%dT%H%MZ")
    device = _UNSAFE.sub("_", chain.issue.origin.device)[:_DEVICE]
    cert = chain.made.id.hex()[:_ID]
    return f"{begin}-{device}-{cert}-{chain.part[0]}-{chain.part[1]}{SUFFIX}"


def _demand_all(part: Part, slices: Sequence[Slice]) -> None:
    """A file is about all units of the last claim: where some of them have gone another way since, it would say more
    than is so."""
    there = sum(one.end - one.begin for one in slices if part[0] <= one.begin and one.end <= part[1])
    if there < part[1] - part[0]:
        problem = f"the last claim about them is of the units {part[0]}-{part[1]}, of which others have moved since"
        refuse("V1", "claims", problem, "the next claim about these units alone (transfer, retire) has a file")
