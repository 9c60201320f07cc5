"""Signed, durable records a second, without a fieldbus: readings in, committed rows and sealed batches out.

Feeds the shipped recorder on a real database with readings of 30 float values and waits until the last is durable.
The same process measures how fast the bare key signs 300 bytes, the work that no record can do without, and how many
readings the poller makes of decoded columns for one whose values are judged one by one.
"""

from __future__ import annotations

import gc
import os
import statistics
import struct
import tempfile
import time
from pathlib import Path

from benchmarks.rates.reading_paths import reading_rates
from gateway.clock import Clock
from gateway.config.device_keys import Keys
from gateway.config.model import Configured
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity.disk_space import Limits
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Reading, Value

METERS, PERIOD_MS, VALUES = 100, 100, 30
SMALLEST = ({"records": 200, "runs": 1},)


def run(records: int = 20_000, runs: int = 5) -> dict[str, object]:
    """Medians of ``runs`` pairs, each pair measured right after one another."""
    pairs = [(_bare(records), _durable(records)) for _ in range(runs)]
    bare, durable = (statistics.median(column) for column in zip(*pairs, strict=True))
    made = [reading_rates(VALUES, max(1, records // 10)) for _ in range(runs)]
    return {
        "signed_durable_records_per_s": durable,
        "bare_ed25519_per_s": bare,
        "ratio": statistics.median(d / b for b, d in pairs),
        "columns_readings_per_s": statistics.median(rates["columns"] for rates in made),
        "columns_to_judged_ratio": statistics.median(rates["columns"] / rates["judged"] for rates in made),
        "values_per_record": VALUES,
        "records": records,
        "runs": runs,
    }


def _bare(records: int) -> float:
    key, message = PrivateKey.generate(), os.urandom(300)
    started = time.perf_counter()
    for _ in range(records // 4):
        key.sign(message)
    return records / 4 / (time.perf_counter() - started)


def _durable(records: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"meter-{n:03}" for n in range(METERS)]
        keys = Keys(PrivateKey.generate(), {name: PrivateKey.generate() for name in names})
        rules = Rules(
            gateway="bench",
            periods_ms=dict.fromkeys(names, PERIOD_MS),
            configured=dict.fromkeys(names, Configured("auxiliary", "bench", bytes(32), {})),
            commit_every_ms=1000,
            seal_every_ms=60_000,
            seal_count=10_000,
            ledgers=["ledger"],
            required=["ledger"],
            config=bytes(32),
            software="meterseal/bench",
            limits=Limits(8 * 10**9, None, 90 * 86_400_000, thin=True),
            counters={},
        )
        clock = Clock()
        recorder = Recorder(Database(Path(folder) / "meterseal.db"), keys, rules, clock, os.urandom(8))
        anchor_ms = recorder.open()
        polls = [_poll(names[n % METERS], anchor_ms + n // METERS * PERIOD_MS, n, clock) for n in range(records)]
        gc.collect()
        gc.freeze()  # 600,000 values that wait are this benchmark's, not the gateway's, to walk over
        started = time.perf_counter()
        recorder.start()
        for poll in polls:
            recorder.put(poll)
        recorder.call(lambda _: None).result()  # comes after all that waits, and commits it
        seconds = time.perf_counter() - started
        recorder.stop()
        gc.unfreeze()
        store = Database(Path(folder) / "meterseal.db", read_only=True)
        durable = store.totals()["readings"]
        store.close()
        assert durable == records, f"{durable} of {records} readings are in the database"
        return records / seconds


def _poll(meter: str, due_ms: int, n: int, clock: Clock) -> PollResult:
    now = Timestamp.now(clock)
    values = tuple(Value(f"point_{k:02}", _float32(230.0 + n * 0.001 + k), "V") for k in range(VALUES))
    return PollResult(meter, due_ms, Reading(now.time_ms, values), now)


def _float32(value: float) -> float:
    """As a 32-bit register would give it."""
    (rounded,) = struct.unpack(">f", struct.pack(">f", value))
    return float(rounded)
