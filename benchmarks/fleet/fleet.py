"""What the control room costs and how quick it is, beside the bare Ed25519 verification of the same run.

``verify_ratio``: a record parsed and its signature verified, ``verify_integer_ratio`` and ``verify_decimal_ratio`` the
same of meters with other numbers (target: at least 0.45). Everything of these is in CPU seconds, so that a busy machine
measures the same.

``day_ms``: the chart of one point of a meter over a day, out of ``day_of_values`` values (target: 100 ms at most).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.fleet.fleet_records import VALUES
from benchmarks.fleet.fleet_rows import day_figures
from benchmarks.fleet.fleet_verify import verify_figures
from tests.support.brokers import postgres

SMALLEST = ({"records": 60, "runs": 1, "values": 30_000},)
_SETTINGS = ("shared_buffers=256MB", "max_wal_size=1GB", "maintenance_work_mem=128MB")


def run(records: int = 5_000, runs: int = 5, values: int = 100_000_000) -> dict[str, object]:
    """``records``: of each kind of number; medians of ``runs`` pairs. ``values``: that are there beside those of the
    day; a hundred million take 1.5 GB and some minutes to make."""
    now = datetime.now(UTC)
    begin_ms = int(time.time()) * 1000 - 3_600_000
    figures = verify_figures(records, runs, begin_ms)
    with postgres.cluster(_SETTINGS, on_disk=True) as cluster:
        figures |= day_figures(cluster, values, now)
    return {"values_per_record": VALUES, "records": records, "runs": runs, **figures}
