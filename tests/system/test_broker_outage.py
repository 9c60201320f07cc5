"""The broker between gateway and ledger goes away, or hangs with its connections up: all anchored, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.storage.database import Database
from tests.support.processes import Mosquitto, embedded_ledger, mosquitto
from tests.system.demo_site import GatewayProcess, close_books, make_site, plant, until

STOPPED_S, HUNG_S = 20, 30


def stopped_and_started(broker: Mosquitto) -> None:
    broker.stop()
    time.sleep(STOPPED_S)
    broker.start()


def hung_killed_and_started(broker: Mosquitto) -> None:
    """The TCP connections stay up for the whole time; then all that the broker had in memory is gone."""
    broker.suspend()
    time.sleep(HUNG_S)
    broker.kill()
    broker.start()


def settled(loaded: Config) -> int:
    store = Database(loaded.database, read_only=True)
    count = store.totals()["receipts"]
    store.close()
    return count


@pytest.mark.parametrize("outage", [stopped_and_started, hung_killed_and_started])
def test_a_broker_outage_loses_and_doubles_nothing(outage: Callable[[Mosquitto], None], tmp_path: Path) -> None:
    with (
        plant(tmp_path / "plant") as meters,
        mosquitto(tmp_path / "broker") as broker,
        embedded_ledger(tmp_path / "ledger", "demo-ledger", broker.url) as ledger,
    ):
        loaded = make_site(tmp_path / "site", meters, ledger, broker.url, seal_every="2s")
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("a first receipt over MQTT", lambda: loaded.database.exists() and settled(loaded) >= 2)
        outage(broker)
        waiting = Database(loaded.database, read_only=True)
        behind = len(waiting.batches.all())
        waiting.close()
        assert behind > settled(loaded)  # the outage was real: batches queued up
        until("the queue to drain by itself", lambda: settled(loaded) > behind)
        assert gateway.stop() == 0
        close_books(loaded, ledger, meters)
