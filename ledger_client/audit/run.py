"""Audit of whole batches and of everything between them. Reads batch files; trusts the trust file only.

Each batch is judged by itself (audit/batch.py: the steps of ``verify`` and delays), and then each record in order,
beside what was before it: chains (chain.py), coverage (coverage.py), what was due (configuration.py, due_polls.py,
due_slots.py), times (times.py), keys (signers.py), devices and contents. What they all rely on:

1. Only what is signed and anchored counts. Names of files, their order and folders count for nothing: batches are put
   in the order of their numbers, and a second batch of a number is judged by itself alone.
2. An audit never stops. What does not hold is found and the rest goes on, so no finding hides another one; whatever
   the bytes are, nothing is raised. A record that cannot be read keeps its leaf in the tree, and nothing else.
3. What is known at a record is what signed records before it have announced: configuration, grids, keys, clock. So
   records are taken in the order of leaves, the chain first: how a record follows decides how the other parts take it.
   Only counts of due polls wait for the end of their batch, since its grids may be announced behind them.
4. That nothing is left out is shown by four parts together: of records by the chain, of time by coverage, of polls by
   the grids, of batches by the ledgers' last one. Each part alone holds of files from which more is left out.
5. Where batches are missing, every part begins anew (``_begin_anew``): it forgets what it knew, except what proofs of
   the gateway's events (``.mseal``) say of before. What cannot be counted then is named; it never counts as right.
6. After an announced loss (``resume``) the same differences are found under the step ``resume``, which ``allow_resume``
   turns into notes. No other step is turned so.
7. The ledgers' times bound the gateway's: its clock dates its records, and is itself judged by them (times.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ledger_client.audit import events
from ledger_client.audit.batch import Gathered, Steps
from ledger_client.audit.chain import Chains, Epochs, Step
from ledger_client.audit.changes import Changes
from ledger_client.audit.configuration import Configured
from ledger_client.audit.contents import Contents
from ledger_client.audit.coverage import Coverages
from ledger_client.audit.devices import Devices
from ledger_client.audit.due_polls import Due
from ledger_client.audit.files import Files, Proven, open_files
from ledger_client.audit.period_ends import Ends, compare_with_ledgers
from ledger_client.audit.records import UNKNOWN, Fact, Keeper, Looker, Name
from ledger_client.audit.result import MOST, Audit, Audited, Finding
from ledger_client.audit.series import Intervals
from ledger_client.audit.signers import Signers
from ledger_client.audit.times import Delays, Times
from ledger_client.errors import STEPS, Malformed
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.record import GATEWAY_ITSELF, Event
from ledger_client.formats.statement import SignedStatement
from ledger_client.verification.trust import Trust

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
    if trust.witnessed:  # batches bear no notes
        result.noted("policy.witnesses of the trust file is not judged: batch files bear no cosigned heads")
        trust = replace(trust, witnessed=0)
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
        self._result, self._trust, self._looker, self._files = result, trust, looker, files
        self._steps = Steps(result, trust, now)
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
        result.losses += statement.resume is not None
        self._epochs.begin_batch(resume=statement.resume is not None)
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

    def judge(self, file: BatchFile, signed: SignedStatement, *, in_order: bool = False) -> Gathered:
        """What a file is by itself; ``in_order``: and each record beside what was before it."""
        statement, result, trust = signed.statement, self._result, self._trust
        result.place = str(file.path), statement.batch
        self._steps.statement(signed)
        vouching = self._steps.vouching(file)
        times = sorted(vouching.values())
        until = times[trust.receipts - 1] if len(times) >= trust.receipts else None
        gathered = Gathered()
        for fact in self._looker.facts(file, statement.gateway):
            self._steps.record(fact, statement, until)
            gathered.add(fact, until)
            if in_order and fact.name is not None:
                self._in_order(fact, fact.name, until)
                if self.take is not None and fact.kept is not None:
                    self.take(signed, fact)
        self._steps.whole(gathered, statement)
        self._steps.held(signed, gathered)
        self._delays.batch(gathered.moments, until, in_order=in_order)
        if until is not None:
            self._steps.keys(signed, gathered.kids, until)
            self._steps.signed_by(statement, until)
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
