"""The writer thread: a bounded queue in front of the journal, so that a slow disk never delays a line.

Everything that changes the database passes through here, in order. What may be called from the event loop never blocks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.clock import Clock
from gateway.config.device_keys import Keys
from gateway.errors import Damaged, StartAgain, StoreError
from gateway.messages.message import Message
from gateway.process.heartbeats import Heartbeat
from gateway.recording.config_change import Change
from gateway.recording.heard import Standing
from gateway.recording.journal import Journal
from gateway.recording.pending import breaks_alone
from gateway.recording.rules import Rules
from gateway.recording.statement_key import Away
from gateway.records import MeterEvent, PollResult, Timestamp, Token
from gateway.storage.database import Database
from gateway.storage.writer import T, answer
from ledger_client.formats.record import Event
from ledger_client.messages import Sentence

INBOX_SECONDS = 30
COMMIT_WITHIN_S = 60
"""A round of the writer, which holds at most one commit, takes longer only when the disk hangs."""
PORTION = 100  # items of the inbox between two looks at the clock
GATHER_S = 0.02
"""Seconds that the writer lets polls gather, which would else wake it one by one, each time taking the interpreter from
the lines. A call that waits for an answer, an event, and the first reading of an epoch are taken at once."""


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[[Database], Any]
    future: Future[Any]
    stamp: Timestamp


_STOP = object()


class Recorder:
    """The writing thread. ``open`` begins an epoch, ``start`` the thread; ``stop`` writes the last coverage."""

    def __init__(self, store: Database, keys: Keys, rules: Rules, clock: Clock, epoch: bytes) -> None:
        self._store, self._clock = store, clock
        self._journal = Journal(store, keys, rules, clock, epoch)
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self.room = _room(rules)
        """Readings that may wait for a slow disk before polls count as missed. Set by the writer thread, read by the
        event loop."""
        self._over = False
        self._pulse = Heartbeat("recorder", clock.monotonic)
        self._waiting = 0  # readings in the inbox: added by the event loop, taken off by the writer thread
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.on_seal, self.on_news, self.along = self._journal.on_seal, self._journal.on_news, self._journal.along
        self.commits = self._journal.durations
        self.ended: Future[None] = Future()

    # — called by the wiring and the event loop —

    @property
    def now_ms(self) -> int:
        """The time by which it records, in ms since 1970."""
        return self._clock.now_ms()

    @property
    def trouble(self) -> StoreError | None:
        """Why nothing is recorded for the time being."""
        return self._journal.trouble

    @property
    def waiting(self) -> int:
        """Readings that wait for the writer thread."""
        return self._waiting

    def health(self) -> dict[str, Any]:
        """How recording stands, for the status."""
        return self._journal.health()

    def stuck(self) -> Sentence | None:
        """That the writer does not turn, or has records that it does not commit; None: it turns. While an alarm of the
        disk stands it may take as long as that takes."""
        if self.trouble is not None or self.ended.done() or not self._thread.is_alive():
            return None
        waited_s = self._journal.uncommitted_s()
        if waited_s > COMMIT_WITHIN_S:
            return Message("recorder-stuck", waited_s=round(waited_s))
        return self._pulse.stuck()

    def demand_recording(self) -> None:
        """Raises StoreError while nothing can be recorded: no change could be taken over now."""
        self._journal.demand_recording()

    def demand_key(self) -> None:
        """Raises StoreError while the statement key is away: what it is to sign now would wait."""
        self._journal.demand_key()

    @property
    def key_away(self) -> Away | None:
        """Since when the statement key has been away, and why; None: it is at hand."""
        return self._journal.key_away()

    def change(self, change: Change) -> Future[int]:
        """Take over another configuration, in order with the polls: the anchor of what is read anew
        (recording/config_change.py)."""

        def take_over(_: Database) -> int:
            anchor_ms = self._journal.change(change)
            self.room = _room(change.rules)
            return anchor_ms

        return self.call(take_over)

    def skip(self, meters: Collection[str]) -> Future[int]:
        """Nobody polled these meters until now (recording/config_change.py)."""
        return self.call(lambda _: self._journal.skip(meters))

    def lines_used_until_ms(self) -> int | None:
        """Time in ms until which an earlier process may have asked meters: its stop, or now if it was killed."""
        return self._journal.lines_used_until_ms()

    def identities(self) -> dict[str, str]:
        """Which device stands for which meter, as far as the database knew when it was opened."""
        return dict(self._journal.announced.identities)

    @property
    def held(self) -> Sentence | None:
        """Why nothing is sealed for the time being; None: what is cut is sealed."""
        return self._journal.held

    def hold_seals(self, why: Sentence | None) -> None:
        """Seal nothing from now on, for this reason; None: seal what has been cut. Batches are cut all the same."""
        self._journal.held = why
        self.call(lambda _: self._journal.look_for_cuts())

    def open(self) -> int:
        """Begin the epoch with its first records, durable at once. Returns the anchor of the schedules in ms."""
        return self._journal.open()

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def standing(self, meter: str, token: Token) -> Standing:
        """What is known of a message that a meter sent unasked: whether it is to be taken. Event loop only; between
        this and ``put`` the same message must not be asked about again."""
        return self._journal.heard.standing(meter, token)

    def last_moment(self, meter: str) -> int | None:
        """The last moment of a series, from which the next message is expected, in ms of the schedule's clock; None:
        the meter is none. For a line that begins."""
        return self._journal.last_moment(meter)

    def put(self, finished: PollResult) -> None:
        """Hand over a finished poll; never blocks. Behind ``INBOX_SECONDS`` of readings it counts as disk-error, and
        of its reading only the breaks are kept."""
        if finished.token is not None:
            self._journal.heard.expect(finished.meter, finished.token)
        if finished.reading is not None:
            if self._waiting >= self.room:
                finished = replace(finished, reading=breaks_alone(finished.reading), reason="disk-error")
            else:
                self._waiting += 1
        self._inbox.put(finished)

    def happened(self, meter: str, event: Event) -> None:
        """Hand over an event, in order with the polls; it is written once and kept until it can be."""
        self._put_in_a_hurry(MeterEvent(meter, event, Timestamp.now(self._clock)))

    def call(self, function: Callable[[Database], T]) -> Future[T]:
        """Run ``function(store)`` in the writer thread, after what waits there; it makes its own transaction."""
        future: Future[T] = Future()
        self._put_in_a_hurry(_Call(function, future, Timestamp.now(self._clock)))
        if self._over:
            self._decline()
        return future

    def stop(self) -> None:
        """Write what waits, each meter's last coverage record and the stop event; end thread and database."""
        if self._thread.is_alive():
            self._put_in_a_hurry(_STOP)
            self._thread.join()
        self._over = True
        self._decline()
        self._journal.heard.close()
        self._store.close()

    def _put_in_a_hurry(self, item: Any) -> None:
        """Hand over what does not wait for polls to gather behind it."""
        self._inbox.put(item)
        self._hurry.set()

    def _decline(self) -> None:
        """Writing has ended: fail every call that waits for an answer; events are left to the next start."""
        error = self.ended.exception() if self.ended.done() else None
        with suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, MeterEvent) and isinstance(error, StartAgain):
                    error.waiting.append((item.meter, item.event))
                elif isinstance(item, _Call) and item.future.set_running_or_notify_cancel():
                    item.future.set_exception(StoreError(Message("recorder-stopped", path=str(self._store.path))))

    # — the thread —

    def _run(self) -> None:
        try:
            while self._round(self._next_items()):
                pass
            self._journal.taken_in(Timestamp.now(self._clock))
            self._journal.finish()
            self.ended.set_result(None)
        except BaseException as error:  # a bug: the wiring waits on ``ended`` and ends the process with it, loudly
            self.ended.set_exception(error)

    def _round(self, items: Sequence[Any]) -> bool:
        """Book what has come in, and do what has fallen due. False: it is to stop."""
        self._pulse.beat(COMMIT_WITHIN_S)
        for item in items:
            self._handle(item)
        if items and items[-1] is _STOP:
            return False
        self._journal.keep_time()
        return True

    def _next_items(self) -> list[Any]:
        """What waits in the inbox, gathered into portions so that the time is kept; nothing when a deadline comes
        first."""
        wait_s = max(0.0, (self._journal.next_ms() - self._clock.schedule_ms()) / 1000)
        self._pulse.beat(wait_s)
        try:
            first = self._inbox.get(timeout=wait_s)
        except queue.Empty:
            self._journal.taken_in(Timestamp.now(self._clock))
            return []
        if isinstance(first, PollResult) and self._journal.begun and self._waiting < PORTION:
            self._hurry.wait(GATHER_S)
        self._hurry.clear()
        return [first, *self._portion(PORTION - 1)] if first is not _STOP else [first]

    def _portion(self, most: int = PORTION) -> list[Any]:
        """Up to so many items that wait."""
        items: list[Any] = []
        with suppress(queue.Empty):
            while len(items) < most and (not items or items[-1] is not _STOP):
                items.append(self._inbox.get_nowait())
        return items

    def _handle(self, item: Any) -> None:
        if item is not _STOP and item.stamp is not None:
            self._journal.taken_in(item.stamp)
        if isinstance(item, PollResult):
            if item.reading is not None and item.reason is None:
                self._waiting -= 1
            self._journal.poll(item)
        elif isinstance(item, MeterEvent):
            self._journal.happened(item)
        elif isinstance(item, _Call) and item.future.set_running_or_notify_cancel():
            answer(item.future, partial(self._flushed, item.function), self._store)

    def _flushed(self, function: Callable[[Database], T], store: Database) -> T:
        self._journal.flush()
        try:
            return function(store)
        except Damaged as error:
            self._journal.found_damaged(error)
            raise


def _room(rules: Rules) -> int:
    """How many readings are due in ``INBOX_SECONDS``."""
    return max(100, int(sum(1000 / period for period in rules.periods_ms.values()) * INBOX_SECONDS))
