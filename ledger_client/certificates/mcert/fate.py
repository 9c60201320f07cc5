"""Fate of a slice since its certificate file was written: what registries answer, beside what the file proves. Pure.

Answers of a registry are its word, not a proof: they can only take away from what a file proves. A registry that hides
a later claim is found out by whoever replays its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ledger_client.certificates.mcert.verify import Proven
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import withdrawn
from ledger_client.claims.claim import HOUR_MS

_BEFORE_MS: Final = HOUR_MS
"""Certificates of up to an hour may begin so long before an interval and still have a part of it."""


def span(proven: Proven) -> tuple[bytes, int, int]:
    """What to ask every registry for: the device, and from when to when certificates may begin, in ms."""
    made = proven.traced.certificate
    return made.device, made.from_ms - _BEFORE_MS, made.to_ms


def contradictions(proven: Proven, shown: Shown | None, listed: Mapping[str, Iterable[Shown]]) -> list[str]:
    """Why the file says no longer, or never said, who has what, by the answers of registries.

    Args:
        proven: what a file proves.
        shown: the certificate at its registry; None: it knows none of this id.
        listed: by registry, the certificates of the device in ``span``.
    """
    trace, found = proven.traced, []
    begin, end = trace.part
    if shown is None or shown.certificate != trace.certificate:
        return [f"{trace.registry} knows no certificate {trace.certificate.id.hex()} (R1)"]
    for one in shown.slices:
        if one.begin < end and begin < one.end and (one.status, one.holder) != (trace.status, trace.holder):
            units = f"[{max(begin, one.begin)}, {min(end, one.end)})"
            found.append(f"units {units} are {one.status} by {one.holder} by now (R3)")
    for registry, many in sorted(listed.items()):
        for other in many:
            made = other.certificate
            common = made.from_ms < trace.certificate.to_ms and trace.certificate.from_ms < made.to_ms
            another = made.device == trace.certificate.device and made.id != trace.certificate.id
            if common and another and not withdrawn(other.slices):
                found.append(f"{registry} has a certificate of this device and time, too: {made.id.hex()} (R2)")
    return found
