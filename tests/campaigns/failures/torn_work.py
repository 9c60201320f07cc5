"""What a gateway does to its disk, one operation at a time: the shipped recorder and store, fed without a fieldbus.

``python -m tests.campaigns.failures.torn_work CONTROL`` runs under the failing disk of ``tests/disk``: it takes one
request a line (JSON, the fields of ``Request``) and forks a process for each, which writes into its report what was
reported to it as committed and how it fared, and prints that process's exit status. The clock is the plant's own, so
that an operation makes the same calls every time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlite_utils  # noqa: F401 - loaded before a process is forked, so that none need load it for itself

from gateway.anchoring import ledger_drivers
from gateway.anchoring.reconciliation import Reconciliation
from gateway.clock import Clock, KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import StartAgain, StoreError
from gateway.recording.committer import RETRY_MS
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Reading, Value
from tests.campaigns.failures.torn_store import ToldStore
from tests.contract.memory import NearLedger
from tests.system.disk.torn_disk import Control

BEGINNING_S, LIFE_S = 1_790_000_000, 100_000
"""When life 0 of a site begins, and how much later each further one does."""
SEAL_COUNT, VALUES, SAFETY_S = 24, 20, 60.0
RESUMED_ROUNDS = 9
"""Rounds of polls after the fault: more readings than a batch takes."""
EVENT = "tested"
KEEP_S = 3600
NEVER_MS = 1 << 40
GOES_ON, KILLED = "goes-on", "killed"


@dataclass(frozen=True, slots=True)
class Request:
    """One operation in one life of a site; ``sticky``: the disk goes on failing, so it is tried again meanwhile."""

    site: str
    report: str
    life: int
    operation: str
    ending: str = GOES_ON
    sticky: bool = False
    ledger: str = ""
    """A ledger's folder, on a disk that does not fail: it is asked at the start, and given every statement at once."""


class Life:
    """One process life of a site: its recorder on its database, polls that fall due, and a clock that they drive."""

    def __init__(self, loaded: Config, report: Path, number: int, ledger: Path | None = None) -> None:
        """With a ``ledger`` it is compared before anything is sealed, as the agent does."""
        self._loaded, self._keys = loaded, load_keys(loaded)
        self._ledger = NearLedger(ledger) if ledger is not None else None
        self._report = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._ticks_s = float(number * LIFE_S)
        self._number, self._epochs, self._events = number, 0, 0
        self._waiting: list[tuple[str, Event]] = []  # what an epoch that had to end could not write
        self.store: ToldStore | None = None
        self.recorder: Recorder | None = None

    def tell(self, fact: dict[str, Any]) -> None:
        """Say something that outlives this process."""
        os.write(self._report, json.dumps(fact).encode() + b"\n")

    def open(self) -> bool:
        """Open the database and begin an epoch; false if the disk does not let it."""
        self._ticks_s += 1
        self._epochs += 1
        try:
            self.store = ToldStore(self._loaded.database, self.tell, self._ledger)
            self._clock = Clock(
                not_before_ms=self.store.records.latest_ms(),
                wall_ns=lambda: int((BEGINNING_S + self._ticks_s) * 1e9),
                monotonic=lambda: self._ticks_s,
                kernel=lambda: KernelClock(True, 5),
            )
            rules = Rules.of(self._loaded)
            rules = replace(
                rules,
                commit_every_ms=NEVER_MS,
                seal_every_ms=NEVER_MS,
                seal_count=SEAL_COUNT,
                limits=replace(rules.limits, keep_ms=KEEP_S * 1000),
            )
            epoch = (self._number * 1000 + self._epochs).to_bytes(8, "big")
            recorder = Recorder(self.store, self._keys, rules, self._clock, epoch)
            compare = self._comparison(recorder, self.store)
            self._due_ms, self._periods_ms = recorder.open(), rules.periods_ms
        except StoreError as error:
            self.tell({"trouble": str(error), "reason": error.reason})
            return False
        recorder.start()
        for meter, event in self._waiting:
            recorder.happened(meter, event)
        self._waiting = []
        self.recorder = recorder
        compare()
        return True

    def _comparison(self, recorder: Recorder, store: Database) -> Callable[[], None]:
        """What is to be done as soon as the recorder runs; its seals wait for it from now on."""
        ledger = self._ledger
        if ledger is None:
            return lambda: None
        trust = ledger_drivers.trust_of(self._loaded)
        asked = Reconciliation(self._loaded, recorder, trust, self._clock, store.anchors.conflicts())

        def compare() -> None:
            if broken_off := asyncio.run(asked.compare(ledger)).broken_off:
                raise broken_off

        return compare

    def feed(self, rounds: int) -> None:
        """``rounds`` of polls: one of every meter falls due and is answered in each."""
        assert self.recorder is not None
        for _ in range(rounds):
            for meter in self._periods_ms:
                now = Timestamp.now(self._clock)
                values = tuple(Value(f"voltage_{k:02}", 230.0 + k, "V") for k in range(VALUES))
                self.recorder.put(PollResult(meter, self._due_ms, Reading(now.time_ms, values), now))
            period_ms = max(self._periods_ms.values())
            self._due_ms += period_ms
            self._ticks_s += period_ms / 1000

    def event(self) -> None:
        """Something happens at a meter."""
        assert self.recorder is not None
        self._events += 1
        fields = {"life": self._number, "number": self._events}
        self.recorder.happened(next(iter(self._periods_ms)), Event(EVENT, fields))
        self.tell({"event": fields})

    def flush(self) -> None:
        """Have everything committed that waits, or refused by the disk."""
        assert self.recorder is not None
        self._flushed(self.recorder.call(lambda _: None))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What comes in this ``with`` reaches the writer at once, so that it makes the same commits every time."""
        assert self.recorder is not None
        there, go_on = threading.Event(), threading.Event()

        def wait(_: Database) -> None:
            there.set()
            go_on.wait(SAFETY_S)

        self.recorder.call(wait)
        there.wait(SAFETY_S)
        yield
        flushed = self.recorder.call(lambda _: None)
        go_on.set()
        self._flushed(flushed)

    def _flushed(self, done: futures.Future[None]) -> None:
        assert self.recorder is not None
        futures.wait([done, self.recorder.ended], SAFETY_S, futures.FIRST_COMPLETED)
        if self.recorder.ended.done():
            self._start_again()
        else:
            done.result(0)
        if self.recorder is not None and self.recorder.trouble is not None:
            self.tell({"trouble": str(self.recorder.trouble), "reason": self.recorder.trouble.reason})

    def _start_again(self) -> None:
        """As the agent does when the disk has kept what it had refused: go on in a new epoch."""
        assert self.recorder is not None
        error = self.recorder.ended.exception()
        assert isinstance(error, StartAgain), error
        self.stop()
        self._waiting = error.waiting
        self.open()

    def receipts(self) -> None:
        """The site's ledger gives its receipts for all batches."""
        assert self.recorder is not None
        ledger = NearLedger(self._loaded.path.parent / "ledger")

        def settle(store: Database) -> None:
            for anchor in store.anchors.of():
                batch = store.batches.numbered(anchor.batch)
                assert batch is not None
                receipt = ledger.submit(batch.entry)
                assert isinstance(receipt, bytes)
                with store.transaction():
                    store.anchors.mark(batch.batch, anchor.ledger, "settled", batch.sealed_ms, receipt=receipt)

        self.recorder.call(settle).result(SAFETY_S)
        ledger.close()

    def age(self) -> None:
        """Time passes until what has receipts may be pruned."""
        assert self.recorder is not None
        self._ticks_s += 2 * KEEP_S
        self._unpolled(self.recorder)

    def _unpolled(self, recorder: Recorder) -> None:
        """Nobody has polled until now: what was due is counted as stopped."""
        until_ms = recorder.call(lambda _: recorder._journal.skip(list(self._periods_ms))).result(SAFETY_S)
        period_ms = max(self._periods_ms.values())
        self._due_ms += -((self._due_ms - until_ms) // period_ms) * period_ms

    def shorten_log(self, pages: int) -> None:
        """Have SQLite copy its log into the database, and begin it anew, after so many pages."""
        assert self.recorder is not None
        sql = f"PRAGMA wal_autocheckpoint = {pages}"
        self.recorder.call(lambda store: store._db.execute(sql).fetchall()).result(SAFETY_S)

    def append(self, rounds: int = 3) -> None:
        """Readings and an event, committed together."""
        with self.together():
            self.feed(rounds)
            self.event()

    def stop(self) -> None:
        """End in order."""
        assert self.recorder is not None
        self.recorder.stop()
        self.recorder = None

    def close(self) -> None:
        """Close the report."""
        os.close(self._report)
        if self._ledger is not None:
            self._ledger.close()

    def resumes(self) -> bool:
        """The disk is well again: does everything that falls due now become durable, and a batch of it?"""
        if self.recorder is None and not self.open():
            return False
        assert self.recorder is not None
        assert self.store is not None
        self._ticks_s += 2 * RETRY_MS / 1000
        self.flush()  # behind it recording is tried again, if it had stopped
        self.flush()  # … which has then been done
        if self.recorder is None:
            return False
        committed, sealed = self.store.committed, self.store.sealed
        self.feed(RESUMED_ROUNDS)
        self.flush()
        self.flush()  # comes after the batch that was cut
        new = self.store.committed - committed
        return (
            new >= RESUMED_ROUNDS * len(self._periods_ms)
            and self.store.sealed > sealed
            and self.recorder.trouble is None
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done on a sound disk first, and what is then done on the failing one."""

    before: Callable[[Life], object]
    act: Callable[[Life], object]
    new_site: bool = False
    """There is no database yet."""


def _nothing(_: Life) -> None:
    pass


def _recording(life: Life) -> None:
    """An epoch has begun, and so little is unsealed that only a seal seals."""
    assert life.open()
    life.append(1)


def _short_log(life: Life) -> None:
    """From here on nearly every commit copies SQLite's log into the database and begins the log anew."""
    _recording(life)
    life.shorten_log(4)


def _append_twice(life: Life) -> None:
    for _ in range(2):
        life.append(1)


def _seal(life: Life) -> None:
    with life.together():
        life.event()
        life.feed(SEAL_COUNT // 3)
    life.flush()  # the batch is cut and sealed behind what came together, and before this


def _about_to_stop(life: Life) -> None:
    _recording(life)
    life.feed(2)
    life.event()


def _receipted(life: Life) -> None:
    """Two batches that have their receipts, so that the older one may be pruned."""
    _recording(life)
    for _ in range(2):
        _seal(life)
        life.flush()
    life.receipts()


def _prune(life: Life) -> None:
    life.age()  # not before: the writer prunes by itself once it sees the time
    for _ in range(3):  # what falls due is done behind each of them
        life.flush()


def _live(life: Life) -> None:
    """A long life, in which batches are cut and the log is begun anew again and again."""
    if life.open():
        life.shorten_log(40)
    for _ in range(60):
        life.append(2)


OPERATIONS = {
    "append": Operation(_recording, Life.append),
    "seal": Operation(_recording, _seal),
    "checkpoint": Operation(_short_log, _append_twice),
    "prune": Operation(_receipted, _prune),
    "stop": Operation(_about_to_stop, Life.stop),
    "start": Operation(_nothing, Life.open),
    "first-start": Operation(_nothing, Life.open, new_site=True),
}
"""Operations by name; each is met with every fault at every one of its calls."""
LIVE = Operation(_nothing, _live)


def work(request: Request, control: Control) -> None:
    """Carry out one request in this process."""
    operation = {**OPERATIONS, "live": LIVE}[request.operation]
    site = Path(request.site)
    ledger = Path(request.ledger) if request.ledger else None
    life = Life(load_config(site / "gateway.toml"), Path(request.report), request.life, ledger)
    operation.before(life)
    control.arm()
    operation.act(life)
    if request.sticky and life.recorder is not None:
        life.append()  # it fails too, and is counted
    elif request.sticky:
        life.tell({"in vain": True})
    control.arm(armed=False)
    if request.ending == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    life.tell({"resumed": life.resumes()})
    life.stop()
    life.tell({"ended": True})


def main() -> None:
    control = Control(Path(sys.argv[1]))
    logging.disable()  # thousands of disks fail here, and each stands in its report
    for line in sys.stdin:
        request = Request(**json.loads(line))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(request, control)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
