"""Journal of the writer thread: when polls are signed, committed, cut and sealed.

One order for everything: polls are signed as they come and committed in groups (recording/commits.py); a cut adds the
coverage records and says where a batch ends, a seal makes the batch of it and queues its anchors. While the disk takes
nothing, or the limit is reached, polls are only counted; recording goes on by itself when there is room again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.clock import SLOWED, Clock, Correction
from gateway.config.device_keys import Keys
from gateway.errors import Damaged, DiskFull, StoreError
from gateway.evidence import sealing
from gateway.messages.alarm_kinds import AlarmCode
from gateway.process.failpoints import failpoint
from gateway.recording.announcements import by_meter, schedule, spread
from gateway.recording.commits import GOES_ON, RETRY_MS, Rules, alarm
from gateway.recording.config_change import Changeover
from gateway.recording.coverage import stopped_polls
from gateway.records import CLOCK, GATEWAY, STOP, MeterEvent, MissedPoll, NotRecorded, PollResult, Timestamp
from gateway.storage.capacity import disk_space, pruning
from gateway.storage.database import Database
from ledger_client.formats.record import Event
from ledger_client.formats.statement import parse_statement

log = logging.getLogger("meterseal.recorder")

PERIOD = "recording-period"  # every so-manieth poll is recorded from now on
CLOCK_EVERY_MS = 1_000
LAST_TRIES = 2
LAST_SEALS_MS = 1_000
"""So long are waiting cuts sealed at a stop; what is left is sealed after the next start."""
PRUNE_EVERY_MS, PRUNE_ON_MS = 60_000, 50
SPACE_EVERY_MS = 1_000


class Journal(Changeover):
    """What a gateway writes, in the order of time. Not to be shared between threads."""

    def __init__(self, store: Database, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        super().__init__(store, keys, rules, clock, epoch)
        self._keys = keys
        self._read_before = False
        self._cuts = bool(store.batches.cuts())
        now = clock.schedule_ms()
        self._last_cut_ms = self._space_at_ms = self._clock_at_ms = now
        self._prune_at_ms = now + PRUNE_EVERY_MS
        self.held: str | None = None
        """Why nothing is sealed for the time being, in words; cuts go on."""
        self.on_seal: list[Callable[[], object]] = []

    # — what comes in —

    def poll(self, poll: PollResult) -> None:
        """Book one finished poll."""
        tally = self._tallies[poll.meter]
        if not tally.wanted(poll.due_ms):
            tally.passed_by(poll.due_ms)
        elif poll.reading is None or poll.stamp is None:
            reason = poll.reason or "timeout"
            tally.finished(poll.due_ms, reason)
            self._tell([MissedPoll(poll.meter, tally.ruler(poll.due_ms).time_of(poll.due_ms), reason)])
        elif self.trouble is not None:
            tally.finished(poll.due_ms, self.trouble.reason)
            self._tell([NotRecorded(poll.meter, poll.reading, poll.stamp, self.trouble.reason)])
        else:
            signed = self._signer.reading(poll.meter, poll.reading, poll.stamp)
            tally.finished(poll.due_ms, None)
            self._add(signed)
            if self._uncut + len(self._pending) >= self.rules.seal_count:
                self.cut()
            elif not self._read_before:
                self._read_before = True  # the first reading of an epoch does not wait for company
                self.flush()

    @property
    def begun(self) -> bool:
        """A reading of this epoch has been recorded: from now on they may keep each other company."""
        return self._read_before

    # — what falls due —

    def next_ms(self) -> int:
        """When ``keep_time`` has something to do, by the schedule's clock."""
        if self.trouble is not None:
            return self._retry_at_ms
        deadlines = [self._last_cut_ms + self.rules.seal_every_ms, self._prune_at_ms]
        if self._first_pending_ms is not None:
            deadlines.append(self._first_pending_ms + self.rules.commit_every_ms)
        if self._cuts and self.held is None:
            return 0
        return min(deadlines)

    def keep_time(self) -> None:
        """Do what has fallen due: a commit, a cut, the seal of one cut, a look at the space, a slice of pruning."""
        now = self._clock.schedule_ms()
        if self.trouble is not None:
            if now >= self._retry_at_ms:
                self._try_again(now)
            return
        if sealing.due(
            now_ms=now,
            last_ms=self._last_cut_ms,
            records=self._uncut + len(self._pending),
            every_ms=self.rules.seal_every_ms,
            count=self.rules.seal_count,
        ):
            self.cut()
        elif self._first_pending_ms is not None and now - self._first_pending_ms >= self.rules.commit_every_ms:
            self.flush()
        if self._cuts and self.held is None:
            self._seal_next()
        if now >= self._space_at_ms and not self._pending:  # that is after a commit: none is made for the look
            self._mind_the_space(now)
        if now >= self._clock_at_ms and self.trouble is None:
            self._mind_the_clock(now)
        if now >= self._prune_at_ms:
            self._prune(now)
        if self._summaries.behind and self._read_before and self.trouble is None:
            self._catch_up()

    def _catch_up(self) -> None:
        try:
            self._summaries.catch_up()
        except Damaged as error:
            self.found_damaged(error)
        except StoreError as error:
            log.warning("summaries of readings cannot be taken up now: %s", error)

    def cut(self) -> None:
        """A batch ends here: commit what is pending, with each meter's coverage."""
        rulers = {meter: ruler for meter, ruler in self._rulers().items() if self._is_off(meter, ruler)}
        now, grids = self.queue.now(), self._grids_of(rulers)
        rows = [*self._coverage(now), *(self._signer.event(GATEWAY, event, now) for event in schedule(grids))]
        another_day = self.announced.another_day(now.time_ms)
        events = self._configuration({"at": "day"}, self.rules, grids=grids) if another_day else []
        behind = [self._signer.event(GATEWAY, event, now) for event in events]
        if self._write(rows, cut=True, grids=grids, behind=behind):
            self._uncut, self._cuts, self._last_cut_ms = 0, True, self._clock.schedule_ms()
            self._take(rulers)
            if behind:
                self.announced.configured_at(now.time_ms)

    def finish(self) -> None:
        """The epoch's last records: what is pending, each meter's coverage, the stop event; and the cuts that wait.
        Nothing where the database is damaged: the next start counts what is missing."""
        if isinstance(self.trouble, Damaged):
            return
        if self.trouble is None:
            self._seal_cuts(self._clock.schedule_ms() + LAST_SEALS_MS)
        for _ in range(LAST_TRIES):
            if self._write_account([MeterEvent(GATEWAY, Event(STOP, {}))]):
                break

    # — to the disk —

    def look_for_cuts(self) -> None:
        """Whether cuts wait: besides those that were made here there are those of a batch that was opened again."""
        self._cuts = self._cuts or bool(self.store.batches.cuts())

    def _seal_cuts(self, until_ms: int) -> None:
        while self._cuts and self.held is None and self.trouble is None and self._clock.schedule_ms() < until_ms:
            self._seal_next()

    def _seal_next(self) -> None:
        """Seal the oldest cut."""
        try:
            self._cuts = seal_next(self.store, self._keys, self.rules, self._clock.now_ms())
        except StoreError as error:
            self._stop_recording(error)
            return
        failpoint("sealed")
        for tell in self.on_seal:
            tell()

    # — when there is no room —

    def _room(self) -> disk_space.Space | None:
        """The space now; None, and recording has stopped, where even that cannot be told."""
        try:
            return disk_space.measure(self.store, self.rules.limits, self._reserve.owed)
        except StoreError as error:
            self._stop_recording(error)
            return None

    def _try_again(self, now: int) -> None:
        """Record again if there is room for more and the account can be written."""
        self._retry_at_ms = now + RETRY_MS
        if isinstance(self.trouble, Damaged):  # what is damaged gets no better, and worse by being written to
            return
        room = self._room() if self._open_again() else None
        if room is None:
            return
        if room.share > 1 - disk_space.EASE:
            self._reserve.release()
            self._prune(now)
        elif self._write_account([GOES_ON]):
            log.warning("recording goes on: the database can be written again")
            self.trouble = None
            self._reserve.hold(room)
            self._space_at_ms = now

    def _mind_the_space(self, now: int) -> None:
        """Record fewer polls when the limit comes near, none when it is reached."""
        self._space_at_ms = now + SPACE_EVERY_MS
        room = self._room() if self.trouble is None else None
        if room is None:
            return
        factor = disk_space.factor(room.share, self.factor) if self.rules.limits.thin else 1
        if room.share >= 1:
            self._prune_at_ms = now
            problem = f"{self.store.path}: it uses {room.used} bytes of the {room.limit} that it may have"
            self._stop_recording(DiskFull(problem, "free space on its disk, or raise max_size in [store]"))
        elif factor != self.factor:
            self._record_every(factor, room)

    def _record_every(self, factor: int, room: disk_space.Space) -> None:
        """From each meter's next poll on every ``factor``-th poll is recorded; the change is signed."""
        share = f"{100 * room.share:.0f} %"
        text = f"the buffer is {share} full: every {factor}. poll is recorded" if factor > 1 else "there is room again"
        now = self.queue.now()
        facts = {"factor": factor, "used": room.used, "limit": room.limit}
        told = [alarm(AlarmCode.BUFFER, text, raised=factor > 1).event] if 1 in (factor, self.factor) else []
        from_ms = self._clock.schedule_ms()
        rulers = {
            meter: self._ruler(due_ms := tally.next_from(from_ms), tally.period_ms * factor, tally.ends_ms(due_ms))
            for meter, tally in self._tallies.items()
        }
        grids = self._grids_of(rulers)
        events = [*spread(Event(PERIOD, facts), {"grids": by_meter(grids)}), *told]
        rows = [*self._coverage(now), *(self._signer.event(GATEWAY, event, now) for event in events)]
        if self._write(rows, coverage=True, grids=grids):
            log.warning("%s", text)
            self.factor = factor
            self._uncut += len(events)
            self._take(rulers)

    # — when the system's clock becomes good, or is set —

    def _mind_the_clock(self, now: int) -> None:
        """Bring record times back to the system's clock, by a signed event that says what changed."""
        self._clock_at_ms = now + CLOCK_EVERY_MS
        if self._clock.correction() is None or self.queue.is_late():
            return
        self.flush()  # may take long: only then is it seen what there is to correct
        before, change = Timestamp.now(self._clock), self._clock.correction()
        if change is None or self.trouble is not None or self.queue.is_late():
            return
        self._clock.turn(change)
        log.warning("the clock is corrected: record times go from %d to %d ms", change.before_ms, change.after_ms)
        rulers = self._rulers()
        self._grids += (grids := self._grids_of(rulers))  # noted with the first commit that succeeds
        self._take(rulers)
        tables: dict[str, Mapping[str, Any]] = {"stopped": self._stopped(change), "grids": by_meter(grids)}
        events = spread(Event(CLOCK, self._clock_facts(change)), tables)
        self._signed += [MeterEvent(GATEWAY, event) for event in events]  # told with the commit that notes the grids
        coverage, after = self._coverage(before), Timestamp.now(self._clock)
        if self._write([*coverage, *(self._signer.event(GATEWAY, event, after) for event in events)], coverage=True):
            self._uncut += len(events)

    def _stopped(self, change: Correction) -> dict[str, int]:
        """Of an epoch that is dated by a change, what was due while the gateway was off."""
        if not change.dates:
            return {}
        began_ms = change.after_ms - change.up_ms
        return {m: n for m, t in self.tails.items() if t is not None and (n := stopped_polls(t, began_ms))}

    def _clock_facts(self, change: Correction) -> dict[str, Any]:
        """Record times before and after at one moment of the epoch; of an epoch that is dated by it, when it began."""
        letter, error_ms = self._clock.letter()
        facts = {"before": change.before_ms, "after": change.after_ms, "up": change.up_ms, "clock": letter}
        if error_ms is not None:
            facts["error"] = error_ms
        if change.course.slow:
            facts["tenths"] = SLOWED
        if change.dates:
            facts["began"] = change.after_ms - change.up_ms
        return facts

    def _prune(self, now: int) -> None:
        self._prune_at_ms = now + PRUNE_EVERY_MS
        try:
            record_ms = self._clock.now_ms()
            keep_ms = self.rules.limits.keep_ms
            if pruning.prune(self.store, self.rules.required, record_ms - keep_ms) or pruning.prune_summaries(
                self.store, record_ms - max(keep_ms, pruning.MINUTES_LEAST_MS), record_ms - pruning.HOURS_KEPT_MS
            ):
                self._prune_at_ms = now + PRUNE_ON_MS
        except Damaged as error:
            self.found_damaged(error)
        except StoreError as error:
            log.warning("what is past `keep` cannot be pruned now: %s", error)

    def health(self) -> dict[str, Any]:
        """How recording stands, for the status."""
        trouble = self.trouble
        return {
            "recording": {"reason": trouble.reason, "text": _words(trouble)} if trouble else None,
            "every_poll": self.factor,
            "sealing": self.held,
        }


def _words(trouble: StoreError) -> str:
    return f"{trouble.problem}; {trouble.way_out}" if isinstance(trouble, Damaged) else trouble.problem


def seal_next(store: Database, keys: Keys, rules: Rules, now_ms: int) -> bool:
    """Seal the oldest cut and queue its anchors, in one transaction; True while there are more."""
    cuts = store.batches.cuts()
    if not cuts:
        return False
    (first_id, last_id), *others = cuts
    last = store.batches.last()
    config = parse_statement(last.entry).statement.config if last is not None else rules.config
    with store.transaction():
        failpoint("seal")
        batch = sealing.seal(
            store.batches.leaves(first_id, last_id),
            first_id=first_id,
            last_id=last_id,
            gateway=rules.gateway,
            before=sealing.Before.of(last, store.anchors.known()).after(store.repairs.all()),
            config=config,
            software=rules.software,
            now_ms=now_ms,
            signer=keys.statement,
            lost=store.repairs.lost_unsealed(),
            apart=_apart(store),
        )
        if batch is None:
            store.batches.drop_cut(last_id)
        else:
            store.batches.seal(batch, rules.ledgers)
    return bool(others)


def _apart(store: Database) -> Callable[[str, bytes, int], bool] | None:
    """Whether a record is in no batch of this database although later ones are; None: none is."""
    if not store.elsewhere.any_apart():
        return None
    last = store.batches.last()
    sealed = parse_statement(last.entry).statement.meters if last is not None else {}

    def apart(meter: str, epoch: bytes, seq: int) -> bool:
        if any(r.epoch == epoch and r.first <= seq <= r.last for r in sealed.get(meter, ())):
            return False  # lost though it may be, it was sealed
        return store.elsewhere.is_apart(meter, epoch, seq)

    return apart
