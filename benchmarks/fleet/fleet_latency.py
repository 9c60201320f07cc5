"""Time from the commit at the gateway to the row in PostgreSQL, over the whole path but a fieldbus; two receivers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from gateway.config.model import Config
from tests.support.brokers import postgres
from tests.support.brokers.nats import nats
from tests.support.fleet.site import LEDGER, Fleet, Receiver, init_control_room, start, trust_text
from tests.support.gateways.sites import bus_table, make_site, meter_table, over_http, table
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger, Server, embedded_ledger

GATEWAYS, METERS = 10, 10
_COMMITTED = """
    SELECT g.name, m.name, encode(e.epoch, 'hex'), r.seq, extract(epoch FROM pg_xact_commit_timestamp(r.xmin))::float8
    FROM meterseal.records r JOIN meterseal.meters m ON m.id = r.meter JOIN meterseal.gateways g ON g.id = m.gateway
    JOIN meterseal.epochs e ON e.id = r.epoch WHERE r.kind = 'r'
"""
_SETTLE_S = 30


def latency_figures(cluster: postgres.Cluster, rate: int, seconds: float) -> dict[str, object]:
    """Seconds from when a record had become durable at its gateway until its row was committed, at ``rate`` records a
    second; the cluster has ``track_commit_timestamp=on``. ``latency_lost``: records that did not come within half a
    minute of the end."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        nodes = stack.enter_context(nats(folder / "nats"))
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", LEDGER))
        sites = folder / "sites"
        loaded = [_site(sites / f"gateway-{n}", n, nodes[0].url, ledger) for n in range(GATEWAYS)]
        made = Fleet(folder, nodes, cluster.database("latency"), ledger, folder / "control" / "CONTROL.toml")
        made.trust.write_text(trust_text(loaded, ledger))
        init_control_room(made)
        receivers: list[Server] = [Receiver(made.settings, n) for n in (1, 2)]
        for receiver in receivers:
            stack.callback(receiver.close)
        start(receivers)
        durable = _run_gateways(sites, rate, seconds, made.database)
        rows = {tuple(row[:4]): row[4] for row in made.database.query(_COMMITTED)}
    took = sorted(rows[key] - at for *key_parts, at in durable if (key := tuple(key_parts)) in rows)
    assert took, "no record came in"
    return {
        "latency_rate": len(durable) / seconds,
        "latency_lost": len(durable) - len(took),
        "latency_p50_s": took[len(took) // 2],
        "latency_p99_s": took[len(took) * 99 // 100],
        "latency_max_s": took[-1],
    }


def _site(folder: Path, number: int, url: str, ledger: EmbeddedLedger) -> Config:
    meters = [meter_table(f"meter-{n:03}", "bench.toml", n + 1, "100ms") for n in range(METERS)]
    return make_site(
        folder,
        table("seal", every="1h"),
        bus_table("tcp", "modbus-tcp", meters, host="127.0.0.1"),
        table("[feed]", name="control-room", type="records", url=url, since="oldest"),
        gateway=f"gw-{number:02}",
        ledgers=over_http(ledger),
        profiles={"bench.toml": PROFILE},
    )


def _run_gateways(
    sites: Path, rate: int, seconds: float, database: postgres.Database
) -> list[tuple[str, str, str, int, float]]:
    line = [sys.executable, "-m", "benchmarks.fleet.fleet_gateways", str(sites), str(rate), str(seconds)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        _wait_for_rows(database)
        durable: list[tuple[str, str, str, int, float]] = json.loads(process.communicate("end\n")[0])
    return durable


def _wait_for_rows(database: postgres.Database) -> None:
    """Until no row has come for two seconds."""
    before, since, deadline = -1, time.monotonic(), time.monotonic() + _SETTLE_S
    while time.monotonic() < min(since + 2, deadline):
        ((now,),) = database.query("SELECT count(*) FROM meterseal.records")
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.2)
