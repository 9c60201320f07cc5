"""Journal of the writer thread: when polls are signed, committed, cut and sealed.

One order for everything: polls are signed as they come and committed in groups (recording/committer.py); a cut adds the
coverage records and says where a batch ends, a seal makes the batch of it and queues its anchors. While the disk takes
nothing, or the limit is reached, polls are only counted; recording goes on by itself when there is room again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.accounting.statements.retention import Retention
from gateway.clock import Clock
from gateway.config.device_keys import Keys
from gateway.errors import Damaged, DiskFull, StoreError
from gateway.evidence import kept_proofs, sealing
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.recording.announcements import by_meter, schedule, spread
from gateway.recording.clock_corrections import correct_clock
from gateway.recording.committer import GOES_ON, RETRY_MS, Committer, alarm
from gateway.recording.config_change import Change, take_over
from gateway.recording.coverage import SeriesCounter
from gateway.recording.rules import Rules
from gateway.recording.statement_key import LOOK_MS, MOST_BATCHES, Away, StatementKey
from gateway.records import (
    GATEWAY,
    STOP,
    MeterEvent,
    PollResult,
    SignedRecord,
    Timestamp,
    sentence_fields,
)
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.pruning import Pruner
from gateway.storage.database import Database
from ledger_client.errors import KeyAway
from ledger_client.formats.record import Event
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.recorder")

PERIOD = "recording-period"  # every ``factor``-th poll is recorded from now on
CLOCK_EVERY_MS = 1_000
LAST_TRIES = 2
LAST_SEALS_MS = 1_000
"""Time for sealing the cuts that wait at a stop; what is left is sealed after the next start."""
PRUNE_EVERY_MS, PRUNE_ON_MS = 60_000, 50
SPACE_EVERY_MS = 1_000


class Journal:
    """What a gateway writes, in the order of time: decides when, and leaves the writing to ``Committer``.

    Writer thread only, but for what any thread may call by its docstring.
    """

    def __init__(self, store: Database, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self._committer = committer = Committer(store, keys, rules, clock, epoch)
        self._accounting, self._pending, self._queue = committer.accounting, committer.pending, committer.queue
        self._store, self._clock = store, clock
        self._read_before = False
        self._cuts = bool(store.batches.cuts())
        now = clock.schedule_ms()
        self._last_cut_ms = self._space_at_ms = self._clock_at_ms = now
        self._prune_at_ms = now + PRUNE_EVERY_MS
        self._pruner = Pruner(Retention().waits, partial(kept_proofs.keep, store))
        self.held: Sentence | None = None
        """Why nothing is sealed for the time being; cuts go on. Set and read by any thread."""
        self.on_seal: list[Callable[[], object]] = []
        """Called on the writer thread, after each seal."""
        self.on_news, self.durations, self.announced = committer.on_news, committer.durations, committer.announced
        self.along = committer.along
        self.heard = committer.heard

    @property
    def rules(self) -> Rules:
        """How records are committed and sealed at present."""
        return self._committer.rules

    # — what comes in —

    @property
    def trouble(self) -> StoreError | None:
        """Why nothing is recorded for the time being. Any thread may ask."""
        return self._committer.trouble

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms."""
        return self._committer.open()

    def taken_in(self, stamp: Timestamp) -> None:
        """Nothing that was stamped before waits for the writer any more."""
        self._queue.taken_in(stamp)

    def poll(self, poll: PollResult) -> None:
        """Book one finished poll."""
        if not self._committer.poll(poll):
            return
        if self._uncut() >= self.rules.seal_count and self._may_cut():
            self.cut()
        elif not self._read_before:
            self._read_before = True  # the first reading of an epoch does not wait for company
            self.flush()

    def happened(self, item: MeterEvent) -> None:
        """Book an event; it is kept until it can be written."""
        self._committer.happened(item)

    def flush(self) -> None:
        """Commit what is pending."""
        self._committer.flush()

    def change(self, change: Change) -> int:
        """Take over another configuration (recording/config_change.py). Raises StoreError: nothing has changed."""
        self.flush()
        self.demand_recording()
        self.demand_key()
        if self._queue.is_late():
            raise StoreError(Message("change-readings-wait"))
        key = StatementKey(change.keys.statement, self._clock)
        try:
            with self._pending.signer.whole():
                anchor_ms = take_over(self._committer, replace(change, keys=replace(change.keys, statement=key)))
        except KeyAway as error:
            self._committer.key_is_away(error)
            raise StoreError(Message("change-key-away", why=error.sentence)) from None
        self._committer.key = key
        return anchor_ms

    def last_moment(self, meter: str) -> int | None:
        """The last moment of a series by the schedule's clock; None: it is none. Any thread may ask."""
        counter = self._accounting.counters.get(meter)
        return counter.last_due_ms if isinstance(counter, SeriesCounter) else None

    def skip(self, meters: Collection[str]) -> int:
        """Nobody has polled these meters for a while; returns until when (``Accounting.skip``)."""
        return self._accounting.skip(meters)

    def found_damaged(self, error: Damaged) -> None:
        """Something else than a commit has met a damaged page: nothing more is written."""
        self._committer.found_damaged(error)

    def demand_recording(self) -> None:
        """Raises StoreError while nothing can be recorded. Any thread may ask."""
        trouble = self.trouble
        if trouble is not None:
            raise StoreError(Message("change-recording-stopped", why=trouble.sentence))

    def demand_key(self) -> None:
        """Raises StoreError while the statement key is away: what it is to sign now would wait. Any thread may ask."""
        if (away := self._committer.key.away) is not None:
            raise StoreError(Message("change-key-away", why=away.why))
        if n := len(self._pending.waiting):
            raise StoreError(Message("change-key-behind", n=n))

    def key_away(self) -> Away | None:
        """Since when the statement key has been away, and why; None: it is at hand. Any thread may ask."""
        return self._committer.key.away

    def uncommitted_s(self) -> float:
        """How much longer than it may the oldest signed record has been waiting for its commit. Any thread may ask."""
        due_ms = self._pending.due_ms(self.rules.commit_every_ms)
        return 0.0 if due_ms is None else max(0, self._clock.schedule_ms() - due_ms) / 1000

    def lines_used_until_ms(self) -> int | None:
        """Time in ms until which an earlier process may have asked meters: its stop, or now if it was killed."""
        return self._committer.lines_used_until_ms()

    @property
    def begun(self) -> bool:
        """A reading of this epoch has been recorded: from now on they may keep each other company."""
        return self._read_before

    def _uncut(self) -> int:
        return self._committer.uncut + len(self._pending)

    # — what falls due —

    def next_ms(self) -> int:
        """When ``keep_time`` has something to do, by the schedule's clock."""
        if self.trouble is not None:
            return self._committer.retry_at_ms
        deadlines = [self._prune_at_ms]
        if self._committer.key_at_hand:
            deadlines.append(self._last_cut_ms + self.rules.seal_every_ms)
        else:
            deadlines.append(self._clock.schedule_ms() + LOOK_MS * (self._committer.key.away is not None))
        if (commit_ms := self._pending.due_ms(self.rules.commit_every_ms)) is not None:
            deadlines.append(commit_ms)
        if self._cuts and self.held is None and self._committer.key.away is None:
            return 0
        return min(deadlines)

    def keep_time(self) -> None:
        """Do what has fallen due: a commit, a cut, the seal of one cut, a look at the space, a slice of pruning."""
        now = self._clock.schedule_ms()
        if self.trouble is not None:
            if now >= self._committer.retry_at_ms:
                self._try_again(now)
            return
        if self._pending.waiting and self._committer.key.away is None:
            self._committer.sign_waiting()
        due = sealing.due(
            now_ms=now,
            last_ms=self._last_cut_ms,
            records=self._uncut(),
            every_ms=self.rules.seal_every_ms,
            count=self.rules.seal_count,
        )
        if due and self._may_cut():
            self.cut()
        elif (commit_ms := self._pending.due_ms(self.rules.commit_every_ms)) is not None and now >= commit_ms:
            self.flush()
        if self._cuts and self.held is None and self._committer.key.away is None:
            self._seal_next()
        if now >= self._space_at_ms and not self._pending:  # that is after a commit: none is made for the look
            self._mind_the_space(now)
        if now >= self._clock_at_ms and self.trouble is None and self._committer.key_at_hand:
            self._mind_the_clock(now)
        if now >= self._prune_at_ms:
            self._prune(now)
        if self._committer.summaries.behind and self._read_before and self.trouble is None:
            self._catch_up()

    def _catch_up(self) -> None:
        try:
            self._committer.summaries.catch_up()
        except Damaged as error:
            self.found_damaged(error)
        except StoreError as error:
            log.warning("cannot continue the summaries of readings now: %s", error)

    def _may_cut(self) -> bool:
        """A cut waits for the events in front of it, unless the batch would grow too large."""
        return self._committer.key_at_hand or self._uncut() >= MOST_BATCHES * self.rules.seal_count

    def cut(self) -> None:
        """A batch ends here: commit what is pending, with each meter's coverage. While the statement key is away the
        gateway's own events of a cut are left to the next one."""
        at_hand = self._committer.key_at_hand
        astray = self._accounting.grids_astray() if at_hand else {}
        now, grids = self._queue.now(), self._accounting.named(astray)
        another_day = at_hand and self.announced.another_day(now.time_ms)
        events = self._committer.configuration({"at": "day"}, self.rules, grids=grids) if another_day else []
        try:
            with self._pending.signer.whole():
                rows = [*self._committer.coverage(now), *self._signed(schedule(grids), now)]
                behind = self._signed(events, now)
        except KeyAway as error:
            self._committer.key_is_away(error)
            return
        if self._committer.write(rows, cut=True, grids=grids, behind=behind):
            self._committer.uncut = 0
            self._cuts, self._last_cut_ms = True, self._clock.schedule_ms()
            self._accounting.take(astray)
            if behind:
                self.announced.configured_at(now.time_ms)

    def _signed(self, events: Iterable[Event], now: Timestamp) -> list[SignedRecord]:
        return [self._pending.signer.event(GATEWAY, event, now) for event in events]

    def finish(self) -> None:
        """The epoch's last records: what is pending, each meter's coverage, the stop event; and the cuts that wait.
        Nothing where the database is damaged: the next start counts what is missing."""
        if isinstance(self.trouble, Damaged):
            return
        if self.trouble is None:
            self._seal_cuts(self._clock.schedule_ms() + LAST_SEALS_MS)
        for _ in range(LAST_TRIES):
            if self._committer.write_account([MeterEvent(GATEWAY, Event(STOP, {}))]):
                break

    # — to the disk —

    def look_for_cuts(self) -> None:
        """Whether cuts wait: besides those that were made here there are those of a batch that was opened again."""
        self._cuts = self._cuts or bool(self._store.batches.cuts())

    def _seal_cuts(self, until_ms: int) -> None:
        while self._cuts and self.held is None and self.trouble is None and self._clock.schedule_ms() < until_ms:
            if self._committer.key.away is not None:
                return
            self._seal_next()

    def _seal_next(self) -> None:
        """Seal the oldest cut."""
        try:
            self._cuts = sealing.seal_next(self._store, self.rules.issuer(self._committer.key), self._clock.now_ms())
        except KeyAway as error:
            self._committer.key_is_away(error)
            return
        except StoreError as error:
            self._committer.stop_recording(error)
            return
        failpoint("sealed")
        for tell in self.on_seal:
            tell()

    # — when there is no room —

    def _room(self) -> disk_space.Space | None:
        """The space now; None, and recording has stopped, where even that cannot be measured."""
        try:
            return disk_space.measure(self._store, self.rules.limits, self._committer.reserve.owed)
        except StoreError as error:
            self._committer.stop_recording(error)
            return None

    def _try_again(self, now: int) -> None:
        """Record again if there is room for more and the account can be written."""
        self._committer.retry_at_ms = now + RETRY_MS
        if isinstance(self.trouble, Damaged):  # what is damaged gets no better, and worse by being written to
            return
        room = self._room() if self._committer.open_again() else None
        if room is None:
            return
        if room.share > 1 - disk_space.EASE:
            self._committer.reserve.release()
            self._prune(now)
        elif self._committer.write_account([GOES_ON]):
            log.warning("recording resumed: the database can be written again")
            self._committer.trouble = None
            self._committer.reserve.hold(room)
            self._space_at_ms = now

    def _mind_the_space(self, now: int) -> None:
        """Record fewer polls when the limit comes near, none when it is reached."""
        self._space_at_ms = now + SPACE_EVERY_MS
        room = self._room() if self.trouble is None else None
        if room is None:
            return
        factor = disk_space.factor(room.share, self._accounting.factor) if self.rules.limits.thin else 1
        if room.share >= 1:
            self._prune_at_ms = now
            path, used_bytes, limit_bytes = str(self._store.path), room.used, room.limit
            full = Message("store-limit-reached", path=path, used_bytes=used_bytes, limit_bytes=limit_bytes)
            self._committer.stop_recording(DiskFull(full))
        elif factor != self._accounting.factor and self._committer.key_at_hand:
            self._record_every(factor, room)

    def _record_every(self, factor: int, room: disk_space.Space) -> None:
        """Record every ``factor``-th poll from each meter's next one on; the change is signed."""
        sentence = Message("buffer-has-room")
        if factor > 1:
            sentence = Message("buffer-decimated", share_percent=round(100 * room.share), n=factor)
        now = self._queue.now()
        facts = {"factor": factor, "used": room.used, "limit": room.limit}
        has_alarm = 1 in (factor, self._accounting.factor)
        alarms = [alarm(AlarmCode.BUFFER, sentence, raised=factor > 1).event] if has_alarm else []
        rulers = self._accounting.grids_thinned(factor)
        grids = self._accounting.named(rulers)
        events = [*spread(Event(PERIOD, facts), {"grids": by_meter(grids)}), *alarms]
        try:
            with self._pending.signer.whole():
                rows = [*self._committer.coverage(now), *self._signed(events, now)]
        except KeyAway as error:
            self._committer.key_is_away(error)
            return
        if self._committer.write(rows, coverage=True, grids=grids):
            log.warning("%s", sentence)
            self._accounting.factor = factor
            self._committer.uncut += len(events)
            self._accounting.take(rulers)

    def _mind_the_clock(self, now: int) -> None:
        """Bring record times back to the system's clock."""
        self._clock_at_ms, most_ms = now + CLOCK_EVERY_MS, self._accounting.series_lag_ms()
        if self._clock.correction() is None or self._queue.is_late(most_ms):
            return
        self.flush()  # may take long: only then is it seen what there is to correct
        if self.trouble is None and not self._queue.is_late(most_ms):
            correct_clock(self._committer)

    def _prune(self, now: int) -> None:
        self._prune_at_ms = now + PRUNE_EVERY_MS
        try:
            if self._pruner.take(self._store, self.rules.required, self._clock.now_ms(), self.rules.limits.keep_ms):
                self._prune_at_ms = now + PRUNE_ON_MS
        except Damaged as error:
            self.found_damaged(error)
        except StoreError as error:
            log.warning("cannot prune records older than `keep` now: %s", error)

    def health(self) -> dict[str, Any]:
        """How recording stands, for the status: plain data, with sentences as in events. Any thread may ask."""
        trouble, held = self.trouble, self.held
        return {
            "recording": {"reason": trouble.reason, **_reason_fields(trouble)} if trouble else None,
            "every_poll": self._accounting.factor,
            "sealing": None if held is None else str(held),
            "sealing_said": None if held is None else sentence_fields(held),
        }


def _reason_fields(trouble: StoreError) -> dict[str, Any]:
    """Why nothing is recorded, as fields; its text has the fix only where a user must act."""
    text = f"{trouble.problem}; {trouble.way_out}" if isinstance(trouble, Damaged) else trouble.problem
    return {**sentence_fields(trouble.sentence), "text": text}
