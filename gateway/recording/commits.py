"""Commits of signed rows, each all or nothing, and the accounting of polls that could not be committed.

A failed commit takes the chains back to where they stood and counts its polls as missed, so nothing is booked that the
disk does not hold. While the disk takes nothing events wait, and polls are only counted (recording/journal.py tries
again).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from gateway.clock import STEP_MS, Clock
from gateway.config.device_keys import Keys
from gateway.config.model import Config, Configured
from gateway.errors import Damaged, DiskFull, StartAgain, StoreError
from gateway.history.rollup import Summariser
from gateway.messages.alarm_kinds import AlarmCode
from gateway.process.failpoints import failpoint
from gateway.process.histogram import Durations
from gateway.recording.announcements import Announcements, NamedGrid, new_keys, schedule
from gateway.recording.coverage import CoverageCounter, RecordingGrid, first_coverage
from gateway.recording.signer import Queue, Signer
from gateway.records import ALARM, CLOCK, GATEWAY, SCHEDULE, START, MeterEvent, News, SignedRecord, Timestamp
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database
from gateway.storage.recovery import repair_report
from gateway.storage.recovery.repair import note_flaws
from gateway.storage.rows import asked_until_ms
from ledger_client.formats.record import Event, parse_record, record_hash

log = logging.getLogger("meterseal.recorder")

_OF_THE_EPOCH = CLOCK, SCHEDULE
"""Events of the record times and grids of one epoch: they come before all else that waits, which bears later stamps,
and mean nothing in the next epoch."""
RETRY_MS = 2_000
COMMIT_S = (0.005, 0.02, 0.05, 0.2, 1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class Rules:
    """How records are committed, cut, sealed and kept: periods in ms, ledgers by name (``required``: those whose
    receipts a batch needs before it may be pruned), what statements say of the gateway."""

    gateway: str
    periods_ms: Mapping[str, int]
    configured: Mapping[str, Configured]
    commit_every_ms: int
    seal_every_ms: int
    seal_count: int
    ledgers: Sequence[str]
    required: Sequence[str]
    config: bytes
    software: str
    limits: disk_space.Limits

    @staticmethod
    def of(config: Config) -> Rules:
        """How this configuration commits and seals, and what its statements say of the gateway."""
        document = config.document
        return Rules(
            gateway=config.gateway_id,
            periods_ms={name: meter.every for name, meter in config.meters.items()},
            configured=config.configured,
            commit_every_ms=document.store.commit_every,
            seal_every_ms=document.seal.every,
            seal_count=document.seal.count,
            ledgers=tuple(ledger.name for ledger in document.ledger),
            required=tuple(ledger.name for ledger in document.ledger if ledger.policy == "required"),
            config=config.fingerprint(),
            software=f"meterseal/{version('meterseal')}",
            limits=disk_space.Limits.of(config),
        )


class Commits:
    """The database as the writer thread writes it. Not to be shared between threads."""

    def __init__(self, store: Database, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self.store, self.rules = store, rules
        self._clock, self.queue = clock, Queue(clock)
        self.tails = {meter: store.records.tail(meter) for meter in [GATEWAY, *rules.periods_ms]}
        last = {meter: tail.last_data if tail else None for meter, tail in self.tails.items()}
        self._repairs = store.repairs.untold()
        self._signer = Signer(rules.gateway, epoch, keys, last)
        self._position = self._signer.position()
        self._summaries = Summariser(store, [meter for meter, tail in self.tails.items() if tail is None])
        self.announced = Announcements(store, rules.periods_ms)
        self._tallies: dict[str, CoverageCounter] = {}
        self._pending: list[SignedRecord] = []
        self._signed: list[MeterEvent] = []  # the events among the pending: they are signed again if the commit fails
        self._unsigned: list[MeterEvent] = []  # events that wait while nothing is recorded
        self._first_pending_ms: int | None = None
        self._grids: list[NamedGrid] = []  # in force and not noted yet
        self._uncut = store.batches.count_unsealed()
        self.factor = 1
        """Every so-manieth poll is recorded."""
        self._retry_at_ms = 0
        self._reserve = disk_space.Reserve(store.path.parent)
        self.trouble: StoreError | None = None
        """Why nothing is recorded for the time being."""
        self.durations = Durations(COMMIT_S)
        """How long the commits of records took that the disk has taken."""
        self.on_news: list[Callable[[Sequence[News]], object]] = []
        """Called on the writer thread, after each commit and for each poll that is no record."""

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms."""
        now = Timestamp.now(self._clock)
        anchor_ms = now.time_ms
        rows = []
        for meter, period_ms in self.rules.periods_ms.items():
            body = first_coverage(self.tails[meter], anchor_ms, clock_usable=self._clock.usable)
            rows.append(self._signer.coverage(meter, body, now))
            self._tallies[meter] = CoverageCounter(anchor_ms, anchor_ms, period_ms)
        grids = [(meter, anchor_ms, period_ms) for meter, period_ms in self.rules.periods_ms.items()]
        gone = [(meter, anchor_ms, 0) for meter in self.store.epochs.scheduled() if meter not in self._tallies]
        lost = self.store.repairs.lost(repair_report.RANGES_TOLD)
        told = [Event(repair_report.REPAIRED, repair_report.facts(repair, lost)) for repair in self._repairs]
        announced = [
            *self._configuration({"at": "start"}, self.rules, grids=grids),
            *new_keys(self._signer.kids, self.tails, begun=self.tails[GATEWAY] is not None),
            *schedule(gone),
        ]
        started = Event(START, {"software": self.rules.software, "config": self.rules.config})
        alarms = [alarm(AlarmCode.DATABASE_REPAIRED, repair_report.text(r), raised=True).event for r in self._repairs]
        before = [self._signer.event(GATEWAY, event, now) for event in [*told, *announced]]
        behind = [self._signer.event(GATEWAY, event, now) for event in [started, *alarms]]
        rows, grids = [*before, *rows, *behind], [*grids, *gone]
        try:
            self._begin(rows, grids)
        except DiskFull:
            if not self._reserve.release():
                raise
            self._begin(rows, grids)
        self.store.epoch = self._signer.epoch
        self.announced.note(grids)
        self.announced.configured_at(anchor_ms)
        self._summaries.kept()
        self._position = self._signer.position()
        self._tell(rows)
        self._uncut += len(told) + len(behind)
        self._reserve.hold(disk_space.measure(self.store, self.rules.limits, self._reserve.owed))
        return anchor_ms

    def _configuration(
        self,
        facts: Mapping[str, Any],
        rules: Rules,
        counted_to_ms: Mapping[str, int] | None = None,
        grids: Sequence[NamedGrid] = (),
    ) -> list[Event]:
        """The event of what is configured by these rules, with the ``grids`` that this commit brings;
        ``counted_to_ms``: the end of each meter's coverage, where it is not that of what is counted now."""
        if counted_to_ms is None:
            counted_to_ms = {meter: tally.to_ms for meter, tally in self._tallies.items()}
        facts = {**facts, "config": rules.config}
        return self.announced.configuration(
            facts, rules.periods_ms, rules.configured, self._signer.kids, counted_to_ms, grids
        )

    def _begin(self, signed: Sequence[SignedRecord], grids: Sequence[NamedGrid]) -> None:
        with self.store.transaction():
            self.store.epochs.schedule(self._signer.epoch, grids)
            self._summaries.write(signed)
            self.store.records.append([one.row for one in signed])
            self.store.repairs.told()

    def happened(self, item: MeterEvent) -> None:
        """Book an event; it is kept until it can be written."""
        self.announced.hear(item.meter, item.event)
        if self.trouble is not None:
            self._unsigned.append(item)
            return
        self._add(self._signer.event(item.meter, item.event, item.stamp or self.queue.now()))
        self._signed.append(item)

    def _add(self, signed: SignedRecord) -> None:
        self._pending.append(signed)
        if self._first_pending_ms is None:
            self._first_pending_ms = self._clock.schedule_ms()

    def uncommitted_s(self) -> float:
        """How much longer than ``commit_every`` the oldest signed record has been waiting for its commit. Any thread
        may ask."""
        since_ms = self._first_pending_ms
        if since_ms is None:
            return 0.0
        return max(0, self._clock.schedule_ms() - since_ms - self.rules.commit_every_ms) / 1000

    def flush(self) -> None:
        """Commit what is pending."""
        if self._pending:
            self._write(())

    def found_damaged(self, error: Damaged) -> None:
        """Something else than a commit has met a damaged page: nothing more is written."""
        self.flush()
        self._stop_recording(error)

    def _coverage(
        self, now: Timestamp | None = None, last: Mapping[str, CoverageCounter] = MappingProxyType({})
    ) -> list[SignedRecord]:
        """Each meter's coverage; ``last``: what ends with it stands there as it is to be signed."""
        now, tallies = now or self.queue.now(), {**self._tallies, **last}
        return [self._signer.coverage(meter, tally.coverage(), now) for meter, tally in tallies.items()]

    # — which polls are recorded, and their record times —

    def _ruler(self, due_ms: int, every_ms: int, covered_to_ms: int) -> RecordingGrid:
        """By the clock's course, for the polls from ``due_ms`` on; that has not gone by, for a course says nothing true
        of the time before it began."""
        time_ms = max(self._clock.record_ms(due_ms), covered_to_ms)
        return RecordingGrid(due_ms, every_ms, time_ms, self._clock.slowed(every_ms))

    def _rulers(self) -> dict[str, RecordingGrid]:
        """Each meter's, for the polls that are due from now on."""
        now, found = self._clock.schedule_ms(), dict[str, RecordingGrid]()
        for meter, tally in self._tallies.items():
            last = tally.rulers[-1]
            due_ms = last.next(tally.next_from(now))
            found[meter] = self._ruler(due_ms, last.every_ms, tally.ends_ms(due_ms))
        return found

    def _is_off(self, meter: str, ruler: RecordingGrid) -> bool:
        """Whether the one in force has gone astray from the clock's course: nine tenths of most periods are no whole
        milliseconds, and it never begins before what is counted already."""
        return abs(ruler.time_ms - self._tallies[meter].rulers[-1].time_of(ruler.due_ms)) > STEP_MS

    def _grids_of(self, rulers: Mapping[str, RecordingGrid]) -> list[NamedGrid]:
        return [(meter, *grid) for meter, ruler in rulers.items() for grid in self._tallies[meter].grids(ruler)]

    def _take(self, rulers: Mapping[str, RecordingGrid]) -> None:
        for meter, ruler in rulers.items():
            self._tallies[meter].take(ruler)

    # — to the disk —

    def _write(
        self,
        more: Sequence[SignedRecord],
        *,
        cut: bool = False,
        coverage: bool = False,
        grids: Sequence[NamedGrid] = (),
        behind: Sequence[SignedRecord] = (),
    ) -> bool:
        """Commit what is pending and then ``more``, where a batch may end, and what is ``behind`` its cut; False if the
        disk did not take it, and nothing is booked then."""
        pending = self._pending
        self._pending, self._first_pending_ms = [], None
        began_s = self._clock.monotonic()
        try:
            with self.store.transaction():
                self._summaries.write((*pending, *more))
                self.store.records.append([one.row for one in (*pending, *more)])
                if self._grids or grids:
                    self.store.epochs.schedule(self._signer.epoch, [*self._grids, *grids])
                if cut:
                    failpoint("cut")
                    self.store.batches.cut()
                    self.store.records.append([one.row for one in behind])
        except StoreError as error:
            self._undo(pending, error)
            return False
        self.durations.count(self._clock.monotonic() - began_s)
        self.announced.note([*self._grids, *grids])
        self._signed, self._grids = [], []
        self._summaries.kept()
        self._position = self._signer.position()
        self._uncut += len(pending)
        if cut or coverage:
            for tally in self._tallies.values():
                tally.start_over()
        self._tell((*pending, *more, *behind))
        return True

    def _tell(self, news: Sequence[News]) -> None:
        for listener in self.on_news:
            listener(news)

    def _undo(self, signed: Sequence[SignedRecord], error: StoreError) -> None:
        self._signer.rewind(self._position)
        self._summaries.forget()
        self._unsigned, self._signed = [*self._signed, *self._unsigned], []
        for one in signed:
            if one.row.kind == "reading":
                self._tallies[one.row.meter].lost_after_all(error.reason)
        self._stop_recording(error)

    def _stop_recording(self, error: StoreError) -> None:
        """Nothing can be recorded: say so, with what room the reserve gives, and try again until it goes on."""
        first = self.trouble is None
        self.trouble = error
        self._retry_at_ms = self._clock.schedule_ms() + RETRY_MS
        if not first:
            return
        log.error("recording stopped, polling goes on: %s", error)
        if isinstance(error, Damaged):
            note_flaws(self.store.path, [error.problem])
        self._unsigned.append(alarm(AlarmCode.RECORDING_STOPPED, f"recording stopped: {error.problem}", raised=True))
        if isinstance(error, DiskFull) and self._reserve.release():
            self._write_account()

    def _write_account(self, more: Sequence[MeterEvent] = ()) -> bool:
        """Commit each meter's coverage and the events that wait, with ``more`` behind them."""
        now = self.queue.now()
        ordered = sorted(self._unsigned, key=lambda item: item.event.name not in _OF_THE_EPOCH)
        waiting = [self._signer.event(item.meter, item.event, now) for item in ordered]
        last = [self._signer.event(item.meter, item.event, now) for item in more]
        written = self._write([*waiting, *self._coverage(now), *last], coverage=True)
        if written:
            self._unsigned = []
            self._uncut += len(waiting) + len(last)
        return written

    def _open_again(self) -> bool:
        """A connection that failed may stay broken when the disk is back; a new one must find our own last record."""
        if isinstance(self.trouble, DiskFull):
            return True
        try:
            self.store.reopen()
            tails = {meter: self.store.records.tail(meter) for meter in self._position}
        except StoreError as error:
            self.trouble = error
            return False
        ends = {meter: record_hash(tail.last_data) if tail else None for meter, tail in tails.items()}
        if ends == {meter: end for meter, (_, end) in self._position.items()}:
            return True
        if self.store.epochs.has_begun(self._signer.epoch):
            self.store.demand_newest_epoch()
        gateway = tails[GATEWAY]
        if gateway is not None and parse_record(gateway.last_data).claims.epoch == self._signer.epoch:
            raise StartAgain(
                f"{self.store.path}: the disk has kept what it had refused to keep",
                "start again: a new epoch counts it",
                self._waiting_still(),
            )
        self.trouble = StoreError(
            f"{self.store.path}: this is another database than the one that was open",
            "stop, and put back the right one",
        )
        return False

    def _waiting_still(self) -> list[tuple[str, Event]]:
        """The events that wait, and behind them that recording goes on; without those that the disk has kept after
        all, and those that tell of this epoch's own times."""
        items = (*self._unsigned, GOES_ON)
        waiting = [(item.meter, item.event) for item in items if item.event.name not in _OF_THE_EPOCH]
        for row in self.store.records.epoch_events():
            told = row.meter, parse_record(row.data).body
            if row.seq >= self._position[row.meter][0] and told in waiting:
                waiting.remove(told)
        return waiting

    def lines_used_until_ms(self) -> int | None:
        """Until when a process before this one may have asked meters: its stop, or now if it was killed."""
        return asked_until_ms(self.tails[GATEWAY], self._clock.started_ms, repaired=bool(self._repairs))


def alarm(code: str, text: str, *, raised: bool) -> MeterEvent:
    """An alarm of the store's own, raised or cleared."""
    return MeterEvent(GATEWAY, Event(ALARM, {"code": code, "line": "store", "text": text, "raised": raised}))


GOES_ON = alarm(AlarmCode.RECORDING_STOPPED, "recording goes on", raised=False)
