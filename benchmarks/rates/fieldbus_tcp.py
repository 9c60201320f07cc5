"""Modbus TCP from the wire to the disk: a hundred meters of thirty values, one connection and one endpoint each.

First every 100 ms: is every due poll made and durable, in what time, at what cost. Then as fast as it goes, beside a
bare pymodbus loop over the same farm. Farm, gateway and bare loop are processes of their own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.gateways.farm import Farm, farm
from tests.support.gateways.tcp_gateway import VALUES, tcp_site

METERS, PERIOD_MS = 100, 100
STEP = 1.25
SMALLEST = ({"meters": 5, "seconds": 2.0, "runs": 1},)


def run(seconds: float = 30.0, runs: int = 3, meters: int = METERS) -> dict[str, object]:
    """``seconds``: how long the paced run is, and each side of ``runs`` pairs, whose median is reported."""
    with farm(meters) as plant, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tcp_site(folder, plant.ports)
        paced = _gateway(plant, folder, PERIOD_MS, seconds)
        period_ms = _fastest(plant, folder, paced["cpu_us_per_read"], min(seconds, 5.0))
        pairs = [(_bare(plant, seconds), _gateway(plant, folder, period_ms, seconds)) for _ in range(runs)]
    bare, fast = ([pair[side] for pair in pairs] for side in (0, 1))
    return {
        "meters": meters,
        "values_per_read": VALUES,
        "share_of_due_polls": paced["polls_answered"] / paced["polls_due"],
        "polls_missed": paced["polls_missed"],
        "durable_in_time": paced["durable_in_time"],
        "durable_p99_ms": paced["durable_p99_ms"],
        "durable_max_ms": paced["durable_max_ms"],
        "cpu_s_per_1000_values": paced["cpu_us_per_read"] / VALUES / 1000,
        "resident_mb": paced["resident_mb"],
        "fast_reads_per_s": _median(fast, "reads_per_s"),
        "bare_reads_per_s": _median(bare, "reads_per_s"),
        "ratio": statistics.median(f["reads_per_s"] / b["reads_per_s"] for b, f in pairs),
        "ratios": [round(f["reads_per_s"] / b["reads_per_s"], 3) for b, f in pairs],
        "cpu_us_per_read": paced["cpu_us_per_read"],
        "fast_cpu_us_per_read": _median(fast, "cpu_us_per_read"),
        "bare_cpu_us_per_read": _median(bare, "cpu_us_per_read"),
        "fast_period_ms": period_ms,
        "fast_resident_mb": _median(fast, "resident_mb"),
        "fast_durable_p99_ms": _median(fast, "durable_p99_ms"),
        "farm_core_share": max(measured["farm_core_share"] for measured in (paced, *fast, *bare)),
        "seconds": seconds,
        "runs": runs,
    }


def _fastest(plant: Farm, folder: Path, cpu_us_per_read: float, seconds: float) -> int:
    """The period in ms at which most readings become durable: ever shorter ones, until two in a row give less."""
    period_ms, best, worse = max(1, round(cpu_us_per_read * len(plant.ports) / 1000)), (-1.0, 0), 0
    while period_ms > 0 and worse < 2:
        found = _gateway(plant, folder, period_ms, seconds)["reads_per_s"]
        best, worse = ((found, period_ms), 0) if found > best[0] else (best, worse + 1)
        period_ms = int(period_ms / STEP)
    return best[1]


def _gateway(plant: Farm, folder: Path, period_ms: int, seconds: float) -> dict[str, Any]:
    return _measured(plant, "tests.support.gateways.tcp_gateway", folder, period_ms, seconds)


def _bare(plant: Farm, seconds: float) -> dict[str, Any]:
    return _measured(plant, "benchmarks.rates.bare_tcp", seconds, 2 * VALUES, *plant.ports)


def _measured(plant: Farm, part: str, *arguments: object) -> dict[str, Any]:
    """The figures of one process, and the share of a core that the farm used meanwhile."""
    cpu, begun = plant.cpu_s(), time.monotonic()
    command = [sys.executable, "-m", part, *map(str, arguments)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(ended.stdout)
    return {**figures, "farm_core_share": (plant.cpu_s() - cpu) / (time.monotonic() - begun)}


def _median(measured: list[dict[str, Any]], key: str) -> float:
    return statistics.median(float(figures[key]) for figures in measured)
