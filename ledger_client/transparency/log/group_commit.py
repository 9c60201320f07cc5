"""Group commit: statements that arrive during a disk write become durable together, by one fsync.

There is no thread and no waiting for company: whoever finds the disk free takes along all who came meanwhile. Nobody
learns an outcome, good or bad, before the transaction that it rests on is durable. A work signs, which takes a TPM
20 ms: after ``MOST_S`` a transaction takes no more of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.transparency.log.counters import Counts
from ledger_client.transparency.log.entries import Expected, Writer
from ledger_client.transparency.log.log import Log

MOST = 256  # works in one transaction, so that no lock on the file is held for long
MOST_S = 1.0  # after so long the rest is for the next one
FRESH_S = 30.0  # a write so recent shows that the disk takes writes
Work = Callable[[Writer], bytes]


@dataclass(frozen=True, slots=True)
class Registration:
    """A work that says what it will ask."""

    expected: Expected
    do: Work

    def __call__(self, log: Writer) -> bytes:
        return self.do(log)


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work
    outcome: Future[bytes]


class GroupCommit:
    """The one way to write to a log that serves; safe to call from any thread."""

    def __init__(self, log: Log, counts: Counts) -> None:
        self._log = log
        self._counts = counts
        self._written = time.monotonic()  # when the disk last took something; that the log could be opened counts
        self._failing = False
        self._waiting: list[_Waiting] = []
        self._guard = threading.Lock()
        self._disk = threading.Lock()

    def run(self, work: Work) -> bytes:
        """Do ``work`` in a transaction, perhaps with other works before and after it; returns its result, durable.

        ``work`` raises ``Refused`` before it writes anything, or not at all. Raises that, or ``LedgerUnavailable``:
        then nothing of it was written.
        """
        (outcome,) = self.run_all([work])
        return outcome.result()

    def run_all(self, works: Sequence[Work]) -> list[Future[bytes]]:
        """The outcome of each, all of them done."""
        mine = [_Waiting(work, Future()) for work in works]
        with self._guard:
            self._waiting += mine
        with self._disk:
            while not all(waiting.outcome.done() for waiting in mine):  # else somebody has taken them along
                with self._guard:
                    group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                left = self._commit(group)
                with self._guard:
                    self._waiting = left + self._waiting
        return [waiting.outcome for waiting in mine]

    def doubt(self) -> None:
        """Somebody could not read: try it out when it is asked next."""
        self._failing = True

    def unwritable(self) -> LedgerUnavailable | None:
        """Why the disk does not take what is written; tried out where nothing was written for a while."""
        if not self._failing and time.monotonic() - self._written < FRESH_S:
            return None
        try:
            self.run(_touch)
        except LedgerUnavailable as error:
            return error
        return None

    def _commit(self, group: list[_Waiting]) -> list[_Waiting]:
        """One transaction; returns whom there was no time for."""
        done: list[bytes | Refused] = []
        began = time.monotonic()
        try:
            with self._log.write() as log:
                log.expect([waiting.work.expected for waiting in group if isinstance(waiting.work, Registration)])
                for waiting in group:
                    if done and time.monotonic() - began > MOST_S:
                        break
                    done.append(_outcome(waiting.work, log))
        except LedgerUnavailable as error:
            self._failing = True
            for waiting in group:
                waiting.outcome.set_exception(error)
            return []
        except Exception as error:
            if len(group) > 1:  # nothing was written; and one bad work is not everybody's fault
                for waiting in group:
                    self._commit([waiting])
            else:
                group[0].outcome.set_exception(error)
            return []
        self._written, self._failing = time.monotonic(), False
        self._counts.add("commits")
        self._counts.spent("commits", self._written - began)
        for waiting, outcome in zip(group, done, strict=False):
            if isinstance(outcome, Refused):
                waiting.outcome.set_exception(outcome)
            else:
                waiting.outcome.set_result(outcome)
        return group[len(done) :]


def _touch(log: Writer) -> bytes:
    log.touch()
    return b""


def _outcome(work: Work, log: Writer) -> bytes | Refused:
    try:
        return work(log)
    except Refused as error:
        return error
