"""One epoch of the gateway: its parts, created in data-flow order, and its tasks, which end together.

Lines → poller → recorder → (database) → uplinks → ledgers, with companions beside them that look on
(runtime/context.py).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Sequence
from functools import partial

from gateway.accounting.statements.keeper import Keeper
from gateway.acquisition.line_use import forget
from gateway.agent.background_tasks import TaskSet, keep, wanted
from gateway.agent.commissions import Commissions
from gateway.agent.database_check import check_database, open_database
from gateway.agent.lines import LineSet, asleep, host
from gateway.agent.meters import MeterSet
from gateway.agent.orders import Orders
from gateway.agent.reload import Reload
from gateway.agent.renewal import InForce, Renewal
from gateway.agent.task_group import EpochTaskGroup
from gateway.agent.uplinks import UplinkSet
from gateway.alarms.board import AlarmBoard
from gateway.alarms.grouping import lines_of
from gateway.clock import Clock
from gateway.errors import GatewayError, StartAgain
from gateway.evidence.key_match import demand_not_replaced
from gateway.fieldbus.specs import FieldLine
from gateway.messages.message import Message
from gateway.process import control_server
from gateway.process.sd_notify import Manager
from gateway.process.threads import trim_heap
from gateway.recording.notifications import Hub
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.runtime.context import FeedStates, GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from gateway.startup.preflight import Ready
from gateway.storage.database import Database
from ledger_client.errors import KeyAway
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.agent")

STARTED_S = 10.0
"""After this time an epoch has loaded and compiled what it needs."""


class Epoch:
    """The parts of one epoch; ``run`` begins it, works until ``stop`` is set, and ends it.

    ``site`` is what its companions look at, ``loops`` what its watchdog looks at. What a change of configuration
    renews, and in which order, stands in agent/renewal.py.
    """

    def __init__(self, ready: Ready, store: Database) -> None:
        """With it ``store`` ends. Raises GatewayError: a record cannot be read, or a driver cannot be made."""
        self._in_force = in_force = InForce(ready)
        clock, epoch = Clock(not_before_ms=store.records.latest_ms()), secrets.token_bytes(8)
        self._recorder = recorder = Recorder(store, ready.keys, Rules.of(ready.config), clock, epoch)
        hub, feeds, receivers = Hub(), FeedStates(), FeedStates()
        self.loops = loops = LoopHealth()
        loops.heartbeats.ask("recorder", recorder.stuck)
        self._group = group = EpochTaskGroup(loops.heartbeats)
        self._meters = meters = MeterSet(ready.config, store, recorder, clock)
        hub.listeners += (meters.live.hear, meters.power.hear)
        recorder.on_news.append(hub.tell)
        by_name: dict[str, FieldLine] = {}
        specs = lines_of(ready.specs)
        board = AlarmBoard(store, recorder, clock, meters.live, specs, partial(asleep, by_name), partial(host, by_name))
        self.lines = lines = LineSet(by_name, ready, meters, board, recorder, clock, group)
        hub.listeners.insert(0, lines.hear)  # before all others: a sender waits for it
        self._uplinks = uplinks = UplinkSet(ready, store.anchors.conflicts(), recorder, clock, board, group)
        self._tasks = tasks = TaskSet(lambda: wanted(self.site, loops), group)
        renewal = Renewal(in_force, recorder, board, meters, lines, uplinks, tasks)
        self._reload = reload = Reload(in_force, renewal, by_name, meters.live, board, clock)
        self._commissions = commissions = Commissions(in_force, recorder, meters.commissioning, lines)
        self.site = GatewayContext(
            in_force=in_force.config,
            clock=clock,
            recorder=recorder,
            hub=hub,
            live=meters.live,
            board=board,
            lines=by_name,
            uplinks=uplinks.by_name,
            feeds=feeds,
            receivers=receivers,
            keeper=Keeper(ready.config.database, clock.now_ms),
            orders=Orders(
                ready.config.path,
                recorder,
                board,
                meters.commissioning,
                lines,
                feeds,
                receivers,
                reload,
                commissions,
                meters.live,
            ),
            reload_state=reload.state,
        )
        tasks.make()

    @property
    def ready(self) -> Ready:
        """The configuration in force, as it was prepared."""
        return self._in_force.ready

    async def run(self, stop: asyncio.Event, waiting: Sequence[tuple[str, Event]]) -> None:
        """``waiting``: (meter, event) of all that the epoch before it in this process could not write.

        Raises StoreError when it cannot begin, a group with StartAgain when it cannot go on. Either way nothing of it
        is left.
        """
        try:
            server = await control_server.serve(self.ready.config.data, self.site.orders)
            try:
                await self._work(stop, waiting)
            finally:
                server.close()
        finally:
            self._tasks.close()
            self._recorder.stop()
            self._uplinks.close()

    async def _work(self, stop: asyncio.Event, waiting: Sequence[tuple[str, Event]]) -> None:
        config, recorder, lines, begin = self.ready.config, self._recorder, self.lines, self._group.begin
        try:
            anchor_ms = recorder.open()
        except StartAgain as error:
            error.waiting += waiting
            raise
        except KeyAway as error:
            raise GatewayError(Message("token-away-at-epoch", why=error.sentence)) from None
        forget(config.data)
        recorder.start()
        for meter, event in waiting:
            recorder.happened(meter, event)
        await self._commissions.take_waiting()  # before the first reading
        count = len(lines.by_name)
        log.info("gateway %s records %d meters on %d lines", config.gateway_id, len(config.meters), count)
        async with self._group.until(stop):
            lines.start(anchor_ms)
            self._uplinks.start()
            background = [
                begin(_until_ended(recorder), "recorder"),
                begin(check_database(config.database, self.site.board), "check"),
                begin(self._reload.watch(), "reload"),
                begin(keep("power", self._meters.power), "power"),
            ]
            self._tasks.start()
            asyncio.get_running_loop().call_later(STARTED_S, trim_heap)
            await stop.wait()
            Manager().stopping("finishing the reads in flight, then writing coverage")
            log.info("stopping: finishing the reads in flight, then writing coverage")
            for task in background:
                task.cancel()
            self._uplinks.stop()
            self._tasks.stop()
            await lines.stop(list(lines.by_name))


def begin(ready: Ready, stop: asyncio.Event) -> Epoch:
    """Open the database, recover it where it is damaged, and make the parts of a new epoch.

    Raises StoreError, and ConfigError for a file that has gone; nothing is left open then.
    """
    config = ready.config
    log.info("gateway %s starting; configuration valid", config.gateway_id)
    store = open_database(ready)
    for number in (signal.SIGTERM, signal.SIGINT):  # before, it just ends: a recovery may be killed at any time
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        demand_not_replaced(config, ready.keys, store)
        return Epoch(ready, store)
    except GatewayError:
        store.close()
        raise


async def _until_ended(recorder: Recorder) -> None:
    """A recorder that ends by itself has failed: its error ends the process."""
    await asyncio.shield(asyncio.wrap_future(recorder.ended))
