"""An audit: whole batches, and everything between them. Reads batch files, and believes the trust file alone.

Of each batch: every record's form, owner and signature, the tree, the statement with its ranges, times and signature,
receipts, validity and policy as ``verify`` has them. Over them: every chain of seq and prev, the tiling of coverage,
the chain of statements. Nothing stops it: all that does not hold is found and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger_client.audit_chain import Story, Told
from ledger_client.audit_records import Fact, Looker, Name
from ledger_client.batch_file import BatchFile
from ledger_client.errors import STEPS, UnknownKey, VerificationError, at_step
from ledger_client.merkle import Tree
from ledger_client.record import GATEWAY_ITSELF
from ledger_client.shape import rfc3339, rfc3339_ms
from ledger_client.statement import Range, SignedStatement, Statement, check_statement, id_text, read_statement
from ledger_client.trust import Trust
from ledger_client.vouching import TOLERANCE_S, demand_valid, read_receipts, too_few, vouching_ledgers

MOST: Final = 100
"""So many findings, and so many notes, are kept in words; the others are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: in which file and batch, of which record (None: of the batch), at which step."""

    file: str
    batch: int | None
    record: str | None
    step: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audited:
    """One batch of an audit; ``no_later_than`` (Unix seconds) is None where too few ledgers vouch."""

    file: str
    batch: int
    records: int
    statement_id: bytes
    no_later_than: int | None
    receipts: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Audit:
    """What an audit found. Nothing holds as long as ``sound`` is not true."""

    gateway: str | None = None
    batches: list[Audited] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    meters: dict[str, Told] = field(default_factory=dict)
    from_ms: int | None = None
    to_ms: int | None = None
    findings: list[Finding] = field(default_factory=list)
    findings_total: int = 0
    notes: list[str] = field(default_factory=list)
    notes_total: int = 0

    @property
    def sound(self) -> bool:
        """Everything holds."""
        return bool(self.batches) and not self.findings_total

    def found(self, finding: Finding) -> None:
        """Keep a finding."""
        self.findings_total += 1
        if len(self.findings) < MOST:
            self.findings.append(finding)

    def noted(self, text: str) -> None:
        """Keep what is no fault, and is to be known."""
        self.notes_total += 1
        if len(self.notes) < MOST:
            self.notes.append(text)

    def as_json(self) -> dict[str, Any]:
        """The answer for ``--json``."""
        span = (self.from_ms, self.to_ms)
        meters = [
            {"name": name, "readings": t.readings, "due": t.due, "recorded": t.recorded, "missed": dict(t.missed)}
            for name, t in sorted(self.meters.items())
            if name != GATEWAY_ITSELF
        ]
        return {
            "sound": self.sound,
            "gateway": self.gateway,
            "from": None if span[0] is None else rfc3339_ms(span[0]),
            "to": None if span[1] is None else rfc3339_ms(span[1]),
            "records": sum(self.kinds.values()),
            "kinds": dict(sorted(self.kinds.items())),
            "batches": [_batch_json(batch) for batch in self.batches],
            "meters": meters,
            "findings": [
                {"file": f.file, "batch": f.batch, "record": f.record, "step": f.step, "detail": f.detail}
                for f in self.findings
            ],
            "findings_total": self.findings_total,
            "notes": self.notes,
            "notes_total": self.notes_total,
        }


def _batch_json(batch: Audited) -> dict[str, Any]:
    return {
        "file": batch.file,
        "batch": batch.batch,
        "records": batch.records,
        "statement_id": id_text(batch.statement_id),
        "no_later_than": None if batch.no_later_than is None else rfc3339(batch.no_later_than),
        "receipts": [{"ledger": ledger, "time": rfc3339(time)} for ledger, time in batch.receipts],
    }


def audit(paths: Sequence[Path], trust: Trust, now: int, *, processes: int | None = None) -> Audit:
    """Audit batch files, in the order of their batches whatever that of ``paths`` is, at the time ``now`` (Unix s).

    Raises ``FileError`` where a file cannot be read; whatever its bytes are they raise nothing. ``processes``: how many
    to use for the signatures (None: as many processors as there are, once that is worth while).
    """
    result = Audit()
    files = _open(paths, result)
    with Looker(trust, sum(len(file) for file, _ in files), processes) as looker:
        auditor = _Auditor(result, trust, now, looker)
        for file, signed in files:
            auditor.batch(file, signed)
    result.meters = auditor.story.told
    return result


def _open(paths: Iterable[Path], result: Audit) -> list[tuple[BatchFile, SignedStatement]]:
    """The files of one gateway by batch, without those that are none."""
    files: dict[int, tuple[BatchFile, SignedStatement]] = {}
    for path in paths:
        try:
            file = BatchFile.open(path)
            signed = read_statement(file.entry)
        except VerificationError as error:
            result.found(Finding(str(path), None, None, STEPS[1], error.detail))
            continue
        statement = signed.statement
        result.gateway = result.gateway or statement.gateway
        other = files.get(statement.batch)
        if statement.gateway != result.gateway:
            problem = f"is of gateway {statement.gateway}, the files before it of {result.gateway}: audit each alone"
            result.found(Finding(str(path), statement.batch, None, STEPS[4], problem))
        elif other is None:
            files[statement.batch] = file, signed
        elif other[1].id == signed.id:
            result.noted(f"{path}: the same batch as {other[0].path}")
        else:
            problem = f"another batch {statement.batch} than in {other[0].path}: the gateway has told two stories"
            result.found(Finding(str(path), statement.batch, None, "chain", problem))
    return [files[batch] for batch in sorted(files)]


class _Auditor:
    """Goes through the batches of one gateway, in order."""

    def __init__(self, result: Audit, trust: Trust, now: int, looker: Looker) -> None:
        self._result, self._trust, self._now, self._looker = result, trust, now, looker
        self._file, self._batch = "", 0
        self.story = Story(self._found, result.noted)

    def _found(self, step: str, name: Name | None, detail: str) -> None:
        record = None if name is None else str(name)
        self._result.found(Finding(self._file, self._batch, record, step, detail))

    def _failed(self, error: VerificationError) -> None:
        self._found(STEPS[error.step], None, error.detail)

    def batch(self, file: BatchFile, signed: SignedStatement) -> None:
        """Everything about one batch."""
        statement, result = signed.statement, self._result
        self._file, self._batch = str(file.path), statement.batch
        self._statement(signed)
        vouching = self._vouching(file)
        times = sorted(vouching.values())
        until = times[self._trust.receipts - 1] if len(times) >= self._trust.receipts else None
        self.story.batch(signed)
        gathered = _Gathered()
        for fact in self._looker.facts(file, statement.gateway):
            self._record(fact, statement, until)
            gathered.add(fact)
            self.story.record(fact)
        self._whole(gathered, statement)
        if until is not None:
            self._keys(signed, gathered.kids, until)
        result.kinds.update(gathered.kinds)
        result.from_ms = statement.from_ms if result.from_ms is None else min(result.from_ms, statement.from_ms)
        result.to_ms = statement.to_ms if result.to_ms is None else max(result.to_ms, statement.to_ms)
        counted = tuple(sorted(vouching.items(), key=lambda item: (item[1], item[0])))
        result.batches.append(Audited(self._file, self._batch, len(file), signed.id, until, counted))

    def _statement(self, signed: SignedStatement) -> None:
        """Step 4: by a statement key of the gateway, and it agrees with itself."""
        gateway = signed.statement.gateway
        try:
            key = self._trust.find("statement", gateway=gateway, kid=signed.kid)
            if key is None:
                raise UnknownKey(f"the trust file has no key {signed.kid.hex()} for statements of {gateway}", step=4)
            with at_step(4):
                signed.sign1.verify(key.key)
            check_statement(signed)
        except VerificationError as error:
            self._failed(error)

    def _vouching(self, file: BatchFile) -> dict[str, int]:
        """Steps 6 and 8: the ledgers that vouch, each with its time."""
        receipts, junk = read_receipts(file.receipts)
        vouching, failures = vouching_ledgers(file.entry, receipts, self._trust, self._now)
        failures = junk + failures
        if len(vouching) < self._trust.receipts:
            self._failed(too_few(vouching, failures, self._trust))
        for _, failure in failures:
            self._result.noted(f"batch {self._batch}: not confirmed: {failure.detail}")
        for place in file.anchors:
            self._result.noted(f"batch {self._batch}: not confirmed: {place.ledger}, chain {place.chain}")
        return vouching

    def _record(self, fact: Fact, statement: Statement, until: int | None) -> None:
        """Steps 1, 2, 4 and 7 for one record."""
        if fact.problem is not None:
            step, detail = fact.problem
            self._found(STEPS[step], fact.name, detail)
        if fact.name is None:
            return
        if not statement.from_ms <= fact.time_ms <= statement.to_ms:
            span = f"{rfc3339_ms(statement.from_ms)} to {rfc3339_ms(statement.to_ms)}"
            self._found(STEPS[4], fact.name, f"the record is of {rfc3339_ms(fact.time_ms)}, its batch of {span}")
        if until is not None and fact.time_ms > (until + TOLERANCE_S) * 1000:
            span = f"{rfc3339_ms(fact.time_ms)}, more than {TOLERANCE_S} s after {rfc3339(until)}"
            self._found(STEPS[7], fact.name, f"the record claims {span}, when its batch was on a ledger already")

    def _whole(self, gathered: _Gathered, statement: Statement) -> None:
        """Steps 3 and 5: the tree over all records, and the ranges that they fill."""
        leaves = gathered.leaves
        if len(leaves) != statement.size:
            self._found(STEPS[3], None, f"holds {len(leaves)} records, its statement counts {statement.size}")
        elif Tree(leaves).root != statement.root:
            self._found(
                STEPS[3], None, "the records do not give the root of the statement: one at least is not its own"
            )
        for meter in sorted({*gathered.spans, *statement.meters}):
            if gathered.ranges(meter) != statement.meters.get(meter, ()):
                self._found(STEPS[5], None, f"the records of {meter} are not those that the statement counts")

    def _keys(self, signed: SignedStatement, kids: Iterable[tuple[str, bytes]], until: int) -> None:
        """Step 7: every key counted at the time of the batch."""
        gateway, trust = signed.statement.gateway, self._trust
        owners = [(f"the statement key of {gateway}", trust.find("statement", gateway=gateway, kid=signed.kid))]
        for meter, kid in sorted(kids):
            if meter != GATEWAY_ITSELF:
                owners.append((f"the key of meter {meter}", trust.find("meter", gateway=gateway, meter=meter, kid=kid)))
        for whose, key in owners:
            try:
                if key is not None:  # else its signatures were found wanting already
                    demand_valid(key, until, whose)
            except VerificationError as error:
                self._failed(error)


class _Gathered:
    """What the records of one batch amount to."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.kinds: Counter[str] = Counter()
        self.kids: set[tuple[str, bytes]] = set()
        self.spans: dict[str, dict[bytes, tuple[int, int]]] = {}

    def add(self, fact: Fact) -> None:
        self.leaves.append(fact.leaf)
        if fact.name is None:
            self.kinds["unreadable"] += 1
            return
        meter, epoch, seq = fact.name
        self.kinds[fact.kind] += 1
        self.kids.add((meter, fact.kid))
        epochs = self.spans.setdefault(meter, {})
        first, last = epochs.get(epoch, (seq, seq))
        epochs[epoch] = min(first, seq), max(last, seq)

    def ranges(self, meter: str) -> tuple[Range, ...]:
        """The numbers of one meter, by epoch; that none is left out is the chain's to say."""
        return tuple(sorted(Range(epoch, *span) for epoch, span in self.spans.get(meter, {}).items()))
