"""What the writer thread writes: finished polls in, durable signed records, cuts and sealed batches out.

One order for everything: polls are signed as they come and committed in groups; a cut adds the coverage records and
says where a batch ends, a seal makes the batch of it and queues its anchors. A failed commit takes the chains back to
where they stood and counts its polls as missed, so nothing is booked that the disk does not hold. While the disk takes
nothing, or the limit is reached, polls are only counted; recording goes on by itself when there is room again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import pruning, repaired, sealer, space
from gateway.clock import SLOWED, Clock, Correction
from gateway.coverage import Tally, first_coverage, stopped_polls
from gateway.errors import Damaged, DiskFull, StartAgain, StoreError
from gateway.hold import station
from gateway.keys import Keys
from gateway.repair import note_flaws
from gateway.signer import GATEWAY, Signer, Stamp, stamp
from gateway.store import Row, Store
from ledger_client.record import Event, Reading, parse_record, record_hash

log = logging.getLogger("meterseal.recorder")

START, STOP = "start", "stop"  # the gateway's own events at the two ends of an epoch
ALARM = "alarm"  # of a meter, or of the gateway where a whole line is meant; ``raised`` true and later false
PERIOD = "recording-period"  # every so-manieth poll is recorded from now on
BUFFER, STOPPED = "buffer", "recording-stopped"  # codes of the store's own alarms
DAMAGED = "database-damaged"
CLOCK = "clock"  # record times are corrected; in an epoch of an unknown clock, when it really was
CLOCK_EVERY_MS = 1_000
RETRY_MS = 2_000
LAST_TRIES = 2
LAST_SEALS_MS = 1_000
"""So long are waiting cuts sealed at a stop; what is left is sealed after the next start."""
PRUNE_EVERY_MS, PRUNE_ON_MS = 60_000, 50
SPACE_EVERY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Finished:
    """One due poll that is over: a reading with its stamp, or the reason why there is none."""

    meter: str
    due_ms: int
    reading: Reading | None
    stamp: Stamp | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of one meter, or of the gateway itself under its own name."""

    meter: str
    event: Event


@dataclass(frozen=True, slots=True)
class Rules:
    """How records are committed, cut, sealed and kept: periods in ms, ledgers by name (``required``: those whose
    receipts a batch needs before it may be pruned), what statements say of the gateway."""

    gateway: str
    periods_ms: Mapping[str, int]
    commit_every_ms: int
    seal_every_ms: int
    seal_count: int
    ledgers: Sequence[str]
    required: Sequence[str]
    config: bytes
    software: str
    limits: space.Limits


class Journal:
    """The database as the writer thread sees it. Not to be shared between threads."""

    def __init__(self, store: Store, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self.store, self.rules = store, rules
        self._keys, self._clock = keys, clock
        self.tails = {meter: store.tail(meter) for meter in [GATEWAY, *rules.periods_ms]}
        last = {meter: tail.last_data if tail else None for meter, tail in self.tails.items()}
        self._repairs = store.untold_repairs()
        self._signer = Signer(rules.gateway, epoch, keys, last)
        self._position = self._signer.position()
        self._tallies: dict[str, Tally] = {}
        self._pending: list[Row] = []
        self._signed: list[Happened] = []  # the events among the pending: they are signed again if the commit fails
        self._unsigned: list[Happened] = []  # events that wait while nothing is recorded
        self._first_pending_ms: int | None = None
        self._read_before = False
        self._uncut = store.count_unsealed()
        self._cuts = bool(store.cuts())
        now = clock.schedule_ms()
        self._last_cut_ms = self._space_at_ms = self._clock_at_ms = now
        self._prune_at_ms = now + PRUNE_EVERY_MS
        self._retry_at_ms = 0
        self._reserve = space.Reserve(store.path.parent)
        self.factor = 1
        self.held: str | None = None
        """Why nothing is sealed for the time being, in words; cuts go on."""
        self.trouble: StoreError | None = None
        """Why nothing is recorded for the time being."""
        self.on_seal: list[Callable[[], object]] = []

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms."""
        now = stamp(self._clock)
        anchor_ms = now.time_ms
        rows = []
        for meter, period_ms in self.rules.periods_ms.items():
            body = first_coverage(self.tails[meter], anchor_ms, clock_usable=self._clock.usable)
            rows.append(self._signer.coverage(meter, body, now))
            self._tallies[meter] = Tally(anchor_ms, anchor_ms, period_ms)
        started = Event(START, {"software": self.rules.software, "config": self.rules.config})
        lost = self.store.lost(repaired.RANGES_TOLD)
        told = [Event(repaired.REPAIRED, repaired.facts(repair, lost)) for repair in self._repairs]
        alarms = [_alarm(repaired.ALARM_CODE, repaired.text(r), raised=True).event for r in self._repairs]
        events = [self._signer.event(GATEWAY, event, now) for event in [*told, started, *alarms]]
        rows = [*events[: len(told)], *rows, *events[len(told) :]]
        grids = [(meter, anchor_ms, period_ms) for meter, period_ms in self.rules.periods_ms.items()]
        try:
            self._begin(rows, grids)
        except DiskFull:
            if not self._reserve.release():
                raise
            self._begin(rows, grids)
        self._position = self._signer.position()
        self._uncut += len(events)
        self._reserve.hold(space.measure(self.store, self.rules.limits))
        return anchor_ms

    def _begin(self, rows: Sequence[Row], grids: Sequence[tuple[str, int, int]]) -> None:
        with self.store.transaction():
            self.store.schedule(self._signer.epoch, grids)
            self.store.append(rows)
            self.store.repairs_told()

    # — what comes in —

    def poll(self, poll: Finished) -> None:
        """Book one finished poll."""
        tally = self._tallies[poll.meter]
        if not tally.wanted(poll.due_ms):
            tally.passed_by(poll.due_ms)
        elif poll.reading is None or poll.stamp is None:
            tally.finished(poll.due_ms, poll.reason, self._clock.record_ms(poll.due_ms))
        elif self.trouble is not None:
            tally.finished(poll.due_ms, self.trouble.reason, self._clock.record_ms(poll.due_ms))
        else:
            row = self._signer.reading(poll.meter, poll.reading, poll.stamp)
            tally.finished(poll.due_ms, None, self._clock.record_ms(poll.due_ms))
            self._add(row)
            if self._uncut + len(self._pending) >= self.rules.seal_count:
                self.cut()
            elif not self._read_before:
                self._read_before = True  # the first reading of an epoch does not wait for company
                self.flush()

    def happened(self, item: Happened) -> None:
        """Book an event; it is kept until it can be written."""
        if self.trouble is not None:
            self._unsigned.append(item)
            return
        self._add(self._signer.event(item.meter, item.event, stamp(self._clock)))
        self._signed.append(item)

    def _add(self, row: Row) -> None:
        self._pending.append(row)
        if self._first_pending_ms is None:
            self._first_pending_ms = self._clock.schedule_ms()

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
        if sealer.due(
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

    def cut(self) -> None:
        """A batch ends here: commit what is pending, with each meter's coverage."""
        if self._write(self._coverage(), cut=True):
            self._uncut, self._cuts, self._last_cut_ms = 0, True, self._clock.schedule_ms()

    def flush(self) -> None:
        """Commit what is pending."""
        if self._pending:
            self._write(())

    def finish(self) -> None:
        """The epoch's last records: what is pending, each meter's coverage, the stop event; and the cuts that wait."""
        if self.trouble is None:
            self._seal_cuts(self._clock.schedule_ms() + LAST_SEALS_MS)
        for _ in range(LAST_TRIES):
            if self._write_account([Happened(GATEWAY, Event(STOP, {}))]):
                break

    def _coverage(self) -> list[Row]:
        now = stamp(self._clock)
        return [self._signer.coverage(meter, tally.coverage(), now) for meter, tally in self._tallies.items()]

    # — to the disk —

    def _write(
        self,
        more: Sequence[Row],
        *,
        cut: bool = False,
        coverage: bool = False,
        grids: Sequence[tuple[str, int, int]] = (),
    ) -> bool:
        """Commit what is pending and then ``more``; False if the disk did not take it, and nothing is booked then."""
        pending = self._pending
        self._pending, self._first_pending_ms = [], None
        try:
            with self.store.transaction():
                self.store.append([*pending, *more])
                if grids:
                    self.store.schedule(self._signer.epoch, grids)
                if cut:
                    station("cut")
                    self.store.cut()
        except StoreError as error:
            self._undo(pending, error)
            return False
        self._signed = []
        self._position = self._signer.position()
        self._uncut += len(pending)
        if cut or coverage:
            for tally in self._tallies.values():
                tally.start_over()
        return True

    def _undo(self, rows: Sequence[Row], error: StoreError) -> None:
        self._signer.rewind(self._position)
        self._unsigned, self._signed = [*self._signed, *self._unsigned], []
        for row in rows:
            if row.kind == "reading":
                self._tallies[row.meter].lost_after_all(error.reason)
        self._stop_recording(error)

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
        station("sealed")
        for tell in self.on_seal:
            tell()

    # — when there is no room —

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
        self._unsigned.append(_alarm(STOPPED, f"recording stopped: {error.problem}", raised=True))
        if isinstance(error, DiskFull) and self._reserve.release():
            self._write_account()

    def found_damaged(self, error: Damaged) -> None:
        """Something else than a commit has met a damaged page: nothing more is written."""
        self.flush()
        self._stop_recording(error)

    def _write_account(self, more: Sequence[Happened] = ()) -> bool:
        """Commit each meter's coverage and the events that wait, with ``more`` behind them."""
        now = stamp(self._clock)
        waiting = [self._signer.event(item.meter, item.event, now) for item in self._unsigned]
        last = [self._signer.event(item.meter, item.event, now) for item in more]
        written = self._write([*waiting, *self._coverage(), *last], coverage=True)
        if written:
            self._unsigned = []
            self._uncut += len(waiting) + len(last)
        return written

    def _room(self) -> space.Space | None:
        """The space now; None, and recording has stopped, where even that cannot be told."""
        try:
            return space.measure(self.store, self.rules.limits)
        except StoreError as error:
            self._stop_recording(error)
            return None

    def _open_again(self) -> bool:
        """A connection that failed may stay broken when the disk is back; a new one must find our own last record."""
        if isinstance(self.trouble, DiskFull):
            return True
        try:
            self.store.reopen()
            tails = {meter: self.store.tail(meter) for meter in self._position}
        except StoreError as error:
            self.trouble = error
            return False
        ends = {meter: record_hash(tail.last_data) if tail else None for meter, tail in tails.items()}
        if ends == {meter: end for meter, (_, end) in self._position.items()}:
            return True
        gateway = tails[GATEWAY]
        if gateway is not None and parse_record(gateway.last_data).claims.epoch == self._signer.epoch:
            raise StartAgain(
                f"{self.store.path}: the disk has kept what it had refused to keep",
                "start again: a new epoch counts it",
            )
        self.trouble = StoreError(
            f"{self.store.path}: this is another database than the one that was open",
            "stop, and put back the right one",
        )
        return False

    def _try_again(self, now: int) -> None:
        """Record again if there is room for more and the account can be written."""
        self._retry_at_ms = now + RETRY_MS
        if isinstance(self.trouble, Damaged):  # what is damaged gets no better, and worse by being written to
            return
        room = self._room() if self._open_again() else None
        if room is None:
            return
        if room.share > 1 - space.EASE:
            self._reserve.release()
            self._prune(now)
        elif self._write_account([_alarm(STOPPED, "recording goes on", raised=False)]):
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
        factor = space.factor(room.share, self.factor) if self.rules.limits.thin else 1
        if room.share >= 1:
            self._prune_at_ms = now
            problem = f"{self.store.path}: it uses {room.used} bytes of the {room.limit} that it may have"
            self._stop_recording(DiskFull(problem, "free space on its disk, or raise max_size in [store]"))
        elif factor != self.factor:
            self._record_every(factor, room)

    def _record_every(self, factor: int, room: space.Space) -> None:
        """From each meter's next poll on every ``factor``-th poll is recorded; the change is signed."""
        share = f"{100 * room.share:.0f} %"
        text = f"the buffer is {share} full: every {factor}. poll is recorded" if factor > 1 else "there is room again"
        now = stamp(self._clock)
        facts = {"factor": factor, "used": room.used, "limit": room.limit}
        alarm = _alarm(BUFFER, text, raised=factor > 1)
        events = [Event(PERIOD, facts), *([alarm.event] if 1 in (factor, self.factor) else [])]
        grids = [
            (meter, self._clock.record_ms(tally.next_due_ms), self._clock.slowed(tally.period_ms * factor))
            for meter, tally in self._tallies.items()
        ]
        rows = [*self._coverage(), *(self._signer.event(GATEWAY, event, now) for event in events)]
        if self._write(rows, coverage=True, grids=grids):
            log.warning("%s", text)
            self.factor = factor
            self._uncut += len(events)
            for tally in self._tallies.values():
                tally.record_every(factor)

    # — when the system's clock becomes good, or is set —

    def _mind_the_clock(self, now: int) -> None:
        """Bring record times back to the system's clock, by a signed event that says what changed."""
        self._clock_at_ms = now + CLOCK_EVERY_MS
        change = self._clock.correction()
        if change is None:
            return
        self.flush()
        coverage = self._coverage()
        self._clock.turn(change)
        event = Happened(GATEWAY, Event(CLOCK, self._clock_facts(change)))
        log.warning("the clock is corrected: record times go from %d to %d ms", change.before_ms, change.after_ms)
        ended = [(meter, tally.to_ms, 0) for meter, tally in self._tallies.items()]
        begun = [
            (meter, self._clock.record_ms(t.next_wanted_ms), self._clock.slowed(t.period_ms * t.factor))
            for meter, t in self._tallies.items()
        ]
        row = self._signer.event(GATEWAY, event.event, stamp(self._clock))
        if self._write([*coverage, row], coverage=True, grids=[*ended, *begun]):
            self._uncut += 1
        else:
            self._unsigned.append(event)

    def _clock_facts(self, change: Correction) -> dict[str, Any]:
        """Record times before and after at one moment of the epoch; of an epoch that is dated by it, what was due
        while the gateway was off."""
        letter, error_ms = self._clock.letter()
        facts = {"before": change.before_ms, "after": change.after_ms, "up": change.up_ms, "clock": letter}
        if error_ms is not None:
            facts["error"] = error_ms
        if change.course.slow:
            facts["tenths"] = SLOWED
        if change.dates:
            began_ms = change.after_ms - change.up_ms
            facts["began"] = began_ms
            stopped = {m: n for m, t in self.tails.items() if t is not None and (n := stopped_polls(t, began_ms))}
            if stopped:
                facts["stopped"] = stopped
        return facts

    def _prune(self, now: int) -> None:
        self._prune_at_ms = now + PRUNE_EVERY_MS
        try:
            if pruning.prune(self.store, self.rules.required, self._clock.now_ms() - self.rules.limits.keep_ms):
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

    def lines_used_until_ms(self) -> int | None:
        """Until when a process before this one may have asked meters: its stop, or now if it was killed."""
        tail = self.tails[GATEWAY]
        if tail is None:
            return None
        if self._repairs:  # its stop is not the last thing that it said
            return self._clock.started_ms
        record = parse_record(tail.last_data)
        stopped = isinstance(record.body, Event) and record.body.name == STOP
        return record.time_ms + 999 if stopped else self._clock.started_ms  # an event's time is in whole seconds


def _alarm(code: str, text: str, *, raised: bool) -> Happened:
    return Happened(GATEWAY, Event(ALARM, {"code": code, "line": "store", "text": text, "raised": raised}))


def _words(trouble: StoreError) -> str:
    return f"{trouble.problem}; {trouble.way_out}" if isinstance(trouble, Damaged) else trouble.problem


def seal_next(store: Store, keys: Keys, rules: Rules, now_ms: int) -> bool:
    """Seal the oldest cut and queue its anchors, in one transaction; True while there are more."""
    cuts = store.cuts()
    if not cuts:
        return False
    (first_id, last_id), *others = cuts
    with store.transaction():
        station("seal")
        batch = sealer.seal(
            store.leaves(first_id, last_id),
            first_id=first_id,
            last_id=last_id,
            gateway=rules.gateway,
            before=sealer.Before.of(store.last_batch(), store.known()).after(store.repairs()),
            config=rules.config,
            software=rules.software,
            now_ms=now_ms,
            signer=keys.statement,
            lost=store.lost_unsealed(),
        )
        if batch is None:
            store.drop_cut(last_id)
        else:
            store.seal(batch, rules.ledgers)
    return bool(others)
