"""One epoch of the gateway: its parts, made in the order of the data, and its tasks, which end together.

Lines → poller → recorder → (database) → uplinks → ledgers, with companions beside them that look on (site.py).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway import control
from gateway.alarms import LedgerAlarms
from gateway.blocking import in_thread
from gateway.clock import Clock
from gateway.commissioning import Commissioning, identities
from gateway.commits import ALARM, DAMAGED, Rules
from gateway.companions import companions, keep
from gateway.config import Config
from gateway.drivers import driver
from gateway.errors import StoreError
from gateway.fieldbus.bus import Alarm, Line, LineSpec
from gateway.keys import Keys
from gateway.live import Live
from gateway.news import Hub
from gateway.notes import Notes
from gateway.notify import Manager
from gateway.poller import Poller
from gateway.reconcile import Reconciliation
from gateway.recorder import Recorder
from gateway.repair import check_large, note_flaws, open_store
from gateway.signer import GATEWAY
from gateway.site import Companion, Site
from gateway.store import Store
from gateway.uplink import Uplink
from ledger_client.record import Event, Reading, parse_record
from ledger_client.trust import Trust

log = logging.getLogger("meterseal.agent")

RECALLED = 100  # readings
RECOVERY_S, RECOVERY_BYTES_A_S = 600.0, 200_000
"""So long may opening a damaged database take, and this much more for its size: five times what a small board needs."""
STOP_WITHIN_S = 3.0
"""So long may a read in flight take to end; with the last commit a stop then takes less than 5 s."""


class Epoch:
    """The parts of one epoch; ``run`` begins it, works until ``stop`` is set, and ends it."""

    def __init__(self, config: Config, keys: Keys, trust: Trust, specs: Sequence[LineSpec], store: Store) -> None:
        self._config = config
        clock, epoch = Clock(not_before_ms=store.latest_ms()), secrets.token_bytes(8)
        self._recorder = recorder = Recorder(store, keys, Rules.of(config), clock, epoch)
        lines = self._make_lines(specs, store, clock)
        self._ledgers = [driver(config, entry, Notes(entry.name, recorder)) for entry in config.document.ledger]
        uplinks = self._make_uplinks(store, trust, clock)
        hub, live = Hub(), Live(config.meters)
        hub.listeners.append(live.hear)
        recorder.on_news.append(hub.tell)
        self._site = Site(config, clock, epoch, recorder, lines, uplinks, hub, live)
        self._site.pulses.ask("recorder", recorder.stuck)
        self._site.orders.update(accept=self._accept, health=self._health)
        self._companions: Sequence[Companion] = companions(self._site)

    def _make_lines(self, specs: Sequence[LineSpec], store: Store, clock: Clock) -> dict[str, Line]:
        config, recorder = self._config, self._recorder
        poller = Poller(config.meters, clock, recorder.put, config.profiles)
        for name in config.meters:
            poller.recall(name, _last_readings(store, name))
        known = identities(store, config.meters)
        self._commissioning = Commissioning(config.meters, dict(known), poller, recorder)
        used_until_ms = recorder.lines_used_until_ms()
        return {
            spec.name: Line(
                spec,
                clock,
                self._commissioning.poll,
                on_alarm=partial(_alarm, recorder),
                doubts=poller.doubts,
                identities=known,
                used_until_ms=used_until_ms,
            )
            for spec in specs
        }

    def _make_uplinks(self, store: Store, trust: Trust, clock: Clock) -> dict[str, Uplink]:
        recorder = self._recorder
        reconciliation = Reconciliation(self._config, recorder, trust, clock, store.conflicts())
        alarms, loop = LedgerAlarms(recorder), asyncio.get_running_loop()
        uplinks = {}
        for ledger, entry in zip(self._ledgers, self._config.document.ledger, strict=True):
            uplink = Uplink(ledger, recorder, trust, clock, reconciliation, alarms=alarms, contract=entry.place)
            recorder.on_seal.append(partial(loop.call_soon_threadsafe, uplink.wake))
            uplinks[entry.name] = uplink
        return uplinks

    async def run(self, stop: asyncio.Event, waiting: Sequence[tuple[str, Event]]) -> None:
        """``waiting``: (meter, event) of all that the epoch before it in this process could not write."""
        config, recorder, lines = self._config, self._recorder, list(self._site.lines.values())
        turning = self._site.pulses.of
        anchor_ms = recorder.open()
        recorder.start()
        for meter, event in waiting:
            recorder.happened(meter, event)
        server = await control.serve(config.data, self._site.orders)
        log.info("gateway %s records %d meters on %d lines", config.gateway_id, len(config.meters), len(lines))
        try:
            async with asyncio.TaskGroup() as group:
                reading = [
                    group.create_task(turning(name := f"line {line.spec.name}", line.run(anchor_ms)), name=name)
                    for line in lines
                ]
                background = [
                    group.create_task(_until_ended(recorder), name="recorder"),
                    group.create_task(check_database(config.database, recorder), name="check"),
                ]
                for entry in config.document.ledger:
                    name, uplink = f"uplink {entry.name}", self._site.uplinks[entry.name]
                    work = turning(name, uplink.run(), call_s=entry.call_s)
                    background.append(group.create_task(work, name=name))
                for companion in self._companions:
                    background.append(group.create_task(keep(companion), name=companion.name))
                await stop.wait()
                Manager().stopping("the reads in flight are finished, then coverage is written")
                log.info("stopping: the reads in flight are finished, then coverage is written")
                for line in lines:
                    line.request_stop()
                _, unfinished = await asyncio.wait(reading, timeout=STOP_WITHIN_S)
                for task in (*unfinished, *background):  # a poll that is cut off here is counted by the next start
                    task.cancel()
        finally:
            server.close()
            recorder.stop()
            for ledger in self._ledgers:
                ledger.close()

    # — orders —

    async def _accept(self, order: Mapping[str, Any]) -> dict[str, Any]:
        meter = order["meter"]
        line = self._site.line_of(meter)
        return await self._commissioning.accept(line, meter, order["serial"], order["reason"])

    async def _health(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._recorder.health()


def begin(config: Config, keys: Keys, trust: Trust, specs: Sequence[LineSpec], stop: asyncio.Event) -> Epoch:
    """Open the database, recover it where it is damaged, and make the parts of a new epoch. Raises StoreError."""
    log.info("gateway %s is here, its configuration is good", config.gateway_id)
    size = config.database.stat().st_size if config.database.exists() else 0
    patience_s = RECOVERY_S + size / RECOVERY_BYTES_A_S
    with Manager().patient("opening the database; one that is damaged is recovered first", within_s=patience_s):
        store = open_store(config, keys, trust)
    for number in (signal.SIGTERM, signal.SIGINT):  # before, it just ends: a recovery may be killed at any time
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return Epoch(config, keys, trust, specs, store)


def _last_readings(store: Store, meter: str) -> Iterator[Reading]:
    """The newest readings first, as far as the past of a counter may lie behind polls that had no value of it."""
    for row in reversed(store.readings(meter, RECALLED)):
        if isinstance(body := parse_record(row.data).body, Reading):
            yield body


def _alarm(recorder: Recorder, alarm: Alarm) -> None:
    """An alarm of a line is an event: of its meter, or of the gateway where the whole line is meant."""
    fields = {"code": alarm.code, "line": alarm.line, "text": alarm.text, "raised": alarm.raised}
    recorder.happened(alarm.meter or GATEWAY, Event(ALARM, fields))


async def check_database(path: Path, recorder: Recorder) -> None:
    """SQLite's own check of a database that was too large to be kept waiting for before the start."""
    try:
        checked = await in_thread(lambda: check_large(path), "check of the database")
    except StoreError as error:
        log.warning("the database cannot be checked: %s", error)
        return
    if checked.flaws:
        note_flaws(path, checked.flaws)
        text = f"{path} is damaged: {checked.flaws[0]}; stop the gateway and start it, which recovers what can be read"
        log.error("%s", text)
        recorder.happened(GATEWAY, Event(ALARM, {"code": DAMAGED, "line": "store", "text": text, "raised": True}))


async def _until_ended(recorder: Recorder) -> None:
    """A recorder that ends by itself has failed: its error ends the process."""
    await asyncio.shield(asyncio.wrap_future(recorder.ended))
