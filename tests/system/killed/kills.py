"""Killing a whole site's gateway at a chosen moment, and what must hold right after."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.process.failpoints import STATIONS
from gateway.storage.database import Database
from ledger_client.ledgers.http import HttpLedger
from tests.support.processes import EmbeddedLedger
from tests.system.demo_site import GatewayProcess, until

RANDOM = "any moment"
# Each round kills at every one of the six stations, once just behind one, and at three moments of chance.
ROUND = ("poll", "sign", "commit", "seal", "submit", "settle", "committed", RANDOM, RANDOM, RANDOM)
AT_MOST = {"poll": 12, "sign": 8, "commit": 9, "committed": 9, "seal": 2, "submit": 1, "settle": 1}


def kill_once(loaded: Config, station: str, chance: random.Random, flag: Path) -> None:
    """Start the gateway, let it reach the moment, kill it there."""
    env = dict(os.environ)
    if station != RANDOM:
        assert station in STATIONS
        env["METERSEAL_HOLD"] = f"{station}:{chance.randint(1, AT_MOST[station])}:{flag}"
    gateway = GatewayProcess(loaded, env, ready="configuration valid")  # it may be held before it records
    gateway.start()
    if station == RANDOM:
        time.sleep(chance.uniform(0.0, 1.5))
    else:
        until(f"the gateway to reach {station}", flag.exists)
        flag.unlink()
    gateway.kill()


def begun(loaded: Config) -> bool:
    """There is a database with its tables: not every killed start came so far."""
    try:
        Database(loaded.database, read_only=True).close()
    except StoreError:
        return False
    return True


def check_ledger_so_far(loaded: Config, ledger: EmbeddedLedger) -> None:
    """No batch stands in the ledger's log twice or out of order."""
    log = HttpLedger("demo-ledger", ledger.url)
    entries = log.statements("test-gateway", -1)
    log.close()
    store = Database(loaded.database, read_only=True)
    assert entries == [batch.entry for batch in store.batches.all()][: len(entries)]
    store.close()
