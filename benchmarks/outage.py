"""A week without a ledger: what the buffer costs, what `status` takes over it, and how fast it drains afterwards.

A hundred meters of ten values every 10 s, for ``days`` of simulated time: the time is compressed, the volume is not.
The shipped recorder and store write as fast as they can, committing every 5 simulated seconds and sealing every 60,
while the shipped uplink keeps asking for a ledger that is not there. Then `meterseal status` looks at the database, as
a process of its own, and then the embedded ledger begins to answer over HTTP.

``memory_ratio`` is resident memory at the end of the outage over that at 20 % of it. ``anchored_once``: the ledger's
own statements are the gateway's batches, each once and in order; every record is in one, every batch has its receipt.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from benchmarks.parts.away import PERIOD_S, STEP_S, VALUES
from benchmarks.parts.site import before, make_site
from gateway.config import Config
from gateway.store import Store
from ledger_client.ledgers.http import HttpLedger
from tests.processes import EmbeddedLedger

METERS, STATUS_RUNS = 100, 3


def run(days: float = 7.0) -> dict[str, object]:
    """``days``: of simulated time; seven write about 4 GB into the folder for temporary files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = EmbeddedLedger(folder / "ledger", "bench-ledger", None, None)
        try:
            loaded = _site(folder / "site", ledger, days)
            return {
                "simulated_days": days,
                "meters": METERS,
                "values_per_reading": VALUES,
                **_outage(loaded, ledger, days),
            }
        finally:
            ledger.close()


def _site(folder: Path, ledger: EmbeddedLedger, days: float) -> Config:
    """Gateway and ledger know one another; then the ledger goes away."""
    ledger.start()
    assert ledger.stop() == 0
    return make_site(
        folder,
        ledger,
        meters=METERS,
        values=VALUES,
        every=f"{PERIOD_S}s",
        commit_every=f"{STEP_S}s",
        seal_every="60s",
        since_s=before(days * 86_400),
    )


def _outage(loaded: Config, ledger: EmbeddedLedger, days: float) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.parts.away", str(loaded.path.parent), str(days)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        recorded = _figures(process.stdout)
        status_s = max(_status_s(loaded) for _ in range(STATUS_RUNS))
        ledger.start()
        process.stdin.write("the ledger is back\n")
        process.stdin.flush()
        caught_up = _figures(process.stdout)
        once = _anchored_once(loaded, ledger)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    return {
        **recorded,
        "bytes_per_record": recorded["database_bytes"] / recorded["records"],
        "records_per_s": recorded["records"] / recorded["record_seconds"],
        "memory_ratio": recorded["resident_mb_end"] / recorded["resident_mb_at_20_percent"],
        "status_s": status_s,
        **caught_up,
        "anchored_once": once,
    }


def _figures(stream: IO[str]) -> dict[str, Any]:
    line = stream.readline()
    assert line, "the gateway ended before it had told its figures; what it said stands above"
    figures: dict[str, Any] = json.loads(line)
    return figures


def _status_s(loaded: Config) -> float:
    """Seconds of `meterseal status --json`, from its start to its end."""
    began = time.monotonic()
    command = [sys.executable, "-m", "gateway.cli", "status", str(loaded.path), "--json"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    seconds = time.monotonic() - began
    assert json.loads(told.stdout)["running"], told.stdout
    return seconds


def _anchored_once(loaded: Config, ledger: EmbeddedLedger) -> bool:
    log = HttpLedger(ledger.name, ledger.url)
    entries = log.statements(loaded.gateway_id, -1)
    log.close()
    store = Store(loaded.database, read_only=True)
    batches, records, settled = store.batches(), sum(store.kinds().values()), store.count_receipts()
    waiting = store.waiting()
    store.close()
    whole = [batch.first_id for batch in batches] == [1, *(batch.last_id + 1 for batch in batches[:-1])]
    sealed = sum(batch.size for batch in batches)
    anchored = settled == len(batches) and entries == [batch.entry for batch in batches]
    return whole and sealed == records - waiting and anchored
