"""Yes or no to what a folder holds: each gateway audited, each statement recomputed, no time and no gateway left out.

The answer is NO where one thing of these is so:

1. A file is called or begins like evidence, and is none; a rows file is of no statement (T1).
2. A gateway that was named has no batches, or the audit of its batches has a finding.
3. A gateway has no statement of the time, or one that does not come out as it was signed.
4. The last version of a statement is not complete (T7).
5. Time of a plan in force has no statement (T2, ``gaps``).

All reasons are found, each with its rule and its way out; none hides another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ledger_client.inputs.listing import Input
from ledger_client.inputs.unusual import Unusual
from ledger_client.recompute.folder import Folder
from ledger_client.recompute.gaps import Gap, SpanOf, gaps
from ledger_client.recompute.run import Given, Recomputed, Result, recompute_scanned
from ledger_client.recompute.sources import Sources, scan
from ledger_client.recompute.supplied import supplied, unusual_of
from ledger_client.times import rfc3339_ms
from ledger_client.verification.trust import Trust


class Why(NamedTuple):
    """A reason for NO: of which gateway (None: of none), the rule (None: it is none of the accounting), the way out."""

    gateway: str | None
    rule: str | None
    problem: str
    fix: str


@dataclass(slots=True)
class OfGateway:
    """What the files say of one gateway."""

    gateway: str
    result: Result
    gaps: list[Gap]
    inputs: list[Input] = field(default_factory=list)
    unusual: list[Unusual] = field(default_factory=list)

    @property
    def last_versions(self) -> list[Recomputed]:
        """The statements that no other one supersedes."""
        superseded = {one.fields.get("supersedes") for one in self.result.periods}
        return [one for one in self.result.periods if one.record not in superseded]


@dataclass(slots=True)
class Verdict:
    """``not_given``: gateways of the trust file of which there are no files. ``why``: empty for a yes."""

    folder: Folder
    gateways: list[OfGateway]
    not_given: list[str]
    why: list[Why] = field(default_factory=list)

    @property
    def yes(self) -> bool:
        """Whether everything holds."""
        return not self.why

    @property
    def unusual(self) -> int:
        """How many inputs are unusual."""
        return sum(len(one.unusual) for one in self.gateways)


def judge(
    paths: Sequence[Path],
    trust: Trust,
    now: int,
    *,
    gateways: Sequence[str] = (),
    period: SpanOf | None = None,
    processes: int | None = None,
) -> Verdict:
    """Judge everything in files and folders.

    Args:
        paths: files and folders, of any gateways.
        gateways: those of which there have to be batches.
        period: the time that has to be stated (None: what lies between the statements).
        processes: how many check signatures (None: as many as are good).

    Raises:
        FileError: a file or folder cannot be read.
    """
    folder = Folder.of(paths, trust, now)
    scanned = {gateway: scan(files, trust, now) for gateway, files in sorted(folder.gateways.items())}
    roots = {gateway: _roots(sources) for gateway, sources in scanned.items()}
    every = frozenset().union(*roots.values())
    found = []
    for gateway, sources in scanned.items():
        mine = [(root, rows) for _, root, rows in folder.rows if root in roots[gateway] or root not in every]
        result = recompute_scanned(
            sources, Given(mine, []), folder.gateways[gateway], trust, now, period=period, processes=processes,
            reviewed=True,
        )  # fmt: skip
        inputs = supplied(gateway, result, {digest: str(path) for digest, path in folder.documents.items()})
        found.append(OfGateway(gateway, result, list(gaps(sources, period)), inputs, unusual_of(inputs, result)))
    known = {key.gateway for key in trust.keys if key.gateway is not None}
    verdict = Verdict(folder, found, sorted(known - scanned.keys()))
    verdict.why = [*_of_files(folder, every, gateways, scanned), *(why for one in found for why in _of_gateway(one))]
    return verdict


def _roots(sources: Sources) -> frozenset[bytes]:
    return frozenset(period.fields["rows"][1] for period in sources.periods.values())


def _of_files(
    folder: Folder, roots: frozenset[bytes], gateways: Sequence[str], scanned: dict[str, Sources]
) -> Iterator[Why]:
    for path, problem in folder.broken:
        yield Why(None, None, f"{path}: {problem}", "give the file as it was exported, or take it away")
    for path, root, _ in folder.rows:
        if root not in roots:
            fix = "give the batch or proof with that statement, or take the file away"
            yield Why(None, "T1", f"{path}: the rows are of no statement in the files", fix)
    if not scanned:
        yield Why(None, None, "the files hold no batch and no proof of a gateway", "give the folder of an export")
    for gateway in gateways:
        if gateway not in scanned:
            yield Why(gateway, None, "no batches of it are among the files", "give the folder of its export")


def _of_gateway(one: OfGateway) -> Iterator[Why]:
    audit, name = one.result.audit, one.gateway
    if not audit.batches:
        yield Why(name, None, "no batches of it are among the files, only proofs", "give the folder of its export")
    elif not audit.sound:
        first, few = audit.findings[0], "finding" if audit.findings_total == 1 else "findings"
        problem = (
            f"the audit of its batches has {audit.findings_total} {few}, the first at {first.step}: {first.detail}"
        )
        yield Why(name, None, problem, "see meterseal-ledger audit")
    if not one.result.periods:
        yield Why(name, "T2", "no statement of this time is among the files", "state it, and export the batch of that")
    for period in one.result.periods:
        if not period.equal:
            yield Why(name, *_unequal(period))
    for period in one.last_versions:
        if period.equal and not period.fields["complete"]:
            reasons = "; ".join(why for lacking in period.lacking if (why := lacking.why))
            fix = "enter what lacks, and state the next version; docs/accounting.md T7"
            yield Why(name, "T7", f"{named(period)} is not complete: {reasons}", fix)
    for gap in one.gaps:
        span = f"{rfc3339_ms(gap.from_ms)} to {rfc3339_ms(gap.to_ms)}"
        yield Why(name, "T2", f"plan {gap.plan}: no statement is of {span}", "give its batch, or state that time")


def _unequal(period: Recomputed) -> tuple[str, str, str]:
    first = period.differences[0]
    more = f", and {len(period.differences) - 1} more" if len(period.differences) > 1 else ""
    stated = f"stated {first.stated or 'nothing'}, recomputed {first.recomputed}"
    return first.rule, f"{named(period)} differs at {first.where}: {stated}{more}", "see the differences below"


def named(period: Recomputed) -> str:
    """A statement by its time and version."""
    span = f"{_time(period.fields.get('from'))} to {_time(period.fields.get('to'))}"
    return f"the statement of {span}, version {period.fields.get('version')},"


def _time(value: Any) -> str:
    return rfc3339_ms(value) if type(value) is int else "?"
