"""Audit of whole batches and of everything between them. Reads batch files; trusts the trust file only.

Of each batch: every record's form, owner and signature, the tree, the statement with its ranges, times and signature,
receipts, validity and policy as ``verify`` has them, and delays. Over them: every chain of seq and
prev and the chain of statements (audit/chain.py), coverage (audit/coverage.py), times (audit/times.py), and what was
due, counted again (audit/configuration.py, audit/due_polls.py). Nothing stops it: all that does not hold is found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger_client.audit import events
from ledger_client.audit.chain import Chains, Step
from ledger_client.audit.changes import Changes
from ledger_client.audit.configuration import Configured
from ledger_client.audit.contents import Contents
from ledger_client.audit.coverage import Coverages
from ledger_client.audit.devices import Devices
from ledger_client.audit.due_polls import Due
from ledger_client.audit.epochs import Epochs
from ledger_client.audit.files import Files, Proven, open_files
from ledger_client.audit.notes import Kind
from ledger_client.audit.period_ends import Ends, compare_with_ledgers
from ledger_client.audit.records import UNKNOWN, Fact, Keeper, Looker, Name
from ledger_client.audit.result import MOST, Audit, Audited, Finding
from ledger_client.audit.series import Intervals
from ledger_client.audit.signers import Signers
from ledger_client.audit.times import Delays, Moments, Times
from ledger_client.errors import STEPS, Malformed, UnknownKey, VerificationError, at_step
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.merkle import Tree
from ledger_client.formats.record import GATEWAY_ITSELF, Event
from ledger_client.formats.statement import Range, SignedStatement, Statement, check_signed_behind, check_statement
from ledger_client.messages import Message
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    demand_signed_by,
    demand_valid,
    policy_error,
    read_receipts,
    vouching_ledgers,
)

__all__ = ["MOST", "Audit", "Audited", "Finding", "Wanted", "audit", "compare_with_ledgers"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the files are to hold: batches of which gateway (None: of the first file), the time from and to in ms (None:
    whatever they hold; a gateway without a beginning: from its first batch on). ``allow_resume``: what an announced
    loss left behind is noted, not found."""

    gateway: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    allow_resume: bool = False


Take = Callable[[SignedStatement, Fact], None]
"""Is given what a keeper kept of a record, with the statement of its batch."""


def audit(
    paths: Sequence[Path],
    trust: Trust,
    now: int,
    *,
    wanted: Wanted | None = None,
    processes: int | None = None,
    keeper: Keeper | None = None,
    take: Take | None = None,
) -> Audit:
    """Audit batch files, in the order of their batches whatever that of ``paths`` is, at the time ``now`` (Unix s).

    Proofs (``.mseal``) of the gateway's events may be among the files: they tell what was due before the first batch.
    Raises ``FileError`` where a file cannot be read; whatever its bytes are they raise nothing. ``processes``: how many
    to use for the signatures (None: as many processors as there are, once that is worth while). ``keeper`` keeps more
    of each good record, and ``take`` is given it, in the order of batches and leaves: one pass for whoever counts on.
    """
    wanted = wanted or Wanted()
    result = Audit(allow_resume=wanted.allow_resume, gateway=wanted.gateway)
    files = open_files(paths, trust, now, result)
    with Looker(trust, files.records, processes, keeper) as looker:
        auditor = _Auditor(result, trust, now, looker, files, wanted)
        auditor.take = take
        for proof in files.devices:
            auditor.proven(proof)
        for file, signed in files.batches:
            auditor.batch(file, signed)
        for file, signed in files.others:
            auditor.judge(file, signed)
        auditor.end()
    return result


class _Auditor:
    """Goes through the batches of one gateway, in order."""

    def __init__(self, result: Audit, trust: Trust, now: int, looker: Looker, files: Files, wanted: Wanted) -> None:
        self._result, self._trust, self._now, self._looker = result, trust, now, looker
        self._files = files
        self.take: Take | None = None
        from_the_first = wanted.gateway is not None and wanted.from_ms is None
        self._chains = Chains(result, from_the_first=from_the_first)
        self._coverages, self._times = Coverages(result), Times(result)
        self._signers, self._epochs = Signers(result), Epochs(result)
        self._contents = Contents(result, self._is_polled)
        self._devices = Devices(result, Changes(result))
        self._configured = Configured(
            result, self._times, self._coverages.covered_to_ms, self._devices, self._signers
        )  # fmt: skip
        self._series = Intervals(result, self._configured.series_period_ms)
        self._due = Due(result, self._configured, self._chains)
        self._delays = Delays(result, trust.max_delay_s)
        self._delays.proofs(files.moments)
        self._ends = Ends(result, self._configured, self._coverages, self._times, wanted.from_ms, wanted.to_ms)

    # — batches —

    def proven(self, proof: Proven) -> None:
        """A proof of an event of a meter that says which device it is; nothing is counted by it."""
        with self._result.speaking_of((str(proof.path), proof.batch)):
            self._device(proof.event, proof.name)

    def batch(self, file: BatchFile, signed: SignedStatement) -> None:
        """Everything about the next batch."""
        statement, result = signed.statement, self._result
        result.place = str(file.path), statement.batch
        before = result.batches[-1].batch if result.batches else -1
        self._due.doubted |= statement.resume is not None and statement.batch > before + 1
        if self._chains.batch(signed):
            self._begin_anew(statement.batch)
        self._configured.resumes = statement.resume is not None
        for part in (self._signers, self._epochs):
            part.begin_batch(resume=statement.resume is not None)
        result.from_ms = statement.from_ms if result.from_ms is None else min(result.from_ms, statement.from_ms)
        result.to_ms = statement.to_ms if result.to_ms is None else max(result.to_ms, statement.to_ms)
        gathered = self.judge(file, signed, in_order=True)
        present = {*(self._configured.meters or {}), *self._configured.gone}
        self._coverages.end_batch(present, resume=statement.resume is not None)
        self._due.end_batch()
        self._signers.end_batch(gathered.kids, signed, configured=self._configured.meters is not None)
        self._configured.end_batch(statement.config)
        self._ends.end_batch(statement)
        result.kinds.update(gathered.kinds)

    def _begin_anew(self, batch: int) -> None:
        """Nothing is known but what proofs tell of what was before this batch."""
        self._coverages.begin_anew()
        self._times.begin_anew()
        self._configured.begin_anew()
        self._contents.begin_anew()
        self._signers.begin_anew()
        self._epochs.begin_anew()
        for proof in self._files.proven_before(batch):
            self._event(proof.event, proof.name, proof.iat, proven=True)
        self._signers.end_proofs()

    def end(self) -> None:
        """All batches were seen."""
        self._chains.end()
        self._due.end()
        self._contents.end()
        self._times.end()
        self._series.end()
        self._delays.end()
        self._ends.end()

    def judge(self, file: BatchFile, signed: SignedStatement, *, in_order: bool = False) -> _Gathered:
        """What a file is by itself; ``in_order``: and each record beside what was before it."""
        statement, result, trust = signed.statement, self._result, self._trust
        result.place = str(file.path), statement.batch
        self._statement(signed)
        vouching = self._vouching(file)
        times = sorted(vouching.values())
        until = times[trust.receipts - 1] if len(times) >= trust.receipts else None
        gathered = _Gathered()
        for fact in self._looker.facts(file, statement.gateway):
            self._record(fact, statement, until)
            gathered.add(fact, until)
            if in_order and fact.name is not None:
                self._in_order(fact, fact.name, until)
                if self.take is not None and fact.kept is not None:
                    self.take(signed, fact)
        self._whole(gathered, statement)
        self._delays.batch(gathered.moments, until, in_order=in_order)
        if until is not None:
            self._keys(signed, gathered.kids, until)
            self._signed_by(statement, until)
        if in_order:
            counted = tuple(sorted(vouching.items(), key=lambda item: (item[1], item[0])))
            place, number = result.place[0], statement.batch
            result.batches.append(Audited(place, number, len(file), signed.id, until, counted))
            gathered.delays_into(result)
        return gathered

    # — records in order —

    def _in_order(self, fact: Fact, name: Name, until: int | None) -> None:
        step = self._chains.record(fact, name)
        self._epochs.record(name)
        if step is Step.OLDER:
            self._times.forget(name.meter)
        if fact.event is not None:
            self._event(fact.event, name, fact.iat)
        elif name.meter == GATEWAY_ITSELF and step is Step.GAP:
            self._due.doubted = True
        if fact.device is not None:
            self._device(fact.device, name)
        meters = self._configured.meters
        self._times.record(fact, name, meters.get(name.meter) if meters else None, until)
        if fact.clock != UNKNOWN:
            self._due.clock_known(name.epoch)
        if fact.shape is not None:
            self._contents.reading(name.meter, fact.time_ms, fact.shape, late=fact.late)
            self._series.reading(name.meter, fact.time_ms, fact.shape, late=fact.late)
        interval = self._coverages.record(fact, name, step)
        if interval is not None:
            self._due.covered(interval)

    def _device(self, event: Event, name: Name) -> None:
        """An event of a meter that says which device it is."""
        try:
            self._devices.event(event, name)
        except Malformed as error:
            self._result.found(STEPS[1], name, f"an event {event.name} that cannot be counted by: {error.detail}")

    def _event(self, event: Event, name: Name, iat: int, *, proven: bool = False) -> None:
        """An event by which is counted, signed at ``iat``; ``proven``: it is from before the batches."""
        fields, configured = event.fields, self._configured
        try:
            if event.name == events.CONFIGURATION:
                part = events.configuration(fields)
                self._contents.configured(part.config)
                self._due.begins |= part.at == "start"
                configured.configured(part, name, iat)
            elif event.name == events.KEYS:
                self._signers.keyed(events.new_key(fields), name)
            elif event.name == events.CLOCK:
                correction = events.correction(fields)
                configured.corrected(correction)
                if correction.began_ms is not None:
                    self._delays.dated(name.epoch, correction.began_ms)
                if proven:
                    self._times.jumped_before(correction, iat)
                else:
                    self._times.corrected(correction, name)
                    self._due.corrected(name, correction)
            elif event.name == events.SCHEDULE and not proven:
                self._due.stopped(events.stopped(fields))
            elif event.name == events.PERIOD:
                configured.thinned(events.factor(fields), name)
            elif event.name in (events.REPAIRED, events.ROLLBACK):
                self._chains.lost(events.lost(fields))
            configured.announced(events.new_grids(fields), name)
        except Malformed as error:
            self._result.found(STEPS[1], name, f"an event {event.name} that cannot be counted by: {error.detail}")

    def _is_polled(self, meter: str) -> bool:
        """It is configured, and no series, whose messages come in parts."""
        configured = self._configured
        return meter in (configured.meters or ()) and not configured.schedules[meter].series

    # — a batch by itself —

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
            check_signed_behind(signed.statement)
        except VerificationError as error:
            self._result.failed(error)

    def _vouching(self, file: BatchFile) -> dict[str, int]:
        """Steps 6 and 8: the ledgers that vouch, each with its time."""
        batch = self._result.place[1]
        receipts, junk = read_receipts(file.receipts)
        vouching, failures = vouching_ledgers(file.entry, receipts, self._trust, self._now)
        failures = junk + failures
        if len(vouching) < self._trust.receipts:
            self._result.failed(policy_error(vouching, failures, self._trust))
        for _, failure in failures:
            self._result.noted(f"batch {batch}: not confirmed: {failure.detail}", Kind.UNCONFIRMED, "receipts")
        for place in file.anchors:
            text = f"batch {batch}: not confirmed: {place.ledger}, chain {place.chain}"
            self._result.noted(text, Kind.UNCONFIRMED, "anchors")
        return vouching

    def _record(self, fact: Fact, statement: Statement, until: int | None) -> None:
        """Steps 1, 2, 4 and 7 for one record."""
        if fact.problem is not None:
            step, detail = fact.problem
            self._result.found(STEPS[step], fact.name, detail)
        if fact.name is None:
            return
        if not statement.from_ms <= fact.time_ms <= statement.to_ms:
            detail = f"the record is of {rfc3339_ms(fact.time_ms)}, its batch of {_span(statement)}"
            self._result.found(STEPS[4], fact.name, detail)
        if until is not None and fact.time_ms > (until + TOLERANCE_S) * 1000:
            span = f"{rfc3339_ms(fact.time_ms)}, more than {TOLERANCE_S} s after {rfc3339(until)}"
            self._result.found(STEPS[7], fact.name, f"the record claims {span}, when its batch was on a ledger already")

    def _whole(self, gathered: _Gathered, statement: Statement) -> None:
        """Steps 3 to 5: the tree over all records, the time that they span, and the ranges that they fill."""
        leaves, found = gathered.leaves, self._result.found
        if len(leaves) != statement.size:
            found(STEPS[3], None, f"holds {len(leaves)} records, its statement counts {statement.size}")
        elif Tree(leaves).root != statement.root:
            found(STEPS[3], None, "the records do not give the root of the statement: one at least is not its own")
        from_ms, to_ms = gathered.from_ms, gathered.to_ms
        if from_ms is not None and (statement.from_ms < from_ms or to_ms < statement.to_ms):
            records = f"{rfc3339_ms(from_ms)} to {rfc3339_ms(to_ms)}"
            found(STEPS[4], None, f"its statement says from {_span(statement)}, and its records are from {records}")
        for meter in sorted({*gathered.spans, *statement.meters}):
            if gathered.ranges(meter) != statement.meters.get(meter, ()):
                found(STEPS[5], None, f"the records of {meter} are not those that the statement counts")

    def _signed_by(self, statement: Statement, until: int) -> None:
        """Step 7: the statement was not signed after the ledgers had it."""
        try:
            demand_signed_by(statement, until)
        except VerificationError as error:
            self._result.failed(error)

    def _keys(self, signed: SignedStatement, kids: Iterable[tuple[str, bytes]], until: int) -> None:
        """Step 7: every key counted at the time of the batch."""
        gateway, trust = signed.statement.gateway, self._trust
        owners = [
            (
                Message("verify-key-of-gateway", gateway=gateway),
                trust.find("statement", gateway=gateway, kid=signed.kid),
            )
        ]
        for meter, kid in sorted(kids):
            if meter != GATEWAY_ITSELF:
                key = trust.find("meter", gateway=gateway, meter=meter, kid=kid)
                owners.append((Message("verify-key-of-meter", meter=meter), key))
            elif kid != signed.kid:
                whose = Message("verify-key-of-events", gateway=gateway)
                owners.append((whose, trust.find("statement", gateway=gateway, kid=kid)))
        for whose, key in owners:
            try:
                if key is not None:  # else its signatures were found wanting already
                    demand_valid(key, until, whose)
            except VerificationError as error:
                self._result.failed(error)


class _Gathered:
    """What the records of one batch amount to."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.kinds: Counter[str] = Counter()
        self.kids: set[tuple[str, bytes]] = set()
        self.spans: dict[str, dict[bytes, list[tuple[int, int]]]] = {}
        self.from_ms: int | None = None
        self.to_ms = 0
        self.moments = Moments()
        self._delays: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, fact: Fact, until: int | None) -> None:
        self.leaves.append(fact.leaf)
        if fact.name is None:
            self.kinds["unreadable"] += 1
            return
        meter, epoch, seq = fact.name
        time_ms = fact.time_ms
        self.moments.add(fact, epoch)
        self.kinds[fact.kind] += 1
        self.kids.add((meter, fact.kid))
        self.from_ms = time_ms if self.from_ms is None else min(self.from_ms, time_ms)
        self.to_ms = max(self.to_ms, time_ms)
        stretches = self.spans.setdefault(meter, {}).setdefault(epoch, [])
        if stretches and stretches[-1][1] == seq - 1:
            stretches[-1] = stretches[-1][0], seq
        else:
            stretches.append((seq, seq))
        if until is not None and fact.kind == "reading":
            self._delays[meter][max(0, until - time_ms // 1000)] += 1

    def ranges(self, meter: str) -> tuple[Range, ...]:
        """The numbers of one meter, by epoch."""
        spans = self.spans.get(meter, {})
        return tuple(sorted(Range(epoch, *span) for epoch, stretches in spans.items() for span in stretches))

    def delays_into(self, result: Audit) -> None:
        """Add how old each reading was when the ledgers had it."""
        for meter, delays in self._delays.items():
            result.account(meter).delays_s.update(delays)


def _span(statement: Statement) -> str:
    return f"{rfc3339_ms(statement.from_ms)} to {rfc3339_ms(statement.to_ms)}"
