"""What the control room costs and how quick it is, beside the bare Ed25519 verification of the same run.

``verify_ratio``: a record parsed and its signature verified, ``verify_integer_ratio`` and ``verify_decimal_ratio`` the
same of meters with other numbers (target: at least 0.45). Everything is in CPU seconds, so that a busy machine measures
the same.
"""

from __future__ import annotations

import time

from benchmarks.fleet.fleet_records import VALUES
from benchmarks.fleet.fleet_verify import verify_figures

SMALLEST = ({"records": 60, "runs": 1},)


def run(records: int = 5_000, runs: int = 5) -> dict[str, object]:
    """``records``: of each kind of number; medians of ``runs`` pairs."""
    begin_ms = int(time.time()) * 1000 - 3_600_000
    return {"values_per_record": VALUES, "records": records, "runs": runs, **verify_figures(records, runs, begin_ms)}
