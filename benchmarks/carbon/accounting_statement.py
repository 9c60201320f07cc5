"""How long the statement of a period takes from a gateway's database, and what its recording loses meanwhile.

The shipped journal writes the database on a machine whose time is moved by hand: every meter is due every 10 s, the two
polls beside each quarter of an hour are answered, the others missed. The readings left out are those that the gateway
does not mark (they lie beside no edge), so that marks, coverage and batches are those of the whole time. Then the
shipped gateway goes on from it with a farm of meters, and `meterseal statement` states the period beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.config.model import Config
from gateway.records import GATEWAY, MeterEvent, PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.accounting.formats.civil_time import civil, month_ms
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Reading, Value
from ledger_client.times import rfc3339_ms
from tests.ledger_client.accounting.plans import HOUR, QUARTER
from tests.support.gateways.farm import farm
from tests.support.gateways.sites import make_site, tcp_buses
from tests.support.processes import Server
from tests.support.samples import Hands, Machine
from tests.support.stated import EVERY_MS, plan_fields

CIVIL_MIN = 480
SETTLED_S = 15.0
"""The gateway runs so long before the statement begins."""
AROUND = 6
"""Polls of a minute, which are made before the period and behind it."""
PROFILE = """vendor = "Bench"
device = "Meter of one register"
source = "benchmarks/carbon/accounting_statement.py"
direct = true
[points]
energy = { address = 0, fc = 3, type = "uint16", unit = "kWh", kind = "counter", wraps_at = 65536 }
"""


def run(meters: int, hours: int, watch_s: float) -> dict[str, object]:
    """``hours`` before now, at the end of a civil month or within one; recording is measured for ``watch_s`` seconds at
    least."""
    with TemporaryDirectory() as name, farm(meters) as plant:
        loaded = make_site(
            Path(name) / "site",
            tcp_buses(plant.ports, "10s"),
            since_s=1_700_000_000,
            profiles={"bench.toml": PROFILE},
        )
        from_ms, to_ms = _period(hours)
        _history(loaded, from_ms, to_ms)
        store = Database(loaded.database, read_only=True)
        counts = store.records.kinds()
        marks = store.count("SELECT count(*) FROM marks")
        store.close()
        line = [sys.executable, "-u", "-m", "gateway.cli", "run", str(loaded.path)]
        gateway = Server("gateway", line, "records", loaded.path.with_name("gateway.log"))
        try:
            gateway.start()
            time.sleep(SETTLED_S)
            begin = time.time_ns() // 1_000_000
            statement, spent_s = _stated(loaded, from_ms, to_ms)
            time.sleep(max(0.0, watch_s - spent_s))
            end = time.time_ns() // 1_000_000
            assert gateway.stop() == 0
        finally:
            gateway.close()
        kept = _kept(loaded, begin, end)
    assert statement["nodes"][0]["intervals"] == hours * HOUR // QUARTER
    return {
        "statement_s": spent_s, "statement_hours": hours, "statement_readings_due": meters * hours * HOUR // EVERY_MS,
        "statement_records": sum(counts.values()), "statement_coverage": counts.get("coverage", 0),
        "statement_marks": marks, "statement_read": statement["records_read"],
        "recording_kept": kept, "recording_s": (end - begin) / 1000,
    }  # fmt: skip


def _period(hours: int) -> tuple[int, int]:
    """From and to, in one civil month."""
    to_ms = time.time_ns() // 1_000_000 // HOUR * HOUR - HOUR
    now = civil(to_ms, CIVIL_MIN)
    begin_ms = month_ms(now.year, now.month, CIVIL_MIN)
    if to_ms - hours * HOUR < begin_ms:
        to_ms = begin_ms
    return to_ms - hours * HOUR, to_ms


def _history(loaded: Config, from_ms: int, to_ms: int) -> None:
    """What the gateway recorded, from a minute before a period to a minute behind it."""
    machine = Machine()
    machine.wall_ms = from_ms - AROUND * EVERY_MS
    hands = Hands(loaded, machine)
    points, nodes = _plan(loaded, from_ms)
    hands.journal.happened(MeterEvent(GATEWAY, Event("plan", plan_fields(from_ms, points=points, nodes=nodes))))
    for poll in range((to_ms - from_ms) // EVERY_MS + 2 * AROUND):
        due_ms = hands.anchor_ms + poll * EVERY_MS
        now = Timestamp.now(hands.clock)
        answered = now.time_ms % QUARTER < EVERY_MS or now.time_ms % QUARTER >= QUARTER - EVERY_MS
        reading = Reading(now.time_ms, (Value("energy", poll // 6, "kWh"),)) if answered else None
        for meter in loaded.meters:
            hands.journal.poll(PollResult(meter, due_ms, reading, now, None if answered else "timeout"))
        machine.passes(EVERY_MS / 1000)
        hands.journal.keep_time()
    hands.end()


def _plan(loaded: Config, from_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A node for each meter."""
    usual = plan_fields(from_ms)
    (point,), (node,) = usual["points"].values(), usual["nodes"].values()
    named = {f"station-{meter}": f"{meter}/energy" for meter in loaded.meters}
    points = {point_name: point | {"wraps_at": 65536, "max": 1000} for point_name in named.values()}
    return points, {name: node | {"terms": [[1, point_name]]} for name, point_name in named.items()}


def _stated(loaded: Config, from_ms: int, to_ms: int) -> tuple[dict[str, Any], float]:
    """What the command tells, and how long it took."""
    period = f"{rfc3339_ms(from_ms)}/{rfc3339_ms(to_ms)}"
    command = [sys.executable, "-m", "gateway.cli", "statement", str(loaded.path), "--period", period, "--json"]
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    spent_s = time.perf_counter() - begin
    (statement,) = json.loads(done.stdout)["statements"]
    assert statement["signed"]
    return statement, spent_s


def _kept(loaded: Config, begin_ms: int, end_ms: int) -> float:
    """Recorded readings of the polls that were due in a stretch of time."""
    store = Database(loaded.database, read_only=True)
    sql = "SELECT count(*) FROM records WHERE kind = 'reading' AND time_ms >= ? AND time_ms < ?"
    found = store.count(sql, begin_ms, end_ms)
    store.close()
    due = len(loaded.meters) * ((end_ms - begin_ms) // EVERY_MS)
    return min(1.0, found / due)
