"""What the control room costs and how quick it is, beside the bare Ed25519 verification of the same run.

``verify_ratio``: a record parsed and its signature verified, ``verify_integer_ratio`` and ``verify_decimal_ratio`` the
same of meters with other numbers (target: at least 0.45). Everything of these is in CPU seconds, so that a busy machine
measures the same.

``store_ratio``: the bare verification over what a receiver takes for a record of a portion, to judge and to store it
(target: at least 0.35); ``store_with_database_ratio``: the same with PostgreSQL's CPU. ``two_receivers_ratio``: two
receivers' CPU a record, PostgreSQL's included, over one's (1.2 at most). ``records_ratio``: what ``records`` take on
disk over their signed bytes (1.35 at most); ``readings_bytes_a_value``: what ``readings`` take (15 at most).

``page_ms``: the page of ``page_gateways`` gateways over HTTP (target: 300 ms at most).

``day_ms``: the chart of one point of a meter over a day, out of ``day_of_values`` values (target: 100 ms at most).

``latency_p99_s``: from a record's commit at its gateway to that of its row, at ``latency_rate`` records a second
(1 s at most); it is wall time, of gateways, nats-server, receivers and PostgreSQL that share this machine.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.fleet.fleet_latency import latency_figures
from benchmarks.fleet.fleet_page import page_figures
from benchmarks.fleet.fleet_records import VALUES
from benchmarks.fleet.fleet_rows import day_figures
from benchmarks.fleet.fleet_store import store_figures
from benchmarks.fleet.fleet_verify import verify_figures
from tests.support.brokers import postgres

SMALLEST = ({"records": 60, "runs": 1, "stored": 200, "values": 30_000, "rate": 100, "seconds": 1.0, "gateways": 200},)
_MANY = 1_000_000
"""Values that have to stand on a disk, as all that is measured has to; a smallest form needs none."""
_SETTINGS = ("track_commit_timestamp=on", "shared_buffers=256MB", "max_wal_size=1GB", "maintenance_work_mem=128MB")


def run(
    records: int = 5_000,
    runs: int = 5,
    stored: int = 50_000,
    values: int = 100_000_000,
    rate: int = 1_000,
    seconds: float = 30.0,
    gateways: int = 10_000,
) -> dict[str, object]:
    """``records``: of each kind of number, verified; medians of ``runs`` pairs. ``stored``: records for each run of the
    receivers. ``values``: that the day is found among; a hundred million take 1.5 GB and some minutes to make. ``rate``
    a second for so many ``seconds``: records from commit to row. ``gateways``: on the page."""
    now = datetime.now(UTC)
    begin_ms = int(time.time()) * 1000 - 3_600_000
    figures = verify_figures(records, runs, begin_ms)
    with postgres.cluster(_SETTINGS, on_disk=values > _MANY) as cluster:
        figures |= store_figures(cluster, stored, min(runs, 3), begin_ms)
        figures |= page_figures(cluster, gateways)
        figures |= latency_figures(cluster, rate, seconds)
        figures |= day_figures(cluster, values, now)
    return {"values_per_record": VALUES, "records": records, "runs": runs, **figures}
