"""The pages beside the fieldbus: who looks at them costs no meter its schedule.

A hundred Modbus TCP meters of thirty values and an emulated line at 9600 baud with five meters of thirty registers, all
polled once a second, signed, recorded, sealed and anchored on an embedded ledger. Beside that fifty clients follow the
stream of events over plain HTTP, every page is fetched once a second, and one client asks for the stream and never
reads. The gateway is the shipped command with a heartbeat of 5 ms in its event loop (parts/pages_gateway.py); meters,
ledger and clients are processes of their own.

- ``schedule_kept_…``: recorded readings of the polls that were due.
- ``loop_stall_p999_ms``: how much later than asked for the loop calls, at the 99.9th of a hundred.
- ``page_ms_p95``: from a request's head to its whole answer, in the server (Server-Timing).
- ``memory_ratio``: resident memory at the end over that at 20 %; ``memory_peak_mb``: the most there ever was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rates.paced_line import paced_line
from benchmarks.rates.pages_clients import quantile
from benchmarks.rates.pages_site import BAUDRATE, LATENCY_MS, PASSWORD, SERIAL_METERS, USER, pages_site
from gateway.config.model import Config
from gateway.storage.database import Database
from tests.support.gateways.farm import farm
from tests.support.gateways.weight import cpu_s, peak_mb, weigh
from tests.support.processes import Server, embedded_ledger, free_port

METERS, WATCHERS = 100, 50
PATHS = (
    "/",
    "/meters/meter-007",
    "/meters/serial-1?span=week",
    "/meters/meter-042/prove/newest",
    "/batches",
    "/batches/0",
    "/events",
    "/alarms",
    "/diagnosis",
    "/configuration",
)
SMALLEST = ({"seconds": 2, "settled_s": 0.5},)


def run(seconds: float = 600.0, settled_s: float = 25.0) -> dict[str, object]:
    """For so long the clients look at the pages, from ``settled_s`` after the start: the first minute of a process is
    not what is measured."""
    with tempfile.TemporaryDirectory() as name, plant_with_site(folder := Path(name)) as (loaded, port):
        with gateway_with_heart(loaded, folder / "late") as gateway:
            assert gateway.process is not None
            time.sleep(settled_s)
            begin_ms = time.time_ns() // 1_000_000
            clients, looks, used_s = _clients(port, seconds, gateway.process.pid)
            end_ms, peak = time.time_ns() // 1_000_000, peak_mb(gateway.process.pid)
            assert gateway.stop() == 0
        late = array("f", (folder / "late").read_bytes())
        polls = kept(loaded, begin_ms, end_ms)
    ordered = sorted(late[int(settled_s / 0.005) :])
    return {
        **polls,
        "loop_stall_p999_ms": quantile(ordered, 0.999),
        "loop_stall_p99_ms": quantile(ordered, 0.99),
        "loop_stall_max_ms": ordered[-1],
        **clients,
        "memory_ratio": looks[-1] / looks[len(looks) // 5],
        "memory_mb_at_20_50_80_percent": [round(looks[len(looks) * share // 10], 1) for share in (2, 5, 8)],
        "memory_end_mb": looks[-1],
        "memory_peak_mb": peak,
        "cpu_share": used_s / seconds,
        "watchers": WATCHERS,
        "meters": METERS + SERIAL_METERS,
        "seconds": seconds,
    }


@contextmanager
def plant_with_site(folder: Path) -> Iterator[tuple[Config, int]]:
    """The meters, the line and the ledger, as processes of their own, and the configuration of a gateway of them; with
    the port of its pages."""
    with ExitStack() as parts:
        meters = parts.enter_context(farm(METERS))
        latencies = dict.fromkeys(range(1, SERIAL_METERS + 1), float(LATENCY_MS))
        parts.enter_context(paced_line(folder / "line", BAUDRATE, latencies))
        ledger = parts.enter_context(embedded_ledger(folder / "ledger", "bench-ledger"))
        port = free_port()
        yield pages_site(folder / "site", meters.ports, folder / "line", ledger, port), port


@contextmanager
def gateway_with_heart(loaded: Config, late: Path) -> Iterator[Server]:
    """The shipped command with a heartbeat, which it writes into the file ``late`` as it ends."""
    command = [sys.executable, "-m", "benchmarks.rates.pages_gateway", str(loaded.path), str(late)]
    server = Server("gateway", command, "pages at", loaded.path.with_suffix(".log"))
    try:
        server.start()
        yield server
    finally:
        server.close()


def _clients(port: int, seconds: float, pid: int) -> tuple[dict[str, Any], list[float], float]:
    """What the clients met, the gateway's resident memory in MB once a second, and its CPU seconds meanwhile."""
    given = map(str, (port, USER, PASSWORD, seconds, WATCHERS, *PATHS))
    command = [sys.executable, "-m", "benchmarks.rates.pages_clients", *given]
    looks, before = [], cpu_s(pid)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            looks.append(weigh(pid).resident_mb)
            time.sleep(1.0)
        assert process.returncode == 0
        assert process.stdout is not None
        met: dict[str, Any] = json.loads(process.stdout.read())
    met["stream_bytes_per_s_of_each"] /= seconds * WATCHERS
    return met, looks, cpu_s(pid) - before


def kept(loaded: Config, begin_ms: int, end_ms: int) -> dict[str, float]:
    """Of both kinds of meters: recorded readings over due polls in a stretch of time."""
    store, found = Database(loaded.database, read_only=True), Counter[str]()
    for row in store.records.stretch(1, 1 << 60):
        if row.kind == "reading" and begin_ms <= row.time_ms < end_ms:
            found[row.meter] += 1
    store.close()
    due = (end_ms - begin_ms) / 1000
    shares = {name: min(1.0, found[name] / int(due)) for name in loaded.meters}
    kinds = {"tcp": "meter-", "line": "serial-"}
    means = {kind: [share for name, share in shares.items() if name.startswith(head)] for kind, head in kinds.items()}
    share = {f"schedule_kept_{kind}": sum(each) / len(each) for kind, each in means.items()}
    return {**share, "schedule_kept_worst_meter": min(shares.values())}
