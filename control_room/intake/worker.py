"""The receiver's one thread that judges and stores: messages → portions → transactions → acknowledgements.

A message is acknowledged only after the commit of the transaction that holds all that it brought; so a kill at any
moment leaves it with the broker, which delivers it again, and what the database has already is *repeated* there. A
portion holds whole messages. PostgreSQL decides what becomes of one:

| it says | the portion |
|---|---|
| committed | acknowledged |
| refuses the content | in two halves; a message alone is recorded as refused, then acknowledged |
| away, full | waits, whole, and is kept alive at the broker meanwhile |
| anything else: busy, no right, our mistake | again; when that lasts, halved; one message is given back for a minute |
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from control_room.errors import DatabaseAway, DatabaseError, DatabaseFull, Unstorable
from control_room.intake.pull import Delivered
from control_room.intake.topics import topic_of
from control_room.judged import Judged, Refusal, Stored
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from ledger_client import messages

log = logging.getLogger("meterseal.control")

GATHER_S: Final = 0.05
"""A portion that is not full waits so long for more."""
IDLE_S: Final = 0.5
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
TRIES: Final = 5
GIVE_BACK_S: Final = 60.0
FORM: Final = 1
"""Step of ``ledger_client.errors.STEPS`` for what the database refuses: its form is none that can be kept."""


class Taken(NamedTuple):
    """A message that was judged: its delivery, and what it brought."""

    delivered: Delivered
    judged: Judged

    @property
    def size(self) -> int:
        """How much of a portion it is: its records, and 1 for anything else."""
        return max(1, len(self.judged.records) + len(self.judged.refusals))


Judge = Callable[[str, bytes], Judged]
Store = Callable[[Sequence[Taken]], Stored]


class Worker:
    """Thread that judges and stores. ``put`` on any thread, all else on its own."""

    def __init__(
        self, portion: int, judge: Judge, store: Store, *, done: Callable[[Sequence[int]], None],
        give_back: Callable[[int, float], None], trouble: Callable[[messages.Message | None], None],
        between: Callable[[], bool], monotonic: Callable[[], float], wait: Callable[[float], object] | None = None,
    ) -> None:  # fmt: skip
        """Nothing is started.

        Args:
            portion: so many records are stored in one transaction.
            judge: what a message of a topic brings; never raises.
            store: one transaction; raises DatabaseError.
            done: called with the places of messages that are durable.
            give_back: called with the place of a message that is not stored now, and for how many seconds.
            trouble: called when storing fails, and with None once it goes on.
            between: work between two portions, in small pieces; whether there is more. Raises DatabaseError.
            monotonic: the clock of waits.
            wait: waits so many seconds before something is tried again; None: until it is stopped, at most.
        """
        self._portion, self._judge, self._store_portion = portion, judge, store
        self._done, self._give_back, self._trouble, self._between = done, give_back, trouble, between
        self._monotonic = monotonic
        self._inbox: queue.SimpleQueue[Delivered] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._pause = wait or self._stop.wait
        self.turned_s = monotonic()
        """When the thread began its last round, by ``monotonic``."""
        self._thread = threading.Thread(target=self._run, name="judging", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, delivered: Delivered) -> None:
        """One more message."""
        self._inbox.put(delivered)

    def stop(self, within_s: float) -> None:
        """End after the transaction in progress; what is not stored stays unacknowledged."""
        self._stop.set()
        self._thread.join(within_s)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            more = False
            while not self._stop.is_set():
                self.turned_s = self._monotonic()
                if portion := self._gather(0.0 if more else IDLE_S):
                    self.store(portion)
                more = self._spare_time()
        except BaseException as error:  # a mistake of ours: the process ends, and is started again
            self.failure = error
            raise

    def _spare_time(self) -> bool:
        try:
            return self._between()
        except DatabaseError as error:
            log.warning("%s", error)
            self._pause(PAUSES_S[0])
            return False

    def _gather(self, wait_s: float) -> list[Taken]:
        """Judged messages up to a portion; those that come within ``GATHER_S`` of the first."""
        portion: list[Taken] = []
        size, until = 0, self._monotonic() + wait_s
        while size < self._portion and not self._stop.is_set():
            try:
                delivered = self._inbox.get(timeout=max(0.0, until - self._monotonic()))
            except queue.Empty:
                break
            if not portion:
                until = self._monotonic() + GATHER_S
            taken = Taken(delivered, self._judge(topic_of(delivered.subject), delivered.data))
            portion.append(taken)
            size += taken.size
        return portion

    def store(self, portion: Sequence[Taken]) -> None:
        """Store a portion and acknowledge it, piece by piece where it must be; ends early when stopped."""
        waiting = [list(portion)]
        failed = 0
        while waiting and not self._stop.is_set():
            part = waiting.pop()
            self.turned_s = self._monotonic()
            try:
                failpoint("portion")
                self._store_portion(part)
            except Unstorable as error:
                waiting += self._halved(part, error)
            except (DatabaseAway, DatabaseFull) as error:
                failed += 1
                waiting.append(part)
                self._wait(failed, error)
            except Exception as error:  # a mistake of ours, too: it must not stop the messages of others
                failed += 1
                if not isinstance(error, DatabaseError):
                    log.exception("a portion of %d messages cannot be stored", len(part))
                waiting += self._failed(part, failed, error)
            else:
                failpoint("stored")
                if failed:
                    failed = 0
                    self._trouble(None)
                self._done([taken.delivered.place for taken in part])

    def _halved(self, part: list[Taken], error: Unstorable) -> list[list[Taken]]:
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        taken = part[0]
        if not taken.judged.records and not taken.judged.statements and taken.judged.refusals:
            log.error("a message is dropped, since even its refusal cannot be stored: %s", error)
            self._done([taken.delivered.place])
            return []
        return [[Taken(taken.delivered, Judged(refusals=(_refused(taken, error),)))]]

    def _failed(self, part: list[Taken], failed: int, error: Exception) -> list[list[Taken]]:
        if failed < TRIES:
            self._pause(PAUSES_S[0] * failed)
            return [part]
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        log.error("a message waits for %.0f s, since the database does not take it: %s", GIVE_BACK_S, error)
        self._trouble(_why(error))
        self._give_back(part[0].delivered.place, GIVE_BACK_S)
        return []

    def _wait(self, failed: int, error: DatabaseError) -> None:
        self._trouble(_why(error))
        self._pause(PAUSES_S[min(failed, len(PAUSES_S)) - 1])


def _why(error: Exception) -> messages.Message:
    what = error.sentence if isinstance(error, DatabaseError) else type(error).__name__
    return Message("control-portion-fails", why=what)


def _refused(taken: Taken, error: Unstorable) -> Refusal:
    topic = topic_of(taken.delivered.subject).replace("\0", "�")
    levels = topic.split("/")
    gateway = levels[2] if len(levels) > 3 else ""
    why = Message("control-not-stored", error=error.sentence)
    return Refusal(topic, gateway, FORM, why, taken.delivered.data, None)
