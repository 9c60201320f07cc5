"""Final sealing and anchoring of the batches that a stopped gateway left. Starts no epoch."""

from __future__ import annotations

import asyncio

from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.ledger_drivers import driver, trust_of
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.key_match import demand_not_replaced
from gateway.evidence.sealing import seal_next
from gateway.process import instance_lock
from gateway.recording.rules import Rules
from gateway.records import GATEWAY
from gateway.storage.database import Database
from gateway.storage.recovery.repair import open_store
from gateway.storage.rows import ended_in_order
from gateway.storage.writer import Direct, Writer
from ledger_client.verification.trust import Trust


def finish(config: Config, *, within_s: float) -> None:
    """Seal what a gateway left that ended in order, and take every waiting batch to its ledger, for at most
    ``within_s`` seconds. What one that was killed has not covered is the next start's.

    Begins no epoch and reads no meter: for the end of a demonstration or a test, where nothing follows that would.
    Raises GatewayError while a gateway works in the data folder, or when a ledger refuses a batch.
    """
    keys, trust = load_keys(config), trust_of(config)
    with instance_lock.take(config.data):
        store = open_store(config, keys, trust)
        clock = Clock(not_before_ms=store.records.latest_ms())
        try:
            demand_not_replaced(config, keys, store)
            if ended_in_order(store.records.tail(GATEWAY)):  # else it lacks coverage, which the next start gives
                with store.transaction():
                    store.batches.cut()
            while seal_next(store, Rules.of(config).issuer(keys.statement), clock.now_ms()):
                pass
            asyncio.run(_drain(config, Direct(store), trust, clock, within_s))
        finally:
            store.close()


def anchor(config: Config, store: Database, *, within_s: float) -> None:
    """Take every sealed batch of a database that this process has open to its ledger, for at most ``within_s`` seconds.
    Raises GatewayError when a ledger refuses a batch."""
    asyncio.run(_drain(config, Direct(store), trust_of(config), Clock(), within_s))


async def _drain(config: Config, writer: Writer, trust: Trust, clock: Clock, within_s: float) -> None:
    deadline = clock.monotonic() + within_s
    for entry in config.document.ledger:
        ledger = driver(config, entry, Notes(entry.name, writer))
        try:
            await Uplink(ledger, writer, trust, clock, contract=entry.place).drain(deadline - clock.monotonic())
        finally:
            ledger.close()
