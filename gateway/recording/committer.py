"""Commits of signed records, each all or nothing, and the accounting of polls that could not be committed.

Records are signed as they come and committed in groups, so memory is ahead of the disk: chains, counters, minutes and
marks already hold what a failing disk may refuse. What is true must follow from the disk alone, by these rules:

1. One transaction holds the records and all that is derived from them: minutes, marks of registers, tokens of messages,
   replaced keys, grids, the cut of a batch. Nothing but ``_begin`` and ``write`` appends records to a database that a
   gateway writes.
2. After a commit every part that ran ahead is ``kept`` (``committed``); after a failed one every part is taken back
   (``_undo``). A part that was left out there would describe records that do not exist: a chain with a number missing,
   or a coverage that calls recorded what is not. Whoever adds a part that runs ahead adds it to both.
3. Polls of a failed commit are counted as missed for the reason of the failure. Events are not lost: they wait, and are
   signed again with the first commit that succeeds. Breaks of counters move to the next record of their point.
4. Nothing leaves the process before its commit: pages, feeds and the senders of messages get ``on_news`` behind it.
   Therefore a number that is given again after a failure was never seen by anybody. News before a commit is only of
   what will never be a record: a missed poll, a reading that was not recorded.
5. A coverage starts over only in the commit that holds it.
6. While the statement key is away (recording/statement_key.py) the gateway's events wait; each commit keeps those that
   came since in the database, and takes those away that it holds as records.
7. While there is ``trouble`` nothing is signed but the account that tries the disk: polls are counted, events wait.
   recording/journal.py decides when to try again. A connection that failed may lie about what the disk holds, so a new
   one must find every chain where the last commit left it. Where the disk has kept what it called failed, going on
   would use numbers twice: ``StartAgain`` begins another epoch.

Writer thread only, but for ``trouble``, which any thread may read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gateway.clock import Clock
from gateway.config.device_keys import Keys
from gateway.errors import Damaged, DiskFull, StartAgain, StoreError
from gateway.history.rollup import Summariser
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.process.histogram import Durations
from gateway.recording.announcements import Announcements, NamedGrid, new_keys, schedule, series_of
from gateway.recording.coverage import (
    AnyCounter,
    CoverageCounter,
    RecordingGrid,
    SeriesCounter,
    first_coverage,
    series_goes_on,
)
from gateway.recording.heard import Heard
from gateway.recording.pending import Pending, is_of_the_epoch
from gateway.recording.poll_counts import Accounting
from gateway.recording.register_marks import RegisterMarks
from gateway.recording.rules import Rules
from gateway.recording.signer import Signer
from gateway.recording.stamps import StampQueue
from gateway.recording.statement_key import SIGN_MS, StatementKey
from gateway.records import (
    GATEWAY,
    START,
    MeterEvent,
    MissedPoll,
    News,
    NotRecorded,
    PollResult,
    SignedRecord,
    Timestamp,
    Token,
    alarm_event,
)
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database
from gateway.storage.key_table import ReplacedKey, replaced_in
from gateway.storage.recovery import repair_report
from gateway.storage.recovery.repair import note_flaws
from gateway.storage.rows import asked_until_ms
from ledger_client.errors import KeyAway
from ledger_client.formats.record import Coverage, Event, parse_record, record_hash
from ledger_client.formats.senml import Reading

log = logging.getLogger("meterseal.recorder")

RETRY_MS = 2_000
TOO_LATE_MS = 60_000
"""An answer that comes more than this later than a period behind its due time answers no poll that is due."""
COMMIT_S = (0.005, 0.02, 0.05, 0.2, 1.0, 5.0, 30.0)


class Committer:
    """Writes the database: what is pending, what is counted, and what follows from both, in one transaction each
    time."""

    def __init__(self, store: Database, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self.store, self.rules, self.clock = store, rules, clock
        self.queue = StampQueue(clock)
        self._place = store.records.last_place()  # read before the tails: an epoch begins behind these and no others
        series, owners = series_of(store.records, rules.periods_ms), [GATEWAY, *rules.periods_ms]
        self.tails = {owner: store.records.tail(owner, series=owner in series) for owner in owners}
        last = {meter: tail.last_data if tail else None for meter, tail in self.tails.items()}
        self._repairs = store.repairs.unreported()
        self.key = StatementKey(keys.statement, clock)
        self.pending = Pending(Signer(rules.gateway, epoch, replace(keys, statement=self.key), last), clock)
        self.pending.found(store.unsigned_events.all())
        self.accounting = Accounting(clock)
        self.summaries = Summariser(store.summaries, [meter for meter, tail in self.tails.items() if tail is None])
        self.marks, self.heard = RegisterMarks(store, rules.counters), Heard(store, clock)
        self.announced = Announcements(store.records, rules.periods_ms)
        self._latest_ms: dict[str, int] = {}
        """Time of the last reading in this epoch, by meter."""
        self._before_ms = 0
        """The time of the newest record before this epoch, or later; no reading of it is of that time."""
        self.uncut = store.batches.count_unsealed()
        """Committed records behind the last cut, coverage not counted."""
        self.retry_at_ms = 0
        self.reserve = disk_space.Reserve(store.path.parent)
        self.trouble: StoreError | None = None
        """Why nothing is recorded for the time being. Set by the writer thread, read by any."""
        self.durations = Durations(COMMIT_S)
        """Durations of the commits of records that succeeded, in seconds."""
        self.on_news: list[Callable[[Sequence[News]], object]] = []
        """Called on the writer thread, after each commit and for each poll that is no record."""
        self.along: list[Callable[[Database], object]] = []
        """Called on the writer thread within each commit, behind its records: small notes, such as up to where a feed
        has published, that are not worth a commit of their own. A note that fails costs nothing but itself."""

    # — the begin of an epoch —

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms.

        Raises StartAgain where the chains do not end any more where they ended when the database was opened, KeyAway
        where the statement key cannot sign.
        """
        now = Timestamp.now(self.clock)
        anchor_ms, signer = now.time_ms, self.pending.signer
        apart = self.clock.usable or not any(self.tails.values())  # else it goes on where the last record was
        self._before_ms = anchor_ms - apart
        bodies = {meter: self._first(meter, anchor_ms) for meter in self.rules.periods_ms}
        rows = [signer.coverage(meter, body, now) for meter, (body, _) in bodies.items()]
        grids = [(meter, begins_ms, self.rules.periods_ms[meter]) for meter, (_, begins_ms) in bodies.items()]
        gone = [(meter, anchor_ms, 0) for meter in self.store.epochs.scheduled() if meter not in bodies]
        before, behind = self._first_events(grids, gone)
        ahead = [signer.event(GATEWAY, event, now) for event in before]
        started = [signer.event(GATEWAY, event, now) for event in behind]
        rows, grids = [*ahead, *rows, *started], [*grids, *gone]
        try:
            self._begin(rows, grids)
        except DiskFull:
            if not self.reserve.release():
                raise
            self._begin(rows, grids)
        self.store.epoch = signer.epoch
        self.announced.note(grids)
        self.announced.configured_at(anchor_ms)
        self.summaries.kept()
        self.pending.committed()
        self.pass_on(rows)
        self.uncut += len(self._repairs) + len(behind)
        self.reserve.hold(disk_space.measure(self.store, self.rules.limits, self.reserve.owed))
        return anchor_ms

    def _first(self, meter: str, anchor_ms: int) -> tuple[Coverage, int]:
        """The first coverage of a meter in this epoch, from whose end on it is counted, and the begin of its grid."""
        tail, period_ms = self.tails[meter], self.rules.periods_ms[meter]
        series = self.rules.configured[meter].series
        goes_on = series_goes_on(tail, anchor_ms, period_ms) if series and self.clock.usable else None
        first = goes_on or (first_coverage(tail, anchor_ms, clock_usable=self.clock.usable), anchor_ms)
        body, begins_ms = first
        grid = RecordingGrid(begins_ms, period_ms, begins_ms, period_ms)
        self.accounting.begin(meter, grid, period_ms, covered_to_ms=body.to_ms, series=series)
        return first

    def _first_events(self, grids: Sequence[NamedGrid], gone: Sequence[NamedGrid]) -> tuple[list[Event], list[Event]]:
        """The events of a start in front of the first coverage records, and behind them."""
        lost = self.store.repairs.lost(repair_report.MOST_RANGES)
        before = [
            *(Event(repair_report.REPAIRED, repair_report.facts(repair, lost)) for repair in self._repairs),
            *self.configuration({"at": "start"}, self.rules, grids=grids),
            *new_keys(self.pending.signer.kids, self.tails, begun=self.tails[GATEWAY] is not None),
            *schedule(gone),
        ]
        started = Event(START, {"software": self.rules.software, "config": self.rules.config})
        reports = map(repair_report.message, self._repairs)
        alarms = [alarm(AlarmCode.DATABASE_REPAIRED, message, raised=True).event for message in reports]
        return before, [started, *alarms]

    def _begin(self, signed: Sequence[SignedRecord], grids: Sequence[NamedGrid]) -> None:
        with self.store.transaction():
            if self.store.records.last_place() != self._place:
                raise StartAgain(Message("database-written-by-another", path=str(self.store.path)))
            self.store.epochs.schedule(self.pending.signer.epoch, grids)
            self.summaries.write(signed)
            self.marks.begin()
            self.marks.write(signed)
            self.store.records.append([one.row for one in signed])
            self.store.replaced_keys.note(_replaced(signed))
            self.store.repairs.reported()

    def configuration(
        self,
        facts: Mapping[str, Any],
        rules: Rules,
        counted_to_ms: Mapping[str, int] | None = None,
        grids: Sequence[NamedGrid] = (),
    ) -> list[Event]:
        """The event of what is configured by these rules, with the ``grids`` that this commit brings;
        ``counted_to_ms``: the end of each meter's coverage, where it is not that of what is counted now."""
        if counted_to_ms is None:
            counted_to_ms = self.accounting.counted_to_ms()
        facts = {**facts, "config": rules.config}
        kids = self.pending.signer.kids
        return self.announced.configuration(facts, rules.periods_ms, rules.configured, kids, counted_to_ms, grids)

    # — what comes in —

    def poll(self, poll: PollResult) -> bool:
        """Book one finished poll; whether it is a record, which is pending then."""
        counter = self.accounting.counters[poll.meter]
        if isinstance(counter, SeriesCounter):
            return self._message(poll, counter)
        wanted = counter.wanted(poll.due_ms)
        if wanted and poll.reading is not None:
            poll = self._dated(poll, poll.reading, counter)
        if poll.reading is not None and (not wanted or poll.reason is not None or self.trouble is not None):
            self.pending.left_out(poll.meter, poll.reading)
        if not wanted:
            counter.passed_by(poll.due_ms)
        elif poll.reading is None or poll.stamp is None or poll.reason is not None:
            counter.finished(poll.due_ms, reason := poll.reason or "timeout")
            due_ms = counter.ruler(poll.due_ms).time_of(poll.due_ms)
            self.pass_on([MissedPoll(poll.meter, due_ms, reason, cause=poll.cause)])
        elif self.trouble is not None:
            counter.finished(poll.due_ms, self.trouble.reason)
            self.pass_on([NotRecorded(poll.meter, poll.reading, poll.stamp, self.trouble.reason)])
        else:
            self.pending.reading(poll, poll.reading, poll.stamp)
            counter.finished(poll.due_ms, None)
            return True
        return False

    def _dated(self, poll: PollResult, reading: Reading, counter: CoverageCounter) -> PollResult:
        """A meter's readings are never of one moment, and none is of a poll that was due long before: so each shows
        which poll it answers (ledger_client/audit/due_slots.py)."""
        ruler, latest_ms = counter.ruler(poll.due_ms), self._latest_ms.get(poll.meter, self._before_ms)
        if reading.time_ms > ruler.time_of(poll.due_ms) + ruler.step_ms + TOO_LATE_MS:
            return replace(poll, reason=poll.reason or "timeout")
        if reading.time_ms <= latest_ms and not reading.late:
            reading, stamp = replace(reading, time_ms=latest_ms + 1), poll.stamp
            if stamp is not None:  # nothing that is signed behind it may be of an earlier second
                stamp = stamp._replace(time_ms=max(stamp.time_ms, reading.time_ms))
            poll = replace(poll, reading=reading, stamp=stamp)
        self._latest_ms[poll.meter] = max(latest_ms, reading.time_ms)
        return poll

    def _message(self, poll: PollResult, counter: SeriesCounter) -> bool:
        """The same for a message of a series, or that none came."""
        reading, stamp, reason = poll.reading, poll.stamp or self.queue.now(), poll.reason
        if poll.token is not None and reason is None and self.trouble is None:
            self._look_up(poll.meter, poll.token)
        if reading is not None and reason is None and self.trouble is None:
            self.pending.reading(poll, reading, stamp)
            counter.heard(reading.time_ms, poll.due_ms, late=reading.late)
            return True
        if reading is not None:
            self.pending.left_out(poll.meter, reading)
        why = reason or (self.trouble.reason if reading is not None and self.trouble is not None else "timeout")
        counter.waited(stamp.time_ms, why)
        if reading is not None and reason is None:
            self.pass_on([NotRecorded(poll.meter, reading, stamp, why, poll.token)])
        else:
            self.pass_on([MissedPoll(poll.meter, counter.time_of(poll.due_ms), why, poll.token, poll.cause)])
        self.heard.ended(poll.meter, poll.token)
        return False

    def _look_up(self, meter: str, token: Token) -> None:
        """An event where a message holds something else than the one before of its label and part."""
        try:
            change = self.heard.change(meter, token, self.pending)
        except StoreError as error:
            self.stop_recording(error)
            return
        if change is not None:
            self.happened(change)

    def happened(self, item: MeterEvent) -> None:
        """Book an event; it is kept until it can be signed and written."""
        self.announced.hear(item.meter, item.event)
        if self.trouble is not None:
            self.pending.waiting.append(item)
        elif item.meter == GATEWAY and not self.key_at_hand:
            self.pending.wait(item)
        else:
            try:
                self.pending.event(item, item.stamp or self.queue.now())
            except KeyAway as error:
                self.key_is_away(error)
                self.pending.wait(item)

    @property
    def key_at_hand(self) -> bool:
        """The statement key can sign what comes next: it is not away, and nothing waits for it any more."""
        return not self.pending.waiting and self.key.away is None

    def key_is_away(self, error: KeyAway) -> None:
        """Take note that the statement key did not sign."""
        log.error("what the statement key signs waits, readings are recorded: %s", error)

    def sign_waiting(self) -> None:
        """Commit what has waited for the statement key, as much as is signed in a moment."""
        signed = self.pending.sign_waiting(self.queue.now(), within_s=SIGN_MS / 1000)
        if signed and self.write(signed):
            self.uncut += len(signed)

    # — to the disk —

    def coverage(self, now: Timestamp, last: Mapping[str, AnyCounter] = MappingProxyType({})) -> list[SignedRecord]:
        """Each meter's coverage, signed; ``last``: counters that stand for those of meters which end."""
        return [self.pending.signer.coverage(meter, body, now) for meter, body in self.accounting.coverage(last)]

    def flush(self) -> None:
        """Commit what is pending. What waits is saved with it, but not while nothing can be recorded: each such try
        would put off the one that opens the database again."""
        if len(self.pending) or (self.trouble is None and self.pending.to_save() is not None):
            self.write(())

    def write(
        self,
        more: Sequence[SignedRecord],
        *,
        cut: bool = False,
        coverage: bool = False,
        grids: Sequence[NamedGrid] = (),
        behind: Sequence[SignedRecord] = (),
    ) -> bool:
        """Commit what is pending and then ``more``; False if the disk did not take it, and nothing is booked then.

        Args:
            more: records behind the pending ones.
            cut: end a batch behind ``more``.
            coverage: ``more`` holds each meter's coverage, which starts over.
            grids: new grids to note with this commit.
            behind: records behind the cut, in the same commit.
        """
        pending, noted, waiting = self.pending.take(), self.accounting.to_note(grids), self.pending.to_save()
        began_s = self.clock.monotonic()
        try:
            with self.store.transaction():
                self.summaries.write((*pending, *more))
                self.marks.write((*pending, *more, *behind))
                self.heard.write(pending)
                self.store.records.append([one.row for one in (*pending, *more)])
                self.store.replaced_keys.note(_replaced(more))
                if noted:
                    self.store.epochs.schedule(self.pending.signer.epoch, noted)
                if waiting is not None:
                    self.store.unsigned_events.keep(*waiting)
                if cut:
                    failpoint("cut")
                    self.store.batches.cut()
                    self.store.records.append([one.row for one in behind])
                for note in self.along:
                    with suppress(StoreError):
                        note(self.store)
        except StoreError as error:
            self._undo(pending, error)
            return False
        self.durations.count(self.clock.monotonic() - began_s)
        self.announced.note(noted)
        self.accounting.unnoted = []
        self.summaries.kept()
        self.marks.kept()
        self.pending.committed()
        self.accounting.kept()
        self.uncut += len(pending)
        if cut or coverage:
            self.accounting.start_over()
        for one in pending:
            self.heard.ended(one.row.meter, one.token)
        self.pass_on((*pending, *more, *behind))
        return True

    def pass_on(self, news: Sequence[News]) -> None:
        """Pass on to the listeners what has become durable, or will never be."""
        for listener in self.on_news:
            listener(news)

    def _undo(self, signed: Sequence[SignedRecord], error: StoreError) -> None:
        for one in signed:
            if isinstance(one.body, Reading):
                self.pending.left_out(one.row.meter, one.body)
        self.pending.undo()
        self.summaries.forget()
        self.marks.forget()
        self.accounting.lost(signed, error.reason)
        self.stop_recording(error)
        self._pass_on_unrecorded(signed, error)

    def _pass_on_unrecorded(self, signed: Sequence[SignedRecord], error: StoreError) -> None:
        """Pass on that messages whose senders wait for an acknowledgement will never be records."""
        for one in signed:
            if one.token is not None and isinstance(one.body, Reading):
                self.heard.ended(one.row.meter, one.token)
                self.pass_on([NotRecorded(one.row.meter, one.body, one.stamp, error.reason, one.token)])

    def write_account(self, more: Sequence[MeterEvent] = ()) -> bool:
        """Commit each meter's coverage and the events that wait, with ``more`` behind them, as far as keys are at hand.
        False: the disk did not take it, or an event that must stand in front of all others cannot be signed."""
        now, signer = self.queue.now(), self.pending.signer
        try:
            with signer.whole():
                waiting = self.pending.sign_waiting(now)
        except KeyAway as error:
            self.key_is_away(error)
            return False
        coverage = self.coverage(now)
        last = self.pending.sign_last(more, now)
        written = self.write([*waiting, *coverage, *last], coverage=True)
        if written:
            self.uncut += len(waiting) + len(last)
        else:
            self.pending.waiting = [item for item in self.pending.waiting if item not in more]
        return written

    # — while nothing can be recorded —

    def stop_recording(self, error: StoreError) -> None:
        """Stop recording: report it, with the room that the reserve gives, and try again until it goes on."""
        first = self.trouble is None
        self.trouble = error
        self.retry_at_ms = self.clock.schedule_ms() + RETRY_MS
        if not first:
            return
        log.error("recording stopped; polling continues: %s", error)
        if isinstance(error, Damaged):
            note_flaws(self.store.path, [error.sentence])
        stopped = Message("recording-stopped-by", why=error.sentence)
        self.pending.waiting.append(alarm(AlarmCode.RECORDING_STOPPED, stopped, raised=True))
        if isinstance(error, DiskFull) and self.reserve.release():
            self.write_account()

    def found_damaged(self, error: Damaged) -> None:
        """Something else than a commit has met a damaged page: nothing more is written."""
        self.flush()
        self.stop_recording(error)

    def open_again(self) -> bool:
        """A connection that failed may stay broken when the disk is back; a new one must find our own last record."""
        if isinstance(self.trouble, DiskFull):
            return True
        position, epoch = self.pending.position, self.pending.signer.epoch
        try:
            self.store.reopen()
            tails = {meter: self.store.records.tail(meter) for meter in position}
        except StoreError as error:
            self.trouble = error
            return False
        ends = {meter: record_hash(tail.last_data) if tail else None for meter, tail in tails.items()}
        if ends == {meter: end for meter, (_, end) in position.items()}:
            return True
        if self.store.epochs.has_begun(epoch):
            self.store.demand_newest_epoch()
        gateway = tails[GATEWAY]
        if gateway is not None and parse_record(gateway.last_data).claims.epoch == epoch:
            kept = Message("database-kept-refused", path=str(self.store.path))
            raise StartAgain(kept, waiting=self._waiting_still())
        self.trouble = StoreError(Message("database-exchanged", path=str(self.store.path)))
        return False

    def _waiting_still(self) -> list[tuple[str, Event]]:
        """The events that wait, and behind them that recording goes on; without those that the disk has kept after
        all, as records or as events that wait, and those about the times of this epoch."""
        items = (*self.pending.waiting, GOES_ON)
        waiting = [(item.meter, item.event) for item in items if not is_of_the_epoch(item)]
        for item in self.store.unsigned_events.all():
            if (item.meter, item.event) in waiting:
                waiting.remove((item.meter, item.event))
        for row in self.store.records.epoch_events():
            kept = row.meter, parse_record(row.data).body
            if row.seq >= self.pending.position[row.meter][0] and kept in waiting:
                waiting.remove(kept)
        return waiting

    def lines_used_until_ms(self) -> int | None:
        """Time in ms until which an earlier process may have asked meters: its stop, or now if it was killed."""
        return asked_until_ms(self.tails[GATEWAY], self.clock.started_ms, repaired=bool(self._repairs))


def _replaced(signed: Iterable[SignedRecord]) -> Iterator[ReplacedKey]:
    """The keys that these records replace."""
    for one in signed:
        if isinstance(one.body, Event) and (key := replaced_in(one.body, one.row.time_ms)) is not None:
            yield key


def alarm(code: str, message: Message, *, raised: bool) -> MeterEvent:
    """An alarm of the store's own, raised or cleared."""
    return MeterEvent(GATEWAY, alarm_event(code, "store", message, raised=raised))


GOES_ON = alarm(AlarmCode.RECORDING_STOPPED, Message("recording-continues"), raised=False)
