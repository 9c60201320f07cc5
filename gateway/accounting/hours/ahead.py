"""Hours ahead of the statements of a plan: status, amount and reasons of each as a statement would have them, the lost
ones among them, and the stacks that are silent, all from one pass over the records.

What a page or an alarm shows today has to be what a statement will say of the same hour. So the rows are made by the
same code (``ledger_client.accounting.assembly``) from the same books; but a statement reads a sealed period once, and
this reads a period that still grows, for months. The rules of that:

1. A plan's time falls into parts: before and behind the end of its newest statement, and one for each plan that rules
   under its name (P2). One ``AheadReader`` reads one part. A new statement, plan or entry makes other parts, with new
   readers; no reader takes anything back.
2. Records are read once, in the order of commits, from the first batch that a statement of the part would cite. What
   has become an hour is kept as an ``Hour``; the books forget the edges, minutes and coverage before it. Memory is
   bounded by the hours of ``KEPT_MS``, not by the number of records.
3. An hour is final once the coverage of all its meters has passed its end, or when it is ``LATE_MS`` old. Until then
   it is made anew each time and nothing behind it is forgotten: readings may still come from a line that was held up.
4. An interval is lost, or a stack silent in it, only once all its records can be expected in the database
   (``wait_ms`` after its end). Before that a running hour would look like a lost one and raise an alarm.
5. Behind a node's last known edge there are no rows. Each interval there is an hour with the status ``NO_EDGE``; it
   counts as unallocated under rule 4 and disappears with the next edge.
6. A part that is read from later than its beginning (``is_cut``) does not know what was before. Its counters' time up
   to the first hour counts as lost, and of a stack without a valid hour in it nothing is known: ``silences`` gives
   None, never an empty list.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.accounting.hours.feeding import feed
from gateway.accounting.hours.hour import NO_EDGE, Hour, Seen, Why, hours_of, meters_of, missed
from gateway.accounting.hours.spans import KEPT_MS, SILENT_MS
from gateway.accounting.hours.stretch import first_batch
from gateway.accounting.plans.history import SignedPeriod, SignedPlan, closed_by, longest_gap_ms
from gateway.errors import NotYet
from gateway.storage.database import Database
from ledger_client.accounting.assembly import counted, gauged
from ledger_client.accounting.books import Books
from ledger_client.accounting.counters import Stated
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row
from ledger_client.formats.checks import MAX_TIME_MS

DAY_MS: Final = 24 * HOUR_MS
LATE_MS: Final = DAY_MS
"""Age at which an hour is final although no coverage has passed it."""
PORTION_S: Final = 0.1
"""Seconds that reading one portion is to take."""
_LEAST, _MOST = 500, 1 << 20
_LATEST_MS: Final = 120_000
"""From the last look of an interval until its records are in the database, at most."""
_LOST: Final = (words.UNALLOCATED, words.UNKNOWN, words.MISSING, NO_EDGE)


class Lost(NamedTuple):
    """Time of a node that has no measured amount: ``status`` unallocated, unknown or missing. ``goes_on``: also the
    newest interval has none."""

    plan: str
    node: str
    from_ms: int
    to_ms: int
    status: str
    goes_on: bool


class Silent(NamedTuple):
    """A measured emission without a valid reference since then, or longer."""

    plan: str
    node: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """Hours of one part of a plan's time, [from_ms, to_ms): by node, in order of time; ``closed``: when nodes were
    closed, in ms; ``is_stated``: the newest statement has this time, too; ``is_cut``: the part begins earlier, but was
    not read from there."""

    signed: SignedPlan
    from_ms: int
    to_ms: int
    hours: Mapping[str, tuple[Hour, ...]]
    closed: Mapping[str, int]
    is_stated: bool
    is_cut: bool

    def over_ms(self, now_ms: int) -> int:
        """The end of the newest interval of which all records can be expected in the database."""
        plan = self.signed.plan
        return (now_ms - wait_ms(plan)) // plan.interval_ms * plan.interval_ms


def wait_ms(plan: Plan) -> int:
    """Time in ms from the end of an interval until all its records can be expected in the database."""
    return longest_gap_ms(plan) + _LATEST_MS


def losses(parts: Sequence[Ahead], now_ms: int) -> Iterator[Lost]:
    """Lost time in the parts of one plan's name, in their order: runs of hours of one status that have no measured
    amount."""
    parts = _begun(parts, now_ms)
    for node in parts[-1].signed.plan.nodes if parts else ():
        over_ms, closed_ms = parts[-1].over_ms(now_ms), parts[-1].closed.get(node, MAX_TIME_MS)
        runs: list[_Run] = []
        for hour in _without_amount(parts, node):
            if hour.from_ms >= min(over_ms, closed_ms):
                continue
            if runs and (runs[-1].to_ms, runs[-1].status) == (hour.from_ms, hour.status):
                hour = hour._replace(from_ms=runs.pop().from_ms)
            runs.append(hour)
        for run in runs:
            goes_on = run.to_ms > over_ms or (run.to_ms == over_ms < closed_ms and run.is_open)
            yield Lost(parts[-1].signed.plan.name, node, run.from_ms, min(run.to_ms, over_ms), run.status, goes_on)


def silences(parts: Sequence[Ahead], now_ms: int) -> list[Silent] | None:
    """The stacks of one plan's name that are silent for ``SILENT_MS`` or longer; None: what was read does not reach far
    enough back to know it of each."""
    found, parts = list[Silent](), _begun(parts, now_ms)
    plan = parts[-1].signed.plan if parts else None
    for node in plan.nodes.values() if plan is not None else ():
        over_ms = parts[-1].over_ms(now_ms)
        if node.method != words.CEMS or parts[-1].closed.get(node.name, MAX_TIME_MS) <= over_ms:
            continue
        with_node = [part for part in parts if node.name in part.signed.plan.nodes]
        hours = [hour for part in with_node for hour in part.hours.get(node.name, ()) if hour.from_ms < over_ms]
        valid_ms = [hour.to_ms for hour in hours if hour.status in (words.VALID, words.STOPPED)]
        since_ms = valid_ms[-1] if valid_ms else with_node[0].from_ms
        if over_ms - since_ms >= SILENT_MS:
            found.append(Silent(parts[-1].signed.plan.name, node.name, since_ms))
        elif not valid_ms and with_node[0].is_cut:
            return None
    return found


def _begun(parts: Sequence[Ahead], now_ms: int) -> list[Ahead]:
    """The parts of which an interval is over."""
    return [part for part in parts if part.from_ms < part.over_ms(now_ms)]


class _Run(NamedTuple):
    """Lost time; ``is_open``: it ends with an hour after which the next one may be lost as well."""

    from_ms: int
    to_ms: int
    status: str
    is_open: bool


def _without_amount(parts: Sequence[Ahead], node: str) -> Iterator[_Run]:
    """The hours of a node that are lost. Where a part was cut, the time before its first hour is."""
    for place, part in enumerate(parts):
        hours = part.hours.get(node, ())
        begins_later = bool(hours) and hours[0].from_ms >= part.from_ms + part.signed.plan.interval_ms
        if place == 0 and part.is_cut and begins_later and part.signed.plan.nodes[node].of_counters:
            yield _Run(part.from_ms, hours[0].from_ms, words.UNALLOCATED, is_open=False)
        for hour in hours:
            if hour.status in _LOST:
                status = words.UNALLOCATED if hour.status == NO_EDGE else hour.status
                yield _Run(hour.from_ms, hour.to_ms, status, hour.status in (NO_EDGE, words.MISSING))


class AheadReader:
    """Reads the hours of one part. Owned by one thread.

    ``hours``: by node and beginning; ``open``: of each node those behind, without a row yet.
    """

    def __init__(
        self, signed: SignedPlan, entries: Sequence[tuple[int, Entry]], before: SignedPeriod | None,
        from_ms: int, to_ms: int, *, is_stated: bool = False, is_cut: bool = False,
    ) -> None:  # fmt: skip
        """``entries``: those on the plan, with their places; ``before``: the statement that ends at ``from_ms``."""
        self.signed, self.from_ms, self.to_ms = signed, from_ms, to_ms
        self._is_stated, self._is_cut = is_stated, is_cut
        self._books, self._entries, self._before = Books(signed.plan, [entry for _, entry in entries]), entries, before
        self._place, self._portion = 0, _LEAST
        self._unclocked: set[tuple[str, int]] = set()
        self._reached = dict.fromkeys(signed.plan.nodes, from_ms)
        self._counting = set[str]()
        self.hours: dict[str, dict[int, Hour]] = defaultdict(dict)
        self.open: dict[str, list[Hour]] = {}

    def read(self, store: Database) -> bool:
        """Read a portion of the records that are new. True: there are more. Raises StoreError."""
        last = store.records.last_place()
        begin = self._place + 1 if self._place else self._begin(store)
        end, began = min(last, begin + self._portion - 1), time.perf_counter()
        if begin <= end:
            self._unclocked |= feed(self._books, store, begin, end).unclocked
            self._place = end
        took, whole = time.perf_counter() - began, end - begin + 1 == self._portion
        if whole and took < PORTION_S / 2:
            self._portion = min(_MOST, self._portion * 2)
        elif took > PORTION_S * 2:
            self._portion = max(_LEAST, self._portion // 2)
        return end < last

    def _begin(self, store: Database) -> int:
        closed = closed_by(self._entries, self.from_ms)
        try:
            return first_batch(store, self.signed.plan, closed, self._before, self.from_ms).first_id
        except NotYet:
            return store.records.pruned()[0] + 1

    @property
    def covered_to_ms(self) -> int:
        """End of the newest coverage of any meter that has been read, in ms; 0: there is none."""
        return max((self._books.covered_to_ms(meter) for meter in self.signed.plan.meters), default=0)

    def settle(self, now_ms: int) -> None:
        """Make hours of what has been read, up to ``now_ms``."""
        end_ms = min(now_ms, self.to_ms)
        for node in self.signed.plan.nodes.values():
            if node.of_counters:
                stated = self._counted(node, end_ms)
                behind_ms = stated.rows[-1].to_ms if stated.rows else self._reached[node.name]
                self._take(node, stated.rows, stated.besides, now_ms)
                self.open[node.name] = list(self._behind(node, behind_ms, end_ms))
            elif node.method == words.CEMS:
                rows = gauged(self._books, node, self._reached[node.name], end_ms, self.signed.iat_ms)
                self._take(node, rows, {}, now_ms)
        self._forget(now_ms)

    def ahead(self) -> Ahead:
        """The hours that are settled, and those behind them without a row, as a frozen part."""
        nodes = dict.fromkeys((*self.hours, *self.open))
        hours = {node: (*_in_order(self.hours.get(node, {})), *self.open.get(node, ())) for node in nodes}
        closed = {node: ms for node in self.signed.plan.nodes if (ms := self._books.closed_ms(node)) is not None}
        frozen = MappingProxyType(hours)
        return Ahead(self.signed, self.from_ms, self.to_ms, frozen, closed, self._is_stated, self._is_cut)

    def _counted(self, node: Node, end_ms: int) -> Stated:
        interval_ms = self.signed.plan.interval_ms
        first = self._before is None and not self._is_cut and node.name not in self._counting
        begin_ms, end_ms = self._reached[node.name], end_ms // interval_ms * interval_ms
        return counted(self._books, node, begin_ms, end_ms, first=first, plan_ms=self.signed.iat_ms)

    def _behind(self, node: Node, from_ms: int, to_ms: int) -> Iterator[Hour]:
        """The intervals behind a node's last known edge, up to where it was closed."""
        plan, seen = self.signed.plan, Seen(self._books, self._unclocked)
        closed_ms = self._books.closed_ms(node.name)
        from_ms = max(from_ms, (to_ms - KEPT_MS) // plan.interval_ms * plan.interval_ms)
        to_ms = to_ms if closed_ms is None else min(to_ms, closed_ms)
        for begin_ms in range(from_ms, to_ms - plan.interval_ms + 1, plan.interval_ms):
            end_ms = begin_ms + plan.interval_ms
            why = (Why(NO_EDGE, {}), *missed(plan, node, begin_ms, end_ms, seen))
            yield Hour(node.name, begin_ms, end_ms, NO_EDGE, None, why)

    def _take(self, node: Node, rows: Sequence[Row], besides: Mapping[int, str], now_ms: int) -> None:
        """Rows of a node and of the one below; they stay where the coverage of their meters has passed them.
        ``besides``: the statuses of ``unallocated`` ones but for their open edges."""
        plan, seen = self.signed.plan, Seen(self._books, self._unclocked)
        covered_ms = min((self._books.covered_to_ms(meter) for meter in meters_of(plan, node)), default=0)
        for name in (node.name, node.below):
            for hour in hours_of(plan, (row for row in rows if row.node == name), seen, besides):
                self.hours[hour.node][hour.from_ms] = hour
        for row in rows:
            if row.to_ms > covered_ms and row.to_ms > now_ms - LATE_MS:
                break
            self._reached[node.name] = max(self._reached[node.name], row.to_ms)
            self._counting.add(node.name)

    def _goes_on(self, node: Node, now_ms: int) -> bool:
        """Whether further hours are made of a node: it is measured, and not closed."""
        closed_ms = self._books.closed_ms(node.name)
        is_measured = bool(node.terms) or node.method == words.CEMS
        return is_measured and (closed_ms is None or closed_ms > now_ms)

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
        going = [node.name for node in plan.nodes.values() if self._goes_on(node, now_ms)]
        reached_ms = min((self._reached[name] for name in going), default=min(now_ms, self.to_ms))
        self._books.forget(reached_ms)
        begin = reached_ms // interval_ms
        self._unclocked = {(meter, number) for meter, number in self._unclocked if number >= begin - 1}
        for node_name, hours in self.hours.items():
            kept = {from_ms: hour for from_ms, hour in hours.items() if hour.to_ms > now_ms - KEPT_MS}
            self.hours[node_name] = kept


def _in_order(hours: Mapping[int, Hour]) -> list[Hour]:
    return [hours[from_ms] for from_ms in sorted(hours)]
