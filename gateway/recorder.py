"""The writer thread: finished polls in, durable signed records and sealed batches out.

Everything that changes the database passes through here, in order: polls are signed as they come and committed in
groups; a seal adds the coverage records, builds the statement and queues its anchors in the same transaction.
A failed commit takes the chains back to where they stood and counts its polls as missed, so nothing is booked that the
disk does not hold.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway import sealer
from gateway.clock import Clock
from gateway.coverage import Tally, first_coverage
from gateway.errors import StoreError
from gateway.hold import station
from gateway.keys import Keys
from gateway.signer import GATEWAY, Signer, Stamp, stamp
from gateway.store import Row, Store
from ledger_client.record import Event, Reading, parse_record

log = logging.getLogger("meterseal.recorder")
T = TypeVar("T")

INBOX_SECONDS = 30
LAST_TRIES = 2
PORTION = 100  # items of the inbox between two looks at the clock
START, STOP = "start", "stop"  # the gateway's own events at the two ends of an epoch
ALARM = "alarm"  # of a meter, or of the gateway where a whole line is meant; ``raised`` true and later false


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
    """How the recorder commits and seals: periods in ms, ledgers by name, what statements say of the gateway."""

    gateway: str
    periods_ms: Mapping[str, int]
    commit_every_ms: int
    seal_every_ms: int
    seal_count: int
    ledgers: Sequence[str]
    config: bytes
    software: str

    @property
    def inbox_readings(self) -> int:
        """Readings that may wait for a slow disk before polls count as missed."""
        rate = sum(1000 / period for period in self.periods_ms.values())
        return max(100, int(rate * INBOX_SECONDS))


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[[Store], Any]
    future: Future[Any]


_STOP = object()


class Recorder:
    """The writing thread. ``open`` begins an epoch, ``start`` the thread; ``stop`` writes the last coverage."""

    def __init__(self, store: Store, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self._store, self._keys, self._rules, self._clock = store, keys, rules, clock
        tails = {meter: store.tail(meter) for meter in [GATEWAY, *rules.periods_ms]}
        self._tails = tails
        self._signer = Signer(rules.gateway, epoch, keys, {m: t.last_data if t else None for m, t in tails.items()})
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = rules.inbox_readings
        self._waiting = 0  # readings in the inbox: put by the loop, taken by the thread
        self._pending: list[Row] = []
        self._events: list[Happened] = []  # those among the pending: they are signed again if the commit fails
        self._read_before = False
        self._position = self._signer.position()
        self._first_pending_ms: int | None = None
        self._unsealed = store.count_unsealed()
        self._last_seal_ms = clock.now_ms()
        self._tallies: dict[str, Tally] = {}
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.on_seal: list[Callable[[], object]] = []
        self.trouble: StoreError | None = None
        self.ended: Future[None] = Future()

    # — called by the wiring and the event loop —

    def lines_used_until_ms(self) -> int | None:
        """Until when a process before this one may have asked meters: its stop, or now if it was killed."""
        tail = self._tails[GATEWAY]
        if tail is None:
            return None
        record = parse_record(tail.last_data)
        stopped = isinstance(record.body, Event) and record.body.name == STOP
        return record.time_ms + 999 if stopped else self._clock.started_ms  # an event's time is in whole seconds

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms."""
        now = stamp(self._clock)
        anchor_ms = now.time_ms
        rows = []
        for meter in self._rules.periods_ms:
            body = first_coverage(self._tails[meter], anchor_ms, clock_usable=self._clock.usable)
            rows.append(self._signer.coverage(meter, body, now))
            self._tallies[meter] = Tally(anchor_ms, anchor_ms)
        started = {"software": self._rules.software, "config": self._rules.config}
        rows.append(self._signer.event(GATEWAY, Event(START, started), now))
        with self._store.transaction():
            self._store.open_epoch(self._signer.epoch, anchor_ms, self._rules.periods_ms.items())
            self._store.append(rows)
        self._position = self._signer.position()
        self._unsealed += 1
        return anchor_ms

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Hand over a finished poll; never blocks. Behind ``INBOX_SECONDS`` of readings it counts as disk-error."""
        if finished.reading is not None:
            if self._waiting >= self._room:
                finished = Finished(finished.meter, finished.due_ms, None, None, "disk-error")
            else:
                self._waiting += 1
        self._inbox.put(finished)

    def happened(self, meter: str, event: Event) -> None:
        """Hand over an event, in order with the polls; it is written once and kept until it can be."""
        self._inbox.put(Happened(meter, event))

    def call(self, function: Callable[[Store], T]) -> Future[T]:
        """Run ``function(store)`` in the writer thread, after what waits there; it makes its own transaction."""
        future: Future[T] = Future()
        self._inbox.put(_Call(function, future))
        return future

    def stop(self) -> None:
        """Write what waits, each meter's last coverage record and the stop event; end thread and database."""
        if self._thread.is_alive():
            self._inbox.put(_STOP)
            self._thread.join()
        self._store.close()

    # — the thread —

    def _run(self) -> None:
        try:
            while True:
                items = self._next_items()
                for item in items:
                    self._handle(item)
                if items and items[-1] is _STOP:
                    self._finish()
                    break
                self._keep_time()
            self.ended.set_result(None)
        except BaseException as error:  # a bug: the wiring waits on ``ended`` and ends the process with it, loudly
            self.ended.set_exception(error)

    def _finish(self) -> None:
        """What waits, then the epoch's last records; once more if that fails, for the events have come back."""
        self._flush()
        for _ in range(LAST_TRIES):
            while not self._inbox.empty():
                self._handle(self._inbox.get())
            self._flush(stop=True)
            if self.trouble is None:
                return

    def _next_items(self) -> list[Any]:
        """What waits in the inbox, in portions so that the time is kept; nothing when a deadline comes first."""
        items: list[Any] = []
        try:
            items.append(self._inbox.get(timeout=self._wait_s()))
            while len(items) < PORTION and items[-1] is not _STOP:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return items

    def _wait_s(self) -> float:
        now = self._clock.now_ms()
        deadlines = [self._last_seal_ms + self._rules.seal_every_ms]
        if self._first_pending_ms is not None:
            deadlines.append(self._first_pending_ms + self._rules.commit_every_ms)
        return max(0.0, (min(deadlines) - now) / 1000)

    def _handle(self, item: Any) -> None:
        if isinstance(item, Finished):
            self._poll(item)
        elif isinstance(item, Happened):
            self._sign_event(item)
        elif isinstance(item, _Call) and item.future.set_running_or_notify_cancel():
            try:
                self._flush()
                item.future.set_result(item.function(self._store))
            except Exception as error:
                item.future.set_exception(error)

    def _poll(self, poll: Finished) -> None:
        tally = self._tallies[poll.meter]
        if poll.reading is None or poll.stamp is None:
            tally.finished(poll.due_ms, poll.reason)
            return
        self._waiting -= 1
        row = self._signer.reading(poll.meter, poll.reading, poll.stamp)
        tally.finished(poll.due_ms, None)
        self._add(row)
        if self._countable() >= self._rules.seal_count:
            self._flush(seal=True)
        elif not self._read_before:
            self._read_before = True  # the first reading of an epoch does not wait for company
            self._flush()

    def _sign_event(self, item: Happened) -> None:
        self._add(self._signer.event(item.meter, item.event, stamp(self._clock)))
        self._events.append(item)

    def _add(self, row: Row) -> None:
        self._pending.append(row)
        if self._first_pending_ms is None:
            self._first_pending_ms = self._clock.now_ms()

    def _keep_time(self) -> None:
        now = self._clock.now_ms()
        if sealer.due(
            now_ms=now,
            last_ms=self._last_seal_ms,
            records=self._countable(),
            every_ms=self._rules.seal_every_ms,
            count=self._rules.seal_count,
        ):
            self._flush(seal=True)
        elif self._first_pending_ms is not None and now - self._first_pending_ms >= self._rules.commit_every_ms:
            self._flush()

    def _countable(self) -> int:
        """Records that wait for a batch by count: none while commits fail, else every poll would build it in vain."""
        return self._unsealed + len(self._pending) if self.trouble is None else 0

    def _flush(self, *, seal: bool = False, stop: bool = False) -> None:
        """Commit what is pending; ``seal``: coverage and a batch over it all; ``stop``: the epoch's last records."""
        if not (self._pending or seal or stop):
            return
        pending, events, rows = self._pending, self._events, list(self._pending)
        self._pending, self._events, self._first_pending_ms = [], [], None
        try:
            if seal or stop:
                now = stamp(self._clock)
                rows += [self._signer.coverage(meter, t.coverage(), now) for meter, t in self._tallies.items()]
            if stop:
                rows.append(self._signer.event(GATEWAY, Event(STOP, {}), now))
            with self._store.transaction():
                self._store.append(rows)
                if seal:
                    station("seal")
                    seal_unsealed(self._store, self._keys, self._rules, self._clock.now_ms())
        except StoreError as error:
            self._undo(pending, events, error)
            return
        if self.trouble is not None:
            log.warning("recording goes on: the database can be written again")
            self.trouble = None
        self._settle_accounts(len(pending), seal=seal, coverage=seal or stop)

    def _settle_accounts(self, records: int, *, seal: bool, coverage: bool) -> None:
        self._position = self._signer.position()
        if coverage:
            for tally in self._tallies.values():
                tally.start_over()
        self._unsealed = 0 if seal else self._unsealed + records
        if seal:
            self._last_seal_ms = self._clock.now_ms()
            station("sealed")
            for tell in self.on_seal:
                tell()

    def _undo(self, rows: Sequence[Row], events: Sequence[Happened], error: StoreError) -> None:
        if self.trouble is None:
            log.error("recording stopped, polling goes on: %s", error)
        self.trouble = error
        self._signer.rewind(self._position)
        self._last_seal_ms = self._clock.now_ms()  # a seal that failed is tried again a period later, not at once
        for row in rows:
            if row.kind == "reading":
                self._tallies[row.meter].lost_after_all(error.reason)
        for event in events:
            self._inbox.put(event)  # an event is not lost with its moment: it is signed again when the disk is back


def seal_unsealed(store: Store, keys: Keys, rules: Rules, now_ms: int) -> None:
    """One batch over every record that none holds yet, with its anchors queued. Call within ``store.transaction()``."""
    stretch = store.unsealed()
    if stretch is None:
        return
    batch = sealer.seal(
        store.walk(*stretch),
        first_id=stretch[0],
        last_id=stretch[1],
        gateway=rules.gateway,
        before=store.last_batch(),
        config=rules.config,
        software=rules.software,
        now_ms=now_ms,
        signer=keys.statement,
    )
    store.seal(batch, rules.ledgers)
