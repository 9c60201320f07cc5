"""A gateway to be killed: the shipped recorder, journal, store, reconciliation and uplink, and meters that write down
what they answer.

``python -m tests.campaigns.failures.crash_gateway FOLDER LOG [prune]`` runs until SIGTERM or a kill. It prints ``here``
when it has loaded everything, before it opens the database. Each poll is written to LOG before it is handed over, one
JSON object a line: meter, epoch, due time, number (counted over all lives, and the reading's one value), and the reason
where the meter did not answer. With ``prune`` whatever has its receipts and is older than ``KEEP_MS`` goes, in slices
of a few records.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path

from gateway.anchoring import ledger_drivers, uplink
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.process import instance_lock
from gateway.recording import journal
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity import pruning
from gateway.storage.database import Database
from ledger_client.formats.senml import Reading, Value
from tests.campaigns.endurance.site import POINT

KEEP_MS = 6_000
"""Longer than any life here lasts, so that what a life prunes was looked at before it began."""
SLICE, PRUNE_EVERY_MS, PAUSE_S = 7, 40, 0.05


class Script:
    """What the meters answer: a number that goes up with each poll; every seventh poll they do not answer."""

    def __init__(self, log: Path, epoch: bytes, recorder: Recorder, clock: Clock) -> None:
        before = log.read_bytes().splitlines() if log.exists() else []
        self._number = json.loads(before[-1])["number"] if before else 0
        self._log = FileIO(log, "a")  # not buffered: what was written is written, whatever becomes of this process
        self._epoch, self._recorder, self._clock = epoch.hex(), recorder, clock

    def poll(self, meter: str, due_ms: int) -> None:
        """Answer a poll that is due, or do not."""
        self._number += 1
        reason = None if self._number % 7 else "timeout"
        entry = {"meter": meter, "epoch": self._epoch, "due_ms": due_ms, "number": self._number, "missed": reason}
        self._log.write(json.dumps(entry).encode() + b"\n")
        if reason is not None:
            self._recorder.put(PollResult(meter, due_ms, None, None, reason))
            return
        now = Timestamp.now(self._clock)
        value = Value(POINT.format(0), self._number, "V")
        self._recorder.put(PollResult(meter, due_ms, Reading(now.time_ms, (value,)), now))

    async def run(self, anchor_ms: int, periods_ms: Mapping[str, int], stop: asyncio.Event) -> None:
        """Poll every meter when it is due, later ones too if this process was held up, until ``stop``."""
        due = dict.fromkeys(periods_ms, anchor_ms)
        while not stop.is_set():
            for meter, due_ms in due.items():
                if due_ms <= self._clock.now_ms():
                    self.poll(meter, due_ms)
                    due[meter] = due_ms + periods_ms[meter]
            await asyncio.sleep(0.005)


async def live(loaded: Config, log: Path) -> None:
    """One life."""
    keys, trust, entry = load_keys(loaded), ledger_drivers.trust_of(loaded), loaded.document.ledger[0]
    rules = Rules.of(loaded)
    rules = replace(rules, limits=replace(rules.limits, keep_ms=KEEP_MS))
    epoch, stop = secrets.token_bytes(8), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("here", flush=True)
    store = Database(loaded.database)
    clock = Clock(not_before_ms=store.records.latest_ms())
    recorder = Recorder(store, keys, rules, clock, epoch)
    ledger = ledger_drivers.driver(loaded, entry, Notes(entry.name, recorder))
    up = Uplink(
        ledger, recorder, trust, clock, Reconciliation(loaded, recorder, trust, clock, store.anchors.conflicts())
    )
    recorder.on_seal.append(partial(asyncio.get_running_loop().call_soon_threadsafe, up.wake))
    anchor_ms = recorder.open()
    recorder.start()
    try:
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(up.run()), group.create_task(_until_ended(recorder))]
            await Script(log, epoch, recorder, clock).run(anchor_ms, rules.periods_ms, stop)
            for task in background:
                task.cancel()
    finally:
        recorder.stop()
        ledger.close()


async def _until_ended(recorder: Recorder) -> None:
    await asyncio.shield(asyncio.wrap_future(recorder.ended))


def main(folder: Path, log: Path, *, prune: bool) -> None:
    uplink.FIRST_PAUSE_S, uplink.LONGEST_PAUSE_S = PAUSE_S, 4 * PAUSE_S
    if prune:
        journal.PRUNE_EVERY_MS, journal.PRUNE_ON_MS, pruning.SLICE = PRUNE_EVERY_MS, PRUNE_EVERY_MS, SLICE
    loaded = load_config(folder / "gateway.toml")
    with instance_lock.take(loaded.data):
        asyncio.run(live(loaded, log))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), prune=sys.argv[3:] == ["prune"])
