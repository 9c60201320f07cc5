"""Parts of certificates as a holder writes them: CERT or CERT:A-B, resolved to ids and units. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Final, NamedTuple

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.claims.certificate import HELD, Slice
from ledger_client.claims.claim import MAX_NUMBER, Part
from ledger_client.errors import VerificationError
from ledger_client.formats.cose_key import base64url, unbase64url

LEAST: Final = 8
"""Characters of an id that a prefix has at least."""
_WRITTEN: Final = re.compile(r"([0-9A-Za-z_-]+)(?::([0-9]{1,19})-([0-9]{1,19}))?")


class Written(NamedTuple):
    """CERT:A-B as it was typed; ``part`` None: without A-B."""

    text: str
    prefix: str
    part: Part | None


class Named(NamedTuple):
    """Units of a certificate; ``part`` None: all that can move."""

    text: str
    cert: bytes
    part: Part | None


def written(text: str) -> Written:
    """Read CERT or CERT:A-B. Refuses under R1."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        refuse("R1", text, "it is neither CERT nor CERT:A-B", "write units A to B, B not included, as CERT:0-500")
    if len(found[1]) < LEAST:
        refuse("C1", text, f"{found[1]} has less than {LEAST} characters", "give more of the certificate's id")
    if found[2] is None:
        return Written(text, found[1], None)
    begin, end = int(found[2]), int(found[3])
    if begin >= end or end > MAX_NUMBER:
        refuse("R1", text, f"units {begin} to {end} are none", "B is not included, and above A: CERT:0-500")
    return Written(text, found[1], (begin, end))


def resolved(one: Written, known: Iterable[bytes]) -> Named:
    """The certificate that a prefix names, of those known; a whole id names one that nobody knows. Refuses under C1."""
    if (whole := _whole(one.prefix)) is not None:
        return Named(one.text, whole, one.part)
    found = sorted({cert for cert in known if _begins(cert, one.prefix)})
    if not found:
        way_out = "see meterseal-ledger certificate list, or give the whole id"
        refuse("C1", one.text, "nothing that is held here begins so", way_out)
    if len(found) > 1:
        several = ", ".join(cert.hex()[:16] for cert in found[:3])
        refuse("C1", one.text, f"{len(found)} certificates begin so: {several}", "give more of the id")
    return Named(one.text, found[0], one.part)


def demand_apart(named: Sequence[Named]) -> None:
    """Refuses under R1 where two of them have a unit in common."""
    for one, other in combinations(named, 2):
        if one.cert == other.cert and _overlap(one.part, other.part):
            what = "is given twice" if one.part == other.part else f"has units of {one.text} too"
            refuse("R1", other.text, what, "give each unit once")


def runs(slices: Iterable[Slice], holder: str) -> list[Part]:
    """The units that a party holds, neighbouring slices together."""
    found: list[Part] = []
    for one in sorted(slices, key=lambda one: one.begin):
        if one.status != HELD or one.holder != holder:
            continue
        if found and found[-1][1] == one.begin:
            found[-1] = found[-1][0], one.end
        else:
            found.append((one.begin, one.end))
    return found


def _overlap(one: Part | None, other: Part | None) -> bool:
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])


def _begins(cert: bytes, prefix: str) -> bool:
    return cert.hex().startswith(prefix.lower()) or base64url(cert).startswith(prefix)


def _whole(text: str) -> bytes | None:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    if re.fullmatch(r"[0-9A-Za-z_-]{43}", text):
        with suppress(VerificationError):  # not all that looks so is one
            return unbase64url(text)
    return None
