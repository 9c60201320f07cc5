"""Input of a recomputation: plans, entries and statements in batch files and proofs. Reads files; verifies proofs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry, read_entry
from ledger_client.accounting.formats.plan import Plan, parse_plan
from ledger_client.accounting.formats.refusal import AccountingError, refuse
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.statement import parse_choice
from ledger_client.errors import FileError, VerificationError
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.bundle import Bundle, is_bundle
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.record import CONTENT_EVENT, GATEWAY_ITSELF, Event, Record, parse_record, record_hash
from ledger_client.formats.statement import read_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import verify

_MARK: Final = CONTENT_EVENT.encode()
_HEADER: Final = 512
"""Bytes in which the content type of a record stands."""
NAMES: Final = frozenset({words.PLAN, words.ENTRY, words.PERIOD})


@dataclass(frozen=True, slots=True)
class SignedPlan:
    """A plan as it was signed: when (ms, by the gateway's clock), and its batch."""

    plan: Plan
    iat_ms: int
    batch: int = -1


@dataclass(frozen=True, slots=True)
class SignedPeriod:
    """A statement as it was signed: its record hash, its event's fields, and its batch."""

    record: bytes
    fields: Mapping[str, Any]
    batch: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A plan, an entry or a statement that is none, or of rules that this program does not know: its batch, and why."""

    name: str
    batch: int
    error: AccountingError


@dataclass(slots=True)
class Sources:
    """What files hold of the accounting, each in the order of batches and leaves."""

    plans: dict[bytes, SignedPlan] = field(default_factory=dict)
    entries: list[tuple[int, Entry]] = field(default_factory=list)
    periods: dict[bytes, SignedPeriod] = field(default_factory=dict)
    batches: dict[int, int] = field(default_factory=dict)
    proven: dict[int, int] = field(default_factory=dict)
    """When enough ledgers had the batches that proofs are of, in Unix s; of batch files the audit tells."""
    refused: dict[bytes, Refused] = field(default_factory=dict)
    signed: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Of each of these records, when it was signed (s), and its batch."""

    def plan_of(self, period: SignedPeriod) -> SignedPlan:
        """The plan that a statement names. Raises AccountingError: it is none, or no file holds it."""
        named = period.fields["plan"]
        if named in self.refused:
            raise self.refused[named].error
        if named not in self.plans:
            refuse("P2", "period.plan", "no file holds the plan", "give the batch or proof of it")
        return self.plans[named]

    def take(self, record: Record, batch: int) -> None:
        """One good record of the gateway's own. What is no plan, entry or statement is kept among those refused."""
        body = record.body
        if not isinstance(body, Event) or record.claims.meter != GATEWAY_ITSELF or body.name not in NAMES:
            return
        hashed = record_hash(record.data)
        self.signed.setdefault(hashed, (record.claims.iat, batch))
        try:
            self._take(hashed, record, body, batch)
        except AccountingError as error:
            self.refused.setdefault(hashed, Refused(body.name, batch, error))

    def _take(self, hashed: bytes, record: Record, body: Event, batch: int) -> None:
        if body.name == words.PLAN:
            plan = parse_plan(body.fields)
            demand_shipped(plan)
            self.plans.setdefault(hashed, SignedPlan(plan, record.claims.iat * 1000, batch))
        elif body.name == words.ENTRY:
            if all(hashed != entry.record for _, entry in self.entries):
                self.entries.append((batch, read_entry(body.fields, hashed)))
        else:
            parse_choice(body.fields, 0)
            self.periods.setdefault(hashed, SignedPeriod(hashed, body.fields, batch))


def scan(paths: Iterable[Path], trust: Trust, now: int) -> Sources:
    """Look through batch files and proofs for what belongs to the accounting of one gateway.

    What a batch holds is judged by the audit, which names files of another gateway; a proof is verified here. Raises
    FileError, VerificationError.
    """
    sources, gateway = Sources(), ""
    found: list[tuple[int, int, Record]] = []
    for path in paths:
        if is_proof(path):
            batch, until, place, record = _proven(path, trust, now)
            sources.proven[batch] = until
            found.append((batch, place, record))
            continue
        try:
            file = BatchFile.open(path)
            statement = read_statement(file.entry).statement
        except VerificationError:
            continue  # the audit says what is wrong with it
        gateway = gateway or statement.gateway
        if statement.gateway == gateway:
            sources.batches[statement.batch] = statement.to_ms
            found += [(statement.batch, place, record) for place, record in _events(file)]
    for batch, _, record in sorted(found, key=lambda item: item[:2]):
        if record.claims.gateway == gateway or not gateway:
            sources.take(record, batch)
    return sources


def _events(file: BatchFile) -> Iterator[tuple[int, Record]]:
    """The events of a batch, with their places in it."""
    for place, data in enumerate(file.records()):
        if _MARK in data[:_HEADER]:
            with suppress(VerificationError):  # the audit says what is wrong with it
                yield place, parse_record(data)


def accounting_event(data: bytes) -> bool:
    """Whether a record is a plan, an entry or a statement of the gateway's own. Raises VerificationError."""
    if _MARK not in data[:_HEADER]:
        return False
    record = parse_record(data)
    body = record.body
    return isinstance(body, Event) and record.claims.meter == GATEWAY_ITSELF and body.name in NAMES


def is_proof(path: Path) -> bool:
    """Whether a file is a ``.mseal`` proof. Raises FileError."""
    try:
        return is_bundle(path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; give the path of a file that may be read") from None


def _proven(path: Path, trust: Trust, now: int) -> tuple[int, int, int, Record]:
    """The event of a proof, with its batch, when enough ledgers had that (Unix s), and its place in it."""
    with path.open("rb") as stream:
        data = stream.read(MAX_BUNDLE + 1)
    proven, bundle = verify(data, trust, now, kind="event"), Bundle.parse(data)
    return proven.batch, proven.no_later_than, bundle.index, parse_record(bundle.record)


def files_read(paths: Sequence[Path]) -> list[bytes]:
    """The bytes of ``.mrows`` and ``.mseal`` files. Raises FileError."""
    found = []
    for path in paths:
        try:
            found.append(path.read_bytes())
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}; give the path of a file that may be read") from None
    return found
