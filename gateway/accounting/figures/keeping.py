"""Figures of the accounting for whoever looks at them: kept up to date by a thread of their own while somebody looks.

The thread reads the database in portions and rests as long as it reads, so that polling and pages go on beside it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.accounting.figures.due import Due, dues
from gateway.accounting.figures.hour import Hour
from gateway.accounting.figures.unstated import KEPT_MS, Unstated
from gateway.accounting.history import History, SignedPlan, history_of
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Said

FRESH_S: Final = 20.0
"""What was found so long ago is looked at again when somebody looks."""

TOLD_S: Final = 2.0
"""So often what has been read so far is told."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Hours behind the statements of a plan, [from_ms, to_ms) of its rule: by node, in order of time."""

    signed: SignedPlan
    from_ms: int
    to_ms: int
    hours: Mapping[str, tuple[Hour, ...]]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known. ``at_ms``: when all of it was (0: never yet); ``reading``: there is more to come; ``problem``: why
    not."""

    history: History
    ahead: tuple[Ahead, ...] = ()
    due: tuple[Due, ...] = ()
    at_ms: int = 0
    reading: bool = False
    problem: Said | None = None

    def of_plan(self, name: str) -> list[Ahead]:
        """What is not stated of the plans of a name, in order of time."""
        return [ahead for ahead in self.ahead if ahead.signed.plan.name == name]


class Figures:
    """Of one gateway. ``look`` from any thread; all that begins with ``_`` and comes behind the lock belongs to the
    thread that reads, one at a time."""

    def __init__(self, database: Path, now_ms: Callable[[], int]) -> None:
        self._database, self._now_ms = database, now_ms
        self._changed = threading.Condition()
        self._known, self._ended_s, self._over = Known(History()), 0.0, False
        self._parts: dict[tuple[bytes, int, int, tuple[bytes, ...]], Unstated] = {}

    def look(self) -> Known:
        """What is known now; begins to read what is new, where nobody has for a while. Does not wait."""
        with self._changed:
            stale = not self._ended_s or time.monotonic() - self._ended_s > FRESH_S
            if stale and not self._known.reading and not self._over:
                self._known = replace(self._known, reading=True, problem=None)
                threading.Thread(target=self._work, name="figures", daemon=True).start()
            return self._known

    def wait(self, seconds: float) -> Known:
        """The same, when it has all been read, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._known.reading, seconds)
            return self._known

    def close(self) -> None:
        """Nobody looks any more: the thread ends."""
        with self._changed:
            self._over = True

    def _work(self) -> None:
        problem: Said | None = None
        try:
            self._read()
        except (GatewayError, LedgerClientError) as error:
            problem = error.said
        finally:
            with self._changed:
                self._ended_s = time.monotonic()
                self._known = replace(self._known, reading=False, problem=problem)
                self._changed.notify_all()

    def _read(self) -> None:
        store = Database(self._database, read_only=True)
        try:
            with store.snapshot():
                history = history_of(store)
            parts = list(self._arranged(history))
            for part in parts:
                told_s = time.monotonic()
                while self._portion(store, part) and not self._over:
                    if time.monotonic() - told_s > TOLD_S:
                        part.settle(min(part.heard_ms, self._now_ms()))
                        self._tell(store, history, parts, whole=False)
                        told_s = time.monotonic()
                part.settle(self._now_ms())
            self._tell(store, history, parts, whole=True)
        finally:
            store.close()

    @staticmethod
    def _portion(store: Database, part: Unstated) -> bool:
        """Reads some, and rests as long; whether there is more."""
        began = time.perf_counter()
        with store.snapshot():
            more = part.read(store)
        if more:
            time.sleep(time.perf_counter() - began)
        return more

    def _arranged(self, history: History) -> Iterator[Unstated]:
        """The stretches that are not stated, each under the plan that rules it (P2); what is known of them already is
        kept, unless an entry came."""
        before, self._parts = self._parts, {}
        for name in history.names:
            stated = history.stated(name)
            last = stated[-1] if stated else None
            for signed, begin_ms, end_ms in history.ruled(name):
                from_ms = max(begin_ms, last.to_ms if last is not None else 0)
                if from_ms >= end_ms:
                    continue
                entries = history.on_plan(signed.plan)
                key = (signed.record, from_ms, end_ms, tuple(entry.record for _, entry in entries))
                part = before.get(key)
                if part is None:
                    interval_ms = signed.plan.interval_ms
                    early_ms = (self._now_ms() - KEPT_MS) // interval_ms * interval_ms
                    ends = last if last is not None and last.to_ms == from_ms and from_ms >= early_ms else None
                    part = Unstated(signed, entries, ends, max(from_ms, early_ms), end_ms)
                self._parts[key] = part
                yield part

    def _tell(self, store: Database, history: History, parts: list[Unstated], *, whole: bool) -> None:
        ahead = tuple(Ahead(part.signed, part.from_ms, part.to_ms, MappingProxyType(_in_order(part))) for part in parts)
        hours: dict[str, list[Hour]] = {}
        for one in ahead:
            own = hours.setdefault(one.signed.plan.name, [])
            own += (hour for of_node in one.hours.values() for hour in of_node)
        now_ms = self._now_ms()
        with store.snapshot():
            found = tuple(dues(store, history, hours, now_ms))
        with self._changed:
            self._known = Known(history, ahead, found, now_ms if whole else self._known.at_ms, reading=True)


def _in_order(part: Unstated) -> dict[str, tuple[Hour, ...]]:
    nodes = dict.fromkeys((*part.hours, *part.open))
    return {node: (*_sorted(part.hours.get(node, {})), *part.open.get(node, ())) for node in nodes}


def _sorted(hours: Mapping[int, Hour]) -> list[Hour]:
    return [hours[from_ms] for from_ms in sorted(hours)]
