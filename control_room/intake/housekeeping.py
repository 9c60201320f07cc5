"""Work beside the intake, on a thread and a connection of its own, so that no portion waits for it.

``CHORES`` is the table of it: what may be done by several receivers at once is done by each, the rest by the one that
holds PostgreSQL's advisory lock ``ELECTED``; when that one ends, or loses its connection, another takes over. A chore
that fails is done again later, and stops no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from control_room.archive.files import Archive
from control_room.completeness.rounds import Rounds
from control_room.errors import ControlRoomError, DatabaseAway, DatabaseError
from control_room.intake.own_alarms import EVENTS, TASK_FAILED, OwnAlarms
from control_room.settings import Settings
from control_room.store import asking, schema, statements
from control_room.store.asking import Again
from control_room.store.connection import Database
from control_room.store.incoming import hours, partitions, receivers
from gateway.messages.message import Message
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.control")

ELECTED: Final = 0x6D_65_74_65_72_10
TICK_S: Final = 0.5
PAUSE_S: Final = 2.0
LATER_S: Final = 30.0


@dataclass(frozen=True)
class Place:
    """What a chore works on: its connection, the settings, and where what gateways are asked for goes."""

    db: Database
    settings: Settings
    ask: Callable[[Sequence[Again]], None]


Work = Callable[[Trust, int], bool]
"""Done with the trust in force, at a time (Unix ms); whether there is more to do at once. Raises ControlRoomError."""


class Chore(NamedTuple):
    """A row of the table: how often (seconds), whether by one receiver alone, and what makes its work."""

    name: str
    every_s: float
    elected: bool
    begin: Callable[[Place], Work]


def _ask_again(place: Place) -> Work:
    def work(trust: Trust, now_ms: int) -> bool:
        asked = asking.due(place.db, now_ms)
        if asked:
            place.ask(asked)
        return False

    return work


def _clear_alarms(place: Place) -> Work:
    def work(trust: Trust, now_ms: int) -> bool:
        receivers.clear_old(place.db, EVENTS, now_ms)
        return False

    return work


def _complete(place: Place) -> Work:
    rounds = Rounds(place.db, Archive(place.settings.archive))
    known: Trust | None = None

    def work(trust: Trust, now_ms: int) -> bool:
        nonlocal known
        if trust is not known:
            statements.look_at_unproven(place.db, now_ms)
            known = trust
        return rounds.round(trust, now_ms).more

    return work


def _make_hours(place: Place) -> Work:
    def work(trust: Trust, now_ms: int) -> bool:
        return hours.make(place.db, now_ms)

    return work


def _drop_old(place: Place) -> Work:
    database = place.settings.database

    def work(trust: Trust, now_ms: int) -> bool:
        return partitions.drop_old(place.db, now_ms, database.hot, database.readings)

    return work


CHORES: Final = (
    Chore("ask for what is missing", 1.0, False, _ask_again),
    Chore("look at batches", 1.0, False, _complete),
    Chore("clear alarms", 5.0, True, _clear_alarms),
    Chore("add up hours", 10.0, True, _make_hours),
    Chore("drop old days", 600.0, True, _drop_old),
)


class Housekeeping:
    """The thread. ``trust`` and ``state`` are called on it, and ``connected`` with each new connection."""

    def __init__(
        self, settings: Settings, connect: Callable[[], Database], trust: Callable[[], Trust],
        ask: Callable[[Sequence[Again]], None], alarms: OwnAlarms, state: Callable[[], receivers.State],
        *, now_ms: Callable[[], int], monotonic: Callable[[], float], chores: Sequence[Chore] = CHORES,
    ) -> None:  # fmt: skip
        self._settings, self._connect, self._trust, self._ask = settings, connect, trust, ask
        self._alarms, self._state, self._chores = alarms, state, chores
        self._now_ms, self._monotonic = now_ms, monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._failed: dict[str, Message] = {}
        self.receiver: str | None = None
        """The name of this receiver among those of this control room; None: the database was not reached yet."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """End after what is under way."""
        self._stop.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                db = self._connect()
                try:
                    schema.demand(db)
                    self._serve(db)
                finally:
                    db.close()
            except DatabaseError as error:
                log.warning("housekeeping waits: %s", error)
                self._stop.wait(PAUSE_S)

    def _serve(self, db: Database) -> None:
        """Work until stopped, or until the connection breaks (DatabaseAway)."""
        self.receiver = receivers.take_name(db)
        self._alarms.forget_written()
        place = Place(db, self._settings, self._ask)
        works = [(chore, chore.begin(place)) for chore in self._chores]
        due = {chore.name: 0.0 for chore in self._chores}
        seen_s = elected_s = -PAUSE_S
        elected = False
        while not self._stop.is_set():
            now_s = self._monotonic()
            if now_s >= seen_s + PAUSE_S:
                seen_s = now_s
                receivers.seen(db, self.receiver, self._state(), self._now_ms())
            if not elected and now_s >= elected_s + PAUSE_S:
                elected_s, elected = now_s, receivers.elect(db, ELECTED)
            self._alarms.write(db, self.receiver, self._now_ms())
            more = False
            for chore, work in works:
                if now_s >= due[chore.name] and (elected or not chore.elected) and not self._stop.is_set():
                    again = self._do(chore, work)
                    more = more or again == 0.0
                    due[chore.name] = self._monotonic() + again
            if not more:
                self._stop.wait(TICK_S)
        receivers.leave(db, self.receiver)

    def _do(self, chore: Chore, work: Work) -> float:
        """Seconds until it is due again. Raises DatabaseAway."""
        try:
            more = work(self._trust(), self._now_ms())
        except DatabaseAway:
            raise
        except Exception as error:  # a mistake of ours, too: the other chores go on
            why = error.sentence if isinstance(error, ControlRoomError) else f"{type(error).__name__}: {error}"
            log.error("%s: %s", chore.name, why, exc_info=not isinstance(error, ControlRoomError))
            self._failed[chore.name] = Message("control-task-failed", task=chore.name, why=why)
            again = LATER_S
        else:
            self._failed.pop(chore.name, None)
            again = 0.0 if more else chore.every_s
        self._alarms.set(TASK_FAILED, next(iter(self._failed.values()), None))
        return again
