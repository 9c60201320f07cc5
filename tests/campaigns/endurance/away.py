"""A gateway whose ledger is away: the shipped recorder, store and uplink on a clock that runs as fast as they work.

``python -m tests.campaigns.endurance.away FOLDER DAYS AGO [compared]`` (after ``unread_site``) records so many days
of its meters' polls, which ended AGO days before now, and prints its figures; when a line comes on its standard input,
it waits until the uplink has settled every batch and prints those figures too. The uplink asks for the ledger all the
time. With ``compared`` it first prints an empty object when the ledger has been asked what it holds, so that sealing
need not wait for it, and waits for a line.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import cycle
from pathlib import Path

from gateway.anchoring import ledger_drivers
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock, KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.process import instance_lock
from gateway.process.threads import in_thread
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.senml import Reading, Value
from tests.campaigns.endurance.site import POINT
from tests.support.gateways.weight import Weight, peak_mb, weigh

PERIOD_S, VALUES = 10, 10
STEP_S = 5
"""Simulated seconds between two looks at whether the writer follows; also the site's ``commit_every``."""
AHEAD = 3
"""Steps that the polls may be ahead of the writer: fewer readings than its inbox has room for."""
RESTING_TASKS = 2
"""Threads of a gateway between two calls of its uplink: the event loop and the writer."""
LOOKS = 100
EARLY = LOOKS // 5


class Days:
    """A clock for some days up to some days ago, that stands still until it is advanced."""

    def __init__(self, days: float, ago: float) -> None:
        self.seconds = 0.0
        self._began_ns = time.time_ns() - int((days + ago) * 86_400e9)
        self.clock = Clock(
            wall_ns=lambda: self._began_ns + int(self.seconds * 1e9),
            monotonic=lambda: self.seconds,
            kernel=lambda: KernelClock(True, 20),
        )


class Gateway:
    """Recorder and uplink as the agent wires them; the polls come from here."""

    def __init__(self, loaded: Config, days: float, ago: float) -> None:
        self.steps = int(days * 86_400) // STEP_S
        self._days = Days(days, ago)
        self._loaded, self._clock = loaded, self._days.clock
        self._meters = list(loaded.meters)
        store = Database(loaded.database)
        self._conflicts = store.anchors.conflicts()
        self._recorder = Recorder(store, load_keys(loaded), Rules.of(loaded), self._clock, secrets.token_bytes(8))
        self._turns = cycle(_turns())
        self._looks: list[Weight] = []
        self._tasks: list[int] = []

    async def work(self, *, compared: bool) -> None:
        """Record, tell, wait for a word, catch up, tell."""
        entry = self._loaded.document.ledger[0]
        trust = ledger_drivers.trust_of(self._loaded)
        ledger = ledger_drivers.driver(self._loaded, entry, Notes(entry.name, self._recorder))
        asked = Reconciliation(self._loaded, self._recorder, trust, self._clock, self._conflicts)
        uplink = Uplink(ledger, self._recorder, trust, self._clock, asked)
        self._recorder.on_seal.append(partial(asyncio.get_running_loop().call_soon_threadsafe, uplink.wake))
        anchor_ms = self._recorder.open()
        self._recorder.start()
        task = asyncio.create_task(uplink.run(), name=f"uplink {entry.name}")
        if compared:
            while self._held():  # noqa: ASYNC110 - nothing tells when it is over
                await asyncio.sleep(0.01)
            _tell({})
            await in_thread(sys.stdin.readline, "a word")
        _tell(await self._record(anchor_ms))
        await in_thread(sys.stdin.readline, "a word")
        _tell(await self._catch_up())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._recorder.stop()
        ledger.close()

    def _held(self) -> bool:
        """Whether sealing waits for the ledger."""
        return self._recorder.health()["sealing"] is not None

    async def _record(self, anchor_ms: int) -> dict[str, object]:
        wall, cpu = time.monotonic(), time.process_time()
        unwritten: deque[Future[None]] = deque()
        for step in range(self.steps):
            self._put_polls(anchor_ms, step)
            unwritten.append(self._recorder.call(lambda _: None))
            if len(unwritten) > AHEAD:
                await asyncio.wrap_future(unwritten.popleft())
            if step * LOOKS // self.steps > len(self._looks):
                await self._look()
        for future in unwritten:
            await asyncio.wrap_future(future)
        self._days.seconds += self._loaded.document.seal.every / 1000  # here the last batch is cut
        await self._sealed()
        await self._look()
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        assert self._recorder.trouble is None, f"recording stopped: {self._recorder.trouble}"
        early, end = self._looks[min(EARLY, len(self._looks) - 1)], self._looks[-1]
        totals = await asyncio.wrap_future(self._recorder.call(Database.totals))
        used = await asyncio.wrap_future(self._recorder.call(Database.used_bytes))
        return {
            "readings": totals["readings"],
            "records": totals["records"],
            "batches": totals["batches"],
            "database_bytes": used,
            "record_seconds": wall,
            "record_cpu_seconds": cpu,
            "resident_mb_at_20_percent": early.resident_mb,
            "resident_mb_end": end.resident_mb,
            "fds_equal": early.fds == end.fds,
            "tasks_equal": (early.tasks, self._tasks[EARLY - 1]) == (end.tasks, self._tasks[-1]),
        }

    def _put_polls(self, anchor_ms: int, step: int) -> None:
        """One step's polls, each answered a while after it was due, as on lines that read one meter after another."""
        share = len(self._meters) * STEP_S // PERIOD_S
        first = step * share % len(self._meters)
        due_ms = anchor_ms + step * STEP_S // PERIOD_S * PERIOD_S * 1000
        for meter in self._meters[first : first + share]:
            self._days.seconds += STEP_S / share
            now = Timestamp.now(self._clock)
            self._recorder.put(PollResult(meter, due_ms, Reading(now.time_ms, next(self._turns)), now))

    async def _sealed(self) -> None:
        """Until every cut has become a batch, or there is nothing but cuts because sealing waits."""

        def is_unsealed(store: Database) -> bool:
            return bool(store.batches.cuts()) or store.batches.waiting() > 0

        while not self._held() and await asyncio.wrap_future(self._recorder.call(is_unsealed)):
            pass

    async def _look(self) -> None:
        """Weigh, at a moment at which the uplink asks for nothing: its thread and socket come and go."""
        while weigh().tasks > RESTING_TASKS:  # noqa: ASYNC110 - threads set no event when they are gone
            await asyncio.sleep(0.001)
        self._looks.append(weigh())
        self._tasks.append(len(asyncio.all_tasks()))

    async def _catch_up(self) -> dict[str, object]:
        """Until nothing waits; the rate is that from the first look with a new receipt on."""
        store = Database(self._loaded.database, read_only=True)
        before = store.anchors.count_receipts()
        while (begun := store.anchors.count_receipts()) == before:  # noqa: ASYNC110 - what is waited for stands in a database
            await asyncio.sleep(0.05)
        wall, cpu = time.monotonic(), time.process_time()
        while store.batches.cuts() or store.anchors.count_receipts() < store.batches.count():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        settled = store.anchors.count_receipts()
        sizes = [batch.size for batch in store.batches.all()]
        store.close()
        return {
            "catch_up_seconds": wall,
            "catch_up_cpu_seconds": cpu,
            "catch_up_batches_per_s": (settled - begun) / wall if wall else 0.0,
            "catch_up_records_per_s": sum(sizes[begun:settled]) / wall if wall else 0.0,
            "resident_mb_caught_up": weigh().resident_mb,
            "peak_mb": peak_mb(),
        }


def _turns() -> Iterator[tuple[Value, ...]]:
    for turn in range(64):
        yield tuple(Value(POINT.format(n), 230.0 + n + turn / 64, "V") for n in range(VALUES))


def _tell(figures: dict[str, object]) -> None:
    print(json.dumps(figures), flush=True)


def main(folder: Path, days: float, ago: float, *, compared: bool) -> None:
    loaded = load_config(folder / "gateway.toml")
    with instance_lock.take(loaded.data):
        asyncio.run(Gateway(loaded, days, ago).work(compared=compared))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), compared=sys.argv[4:] == ["compared"])
