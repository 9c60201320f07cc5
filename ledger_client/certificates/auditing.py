"""Audit of a registry's log: its replay, its receipts, and the months in which more was issued than is given. Pure.

A log is sound where each of its claims is one that the registry's rules admit, where each receipt is of the tree that
its entries make, and where the head that the ledger signed is of this tree too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ledger_client.certificates.given import Given
from ledger_client.certificates.over_issued import Issued, OverIssue, made_up
from ledger_client.certificates.replay import Fault, Replay
from ledger_client.claims.certificate import certificate_named
from ledger_client.claims.claim import Claim
from ledger_client.claims.registry import ORIGIN_TAKEN
from ledger_client.errors import BadReceipt, VerificationError
from ledger_client.formats.merkle import EMPTY_ROOT, node_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import check_parsed

RECEIPT: Final = "Bad receipt"
"""Of a receipt that the ledger should not have given; the other titles are those of ``replay``."""
RULES: Final = {
    "Malformed claim": "C1", "Unknown party": "R7", "Not the issuer": "R2", ORIGIN_TAKEN: "R2", "Not the holder": "R3",
    "Not this slice": "R3", "Final": "R3", "Claim number taken": "R5", "Out of order": "R5", "Unsound entry": "C1",
    RECEIPT: "V1",
}  # fmt: skip
"""Title → rule of docs/claims.md, where a detail names none."""
_NAMED: Final = re.compile(r"(.*) \(([A-Z][0-9]+)\)", re.DOTALL)


def ruled(title: str, detail: str) -> tuple[str, str]:
    """(rule, detail without it) of a refusal by a registry's rules."""
    named = _NAMED.fullmatch(detail)
    return (named[2], named[1]) if named else (RULES.get(title, "R7"), detail)


def issued(made: Replay) -> list[Issued]:
    """Every certificate of a replay, as ``over_issued`` takes it."""
    about: defaultdict[bytes, list[Claim]] = defaultdict(list)
    for _, signed in made.claims:
        if (cert := certificate_named(signed.claim)) is not None:
            about[cert].append(signed.claim)
    state = made.state
    return [Issued(one, state.parts[cert], made_up(about[cert])) for cert, one in state.certificates.items()]


def bad_receipts(made: Replay, receipts: Iterable[tuple[int, bytes, bytes]], trust: Trust, now: int) -> Iterator[Fault]:
    """The receipts that fail: (number, entry, receipt) of the claims of a log."""
    found = list(receipts)
    parsed: dict[int, tuple[int, int, Sequence[bytes]]] = {}
    for number, entry, data in found:
        try:
            receipt = parse_receipt(data)
            ledger, _ = check_parsed(entry, receipt, trust, now)
            if ledger != made.registry:
                raise BadReceipt(f"it is of the ledger {ledger}", step=6)
            if receipt.index != number:
                raise BadReceipt(f"it is of entry {receipt.index}", step=6)
            parsed[number] = receipt.size, receipt.index, receipt.path
        except VerificationError as error:
            yield Fault(number, RECEIPT, error.detail)
    roots = prefix_roots(made.leaves, {size for size, _, _ in parsed.values()})
    for number, (size, index, path) in parsed.items():
        if size not in roots:
            yield Fault(number, RECEIPT, f"it is of a tree of {size} entries, the log has {len(made.leaves)}")
        elif root_from_path(made.leaves[number], size, index, path) != roots[size]:
            yield Fault(number, RECEIPT, f"it is of another log: its tree of {size} entries is not this one")


def prefix_roots(leaves: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    """The roots that a growing tree had at some sizes; of those that it has reached."""
    found = {0: EMPTY_ROOT} if 0 in sizes else {}
    peaks: list[tuple[int, bytes]] = []
    for size, leaf in enumerate(leaves, 1):
        height, node = 0, leaf
        while peaks and peaks[-1][0] == height:
            height, node = height + 1, node_hash(peaks.pop()[1], node)
        peaks.append((height, node))
        if size in sizes:
            root = peaks[-1][1]
            for _, peak in reversed(peaks[:-1]):
                root = node_hash(peak, root)
            found[size] = root
    return found


def _fault(fault: Fault) -> dict[str, Any]:
    rule, detail = ruled(fault.title, fault.detail)
    return {"entry": fault.number, "rule": rule, "title": fault.title, "detail": detail}


def as_json(
    made: Replay, faults: Sequence[Fault], months: Sequence[OverIssue], given: Given, notes: Sequence[str]
) -> dict[str, Any]:
    """One object: the verdict, counts of units by status, the faults, the months that are over-issued, and what is to
    say of the batches."""
    return {
        "sound": not faults and not months,
        "registry": made.registry,
        "entries": len(made.leaves),
        "claims": len(made.claims),
        "certificates": len(made.state.certificates),
        "units": units_by_status(made),
        "faults": [_fault(fault) for fault in faults],
        "notes": list(notes),
        "over_issued": [
            {
                "device": given.names[month.device],
                "month": month.month_ms,
                "units": month.units,
                "made_up": month.made_up,
                "certificates": [{"id": one.certificate.id.hex(), "units": one.units} for one in month.excess],
            }
            for month in months
        ],
    }


def units_by_status(made: Replay) -> dict[str, int]:
    """Units of all certificates by what became of them."""
    found: defaultdict[str, int] = defaultdict(int)
    for slices in made.state.parts.values():
        for one in slices:
            found[one.status] += one.end - one.begin
    return dict(sorted(found.items()))
