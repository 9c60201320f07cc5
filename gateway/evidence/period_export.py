"""Export of a period: everything from which a stranger recomputes its statements, in one folder.

1. The batches from the first that a statement of the period cites to the one that holds the newest of them, without a
   gap: an audit of them has nothing to ask for.
2. Proofs of what was signed before those batches and counts: the plans, the statement before, those whose rows are
   populations (T5), and the entries that the statements name (P9).
3. The rows files of the statements, and of those whose rows they use.
4. Copies of the documents that entries bear.

What is nowhere any more is named, and costs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.accounting.plans import documents
from gateway.accounting.plans.history import History, SignedPeriod
from gateway.accounting.statements import stating
from gateway.errors import GatewayError
from gateway.evidence.export import PROOF_SUFFIX
from gateway.evidence.prove import prove
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.records import StoredRecord
from gateway.storage.accounted import gateway_events
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.rows import SUFFIX, Rows
from ledger_client.durable_files import whole_file
from ledger_client.errors import VerificationError
from ledger_client.formats.record import record_hash
from ledger_client.messages import Sentence

_NAMES = tuple(name.encode() for name in (words.PLAN, words.ENTRY, words.PERIOD))
_ANY = 1 << 62


@dataclass(frozen=True, slots=True)
class Scope:
    """What belongs to a period. ``periods``: its statements, all versions; ``used``: those before whose rows count;
    ``first``: the first batch; ``last_place``: of the newest statement's event; ``beside``: by place, the events that
    count and lie before; ``documents``: by SHA-256, of which point or node."""

    periods: tuple[SignedPeriod, ...]
    used: tuple[SignedPeriod, ...]
    first: int
    last_place: int
    beside: Mapping[int, StoredRecord]
    documents: Mapping[bytes, str]


@dataclass(slots=True)
class Beside:
    """Files beside the batches, and what was not found."""

    proofs: list[Path] = field(default_factory=list)
    rows: list[Path] = field(default_factory=list)
    documents: list[Path] = field(default_factory=list)
    lacking: list[Sentence] = field(default_factory=list)


def scope_of(store: Database, history: History, text: str, span_of: Callable[[int], tuple[int, int]]) -> Scope:
    """What belongs to a period. ``span_of``: its from and to (ms) by the civil time of a plan, in minutes from UTC.

    Raises GatewayError: nothing of it is stated.
    """
    plans = {signed.record: signed for signed in history.plans}
    by_record = {period.record: period for period in history.periods}
    periods = []
    for period in history.periods:
        begin_ms, end_ms = span_of(plans[bytes(period.fields["plan"])].plan.civil_min)
        if period.from_ms < end_ms and begin_ms < period.to_ms:
            periods.append(period)
    if not periods:
        raise GatewayError(Message("export-period-not-stated", period=text))
    used = {bytes(record) for period in periods for record in period.fields["uses"]}
    before = {bytes(period.fields["before"]) for period in periods if "before" in period.fields}
    named = {bytes(record) for period in periods for record in period.fields["entries"]}
    wanted = plans.keys() | named | used | before | {period.record for period in periods}
    events = {
        record_hash(row.data): (place, row)
        for place, row in gateway_events(store)
        if any(name in row.data for name in _NAMES)
    }
    first = min(int(period.fields["batches"][0][0]) for period in periods)
    last_place = max(events[period.record][0] for period in periods)
    found = store.batches.numbered(first)
    beside = {
        place: row
        for record, (place, row) in events.items()
        if record in wanted and (found is None or place < found.first_id)
    }
    papers = {e.document: e.of for _, e in history.entries if e.record in named and e.document is not None}
    others = tuple(by_record[record] for record in used if record in by_record and by_record[record] not in periods)
    return Scope(tuple(periods), others, first, last_place, dict(sorted(beside.items())), papers)


def waits_for(store: Database, scope: Scope) -> Message | None:
    """What is still to come: the seal of the newest statement, or a receipt; None: nothing."""
    last = store.batches.holding(scope.last_place)
    if last is None:
        return Message("export-waits-seal")
    receipted = set(store.batches.receipted(_ANY))
    lacking = [n for n in numbers(store, scope) if n not in receipted and store.batches.numbered(n) is not None]
    return Message("export-waits-receipt", batch=lacking[0], count=len(lacking)) if lacking else None


def numbers(store: Database, scope: Scope) -> range:
    """The batches of a period; the last of them is sealed."""
    last = store.batches.holding(scope.last_place)
    assert last is not None
    return range(scope.first, last.batch + 1)


def beside(store: Database, gateway: str, data: Path, scope: Scope, folder: Path) -> Beside:
    """Write what a period needs besides its batches into a folder that is there. ``data``: the data folder. Raises
    GatewayError: a file cannot be written."""
    found = Beside()
    for row in scope.beside.values():
        try:
            proof = prove(store, row)
        except GatewayError as error:
            found.lacking.append(Message("export-not-proven", record=row.id, why=error.sentence))
            continue
        found.proofs.append(_written(folder / f"{gateway}-event-{row.epoch.hex()}-{row.seq:010d}{PROOF_SUFFIX}", proof))
    roots = dict(_rows_files(data / stating.FOLDER))
    for period in (*scope.periods, *scope.used):
        path = roots.get(bytes(period.fields["rows"][1]))
        if path is None:
            where, version = str(data / stating.FOLDER), int(period.fields["version"])
            found.lacking.append(
                Message("export-no-rows", folder=where, from_ms=period.from_ms, to_ms=period.to_ms, version=version)
            )
        else:
            found.rows.append(_written(folder / path.name, path.read_bytes()))
    for digest, of in scope.documents.items():
        copy = documents.copy_of(data, digest)
        if copy is None:
            found.lacking.append(Message("export-no-document", of=of, sha256=digest.hex()))
        else:
            found.documents.append(_written(folder / documents.FOLDER / copy.name, copy.read_bytes()))
    return found


def _rows_files(folder: Path) -> Iterator[tuple[bytes, Path]]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield Rows.parse(path.read_bytes()).root, path
        except (VerificationError, OSError):
            continue


def _written(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise GatewayError(Message("export-not-writable", path=str(path), error=os_error(error))) from None
    return path
