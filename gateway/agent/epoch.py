"""One epoch of the gateway: its parts, created in data-flow order, and its tasks, which end together.

Lines → poller → recorder → (database) → uplinks → ledgers, with companions beside them that look on
(runtime/context.py).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway.acquisition.line_use import forget, latest, noted_ms
from gateway.acquisition.meter_identity import MeterIdentity
from gateway.acquisition.poller import Poller
from gateway.agent.background_tasks import keep, wanted
from gateway.agent.reload import Provision, Reload
from gateway.alarm_kinds import AlarmCode
from gateway.alarms.board import AlarmBoard, orders
from gateway.alarms.grouping import lines_of
from gateway.anchoring.ledger_alarms import Events, LedgerAlarms
from gateway.anchoring.ledger_drivers import close, drivers
from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.commissioning.line_specs import lag_ms
from gateway.commissioning.preflight import Ready
from gateway.errors import Declined, GatewayError, StoreError
from gateway.fieldbus.endpoints import endpoint_of
from gateway.fieldbus.line import Line
from gateway.fieldbus.modbus.connections import Endpoint
from gateway.fieldbus.sleep import PowerRecord
from gateway.fieldbus.specs import LineSpec
from gateway.process import control_socket
from gateway.process.sd_notify import Manager
from gateway.process.threads import in_thread
from gateway.recording.announcements import identities
from gateway.recording.commits import Rules
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.recording.writer import Recorder
from gateway.records import ALARM, GATEWAY
from gateway.runtime.context import GatewayContext
from gateway.runtime.power_history import PowerHistory, recall
from gateway.storage.database import Store
from gateway.storage.driver_notes import Notes
from gateway.storage.recovery.repair import check_large, note_flaws, open_store
from gateway.storage.rows import Conflict
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.ledgers.interface import Ledger

log = logging.getLogger("meterseal.agent")

RECALLED = 100  # readings
SHARED_CLEARED = "shared-cleared"  # somebody says that the other master is off the line
RECOVERY_S, RECOVERY_BYTES_A_S = 600.0, 200_000
"""So long may opening a damaged database take, and this much more for its size: five times what a small board needs."""
STOP_WITHIN_S = 3.0
"""So long may a read in flight take to end; with the last commit a stop then takes less than 5 s."""


class Epoch:
    """The parts of one epoch; ``run`` begins it, works until ``stop`` is set, and ends it.

    ``ready`` is the configuration in force. What a change of it may renew stands together below (agent/reload.py).
    """

    def __init__(self, ready: Ready, store: Store) -> None:
        self.ready, config = ready, ready.config
        clock, epoch = Clock(not_before_ms=store.latest_ms()), secrets.token_bytes(8)
        self._recorder = recorder = Recorder(store, ready.keys, Rules.of(config), clock, epoch)
        self._poller = Poller(config.meters, clock, recorder.put, config.profiles, recorder.happened)
        for name in config.meters:
            self._poller.recall(name, _last_readings(store, name))
        self._known = recorder.identities()
        self._commissioning = MeterIdentity(config.meters, dict(self._known), self._poller, recorder, recorder.happened)
        hub, live = Hub(), Live(config.meters)
        hub.listeners.append(live.hear)
        recorder.on_news.append(hub.tell)
        self._power = PowerHistory(config, store)
        hub.listeners.append(self._power.hear)
        board = AlarmBoard(store, recorder, clock, live, lines_of(ready.specs), self._asleep, self._host)
        self._ledger_alarms = LedgerAlarms(board)
        self.site = GatewayContext(config, clock, epoch, recorder, {}, {}, hub, live, board)
        self.site.pulses.ask("recorder", recorder.stuck)
        used_until_ms = recorder.lines_used_until_ms()
        by_hand = {spec.name: noted_ms(config.data, endpoint_of(spec), clock.now_ms()) for spec in ready.specs}
        self.site.lines.update(
            {spec.name: self._make_line(spec, latest(used_until_ms, by_hand[spec.name])) for spec in ready.specs}
        )
        self._make_uplinks(drivers(config, self._notes), store.conflicts())
        reload = Reload(self)
        self.site.orders.update(accept=self._accept, health=self._health, **orders(board))
        self.site.orders.update(preview=reload.preview, reload=reload.reload)
        self.site.orders["clear-shared"] = self._clear_shared
        self._reload, self.site.configured = reload, reload.state
        self._company = {want.name: (want.settings, want.make()) for want in wanted(self.site)}
        self._accompanying: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup
        self._stop: asyncio.Event
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._anchors: dict[str, int] = {}
        self._anchoring: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event, waiting: Sequence[tuple[str, Event]]) -> None:
        """``waiting``: (meter, event) of all that the epoch before it in this process could not write.

        Raises StoreError when it cannot begin, a group with StartAgain when it cannot go on. Either way nothing of it
        is left.
        """
        self._stop = stop
        try:
            server = await control_socket.serve(self.ready.config.data, self.site.orders)
            try:
                await self._work(waiting)
            finally:
                server.close()
        finally:
            for _, companion in self._company.values():
                companion.close()
            self._recorder.stop()
            close(self._ledgers)

    async def _work(self, waiting: Sequence[tuple[str, Event]]) -> None:
        config, recorder, site = self.ready.config, self._recorder, self.site
        anchor_ms = recorder.open()
        forget(config.data)
        recorder.start()
        for meter, event in waiting:
            recorder.happened(meter, event)
        log.info("gateway %s records %d meters on %d lines", config.gateway_id, len(config.meters), len(site.lines))
        async with asyncio.TaskGroup() as self._group:
            for name in site.lines:
                self._start_line(name, anchor_ms)
            self._start_uplinks()
            background = [
                self._begin(_until_ended(recorder), "recorder"),
                self._begin(check_database(config.database, site.board), "check"),
                self._begin(self._reload.watch(), "reload"),
                self._begin(keep("power", self._power), "power"),
            ]
            for name in self._company:
                self._accompany(name)
            await self._stop.wait()
            Manager().stopping("the reads in flight are finished, then coverage is written")
            log.info("stopping: the reads in flight are finished, then coverage is written")
            for task in (*background, *self._anchoring, *self._accompanying.values()):
                task.cancel()
            await self.close_lines(list(site.lines))

    # — what a change of configuration renews —

    async def close_lines(self, names: Collection[str]) -> None:
        """Finish the reads in flight and end these lines; a poll that takes too long is cut off and counted."""
        tasks = [task for name in names if (task := self._reading.pop(name, None))]
        for name in names:
            self.site.lines[name].request_stop()
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
            for task in unfinished:
                task.cancel()
            await asyncio.wait(tasks)

    def open_lines(self, specs: Iterable[LineSpec], anchor_ms: int | None, from_ms: int | None = None) -> None:
        """Begin lines anew, under a schedule that is anchored at ``anchor_ms`` (None: where it was). What a line that
        ended knows of its endpoint goes on to the next; one that was none of ours may have been asked until now."""
        now_ms = self.site.clock.now_ms()
        known = {_endpoint(line.spec): line.endpoint for line in self.site.lines.values()}
        for spec in specs:
            self.site.board.line_replaced(spec.name)
            endpoint = known.get(_endpoint(spec))
            by_hand_ms = noted_ms(self.ready.config.data, endpoint_of(spec), now_ms)
            used_until_ms = now_ms if endpoint is None else by_hand_ms
            self.site.lines[spec.name] = self._make_line(spec, used_until_ms, endpoint)
            self._start_line(spec.name, self._anchors[spec.name] if anchor_ms is None else anchor_ms, from_ms)

    def forget_lines(self, names: Iterable[str]) -> None:
        """These lines, which have ended, are no more."""
        for name in names:
            del self.site.lines[name]

    async def provide(self, ready: Ready, added: Collection[str], *, ledgers: bool) -> Provision:
        """Get all that another configuration needs and that may not be had; with the drivers of its ``ledgers``.

        Raises StoreError, ConfigError.
        """

        def past(store: Store) -> tuple[dict[str, list[Reading]], dict[str, str], dict[str, PowerRecord]]:
            power = {name: recall(store, name, point) for name, point in self._power.unknown(ready.config).items()}
            return {name: list(_last_readings(store, name)) for name in added}, identities(store, added), power

        readings, known, power = await asyncio.wrap_future(self._recorder.call(past))
        made = await in_thread(lambda: drivers(ready.config, self._notes), "drivers") if ledgers else None
        return Provision(readings, known, power, made)

    def meet(self, ready: Ready, anew: Collection[str], provision: Provision) -> None:
        """Take another configuration as that in force, before its lines are opened."""
        self.ready, self.site.config = ready, (config := ready.config)
        self._poller.change(config.meters, config.profiles, anew)
        for name, readings in provision.readings.items():
            self._poller.recall(name, readings)
        self._known.update(provision.known)
        self._commissioning.change(config.meters, provision.known)
        self._power.change(config, provision.power)
        self.site.live.change(config.meters)
        self.site.board.reconfigure(lines_of(ready.specs))

    async def renew_uplinks(self, ledgers: Sequence[Ledger]) -> None:
        """End every uplink and begin again as at a start, with these drivers: each ledger is asked first what it
        holds."""
        for task in self._anchoring:
            task.cancel()
        if self._anchoring:
            await asyncio.wait(self._anchoring)
        before = self._ledgers
        self._make_uplinks(ledgers, self._reconciliation.conflicts)
        self._start_uplinks()
        await in_thread(lambda: close(before), "drivers end")

    async def renew_companions(self) -> None:
        """Tell those that stay, end those that are another or no more, and begin those that are new."""
        asked = {want.name: want for want in wanted(self.site)}
        for name, (settings, companion) in list(self._company.items()):
            if name in asked and asked[name].settings == settings:
                companion.reloaded()
                del asked[name]
            else:
                task = self._accompanying.pop(name)
                task.cancel()
                await asyncio.wait([task])
                companion.close()
                del self._company[name]
        for name, want in asked.items():
            self._company[name] = want.settings, want.make()
            self._accompany(name)

    # — the parts —

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task of this epoch. Behind the stop it ends at once: a change that was under way must not keep it.

        Raises StoreError when the epoch has ended by itself, for another one that begins by what is in force.
        """
        try:
            task = self._group.create_task(work, name=name)
        except RuntimeError:
            work.close()
            raise StoreError("the gateway begins a new epoch", "see how it is: meterseal status CONFIG") from None
        if self._stop.is_set():
            task.cancel()
        return task

    def _accompany(self, name: str) -> None:
        _, companion = self._company[name]
        self._accompanying[name] = self._begin(keep(name, companion), name)

    def _make_line(self, spec: LineSpec, used_until_ms: int | None, endpoint: Endpoint | None = None) -> Line:
        return Line(
            spec,
            self.site.clock,
            self._commissioning.poll,
            on_alarm=self.site.board.line_alarm,
            doubts=self._poller.doubts,
            identities=self._known,
            power=self._power.record,
            used_until_ms=used_until_ms,
            lag_ms=lag_ms(self.ready.specs.index(spec), spec),
            endpoint=endpoint,
        )

    def _asleep(self, name: str) -> bool:
        return name in self.site.lines and self.site.lines[name].asleep

    def _host(self, name: str) -> str | None:
        return self.site.lines[name].spec.host if name in self.site.lines else None

    def _start_line(self, name: str, anchor_ms: int, from_ms: int | None = None) -> None:
        self._anchors[name] = anchor_ms
        task = f"line {name}"
        work = self.site.pulses.of(task, partial(self.site.lines[name].run, anchor_ms, from_ms))
        self._reading[name] = self._begin(work, task)

    def _notes(self, ledger: str) -> Notes:
        return Notes(ledger, self._recorder)

    def _make_uplinks(self, ledgers: Sequence[Ledger], conflicts: Sequence[Conflict]) -> None:
        """``conflicts``: those that are known by now."""
        config, recorder, trust, clock = self.ready.config, self._recorder, self.ready.trust, self.site.clock
        self._ledgers, entries = ledgers, config.document.ledger
        alarms, loop = self._ledger_alarms, asyncio.get_running_loop()
        alarms.reconfigure({entry.name for entry in entries})
        reconciliation = Reconciliation(config, recorder, trust, clock, conflicts, alarms=alarms)
        self._reconciliation = reconciliation
        recorder.on_seal.clear()
        self.site.uplinks.clear()
        for ledger, entry in zip(self._ledgers, entries, strict=True):
            uplink = Uplink(ledger, recorder, trust, clock, reconciliation, alarms=alarms, contract=entry.place)
            recorder.on_seal.append(partial(loop.call_soon_threadsafe, uplink.wake))
            self.site.uplinks[entry.name] = uplink

    def _start_uplinks(self) -> None:
        self._anchoring = []
        for entry in self.ready.config.document.ledger:
            task, uplink = f"uplink {entry.name}", self.site.uplinks[entry.name]
            work = self.site.pulses.of(task, uplink.run, call_s=entry.call_s)
            self._anchoring.append(self._begin(work, task))

    # — orders —

    async def _accept(self, order: Mapping[str, Any]) -> dict[str, Any]:
        meter = order["meter"]
        line = self.site.line_of(meter)
        return await self._commissioning.accept(line, meter, order["serial"], order["reason"], order.get("user", ""))

    async def _clear_shared(self, order: Mapping[str, Any]) -> dict[str, Any]:
        name, user = order["line"], order["user"]
        line = self.site.lines.get(name)
        if line is None or not (stranger := line.clear_shared()):
            raise Declined(f"{name}: no other master is known on it", "nothing to clear")
        facts = {"line": name, "stranger": stranger, "user": user}
        self._recorder.happened(GATEWAY, Event(SHARED_CLEARED, facts))
        return facts

    async def _health(self, _: Mapping[str, Any]) -> dict[str, Any]:
        active = [row.as_json() for row in self.site.board.listed() if row.active]
        known = {"configuration": self._reload.state(), "alarms": active, "closing": self.site.closing_lines()}
        return self._recorder.health() | known


def begin(ready: Ready, stop: asyncio.Event) -> Epoch:
    """Open the database, recover it where it is damaged, and make the parts of a new epoch.

    Raises StoreError, and ConfigError for a file that has gone; nothing is left open then.
    """
    config = ready.config
    log.info("gateway %s is here, its configuration is good", config.gateway_id)
    size = config.database.stat().st_size if config.database.exists() else 0
    patience_s = RECOVERY_S + size / RECOVERY_BYTES_A_S
    with Manager().patient("opening the database; one that is damaged is recovered first", within_s=patience_s):
        store = open_store(config, ready.keys, ready.trust)
    for number in (signal.SIGTERM, signal.SIGINT):  # before, it just ends: a recovery may be killed at any time
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        return Epoch(ready, store)
    except GatewayError:
        store.close()
        raise


def _endpoint(spec: LineSpec) -> tuple[str, str]:
    """What two lines have in common whose questions and answers may meet."""
    return spec.type, endpoint_of(spec)


def _last_readings(store: Store, meter: str) -> Iterator[Reading]:
    """The newest readings first, as far as the past of a counter may lie behind polls that had no value of it."""
    for row in reversed(store.readings(meter, RECALLED)):
        if isinstance(body := parse_record(row.data).body, Reading):
            yield body


async def check_database(path: Path, events: Events) -> None:
    """SQLite's own check of a database that was too large to be kept waiting for before the start."""
    try:
        checked = await in_thread(lambda: check_large(path), "check of the database")
    except StoreError as error:
        log.warning("the database cannot be checked: %s", error)
        return
    if checked.flaws:
        note_flaws(path, checked.flaws)
        text = f"{path} is damaged: {checked.flaws[0]}; stop the gateway and start it, which recovers what can be read"
        events.happened(
            GATEWAY, Event(ALARM, {"code": AlarmCode.DATABASE_DAMAGED, "line": "store", "text": text, "raised": True})
        )


async def _until_ended(recorder: Recorder) -> None:
    """A recorder that ends by itself has failed: its error ends the process."""
    await asyncio.shield(asyncio.wrap_future(recorder.ended))
