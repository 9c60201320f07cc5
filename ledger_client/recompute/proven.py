"""Statements with their rows, each proven: signed by a gateway that the trust file knows, and the rows under the root.

What a table is made of. Reads files; whether the figures follow from the readings is what ``recompute.run`` tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.numbers import MILLI, mantissa_of
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row, Rows, parse_row
from ledger_client.accounting.statement import UNCERTAINTY
from ledger_client.accounting.tables.stated import StatedRows
from ledger_client.errors import VerificationError
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.record import parse_record, record_hash
from ledger_client.recompute.sources import SignedPeriod, Sources, accounting_event, files_read, is_proof
from ledger_client.times import rfc3339
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import verify


class Signed(NamedTuple):
    """What a gateway signed of its accounting, and the proof (`.mseal`) of each such record by its hash."""

    sources: Sources
    proofs: dict[bytes, bytes]


class Proven(NamedTuple):
    """Statements in order of time, what their reader should know, the proofs of what they are made of; their gateway,
    and those that a later version in the files supersedes, by record hash."""

    statements: list[StatedRows]
    notes: list[str]
    proofs: Mapping[bytes, bytes]
    gateway: str
    superseded: frozenset[bytes]


def proven(paths: Sequence[Path], rows: Sequence[Path], trust: Trust, now: int) -> Proven:
    """The statements that ``.mrows`` files belong to.

    Args:
        paths: ``.mbatch`` and ``.mseal`` files with the statements, their plans, and entries.
        rows: ``.mrows`` files, one a statement.

    Raises:
        AccountingError: there is no statement of some rows, or something does not fit it.
        FileError: a file cannot be read.
        VerificationError: a plan, an entry or a statement is not proven.
    """
    gateway, (sources, proofs) = _of_one(signed(paths, trust, now))
    found = [_stated(_rows(data, path), path, sources) for data, path in zip(files_read(rows), rows, strict=True)]
    found.sort(key=lambda stated: (stated.plan.name, stated.span))
    for before, after in pairwise(found):
        if before.plan.name == after.plan.name and after.span[0] < before.span[1]:
            problem = f"two statements have {rfc3339(after.span[0] // 1000)}"
            refuse("T4", "rows", problem, "give the rows of the last version only")
    notes = [note for stated in found for note in _notes(stated, sources)]
    named = {period.fields.get("supersedes") for period in sources.periods.values()}
    superseded = frozenset(stated.record for stated in found if stated.record in named)
    return Proven(found, notes, proofs, gateway, superseded)


def signed(paths: Sequence[Path], trust: Trust, now: int) -> dict[str, Signed]:
    """Plans, entries and statements of ``.mbatch`` and ``.mseal`` files by gateway, each verified by its proof; batches
    and leaves in their order. Raises FileError, VerificationError."""
    taken: list[tuple[int, int, str, bytes, bytes]] = []
    for bundle in _bundles(paths):
        fact, parsed = verify(bundle, trust, now, kind="event"), Bundle.parse(bundle)
        taken.append((fact.batch, parsed.index, fact.gateway, parsed.record, bundle))
    found: dict[str, Signed] = {}
    for batch, _, gateway, data, bundle in sorted(taken):
        sources, proofs = found.setdefault(gateway, Signed(Sources(), {}))
        sources.take(parse_record(data), batch)
        proofs.setdefault(record_hash(data), bundle)
    return found


def _of_one(found: dict[str, Signed]) -> tuple[str, Signed]:
    if len(found) > 1:
        refuse("T2", "files", f"they are of the gateways {' and '.join(sorted(found))}", "give those of one")
    return next(iter(found.items()), ("", Signed(Sources(), {})))


def _bundles(paths: Sequence[Path]) -> Iterator[bytes]:
    """The proofs among files, and those of what batches hold of the accounting."""
    for path in paths:
        if is_proof(path):
            yield from files_read([path])
            continue
        file = BatchFile.open(path)
        for index, record in enumerate(file.records()):
            if accounting_event(record):
                yield file.prove(index)[1]


def _rows(data: bytes, path: Path) -> Rows:
    try:
        return Rows.parse(data)
    except VerificationError as error:
        refuse("T1", str(path), f"it is no rows file: {error.detail}", "give the .mrows of the statement")


def _stated(rows: Rows, path: Path, sources: Sources) -> StatedRows:
    root = [len(rows.rows), rows.root]
    fitting = [period for period in sources.periods.values() if period.fields["rows"] == root]
    if not fitting:
        for refused in sources.refused.values():
            if refused.name == words.PERIOD:
                raise refused.error
        refuse("T1", str(path), "no statement in the files has these rows", "give its batch, or its .mseal")
    superseded = {period.fields.get("supersedes") for period in fitting}  # versions may have the same rows
    period = next((one for one in fitting if one.record not in superseded), fitting[-1])
    signed = sources.plan_of(period)
    plan, parsed = signed.plan, tuple(map(parse_row, rows.rows))
    _demand_totals(period, parsed)
    entries = [entry for _, entry in sources.entries if plan.concerns(entry.of)]
    return StatedRows(period.record, period.fields, plan, parsed, entries)


def _demand_totals(period: SignedPeriod, rows: Sequence[Row]) -> None:
    """The statement's totals are the sums of its rows (T1)."""
    if "totals" not in period.fields:
        return
    sums = defaultdict[tuple[str, str], int](int)
    for row in rows:
        if row.amount is not None:
            sums[row.node, row.status] += row.amount
    stated = {(n, s): mantissa_of(amount, MILLI) for n, s, amount in period.fields["totals"] if s != UNCERTAINTY}
    if stated != sums:
        refuse("I8", "period.totals", "they are not the sums of its rows", "recompute the statement from its batches")


def _notes(stated: StatedRows, sources: Sources) -> Iterator[str]:
    begin = rfc3339(stated.span[0] // 1000)
    known = {entry.record for _, entry in sources.entries}
    if lacking := sum(record not in known for record in stated.fields["entries"]):
        yield f"statement of {begin}: {lacking} of its entries are in no file, settlements may be among them"
    for other in sources.periods.values():
        if other.fields.get("supersedes") == stated.record:
            yield f"statement of {begin}: version {other.fields.get('version')} supersedes it"
