"""Keeper of an epoch's accounting: plans, hours that are not stated, lost ones, silent stacks and due statements, read
by one thread and published as one frozen result for pages and alarms.

1. One thread (``go_on``) reads; it alone touches the history and the readers of hours. All others see ``known``, a
   frozen ``Known`` that is replaced as a whole, so that the figures on a page and the alarms about them are of the same
   moment. The history in it is a copy, since the thread goes on adding to its history.
2. By itself the thread reads the hours of the newest two days, and of four where a stack has no valid hour in them.
   With the first page that asks (``look``) it reads all that is kept, and does so from then on.
3. It reads in portions, each in a snapshot of its own, and rests after each as long as it took: polling, recording and
   pages go on beside it, and no snapshot keeps the write-ahead log from being checkpointed.
4. Until the first whole pass a result is published every ``PUBLISH_S``, with the hours so far. It has no lost time and
   knows of no silent stack: alarms must not come and go with the progress of reading. Later results are those of whole
   passes; ``at_ms`` is the time of the newest.
5. A pass that fails keeps what is known and adds the ``problem``. The next one reads all of it anew: a portion may have
   been fed in part, and the books must not see a record twice.
6. What reads hours is loaded with the first plan: most sites have none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.accounting.hours.spans import KEPT_MS, SILENT_MS
from gateway.accounting.plans.history import History, SignedPeriod
from gateway.clock import HOUR_MS
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence, sentence_of

if TYPE_CHECKING:
    from gateway.accounting.hours.ahead import Ahead, AheadReader, Lost, Silent
    from gateway.accounting.hours.hour import Hour
    from gateway.accounting.statements.due import Due

EVERY_S: Final = 60.0
"""Seconds between two passes where nobody asks."""
FRESH_S: Final = 20.0
"""Age in seconds at which a result is old: it is brought up to date when somebody looks."""
PUBLISH_S: Final = 2.0
"""Seconds between two published results while much is being read."""
NEWEST_MS: Final = 48 * HOUR_MS
SILENCE_MS: Final = SILENT_MS + 4 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Known:
    """A result of the keeper.

    ``ahead``: the hours that are not stated; ``at_ms``: time of the last whole pass (0: there was none); ``reading``: a
    pass is not finished; ``lost``: all lost time that was read, stated or not; ``silent``: silent stacks (None: not
    known yet); ``problem``: why the last pass failed; ``is_unreadable``: it failed at a signed event.
    """

    history: History = field(default_factory=History)
    ahead: tuple[Ahead, ...] = ()
    due: tuple[Due, ...] = ()
    at_ms: int = 0
    reading: bool = False
    lost: tuple[Lost, ...] = ()
    silent: tuple[Silent, ...] | None = None
    problem: Sentence | None = None
    is_unreadable: bool = False

    def of_plan(self, name: str) -> list[Ahead]:
        """The parts that are not stated of the plans of a name, in order of time."""
        return [ahead for ahead in self.ahead if ahead.signed.plan.name == name]


class Keeper:
    """Keeper of one epoch. ``go_on`` runs in its thread; ``look``, ``wait`` and ``close`` may be called by any."""

    def __init__(self, database: Path, now_ms: Callable[[], int]) -> None:
        self._database, self._now_ms = database, now_ms
        self._changed = threading.Condition()
        self._known, self._asked, self._over, self._read_s = Known(), False, False, 0.0
        self._history, self._span_ms = History(), NEWEST_MS
        self._readers: dict[tuple[bytes, int, int, tuple[bytes, ...]], AheadReader] = {}

    @property
    def known(self) -> Known:
        """The newest result."""
        return self._known

    def look(self) -> Known:
        """The newest result, for a page. Where it is old, or does not reach back to all that is kept, a pass is asked
        for. Does not wait."""
        with self._changed:
            is_old = not self._read_s or time.monotonic() - self._read_s > FRESH_S or self._span_ms < KEPT_MS
            if is_old and not self._asked and not self._over:
                self._asked, self._known = True, replace(self._known, reading=True)
                self._changed.notify_all()
            return self._known

    def wait(self, seconds: float) -> Known:
        """The result once the pass that was asked for has ended, or after this time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._asked or self._over, seconds)
            return self._known

    def close(self) -> None:
        """End the thread; nobody looks any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def go_on(self) -> None:
        """Make a pass each minute, and whenever a page asks, until ``close``."""
        while not self._over:
            self.read()
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._over, EVERY_S)

    def read(self) -> Known:
        """One pass over all records that are new. Returns the result."""
        with self._changed:
            if self._asked:
                self._span_ms = KEPT_MS
        problem, is_unreadable = None, False
        try:
            self._pass()
        except (GatewayError, LedgerClientError) as error:
            problem, is_unreadable = error.sentence, isinstance(error, LedgerClientError)
        except Exception as error:  # a defect: whoever looks must not take what was known for whole
            problem = sentence_of(error)
            raise
        finally:
            with self._changed:
                self._read_s, self._asked = time.monotonic(), self._asked and self._span_ms < KEPT_MS
                self._known = replace(self._known, reading=self._asked, problem=problem, is_unreadable=is_unreadable)
                self._changed.notify_all()
        return self._known

    def _pass(self) -> None:
        store = Database(self._database, read_only=True)
        try:
            with store.snapshot():
                self._history.read_on(store)
            if not self._history.plans:
                with self._changed:
                    self._known = Known(self._history.copy(), at_ms=self._now_ms(), reading=True, silent=())
                return
            readers = self._read_parts(store)
            if self._span_ms < SILENCE_MS and not self._over:
                parts = _by_plan([reader.ahead() for reader in readers])
                if _silent(parts, self._now_ms()) is None:
                    self._span_ms = SILENCE_MS
                    readers = self._read_parts(store)
            if not self._over:
                self._publish(store, readers, whole=True)
        except BaseException:
            self._readers = {}  # a portion may have been fed in part, and would be fed again
            raise
        finally:
            store.close()

    def _read_parts(self, store: Database) -> list[AheadReader]:
        readers = list(self._arranged())
        for reader in readers:
            published_s = time.monotonic()
            while not self._over and self._portion(store, reader):
                if not self._known.at_ms and time.monotonic() - published_s > PUBLISH_S:
                    reader.settle(min(reader.covered_to_ms, self._now_ms()))
                    self._publish(store, readers, whole=False)
                    published_s = time.monotonic()
            if self._over:
                break
            reader.settle(self._now_ms())
        return readers

    def _portion(self, store: Database, reader: AheadReader) -> bool:
        """Read a portion, then rest as long as it took, or until ``close``. True: there are more records."""
        began = time.perf_counter()
        with store.snapshot():
            more = reader.read(store)
        if more:
            with self._changed:
                self._changed.wait_for(lambda: self._over, time.perf_counter() - began)
        return more

    def _arranged(self) -> Iterator[AheadReader]:
        """Readers of the parts of each plan's time: the newest of what is stated, as far back as alarms look, and what
        is not stated, each under the plan that rules it (P2). A reader is used on, unless an entry came or more is
        wanted."""
        from gateway.accounting.hours.ahead import AheadReader  # a site without a plan never comes here

        before, self._readers, history = self._readers, {}, self._history
        now_ms, newest_ms = self._now_ms(), min(self._span_ms, SILENCE_MS)
        for name in history.names:
            stated = history.stated(name)
            last = stated[-1] if stated else None
            last_ms = last.to_ms if last is not None else 0
            for signed, begin_ms, end_ms in history.ruled(name):
                interval_ms = signed.plan.interval_ms
                for from_ms, to_ms, span_ms in ((begin_ms, min(end_ms, last_ms), newest_ms),
                                                (max(begin_ms, last_ms), end_ms, self._span_ms)):  # fmt: skip
                    early_ms = (now_ms - span_ms) // interval_ms * interval_ms
                    if max(from_ms, early_ms) >= to_ms:
                        continue
                    entries = history.on_plan(signed.plan)
                    key = (signed.record, from_ms, to_ms, tuple(entry.record for _, entry in entries))
                    reader = before.get(key)
                    if reader is None or reader.from_ms > max(from_ms, early_ms):
                        ends: SignedPeriod | None = last if from_ms == last_ms and from_ms >= early_ms else None
                        reader = AheadReader(
                            signed, entries, ends, max(from_ms, early_ms), to_ms,
                            is_stated=to_ms <= last_ms, is_cut=from_ms < early_ms,
                        )  # fmt: skip
                    self._readers[key] = reader
                    yield reader

    def _publish(self, store: Database, readers: Sequence[AheadReader], *, whole: bool) -> None:
        from gateway.accounting.hours.ahead import losses  # as above
        from gateway.accounting.statements.due import dues

        parts, now_ms = [reader.ahead() for reader in readers], self._now_ms()
        ahead = tuple(part for part in parts if not part.is_stated)
        hours: dict[str, list[Hour]] = {}
        for one in ahead:
            of_plan = hours.setdefault(one.signed.plan.name, [])
            of_plan += (hour for of_node in one.hours.values() for hour in of_node)
        history = self._history.copy()
        with store.snapshot():
            due = tuple(dues(store, history, hours, now_ms))
        found = replace(self._known, history=history, ahead=ahead, due=due, reading=True)
        if whole:
            by_plan = _by_plan(parts)
            lost = tuple(one for of_plan in by_plan.values() for one in losses(of_plan, now_ms))
            found = replace(found, at_ms=now_ms, lost=lost, silent=_silent(by_plan, now_ms))
        with self._changed:
            self._known = found


def _by_plan(parts: Sequence[Ahead]) -> Mapping[str, list[Ahead]]:
    found: dict[str, list[Ahead]] = {}
    for part in parts:
        found.setdefault(part.signed.plan.name, []).append(part)
    return found


def _silent(by_plan: Mapping[str, Sequence[Ahead]], now_ms: int) -> tuple[Silent, ...] | None:
    """The silent stacks of all plans; None: of one plan they are not known."""
    from gateway.accounting.hours.ahead import silences  # as above

    found: list[Silent] = []
    for parts in by_plan.values():
        silent = silences(parts, now_ms)
        if silent is None:
            return None
        found += silent
    return tuple(found)
