"""A disk whose every fsync takes two seconds, under live Modbus TCP meters: the wire must not notice.

The path is that of ``tcp_gateway``: shipped lines, poller, recorder and store in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site, warm_up_s
from tests.system.disk.torn_disk import Control, environment

METERS, STALL_MS = 20, 2000
RECORDING = 4
"""Syncs after which a first reading is durable: of the log's head, its folder, the epoch and that reading."""


def stalled(library: Path, folder: Path, seconds: float, period_ms: int = 250) -> dict[str, Any]:
    """``seconds`` of a slow disk: which share of the due polls was answered, and which was recorded."""
    site = folder / "site"
    site.mkdir(parents=True)
    control = Control(folder / "control")
    control.set(armed=1)
    with farm(METERS) as meters:
        tcp_site(site, meters.ports)
        command = [sys.executable, "-m", "tests.support.gateways.tcp_gateway", str(site), str(period_ms), str(seconds)]
        env = environment(library, site, control.path)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        while control.get("syncs") < RECORDING and process.poll() is None:
            time.sleep(0.005)
        control.set(stall_ms=STALL_MS)
        time.sleep(warm_up_s(seconds) + seconds)  # then the window of measurement is over
        syncs = control.get("syncs")
        control.set(stall_ms=0)
        out, _ = process.communicate()
        assert process.returncode == 0
    figures = json.loads(out)
    due, recorded = _covered(site)
    return {
        "stall_ms": STALL_MS,
        "stalled_syncs": syncs,
        "stall_share_of_due_polls": figures["polls_answered"] / figures["polls_due"],
        "stall_share_recorded": recorded / due,
        "stall_durable_max_ms": figures["durable_max_ms"],
    }


def _covered(site: Path) -> tuple[int, int]:
    """Due and recorded polls by the coverage records of a site's database."""
    store = Database(load_config(site / "gateway.toml").database, read_only=True)
    try:
        bodies = [parse_record(row.data).body for row in store.records.stretch(1, 1 << 60) if row.kind == "coverage"]
    finally:
        store.close()
    covered = [body for body in bodies if isinstance(body, Coverage)]
    return sum(body.due for body in covered), sum(body.recorded for body in covered)
