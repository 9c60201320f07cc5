"""The gateway process: wiring only. One TaskGroup with named tasks for lines, uplinks and the recorder; signals end it.

Lines → poller → recorder → (database) → uplinks → ledgers. Started by `meterseal run`; everything it learns is in the
data folder, so it can be killed at any moment and started again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway import budget, control, instance
from gateway.alarms import LedgerAlarms
from gateway.blocking import in_thread
from gateway.clock import Clock
from gateway.commissioning import Commissioning, identities
from gateway.commits import ALARM, DAMAGED, RETRY_MS, Rules
from gateway.config import Bus, Config
from gateway.errors import ConfigError, StartAgain, StoreError
from gateway.fieldbus.bus import Alarm, Line, LineSpec, MeterSpec, check_port, merge
from gateway.journal import seal_next
from gateway.keys import Keys, load_keys
from gateway.ledger_settings import LedgerEntry, access_of, account_of
from gateway.notes import Notes
from gateway.poller import Poller
from gateway.reconcile import Reconciliation
from gateway.recorder import Direct, Recorder, Writer
from gateway.repair import check_large, note_flaws, open_store
from gateway.signer import GATEWAY
from gateway.space import Limits
from gateway.store import Store
from gateway.uplink import Uplink
from ledger_client.errors import TrustFileError
from ledger_client.ledgers import Ledger, Memory
from ledger_client.ledgers.access import Access
from ledger_client.record import Event, Reading, parse_record
from ledger_client.trust import Trust, load_trust

log = logging.getLogger("meterseal.agent")

RECALLED = 100  # readings
STOP_WITHIN_S = 3.0
"""So long may a read in flight take to end; with the last commit a stop then takes less than 5 s."""


def _http(config: Config, entry: LedgerEntry, access: Access, memory: Memory) -> Ledger:
    from ledger_client.ledgers.http import HttpLedger  # requests, which a gateway without such a ledger need not load

    return HttpLedger(entry.name, entry.url, access, timeout_s=entry.timeout / 1000, memory=memory)


def _mqtt(config: Config, entry: LedgerEntry, access: Access, memory: Memory) -> Ledger:
    from ledger_client.ledgers.mqtt import MqttLedger  # paho, likewise; resubmitting is harmless, so it needs no memory

    return MqttLedger(entry.name, entry.url, access, timeout_s=entry.timeout / 1000)


def _evm(config: Config, entry: LedgerEntry, access: Access, memory: Memory) -> Ledger:
    account, place = account_of(config.path, entry), entry.place
    from ledger_client.ledgers.evm import EvmLedger  # an extra of its own
    from ledger_client.ledgers.evm_finality import Finality

    assert place is not None
    return EvmLedger(
        entry.name,
        entry.url,
        access,
        contract=place.address,
        chain_id=place.chain,
        account=account,
        memory=memory,
        finality=Finality(entry.confirmations),
        legacy=entry.gas == "legacy",
        gas_limit=entry.gas_limit,
        max_fee=entry.max_fee,
        poll_s=entry.poll / 1000,
        stuck_after_s=entry.stuck_after / 1000,
        timeout_s=entry.timeout / 1000,
    )


DRIVERS: dict[str, Callable[[Config, LedgerEntry, Access, Memory], Ledger]] = {
    "http": _http,
    "mqtt": _mqtt,
    "evm": _evm,
}


def line_spec(config: Config, bus: Bus) -> LineSpec:
    """One bus of the configuration in the fieldbus's words."""
    meters = tuple(
        MeterSpec(
            name=meter.name,
            profile=config.profiles[meter.name],
            address=meter.address,
            period_ms=meter.every,
            points=config.profiles[meter.name].select(meter.points or None),
            factors=meter.factors,
            timeout_ms=meter.timeout,
        )
        for meter in bus.meter
    )
    return LineSpec(
        name=bus.name,
        type=bus.type,
        meters=meters,
        port=str(config.path.parent / str(bus.port)) if bus.serial else None,
        host=bus.host,
        tcp_port=None if bus.serial else bus.tcp_port,
        baudrate=bus.baudrate,
        parity=bus.parity,
        stopbits=bus.stopbits,
        timeout_ms=bus.timeout,
        answer_life_ms=bus.answer_life,
        tunnel=bus.tunnel,
        shared=bus.shared,
        echo=bus.echo,
        rs485=bus.rs485,
        rs485_before_ms=bus.rs485_before or 0,
        rs485_after_ms=bus.rs485_after or 0,
    )


def line_specs(config: Config) -> list[LineSpec]:
    """The physical lines of a configuration: several buses of one endpoint are one. Raises FieldbusError."""
    return merge([line_spec(config, bus) for bus in config.document.bus])


def rules(config: Config) -> Rules:
    """How this configuration commits and seals, and what its statements say of the gateway."""
    document = config.document
    return Rules(
        gateway=config.gateway_id,
        periods_ms={name: meter.every for name, meter in config.meters.items()},
        commit_every_ms=document.store.commit_every,
        seal_every_ms=document.seal.every,
        seal_count=document.seal.count,
        ledgers=tuple(ledger.name for ledger in document.ledger),
        required=tuple(ledger.name for ledger in document.ledger if ledger.policy == "required"),
        config=config.fingerprint(),
        software=f"meterseal/{version('meterseal')}",
        limits=Limits.of(config),
    )


def trust_of(config: Config) -> Trust:
    """The trust file that receipts are checked with. Raises ConfigError: file, key, way out."""
    try:
        trust = load_trust(config.trust)
    except TrustFileError as error:
        raise ConfigError(error.source, error.key, error.problem, error.way_out) from None
    for warning in trust.warnings:
        log.warning("%s: %s", config.trust, warning)
    return trust


def check_ledger_keys(config: Config, trust: Trust) -> None:
    """Every configured ledger needs a key in the trust file, else no receipt of it could ever settle a batch.

    A chain gives none: its places are checked by the configuration.
    """
    for entry in config.document.ledger:
        if entry.place is None and not any(key.role == "ledger" and key.ledger == entry.name for key in trust.keys):
            raise ConfigError(
                config.trust,
                f"[[key]] of ledger {entry.name!r}",
                "is missing, so none of its receipts could be checked",
                "paste what `meterseal-ledger show LDIR --trust` prints",
            )


def check_ledger_access(config: Config) -> None:
    """Every file that the way to a ledger needs is there and usable. Raises ConfigError."""
    for entry in config.document.ledger:
        access_of(config.path, entry)


def check_accounts(config: Config) -> None:
    """Every account that writes on a chain can be opened. Raises ConfigError."""
    for entry in config.document.ledger:
        if entry.type == "evm":
            account_of(config.path, entry)


def driver(config: Config, entry: LedgerEntry, memory: Memory) -> Ledger:
    """The driver of one configured ledger; what it must still know after a crash goes to ``memory``."""
    return DRIVERS[entry.type](config, entry, access_of(config.path, entry), memory)


async def run(config: Config) -> None:
    """Record, seal and anchor until SIGTERM or SIGINT; then finish the read in flight, write coverage and commit.

    Raises GatewayError or PortError before anything is started when the configuration cannot run on this machine.
    """
    keys, trust = load_keys(config), trust_of(config)
    check_ledger_keys(config, trust)
    check_ledger_access(config)
    specs = line_specs(config)
    for spec in specs:
        check_port(spec)
    plans = budget.line_plans(specs)
    budget.refuse(config.path, plans)
    for plan in plans:
        for warning in plan.warnings:
            log.warning("%s: %s", plan.line, warning)
    with ExitStack() as held:
        held.enter_context(instance.take(config.data))
        stop = asyncio.Event()
        waiting = await _until_again(_work(config, keys, trust, specs, stop, ()))
        while waiting is not None and not stop.is_set():
            try:
                waiting = await _until_again(_work(config, keys, trust, specs, stop, waiting))
            except StoreError as error:  # the disk is not back for good
                log.error("no new epoch yet: %s", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_MS / 1000)


async def _until_again(work: Coroutine[Any, Any, None]) -> Sequence[tuple[str, Event]] | None:
    """None when the work is done. Else the disk has kept what it had refused, so that it goes on in a new epoch, which
    is to write these: (meter, event)."""
    again: list[tuple[str, Event]] | None = None
    try:
        await work
    except* StartAgain as errors:
        log.error("the gateway begins a new epoch: %s", errors.exceptions[0])
        again = [pair for error in errors.exceptions if isinstance(error, StartAgain) for pair in error.waiting]
    return again


async def _work(
    config: Config,
    keys: Keys,
    trust: Trust,
    specs: Sequence[LineSpec],
    stop: asyncio.Event,
    waiting: Sequence[tuple[str, Event]],
) -> None:
    """One epoch. ``waiting``: (meter, event) of all that the epoch before it in this process could not write."""
    log.info("gateway %s is here, its configuration is good", config.gateway_id)
    store = open_store(config, keys, trust)
    for number in (signal.SIGTERM, signal.SIGINT):  # before, it just ends: a recovery may be killed at any time
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = Clock(not_before_ms=store.latest_ms())
    recorder = Recorder(store, keys, rules(config), clock, secrets.token_bytes(8))
    poller = Poller(config.meters, clock, recorder.put, config.profiles)
    for name in config.meters:
        poller.recall(name, _last_readings(store, name))
    known = identities(store, config.meters)
    commissioning = Commissioning(config.meters, dict(known), poller, recorder)
    used_until_ms = recorder.lines_used_until_ms()
    lines = [
        Line(
            spec,
            clock,
            commissioning.poll,
            on_alarm=partial(_alarm, recorder),
            doubts=poller.doubts,
            identities=known,
            used_until_ms=used_until_ms,
        )
        for spec in specs
    ]
    line_of = {meter.name: line for line in lines for meter in line.spec.meters}

    async def accept(order: Mapping[str, Any]) -> dict[str, Any]:
        meter = order["meter"]
        return await commissioning.accept(line_of[meter], meter, order["serial"], order["reason"])

    async def health(_: Mapping[str, Any]) -> dict[str, Any]:
        return recorder.health()

    ledgers = [driver(config, entry, Notes(entry.name, recorder)) for entry in config.document.ledger]
    reconciliation = Reconciliation(config, recorder, trust, clock, store.conflicts())
    alarms = LedgerAlarms(recorder)
    uplinks = [
        Uplink(ledger, recorder, trust, clock, reconciliation, alarms=alarms, contract=entry.place)
        for ledger, entry in zip(ledgers, config.document.ledger, strict=True)
    ]
    loop = asyncio.get_running_loop()
    for uplink in uplinks:
        recorder.on_seal.append(partial(loop.call_soon_threadsafe, uplink.wake))

    anchor_ms = recorder.open()
    recorder.start()
    for meter, event in waiting:
        recorder.happened(meter, event)
    server = await control.serve(config.data, {"accept": accept, "health": health})
    log.info("gateway %s records %d meters on %d lines", config.gateway_id, len(config.meters), len(lines))
    try:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(line.run(anchor_ms), name=f"line {line.spec.name}") for line in lines]
            background = [
                group.create_task(up.run(), name=f"uplink {x.name}") for up, x in zip(uplinks, ledgers, strict=True)
            ]
            background.append(group.create_task(_until_ended(recorder), name="recorder"))
            background.append(group.create_task(check_database(config.database, recorder), name="check"))
            await stop.wait()
            log.info("stopping: the reads in flight are finished, then coverage is written")
            for line in lines:
                line.request_stop()
            _, unfinished = await asyncio.wait(reading, timeout=STOP_WITHIN_S)
            for task in (*unfinished, *background):  # a poll that is cut off here is counted by the next start
                task.cancel()
    finally:
        server.close()
        recorder.stop()
        for ledger in ledgers:
            ledger.close()


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


def finish(config: Config, *, within_s: float) -> None:
    """Seal what an ended gateway left and take every waiting batch to its ledger, for at most ``within_s`` seconds.

    Begins no epoch and reads no meter: for the end of a demonstration or a test, where nothing follows that would.
    Raises GatewayError while a gateway works in the data folder, or when a ledger refuses a batch.
    """
    keys, trust = load_keys(config), trust_of(config)
    with instance.take(config.data):
        store = open_store(config, keys, trust)
        clock = Clock(not_before_ms=store.latest_ms())
        try:
            with store.transaction():
                store.cut()
            while seal_next(store, keys, rules(config), clock.now_ms()):
                pass
            asyncio.run(_drain(config, Direct(store), trust, clock, within_s))
        finally:
            store.close()


async def _drain(config: Config, writer: Writer, trust: Trust, clock: Clock, within_s: float) -> None:
    deadline = clock.monotonic() + within_s
    for entry in config.document.ledger:
        ledger = driver(config, entry, Notes(entry.name, writer))
        try:
            await Uplink(ledger, writer, trust, clock, contract=entry.place).drain(deadline - clock.monotonic())
        finally:
            ledger.close()
