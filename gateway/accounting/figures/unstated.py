"""Hours that no statement has yet, kept as they pass: the books go on with what is recorded, hour by hour.

What has become an hour is kept as one, and what lies before it is forgotten, so that no record is read twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.accounting.feeding import feed
from gateway.accounting.figures.hour import NO_EDGE, Hour, Seen, Why, hours_of, meters_of, missed
from gateway.accounting.history import SignedPeriod, SignedPlan, closed_by
from gateway.accounting.stretch import first_batch
from gateway.errors import NotYet
from gateway.storage.database import Database
from ledger_client.accounting.assembly import counted, gauged
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Node
from ledger_client.accounting.formats.rows import Row
from ledger_client.formats.checks import MAX_TIME_MS

DAY_MS: Final = 24 * 3_600_000
KEPT_MS: Final = 62 * DAY_MS
"""So far back hours are kept that nobody states."""
LATE_MS: Final = DAY_MS
"""An hour so old is as it is, though no coverage tells of it."""
PORTION_S: Final = 0.1
"""What is read at a time takes about so long."""
_LEAST, _MOST = 500, 1 << 20


class Unstated:
    """The hours of one plan from a moment on, up to another. Owned by one thread.

    ``hours``: by node and beginning; ``open``: of each node those behind, without a row yet; ``from_ms``: their begin.
    """

    def __init__(
        self, signed: SignedPlan, entries: Sequence[tuple[int, Entry]], before: SignedPeriod | None,
        from_ms: int, to_ms: int,
    ) -> None:  # fmt: skip
        """``entries``: those on the plan, with their places; ``before``: the statement that ends at ``from_ms``."""
        self.signed, self.from_ms, self.to_ms = signed, from_ms, to_ms
        self._books, self._entries, self._before = Books(signed.plan, [entry for _, entry in entries]), entries, before
        self._place, self._portion = 0, _LEAST
        self._unclocked: set[tuple[str, int]] = set()
        self._reached = dict.fromkeys(signed.plan.nodes, from_ms)
        self._counting = set[str]()
        self.hours: dict[str, dict[int, Hour]] = defaultdict(dict)
        self.open: dict[str, list[Hour]] = {}

    def read(self, store: Database) -> bool:
        """A portion of the records that are new; whether there are more. Raises StoreError."""
        last = store.records.last_place()
        begin = self._place + 1 if self._place else self._begin(store)
        end, began = min(last, begin + self._portion - 1), time.perf_counter()
        if begin <= end:
            self._unclocked |= feed(self._books, store, begin, end).unclocked
            self._place = end
        took = time.perf_counter() - began
        self._portion = max(_LEAST, min(_MOST, self._portion * 2 if took < PORTION_S / 2 else self._portion))
        if took > PORTION_S * 2:
            self._portion = max(_LEAST, self._portion // 2)
        return end < last

    def _begin(self, store: Database) -> int:
        closed = closed_by(self._entries, self.from_ms)
        try:
            return first_batch(store, self.signed.plan, closed, self._before, self.from_ms).first_id
        except NotYet:
            return store.records.pruned()[0] + 1

    @property
    def heard_ms(self) -> int:
        """Up to when what has been read tells of any meter."""
        return max((self._books.covered_to_ms(meter) for meter in self.signed.plan.meters), default=0)

    def settle(self, now_ms: int) -> None:
        """Make hours of what has been read, up to a moment."""
        end_ms = min(now_ms, self.to_ms)
        for node in self.signed.plan.nodes.values():
            if node.of_counters:
                rows = self._counted(node, end_ms)
                behind_ms = rows[-1].to_ms if rows else self._reached[node.name]
                self._take(node, rows, now_ms)
                self.open[node.name] = list(self._behind(node, behind_ms, end_ms))
            elif node.method == words.CEMS:
                rows = gauged(self._books, node, self._reached[node.name], end_ms, self.signed.iat_ms)
                self._take(node, rows, now_ms)
        self._forget(now_ms)

    def _counted(self, node: Node, end_ms: int) -> list[Row]:
        interval_ms, first = self.signed.plan.interval_ms, self._before is None and node.name not in self._counting
        begin_ms, end_ms = self._reached[node.name], end_ms // interval_ms * interval_ms
        return counted(self._books, node, begin_ms, end_ms, first=first, plan_ms=self.signed.iat_ms).rows

    def _behind(self, node: Node, from_ms: int, to_ms: int) -> Iterator[Hour]:
        """The intervals behind a node's last known edge."""
        plan, seen = self.signed.plan, Seen(self._books, self._unclocked)
        for begin_ms in range(from_ms, to_ms - plan.interval_ms + 1, plan.interval_ms):
            end_ms = begin_ms + plan.interval_ms
            why = (Why(NO_EDGE, {}), *missed(plan, node, begin_ms, end_ms, seen))
            yield Hour(node.name, begin_ms, end_ms, NO_EDGE, None, why)

    def _take(self, node: Node, rows: Sequence[Row], now_ms: int) -> None:
        """Rows of a node and of the one below; they stay where the coverage of their meters has passed them."""
        plan, seen = self.signed.plan, Seen(self._books, self._unclocked)
        covered_ms = min((self._books.covered_to_ms(meter) for meter in meters_of(plan, node)), default=0)
        for name in (node.name, node.below):
            for hour in hours_of(plan, (row for row in rows if row.node == name), seen):
                self.hours[hour.node][hour.from_ms] = hour
        for row in rows:
            if row.to_ms > covered_ms and row.to_ms > now_ms - LATE_MS:
                break
            self._reached[node.name] = max(self._reached[node.name], row.to_ms)
            self._counting.add(node.name)

    def _forget(self, now_ms: int) -> None:
        plan, interval_ms = self.signed.plan, self.signed.plan.interval_ms
        least: dict[tuple[str, str], int] = {}
        for node in plan.nodes.values():
            for point in (*(point for _, point in node.terms), *node.gauges.values()):
                key = (point, node.regime.id)
                least[key] = min(least.get(key, MAX_TIME_MS), self._reached[node.name])
        for key, register in self._books.registers.items():
            register.forget(least[key] // interval_ms)
        for key, gauge in self._books.gauges.items():
            gauge.forget(least[key] // gauge.reference_ms)
        self._books.forget(min(self._reached.values(), default=now_ms))
        begin = min(self._reached.values(), default=0) // interval_ms
        self._unclocked = {(meter, number) for meter, number in self._unclocked if number >= begin - 1}
        for node_name, hours in self.hours.items():
            kept = {from_ms: hour for from_ms, hour in hours.items() if hour.to_ms > now_ms - KEPT_MS}
            self.hours[node_name] = kept
