"""One receiver: the gateways' messages from the broker into the database, until it is stopped.

The event loop speaks with the broker; one thread judges and stores (worker.py), a second one does what is done beside
(housekeeping.py), each with a connection of its own. What fails is tried again for ever: a receiver ends when it is
stopped, or by a mistake of ours. How what is broken is seen: own_alarms.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final

from nats.aio.client import Client
from nats.errors import Error

from control_room.errors import ControlRoomError
from control_room.intake import again, consumer, own_alarms
from control_room.intake.consumer import Ensured
from control_room.intake.housekeeping import Housekeeping
from control_room.intake.nats_link import connect, why
from control_room.intake.own_alarms import OwnAlarms
from control_room.intake.pull import Delivered, Gone, Pull
from control_room.intake.storage import Storage
from control_room.intake.worker import Worker
from control_room.settings import Settings
from control_room.store.asking import Again
from control_room.store.connection import Database
from control_room.store.connection import connect as connect_database
from control_room.store.incoming.receivers import State
from control_room.trust_file import EVERY_S, TrustFile
from gateway.messages.message import Message
from gateway.process.sd_notify import Manager
from gateway.process.threads import in_thread
from ledger_client.messages import Sentence
from ledger_client.verification.trust_dates import ending

log = logging.getLogger("meterseal.control")

CHECK_S: Final = 10.0
"""The consumer is looked at so often."""
HOLD_S: Final = consumer.ACK_WAIT_S / 6
LET_GO_S: Final = 60.0
"""What cannot be stored for so long goes to other receivers, too: perhaps theirs is a database that answers."""
AWAY_S: Final = 10.0
"""A broker that is away for less, as while a leader is elected, raises no alarm."""
PAUSE_S: Final = 1.0
NOT_YET_S: Final = 5.0
STOP_S: Final = 20.0
HUNG_S: Final = 180.0
"""Longer than any transaction may take: the judging thread hangs, and the service manager starts the receiver anew."""
STATUS_S: Final = 10.0


class Receiver:
    """Made before the loop runs; ``run`` once."""

    def __init__(
        self, settings: Settings, *, now_ms: Callable[[], int], monotonic: Callable[[], float], manager: Manager
    ) -> None:
        """Read the trust file and check the files of [intake] and [database]. Raises TrustFileError, ConfigError."""
        self._settings, self._now_ms, self._monotonic, self._manager = settings, now_ms, monotonic, manager
        self._access = settings.intake_access()
        self._password_file = settings.database_access().password_file
        self._trust = TrustFile(settings.trust)
        self._alarms = OwnAlarms()
        self._link: Client | None = None
        self._pull: Pull | None = None
        self._ensured: Ensured | None = None
        self._created: datetime | None = None
        self._database: str | None = None
        self._lost_s: float | None = None
        self._failure: BaseException | None = None
        self._done: asyncio.Queue[Sequence[int]] = asyncio.Queue()
        self._storage = Storage(self._connected, self._trust, now_ms=now_ms, mark=self._mark)
        self._housekeeping = Housekeeping(
            settings, self._connected, lambda: self._trust.trust, self._ask, self._alarms, self._state,
            now_ms=now_ms, monotonic=monotonic,
        )  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set; then store what is in a transaction, and give back the rest."""
        self._loop = asyncio.get_running_loop()
        self._worker = Worker(
            self._settings.intake.portion, self._storage.judge, self._storage.store, done=self._stored,
            give_back=self._give_back, trouble=partial(self._alarms.set, own_alarms.NOT_STORED),
            between=self._storage.judge_again, monotonic=self._monotonic,
        )  # fmt: skip
        self._worker.start()
        self._housekeeping.start()
        works = (self._receive, self._acknowledge, self._hold, self._watch_consumer, self._watch_trust, self._report)
        tasks = [asyncio.create_task(work(), name=work.__name__) for work in works]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait((*tasks, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._manager.stopping(str(Message("control-stopping")))
            await self._end(tasks, stopped)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _end(self, tasks: Sequence[asyncio.Task[None]], stopped: asyncio.Task[bool]) -> None:
        stopped.cancel()
        receive, acknowledge, *others = tasks
        for task in (receive, *others):
            task.cancel()
        await asyncio.gather(receive, *others, return_exceptions=True)
        await in_thread(partial(self._worker.stop, STOP_S), "stop")
        await in_thread(partial(self._housekeeping.stop, STOP_S), "stop")
        if not acknowledge.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(consumer.ACK_WAIT_S / 6):
                    await self._done.join()
        acknowledge.cancel()
        await asyncio.gather(acknowledge, return_exceptions=True)
        if self._link is not None and self._pull is not None and self._link.is_connected:
            await self._pull.give_back_all()
            with suppress(Error, OSError, TimeoutError):
                await self._link.flush(timeout=2)
        if self._link is not None and not self._link.is_closed:
            with suppress(Error, OSError, TimeoutError):
                await self._link.close()

    # — the broker —

    async def _receive(self) -> None:
        intake, name = self._settings.intake, consumer.consumer_name(self._settings.name)
        self._lost_s = self._monotonic()
        while True:
            self._link = await connect(
                intake.urls, self._access, f"meterseal-control {self._settings.name}",
                failed=self._link_failed, lost=self._link_lost, again=self._link_again,
            )  # fmt: skip
            self._pull = Pull(self._link, consumer.STREAM, name, self._deliver, self._monotonic)
            await self._pull_until_closed(self._link, self._pull)

    async def _pull_until_closed(self, link: Client, pull: Pull) -> None:
        """Until the broker has ended the connection for good, as one whose login was withdrawn."""
        while not link.is_closed:
            try:
                await self._ensure()
                await pull.run()
            except Gone as error:
                log.info("asking for messages again: %s", error)
                await asyncio.sleep(PAUSE_S / 4)
            except ControlRoomError as error:  # no stream, no database, or that of another control room
                self._away(error.sentence)
                await asyncio.sleep(NOT_YET_S)
            except (Error, OSError, TimeoutError) as error:
                self._away(why(error))
                await asyncio.sleep(PAUSE_S)

    async def _ensure(self) -> None:
        assert self._link is not None
        if self._database is None:
            self._database = await in_thread(self._storage.identity, "identity")
        ensured = await consumer.ensure(self._link, self._settings.name, self._database)
        name = consumer.consumer_name(self._settings.name)
        if ensured.made:
            log.warning("the consumer %s was missing, and is made again", name)
            self._alarms.happened(own_alarms.CONSUMER_MADE, Message("control-consumer-made", consumer=name))
        elif ensured.mended:
            log.warning("the consumer %s was configured otherwise", name)
            self._alarms.happened(own_alarms.CONSUMER_MENDED, Message("control-consumer-mended", consumer=name))
        elif self._created != ensured.created and ensured.acknowledged:
            await in_thread(partial(self._storage.compare, ensured, self._alarms), "compare")
        self._ensured, self._created = ensured, ensured.created
        self._lost_s = None
        self._alarms.set(own_alarms.INTAKE_AWAY, None)

    async def _watch_consumer(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            if self._link is None or self._ensured is None:
                continue
            try:
                await self._ensure()
            except ControlRoomError as error:
                self._away(error.sentence)
            except (Error, OSError, TimeoutError) as error:
                self._away(why(error))

    def _away(self, reason: Sentence) -> None:
        now_s = self._monotonic()
        if self._lost_s is None:
            self._lost_s = now_s
            log.warning("the intake is away: %s", reason)
        if now_s - self._lost_s >= AWAY_S:
            self._alarms.set(own_alarms.INTAKE_AWAY, Message("control-intake-away", error=reason))

    def _link_failed(self, error: BaseException) -> None:
        self._away(why(error))

    def _link_lost(self) -> None:
        self._away(Message("control-intake-lost"))

    def _link_again(self) -> None:
        if self._pull is not None:
            self._pull.restart()

    def _deliver(self, delivered: Delivered) -> None:
        self._worker.put(delivered)

    def _stored(self, places: Sequence[int]) -> None:  # on the worker's thread
        self._loop.call_soon_threadsafe(self._done.put_nowait, places)

    def _give_back(self, place: int, delay_s: float) -> None:  # on the worker's thread
        if self._pull is not None:
            asyncio.run_coroutine_threadsafe(self._pull.give_back(place, delay_s), self._loop)

    async def _acknowledge(self) -> None:
        while True:
            places = await self._done.get()
            if self._pull is not None:
                await self._pull.acknowledge(places)
            self._done.task_done()

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(HOLD_S)
            if self._pull is not None:
                await self._pull.hold(HOLD_S, LET_GO_S)

    def _ask(self, asked: Sequence[Again]) -> None:  # on the housekeeping thread
        link = self._link
        if link is not None and link.is_connected:
            asyncio.run_coroutine_threadsafe(again.publish(link, asked), self._loop)

    # — trust, database, service manager —

    async def _watch_trust(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await in_thread(self._trust.look, "trust")
            self._alarms.set(own_alarms.TRUST_BROKEN, self._trust.problem)
            self._alarms.set(own_alarms.TRUST_END, ending(self._trust.trust, self._now_ms() // 1000))

    def _connected(self) -> Database:
        database = self._settings.database
        return connect_database(database.url, self._password_file)

    def _mark(self) -> tuple[str, datetime] | None:
        receiver = self._housekeeping.receiver
        return None if receiver is None or self._created is None else (receiver, self._created)

    def _state(self) -> State:
        ensured, trouble = self._ensured, self._alarms.active
        pending = ensured.pending if ensured else 0
        held = self._pull.held if self._pull else 0
        return State(self._created, pending, held, next(iter(trouble.values()), None))

    async def _report(self) -> None:
        """Report to the service manager while the threads run; ends with the judging thread."""
        self._manager.ready(self._status())
        log.info("receiving for %s", self._settings.name)
        every_s = self._manager.watchdog_s / 3 if self._manager.watchdog_s else STATUS_S
        while True:
            if self._worker.failure is not None:
                raise self._worker.failure
            if self._monotonic() - self._worker.turned_s < HUNG_S:
                self._manager.alive()
            self._manager.status(self._status())
            await asyncio.sleep(min(every_s, STATUS_S))

    def _status(self) -> str:
        trouble = next(iter(self._alarms.active.values()), None)
        if trouble is None:
            return str(Message("control-receiving", records_n=self._storage.records))
        return str(trouble)
