"""The gateway's path from Modbus TCP to the disk, measured in a process that has loaded all that `meterseal run` loads.

Lines, poller, recorder and store are the shipped ones, wired as the agent wires them, over a site of a hundred meters;
no ledger. ``python -m tests.support.gateways.tcp_gateway FOLDER PERIOD_MS SECONDS`` (after ``tcp_site``) prints its
figures.
"""

from __future__ import annotations

import asyncio
import json
import resource
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.acquisition.meter_identity import MeterIdentity
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.process.switch_interval import switch_often
from gateway.process.threads import share_heap
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import StoredRecord
from gateway.startup import line_specs as lines
from gateway.storage.database import Database
from tests.support.gateways.farm import SERIAL
from tests.support.gateways.heard_tables import HeardRecords
from tests.support.gateways.sites import make_site, tcp_buses

VALUES = 30
WARM_UP_S = 3.0
EMPTY = "empty.db"
"""A database with its tables: only the first start of a gateway loads what makes them."""
PROFILE = f"""vendor = "Bench"
device = "Meter of {VALUES} floats"
source = "tests/support/gateways/tcp_gateway.py"
direct = true
identity = ["serial_number"]
[defaults]
fc = 3
type = "float32"
unit = "V"
[points]
serial_number = {{ address = {SERIAL}, type = "uint32", kind = "status", record = false }}
""" + "".join(f"voltage_{n:02} = {{ address = {2 * n} }}\n" for n in range(VALUES))


def tcp_site(folder: Path, ports: Iterable[int], *tables: str, every: str = "100ms", **settings: Any) -> Config:
    """A Modbus TCP bus with one meter for each port, and these tables; ``settings`` are of each meter."""
    made = make_site(folder, tcp_buses(ports, every, **settings), *tables, profiles={"bench.toml": PROFILE})
    Database(folder / EMPTY).close()
    return made


class TimedStore(Database):
    """The store, which also notes how old each reading is when it has become durable."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path)
        self.ages_ms: list[int] = []
        self._clock, self._open = clock, list[int]()
        self.records = HeardRecords(self, self._appended)

    def _appended(self, rows: Sequence[StoredRecord]) -> None:
        self._open += [row.time_ms for row in rows if row.kind == "reading"]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._open = []
        with super().transaction():
            yield
        now = self._clock.now_ms()
        self.ages_ms += [now - time_ms for time_ms in self._open]


def line_specs(loaded: Config, period_ms: int) -> list[LineSpec]:
    """The site's lines as the agent makes them, at another period."""
    return [
        replace(spec, meters=tuple(replace(meter, period_ms=period_ms) for meter in spec.meters))
        for spec in lines.line_specs(loaded)
    ]


def warm_up_s(seconds: float) -> float:
    """How long the site runs before it is measured for so long."""
    return min(WARM_UP_S, seconds)


async def measure(folder: Path, period_ms: int, seconds: float) -> dict[str, object]:
    """Run the site for so long after ``warm_up_s``, then stop it and look into its database."""
    loaded = load_config(folder / "gateway.toml")
    shutil.rmtree(loaded.data, ignore_errors=True)
    loaded.data.mkdir()
    shutil.copy(folder / EMPTY, loaded.database)
    clock = Clock()
    store = TimedStore(loaded.database, clock)
    rules = replace(Rules.of(loaded), periods_ms=dict.fromkeys(loaded.meters, period_ms))
    recorder = Recorder(store, load_keys(loaded), rules, clock, secrets.token_bytes(8))
    poller = Poller(loaded.meters, clock, recorder.put, loaded.profiles)
    commissioning = MeterIdentity(loaded.meters, {}, poller, recorder, recorder.happened)
    outcomes: Counter[str | None] = Counter()
    window = 0, 0

    def take(poll: Poll) -> None:
        if window[0] <= poll.due_ms < window[1]:
            outcomes[poll.missed] += 1
        commissioning.poll(poll)

    lines = [Line(spec, clock, take, doubts=poller.doubts) for spec in line_specs(loaded, period_ms)]
    anchor_ms = recorder.open()
    recorder.start()
    begin_ms = anchor_ms + int(warm_up_s(seconds) * 1000)
    window = begin_ms, begin_ms + int(seconds * 1000)
    tasks = [asyncio.create_task(line.run(anchor_ms)) for line in lines]
    await asyncio.sleep(warm_up_s(seconds))
    wall, cpu, durable = time.monotonic(), time.process_time(), len(store.ages_ms)
    await asyncio.sleep(seconds)
    wall, cpu, durable = time.monotonic() - wall, time.process_time() - cpu, len(store.ages_ms) - durable
    await asyncio.sleep(2 * period_ms / 1000)  # the last poll of the window gets its own period
    for line in lines:
        line.request_stop()
    await asyncio.gather(*tasks)
    recorder.stop()
    return {
        "polls_due": outcomes.total(),
        "polls_answered": outcomes[None],
        "polls_missed": {reason: count for reason, count in outcomes.items() if reason},
        "reads_per_s": durable / wall,
        "cpu_us_per_read": cpu / max(durable, 1) * 1e6,  # none in time: as if it had been one
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        **_durability(loaded, store, rules.commit_every_ms),
    }


def _durability(loaded: Config, store: TimedStore, commit_every_ms: int) -> dict[str, object]:
    """How long readings took to become durable, and that all of them are in the database."""
    kept = Database(loaded.database, read_only=True)
    readings = kept.totals()["readings"]
    kept.close()
    assert readings == len(store.ages_ms), f"{len(store.ages_ms)} were committed, {readings} are there"
    ages = sorted(store.ages_ms)
    return {
        "readings_durable": readings,
        "durable_p99_ms": ages[len(ages) * 99 // 100],
        "durable_max_ms": ages[-1],
        "durable_in_time": sum(age <= commit_every_ms + 1000 for age in ages) / readings,
    }


if __name__ == "__main__":
    share_heap()  # as `meterseal run` does, and
    switch_often()
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
