"""Facts of the pages Energy and Emissions: each node's figures, of which statement they are, and each hour's reasons.

Figures of stated periods are those of the signed statement and its rows; behind it they are reckoned from what is
recorded so far, and are marked as not stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from gateway.accounting.hours.ahead import Ahead
from gateway.accounting.hours.hour import GONE, NO_ROW, RUNNING, Hour, Seen, Why, hours_of, meters_of, step_ms, strip
from gateway.accounting.plans.history import SignedPeriod, SignedPlan
from gateway.accounting.statements.due import Due
from gateway.accounting.statements.keeper import Known
from gateway.accounting.statements.stated import StatedRows, Sum, sums
from gateway.dashboard.figures.choice import DAY_MS, HOUR, MONTH, RUNNING_MONTH, Choice, Stretch
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.accounting.counters import Stated
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.factor import Factor
from ledger_client.accounting.formats.numbers import MILLI
from ledger_client.accounting.formats.plan import Node
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.formats.standings import judged
from ledger_client.accounting.products import electricity, factor_for, fuel
from ledger_client.accounting.statement import UNCERTAINTY
from ledger_client.accounting.tables.corroboration import Corroboration, corroborations
from ledger_client.accounting.tables.stated import base_unit
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence

ENERGY, EMISSIONS = "energy", "emissions"
MOST_CELLS: Final = 192
"""Hours of all nodes on a page at most; of more nodes one is chosen."""
_PRODUCTS: Final = (words.BY_ELECTRICITY, words.BY_FUEL)


@dataclass(frozen=True, slots=True)
class Signed:
    """The statement that a figure is of: its version, its record's hash and name, whether it is complete."""

    version: int
    record: bytes
    name: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Figures of a time: sums by status, all amounts together (None: there is none), the statements that they are of;
    ``ahead``: some of it is not stated; ``spans``: a row of it begins earlier; ``problem``: why figures are lacking."""

    from_ms: int
    to_ms: int
    sums: tuple[Sum, ...] = ()
    total: int | None = None
    signed: tuple[Signed, ...] = ()
    ahead: bool = False
    spans: bool = False
    problem: Sentence | None = None


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node: ``lines`` of the chosen view (of a product of energy or fuel those of months), ``hours`` of a day,
    ``meters`` that measure it."""

    name: str
    role: str
    unit: str
    method: str | None
    factor: Factor | None
    provisional: bool
    lines: tuple[Line, ...]
    hours: tuple[Hour, ...] = ()
    by_month: bool = False
    meters: tuple[str, ...] = ()

    @property
    def table_rows(self) -> list[tuple[int, Hour]]:
        """The hours as rows of the page, each with the place of its first: those of one row of the statement, and
        neighbours without one that have the same reasons, are one; what is not over has none."""
        found: list[tuple[int, Hour]] = []
        for place, hour in enumerate(self.hours):
            before = found[-1][1] if found else None
            if hour.status == RUNNING:
                continue
            if before is not None and before.to_ms == hour.from_ms and _same(before, hour):
                found[-1] = (found[-1][0], replace(before, to_ms=hour.to_ms))
            else:
                found.append((place, hour))
        return found

    @property
    def line_of(self) -> list[int]:
        """The place of the row in which each hour stands."""
        places, found = [place for place, _ in self.table_rows], list[int]()
        for number in range(len(self.hours)):
            found.append(max((place for place in places if place <= number), default=0))
        return found


@dataclass(frozen=True, slots=True)
class Compared:
    """A measured emission beside those of its fuels (M7), of one statement and its period."""

    signed: Signed
    from_ms: int
    to_ms: int
    beside: Corroboration


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """One plan by its newest version, its civil time, and its nodes of this page; ``names``: all of them; ``compared``:
    of the statements of the month that is shown."""

    name: str
    version: int
    civil_min: int
    names: tuple[str, ...]
    nodes: tuple[NodeFigures, ...]
    compared: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class FiguresFacts:
    """All that a page shows; ``day``: what it is of, ``before`` and ``behind``: the pages beside it."""

    page: str
    choice: Choice
    day: date
    before: date
    behind: date
    plans: tuple[PlanFigures, ...]
    due: tuple[Due, ...]
    at_ms: int
    reading: bool
    problem: Sentence | None

    def civil_of(self, name: str) -> int:
        """The civil time of a plan, in minutes from UTC."""
        return next((plan.civil_min for plan in self.plans if plan.name == name), 0)


def figures(known: Known, rows: StatedRows, store: Database, page: str, choice: Choice, now_ms: int) -> FiguresFacts:
    """The facts of a page. Raises StoreError."""
    made = _Made(known, rows, store, choice, now_ms)
    plans = tuple(made.plans(page))
    civil_min = plans[0].civil_min if plans else 0
    before, behind = choice.neighbours(now_ms, civil_min)
    day = choice.day(now_ms, civil_min)
    return FiguresFacts(
        page, choice, day, before, behind, plans, known.due, known.at_ms, known.reading, known.problem
    )  # fmt: skip


def of_meter(
    known: Known, rows: StatedRows, store: Database, meter: str, now_ms: int
) -> tuple[tuple[str, int, NodeFigures], ...]:
    """The running month of the nodes that a meter measures: plan, its civil time, node. Raises StoreError."""
    return tuple(_Made(known, rows, store, Choice(RUNNING_MONTH), now_ms).of_meter(meter))


class _Made:
    def __init__(self, known: Known, rows: StatedRows, store: Database, choice: Choice, now_ms: int) -> None:
        self._known, self._rows, self._store, self._choice, self._now_ms = known, rows, store, choice, now_ms
        self._by_record = {signed.record: signed for signed in known.history.plans}

    def plans(self, page: str) -> Iterator[PlanFigures]:
        for name in self._known.history.names:
            signed = self._known.history.of_plan(name)[-1]
            of_page = [n for n in signed.plan.nodes.values() if (n.role == words.EMISSION) == (page == EMISSIONS)]
            shown = [node for node in of_page if node.name == self._choice.node and self._choice.plan in ("", name)]
            fit = max(1, MOST_CELLS * signed.plan.interval_ms // DAY_MS)
            shown = shown or of_page[:fit]
            nodes = tuple(self._node(signed, node) for node in shown)
            version, civil_min = signed.plan.version, signed.plan.civil_min
            compared = tuple(self._compared(name, civil_min)) if page == EMISSIONS else ()
            yield PlanFigures(name, version, civil_min, tuple(node.name for node in of_page), nodes, compared)

    def of_meter(self, meter: str) -> Iterator[tuple[str, int, NodeFigures]]:
        """The running month of each node that a meter measures: the plan, its civil time, the node."""
        for name in self._known.history.names:
            signed = self._known.history.of_plan(name)[-1]
            for node in signed.plan.nodes.values():
                if meter in meters_of(signed.plan, node):
                    yield name, signed.plan.civil_min, self._node(signed, node)

    def _compared(self, name: str, civil_min: int) -> Iterator[Compared]:
        for period in self._periods(name, self._choice.month(self._now_ms, civil_min)):
            plan, span = self._by_record[bytes(period.fields["plan"])].plan, (period.from_ms, period.to_ms)
            sources = {node.name for node in plan.nodes.values() if node.compare is not None}
            sources |= {node.compare for node in plan.nodes.values() if node.compare is not None}
            try:
                rows = [row for node in sorted(sources) for row in self._rows.rows(plan, period, node, *span)]
            except GatewayError:
                continue  # the nodes' lines say so
            (signed,) = _signed([period])
            yield from (Compared(signed, *span, one) for one in corroborations(plan, span, rows))

    def _node(self, signed: SignedPlan, node: Node) -> NodeFigures:
        plan, choice = signed.plan, self._choice
        by_month = node.method in _PRODUCTS and choice.view not in (MONTH, RUNNING_MONTH)
        steps = [choice.month(self._now_ms, plan.civil_min)] if by_month else choice.steps(self._now_ms, plan.civil_min)
        steps = [step for step in steps if step[0] < self._now_ms] or steps[:1]
        factor, provisional = _factor(signed, node, steps[-1][0])
        hours: tuple[Hour, ...] = ()
        if choice.view == HOUR and not by_month:
            hours, line = self._day(signed, node, steps[0])
            lines: tuple[Line, ...] = (line,)
        else:
            lines = tuple(self._line(signed, node, step) for step in steps)
        unit, meters = base_unit(plan, node.name), tuple(sorted(meters_of(plan, node)))
        return NodeFigures(node.name, node.role, unit, node.method, factor, provisional, lines, hours, by_month, meters)

    def _periods(self, name: str, step: Stretch) -> list[SignedPeriod]:
        return [p for p in self._known.history.stated(name) if p.from_ms < step[1] and p.to_ms > step[0]]

    def _ahead(self, name: str, step: Stretch) -> list[Ahead]:
        """What is not stated of a time, up to now."""
        begin_ms, end_ms = step[0], min(step[1], self._now_ms)
        return [a for a in self._known.of_plan(name) if max(a.from_ms, begin_ms) < min(a.to_ms, end_ms)]

    def _line(self, signed: SignedPlan, node: Node, step: Stretch) -> Line:
        name, found, problem = signed.plan.name, list[Sum](), None
        spans, periods = False, self._periods(signed.plan.name, step)
        months = self._choice.view in (MONTH, RUNNING_MONTH)
        for period in periods:
            whole = step[0] <= period.from_ms and period.to_ms <= step[1]
            if whole and "totals" in period.fields and (months or node.method in _PRODUCTS):
                found += _totals(period, node.name)
                continue
            try:
                hours = self._stated(period, node.name, step, None)
            except GatewayError as error:
                problem = error.sentence
                continue
            ending = [hour for hour in hours if step[0] < hour.to_ms <= step[1]]
            spans = spans or any(hour.from_ms < step[0] for hour in ending)
            found += sums(ending)
        ahead = self._ahead(name, step)
        for one in ahead:
            ending = [hour for hour in one.hours.get(node.name, ()) if step[0] < hour.to_ms <= step[1]]
            spans = spans or any(hour.from_ms < step[0] for hour in ending)
            try:
                product = node.method in _PRODUCTS
                begin_ms = max(one.from_ms, step[0])
                found += self._product(one.signed, node.name, ending, begin_ms) if product else sums(ending)
            except LedgerClientError as error:
                problem = error.sentence
        together = tuple(_together(found))
        amounts = [one.amount for one in together if one.amount is not None]
        total = sum(amounts) if amounts else None
        return Line(*step, together, total, _signed(periods), bool(ahead), spans, problem)

    def _day(self, signed: SignedPlan, node: Node, step: Stretch) -> tuple[tuple[Hour, ...], Line]:
        """Each hour of a day with its reasons, and the whole day."""
        plan, hours, problem = signed.plan, list[Hour](), None
        for period in self._periods(plan.name, step):
            stated_by = self._by_record[bytes(period.fields["plan"])]
            try:
                if node.name in stated_by.plan.nodes:
                    seen = self._rows.seen(self._store, self._known.history, stated_by, *step)
                    hours += self._stated(period, node.name, step, seen)
            except GatewayError as error:
                problem = error.sentence
                hours += _gone(plan.nodes[node.name], period, step, step_ms(plan, node))
        for ahead in self._ahead(plan.name, step):
            hours += [h for h in ahead.hours.get(node.name, ()) if h.from_ms < step[1] and h.to_ms > step[0]]
        hours.sort(key=lambda hour: hour.from_ms)
        line = self._line(signed, node, step)
        shown = strip(plan, node, *step, hours, self._now_ms)
        return tuple(shown), Line(*step, line.sums, line.total, line.signed, line.ahead, line.spans, problem)

    def _stated(self, period: SignedPeriod, node: str, step: Stretch, seen: Seen | None) -> list[Hour]:
        plan = self._by_record[bytes(period.fields["plan"])].plan
        rows = self._rows.rows(plan, period, node, *step)
        return hours_of(plan, rows, seen)

    def _product(self, signed: SignedPlan, name: str, hours: Sequence[Hour], from_ms: int) -> Iterator[Sum]:
        """What the energy or fuel of some hours gives so far (M6, M8)."""
        plan, node = signed.plan, signed.plan.nodes[name]
        made = [hour for hour in hours if hour.status not in NO_ROW]
        rows = [Row(name, hour.from_ms, hour.to_ms, hour.status, hour.amount, {}) for hour in made]
        besides = {hour.from_ms: hour.besides for hour in made if hour.besides is not None}
        stated = Stated(rows, open=False, last=None, energy={}, besides=besides)
        if node.method == words.BY_ELECTRICITY:
            products = electricity(plan, node, stated, from_ms)
        else:
            entries = [entry for _, entry in self._known.history.on_plan(plan)]
            products = fuel(node, stated, judged(entries, plan), from_ms, plan.interval_ms)
        for row in products:
            yield Sum(row.status, sum(row.from_ms <= hour.from_ms < row.to_ms for hour in made), row.amount)


def _factor(signed: SignedPlan, node: Node, time_ms: int) -> tuple[Factor | None, bool]:
    """The factor of an emission by electricity in the year of a moment, and whether a newer one is to come (F2)."""
    if node.method != words.BY_ELECTRICITY:
        return None, False
    try:
        return factor_for(signed.plan, node, civil(time_ms, signed.plan.civil_min).year)
    except LedgerClientError:
        return None, False  # of a year before its first one


def _totals(period: SignedPeriod, node: str) -> list[Sum]:
    return [
        Sum(status, None, int(amount.scaleb(-MILLI)))
        for name, status, amount in period.fields["totals"]
        if name == node and status != UNCERTAINTY
    ]


def _together(parts: Iterable[Sum]) -> Iterator[Sum]:
    found: dict[str, Sum] = {}
    for part in parts:
        before = found.get(part.status)
        if before is None:
            found[part.status] = part
        else:
            known = [a for a in (before.amount, part.amount) if a is not None]
            rows = None if before.rows is None or part.rows is None else before.rows + part.rows
            found[part.status] = Sum(part.status, rows, sum(known) if known else None)
    return (found[status] for status in sorted(found, key=words.RANK.__getitem__))


def _signed(periods: Sequence[SignedPeriod]) -> tuple[Signed, ...]:
    return tuple(Signed(int(p.fields["version"]), p.record, p.name, bool(p.fields["complete"])) for p in periods)


def _same(before: Hour, hour: Hour) -> bool:
    """Whether two neighbours stand in one row."""
    if before.row is not None or hour.row is not None:
        return before.row == hour.row
    return before.status in NO_ROW and (before.status, before.why) == (hour.status, hour.why)


def _gone(node: Node, period: SignedPeriod, step: Stretch, step_: int) -> Iterator[Hour]:
    """Hours whose rows are not here."""
    for begin_ms in range(max(step[0], period.from_ms), min(step[1], period.to_ms), step_):
        yield Hour(node.name, begin_ms, begin_ms + step_, GONE, None, (Why(GONE, {}),))
