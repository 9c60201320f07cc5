"""SIGKILL at ten moments: at every station of the chain, restarted each time. Nothing twice, nothing missing.
`scripts/campaign crash` has a thousand, and its shortest form 26 more.

The references are the simulator's log and the ledger's own log, not the store under test.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.support.books import check_books
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, close_books, make_site, plant
from tests.system.killed.kills import ROUND, begun, check_ledger_so_far, kill_once

SEED = 20261125


def test_ten_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    moments = chance.sample(ROUND, len(ROUND))
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger, inverter_every="250ms", seal_every="1s")
        for station in moments:
            kill_once(loaded, station, chance, tmp_path / "held")
            if begun(loaded):
                check_books(loaded)
                check_ledger_so_far(loaded, ledger)
        last = GatewayProcess(loaded)
        last.start()
        time.sleep(1.5)
        assert last.stop() == 0
        balances = close_books(loaded, ledger, meters)
        assert sum(balance.readings for balance in balances.values()) > 10
