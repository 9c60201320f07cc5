"""A week without a ledger: what the buffer costs, what `status` takes over it, and how fast it drains afterwards.

A hundred meters of ten values every 10 s, for ``days`` of simulated time: the time is compressed, the volume is not.
The shipped recorder and store write as fast as they can, committing every 5 simulated seconds and sealing every 60,
while the shipped uplink, which has met the ledger once, keeps asking for one that is not there. Then `meterseal status`
looks at the database, as a process of its own, charts of one meter over the whole time are drawn, and then the embedded
ledger begins to answer over HTTP.

``memory_ratio`` is resident memory at the end of the outage over that at 20 % of it. ``anchored_once``: the ledger's
own statements are the gateway's batches, each once and in order; every record is in one, every batch has its receipt.

``restored_…``: a database that is half of ``restored_minutes`` behind the ledger is put back, and the ledger cannot be
reached for ``restored_minutes`` after the start. Until it answers everything is recorded and cut and nothing is sealed
(``restored_sealed_before``); then the comparison finds what is sealed elsewhere, and the rest is sealed and anchored.
``restored_sealed_once``: over all statements of the ledger no record is in two, and each of the database is in the one
that the database says; all books hold.

``audit_findings``, ``restored_audit_findings``: what `meterseal-ledger audit` finds in the exports, of the restored
database with ``--allow-resume``. A week's exports take as much room as its database, and their audit half an hour.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.history.energy import energy_by_hour
from gateway.history.series import history
from gateway.storage.database import Database
from ledger_client.formats.statement import parse_statement
from ledger_client.ledgers.http import HttpLedger
from tests.campaigns.endurance.away import PERIOD_S, STEP_S, VALUES
from tests.campaigns.endurance.site import POINT, unread_site
from tests.support.books import check_books, check_each_record_is_sealed_once
from tests.support.gateways.apart import audit_findings
from tests.support.gateways.sites import before
from tests.support.processes import EmbeddedLedger, embedded_ledger

METERS, STATUS_RUNS, CHARTS = 100, 3, 10
SMALLEST: tuple[dict[str, Any]] = ({"days": 30 / 1440, "restored_minutes": 4, "meters": 40},)


def run(days: float = 7.0, restored_minutes: float = 60.0, meters: int = METERS) -> dict[str, object]:
    """The first two are simulated time; seven days of a hundred meters write about 4 GB into the folder for temporary
    files."""
    with tempfile.TemporaryDirectory() as name, _site(Path(name) / "week", days, meters) as (loaded, ledger):
        outage = _outage(loaded, ledger, days)
    restored_days = restored_minutes / 180
    with tempfile.TemporaryDirectory() as name, _site(Path(name) / "restored", restored_days, meters) as (old, ledger):
        restored = _restored(old, ledger, restored_minutes)
    return {"simulated_days": days, "meters": meters, "values_per_reading": VALUES, **outage, **restored}


@contextmanager
def _site(folder: Path, days: float, meters: int) -> Iterator[tuple[Config, EmbeddedLedger]]:
    """A gateway and its ledger, which know one another; the ledger runs, and is ended."""
    with embedded_ledger(folder / "ledger", "bench-ledger") as ledger:
        yield _made(folder / "site", ledger, days, meters), ledger


def _made(folder: Path, ledger: EmbeddedLedger, days: float, meters: int) -> Config:
    return unread_site(
        folder,
        ledger,
        meters=meters,
        values=VALUES,
        every=f"{PERIOD_S}s",
        commit_every=f"{STEP_S}s",
        seal_every="60s",
        since_s=before(days * 86_400),
    )


def _outage(loaded: Config, ledger: EmbeddedLedger, days: float) -> dict[str, object]:
    with _gateway(loaded, days, compared=True) as gateway:
        _figures(gateway)
        assert ledger.stop() == 0
        _word(gateway)
        recorded = _figures(gateway)
        status_s = max(_status_s(loaded) for _ in range(STATUS_RUNS))
        charts = _charts(loaded, days)
        ledger.start()
        _word(gateway)
        caught_up = _figures(gateway)
        once = _anchored_once(loaded, ledger)
    return {
        "audit_findings": audit_findings(loaded),
        **recorded,
        "bytes_per_record": recorded["database_bytes"] / recorded["records"],
        "records_per_s": recorded["records"] / recorded["record_seconds"],
        "memory_ratio": recorded["resident_mb_end"] / recorded["resident_mb_at_20_percent"],
        "status_s": status_s,
        **charts,
        **caught_up,
        "anchored_once": once,
    }


def _restored(loaded: Config, ledger: EmbeddedLedger, minutes: float) -> dict[str, object]:
    day = minutes / 1440
    _live(loaded, day / 2, ago=2 * day)
    backup = shutil.copy(loaded.database, loaded.database.with_suffix(".backup"))
    _live(loaded, day / 2, ago=1.25 * day)
    loaded.database.unlink()
    Path(backup).rename(loaded.database)
    before = _counts(loaded)
    assert ledger.stop() == 0
    with _gateway(loaded, day, compared=False) as gateway:
        recorded = _figures(gateway)
        away = _counts(loaded)
        ledger.start()
        _word(gateway)
        caught_up = _figures(gateway)
    after = _counts(loaded)
    return {
        "restored_minutes_away": minutes,
        "restored_readings_meanwhile": recorded["readings"] - before["readings"],
        "restored_sealed_before": away["batches"] - before["batches"],
        "restored_cut_meanwhile": away["cuts"],
        "restored_sealed_elsewhere": after["elsewhere"],
        "restored_batches_afterwards": after["batches"] - before["batches"],
        "restored_catch_up_seconds": caught_up["catch_up_seconds"],
        "restored_sealed_once": _sealed_once(loaded, ledger),
        "restored_audit_findings": audit_findings(loaded, "--allow-resume"),
    }


def _live(loaded: Config, days: float, *, ago: float) -> None:
    """A stretch of time with the ledger there."""
    with _gateway(loaded, days, ago=ago, compared=True) as gateway:
        for _ in ("compared", "recorded"):
            _figures(gateway)
            _word(gateway)
        _figures(gateway)


def _counts(loaded: Config) -> dict[str, int]:
    store = Database(loaded.database, read_only=True)
    try:
        counts = {
            "batches": len(store.batches.all()),
            "cuts": len(store.batches.cuts()),
            "elsewhere": sum(store.elsewhere.count()),
        }
        return {**counts, "readings": store.totals()["readings"]}
    finally:
        store.close()


def _sealed_once(loaded: Config, ledger: EmbeddedLedger) -> bool:
    log = HttpLedger(ledger.name, ledger.url)
    entries = log.statements(loaded.gateway_id, -1)
    log.close()
    try:
        check_books(loaded)
        check_each_record_is_sealed_once(loaded, entries)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    return True


@contextmanager
def _gateway(loaded: Config, days: float, *, ago: float = 0.0, compared: bool) -> Iterator[subprocess.Popen[str]]:
    """The gateway of ``parts.away``, which has ended by itself at the end of the ``with``."""
    command = [sys.executable, "-m", "tests.campaigns.endurance.away", str(loaded.path.parent), str(days), str(ago)]
    command += ["compared"] if compared else []
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def _word(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def _figures(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the gateway ended before it had printed its figures; its output stands above"
    figures: dict[str, Any] = json.loads(line)
    return figures


def _status_s(loaded: Config) -> float:
    """Seconds of `meterseal status --json`, from its start to its end."""
    began = time.monotonic()
    command = [sys.executable, "-m", "gateway.cli", "status", str(loaded.path), "--json"]
    status = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    seconds = time.monotonic() - began
    assert json.loads(status.stdout)["running"], status.stdout
    return seconds


def _charts(loaded: Config, days: float) -> dict[str, object]:
    """The slowest chart of one meter's point over the whole time, each with a connection of its own; energy an hour
    likewise; and what summaries take of the database."""
    to_ms = int(time.time() * 1000)
    from_ms, point = to_ms - int(days * 86_400_000), POINT.format(0)
    chart_ms, energy_ms, steps = [], [], 0
    for meter in list(loaded.meters)[:: max(1, len(loaded.meters) // CHARTS)]:
        began = time.perf_counter()
        store = Database(loaded.database, read_only=True)
        steps = max(steps, len(history(store, meter, [point], from_ms, to_ms).times))
        between = time.perf_counter()
        energy_by_hour(store, meter, point, from_ms, to_ms)
        chart_ms.append((between - began) * 1000)
        energy_ms.append((time.perf_counter() - between) * 1000)
        store.close()
    store = Database(loaded.database, read_only=True)
    rows = {f"{n}_minute_rows": store.count("SELECT count(*) FROM summaries WHERE span = ?", n) for n in (1, 60)}
    rows["summary_bytes"] = store.count("SELECT sum(length(data)) FROM summaries")
    store.close()
    return {"chart_ms": max(chart_ms), "chart_steps": steps, "energy_ms": max(energy_ms), **rows}


def _anchored_once(loaded: Config, ledger: EmbeddedLedger) -> bool:
    log = HttpLedger(ledger.name, ledger.url)
    entries, after = [], -1
    while some := log.statements(loaded.gateway_id, after):  # a ledger tells so many at once
        entries += some
        after = parse_statement(some[-1]).statement.batch
    log.close()
    store = Database(loaded.database, read_only=True)
    batches, records, settled = store.batches.all(), sum(store.records.kinds().values()), store.anchors.count_receipts()
    waiting = store.batches.waiting()
    store.close()
    whole = [batch.first_id for batch in batches] == [1, *(batch.last_id + 1 for batch in batches[:-1])]
    sealed = sum(batch.size for batch in batches)
    anchored = settled == len(batches) and entries == [batch.entry for batch in batches]
    return whole and sealed == records - waiting and anchored
