"""Hours of a node as people look at them: status, amount, and why it is not simply measured. Pure.

One ``Hour`` is one row of a statement, or of what is recorded so far; an interval without a row has one of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from ledger_client.accounting.books import Books
from ledger_client.accounting.cems import means_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row, mantissa
from ledger_client.accounting.gauges import MINUTES
from ledger_client.accounting.registers import above_most

NO_PLAN, NO_EDGE, RUNNING, GONE = "no-plan", "no-edge", "running", "gone"
NO_ROW: Final = (NO_PLAN, NO_EDGE, RUNNING, GONE)
"""In place of a status, where there is no row: no plan rules yet, no register is known at an edge, the interval is not
over, its rows are not here."""
FINE: Final = (words.MEASURED, words.VALID)
_MISSED: Final = 2
"""Reasons of missed polls that are named at most, the most frequent first."""


class Why(NamedTuple):
    """A reason by its code, and the facts of its sentence: names, numbers, moments (``…_ms``)."""

    code: str
    facts: Mapping[str, str | int]


class Beside(NamedTuple):
    """What stands in for a missing hour (S1): its status, its amount, and by which rule."""

    status: str
    amount: int | None
    method: str


@dataclass(frozen=True, slots=True)
class Hour:
    """One interval of a node, or a stretch of several: ``amount`` in thousandths of the base unit (None: there is
    none). ``row``: from and to of the row that it is of, where that is longer; then the amount is the whole row's.
    ``besides``: of an ``unallocated`` one the status that it has but for its open edges, where that is known."""

    node: str
    from_ms: int
    to_ms: int
    status: str
    amount: int | None = None
    why: tuple[Why, ...] = ()
    beside: Beside | None = None
    row: tuple[int, int] | None = None
    besides: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is recorded besides the rows: books with the edges; the meters and intervals, by number, whose clock was not
    synchronised."""

    books: Books
    unclocked: Set[tuple[str, int]]


def hours_of(
    plan: Plan, rows: Iterable[Row], seen: Seen | None, besides: Mapping[int, str] = MappingProxyType({})
) -> list[Hour]:
    """The hours of one node's rows, in their order; a substitute stands beside its missing hour.

    Args:
        plan: that of the rows.
        rows: of one node, as a statement orders them.
        seen: what is recorded of that time; None: it is not here, or nobody has looked.
        besides: of ``unallocated`` ones, by beginning, the status but for their open edges.
    """
    found: list[Hour] = []
    for row in rows:
        if row.status in (words.SUBSTITUTED, words.MANUAL) and found and found[-1].from_ms == row.from_ms:
            beside = Beside(row.status, row.amount, str(row.facts.get("method", "")))
            found[-1] = replace(found[-1], beside=beside)
        else:
            why, inner = _reasons(plan, row, seen), besides.get(row.from_ms)
            found.append(Hour(row.node, row.from_ms, row.to_ms, row.status, row.amount, why, besides=inner))
    return found


def step_ms(plan: Plan, node: Node) -> int:
    """Length of an hour of a node, in ms: the plan's interval; of a measured emission the reference period."""
    return plan.reference_ms(node.regime) if node.method == words.CEMS else plan.interval_ms


def strip(plan: Plan, node: Node, from_ms: int, to_ms: int, hours: Sequence[Hour], now_ms: int) -> list[Hour]:
    """The hours of a day, each interval once; ``hours``: those that touch it, in order of time."""
    found, step, place = [], step_ms(plan, node), 0
    for begin_ms in range(from_ms, to_ms, step):
        while place < len(hours) and hours[place].to_ms <= begin_ms:
            place += 1
        hour = hours[place] if place < len(hours) and hours[place].from_ms <= begin_ms else None
        if hour is None:
            status = RUNNING if begin_ms + step > now_ms else NO_PLAN if begin_ms < plan.from_ms else NO_EDGE
            found.append(Hour(node.name, begin_ms, begin_ms + step, status, None, (Why(status, {}),)))
        elif hour.to_ms - hour.from_ms > step:
            row = (hour.from_ms, hour.to_ms)
            found.append(replace(hour, from_ms=begin_ms, to_ms=begin_ms + step, row=row))
        else:
            found.append(hour)
    return found


def _reasons(plan: Plan, row: Row, seen: Seen | None) -> tuple[Why, ...]:
    node = plan.nodes[row.node]
    found = list(_of_registers(plan, node, row, seen) if "edges" in row.facts else _of_gauges(plan, node, row))
    if row.status not in (*FINE, words.STOPPED) and seen is not None:
        found += missed(plan, node, row.from_ms, row.to_ms, seen)
    if row.facts.get("retrospective"):
        found.append(Why("retrospective", {}))
    return tuple(found)


def _of_registers(plan: Plan, node: Node, row: Row, seen: Seen | None) -> Iterator[Why]:
    jumps = row.facts.get("jumps", ())
    for point, kind, _, _ in jumps:
        if kind in (words.BRIDGED, words.UNKNOWN):
            yield Why(kind, {"point": point})
    if row.status == words.IMPLAUSIBLE:
        yield from _implausible(plan, node, row)
    elif row.status == words.SPLIT:
        yield _largest_gap(plan, node, row, seen)
    if row.to_ms - row.from_ms > plan.interval_ms and node.method is None:
        yield from _open(plan, node, row, seen)


def _implausible(plan: Plan, node: Node, row: Row) -> Iterator[Why]:
    for point, start, end, _ in row.facts["edges"]:
        rise = mantissa(end) - mantissa(start) + _jumped(row, point)
        if above_most(plan.points[point], row.from_ms, row.to_ms, rise):
            yield Why("above-max", {"point": point})
    amount, capacity = row.amount or 0, node.capacity_w
    if capacity is not None and amount * 10 * HOUR_MS > 11_000 * capacity * (row.to_ms - row.from_ms):
        yield Why("above-capacity", {"capacity": capacity})
    if amount < 0:
        yield Why("negative", {})


def _jumped(row: Row, point: str) -> int:
    return sum(mantissa(jump[2]) for jump in row.facts.get("jumps", ()) if jump[0] == point)


def _largest_gap(plan: Plan, node: Node, row: Row, seen: Seen | None) -> Why:
    """Which register was not read for longest beside one of the two edges (I2, I3)."""
    gaps = []
    for point, *_ in row.facts["edges"] if seen is not None else ():
        register = seen.books.registers.get((point, _measuring(plan, node).regime.id)) if seen is not None else None
        for time_ms in (row.from_ms, row.to_ms):
            edge = register.edges.get(time_ms // plan.interval_ms) if register is not None else None
            if edge is not None:
                gaps.append((edge.gap_ms, time_ms, point))
    if not gaps:
        return Why("gap-gone", {})
    gap_ms, at_ms, point = max(gaps)
    return Why("gap", {"point": point, "at_ms": at_ms, "gap": f"{scaled(gap_ms, MILLI).normalize():f}"})


def _open(plan: Plan, node: Node, row: Row, seen: Seen | None) -> Iterator[Why]:
    """The first edge within a stretch at which a register is not known, and which."""
    if seen is None:
        return
    regime = _measuring(plan, node).regime.id
    for number in range(row.from_ms // plan.interval_ms + 1, row.to_ms // plan.interval_ms):
        for point, *_ in row.facts["edges"]:
            register = seen.books.registers.get((point, regime))
            if register is not None and number not in register.edges:
                yield Why("open", {"point": point, "at_ms": number * plan.interval_ms})
                return


def _of_gauges(plan: Plan, node: Node, row: Row) -> Iterator[Why]:
    below_threshold = row.status == words.STOPPED or row.facts.get("reason") == words.BELOW_THRESHOLD
    if below_threshold and node.operating is not None:
        yield Why(words.STOPPED if row.status == words.STOPPED else words.BELOW_THRESHOLD, {"point": node.operating})
    if row.status != words.MISSING:
        return
    if len(means_of(row, list(node.inputs.values()))) == len(node.inputs):
        yield Why("no-gas", {})
    regime = node.regime
    for point, possible, valid, mean in row.facts.get("inputs", ()):
        if mean is None and point in node.inputs.values():
            by_minutes = regime.validity == MINUTES
            needed = regime.minutes if by_minutes else -(-regime.share * possible // 1)
            facts = {"point": point, "valid": valid, "possible": possible, "needed": int(needed)}
            yield Why("minutes" if by_minutes else "values", facts)


def missed(plan: Plan, node: Node, from_ms: int, to_ms: int, seen: Seen) -> Iterator[Why]:
    """Polls that were missed of the node's meters in a time, and clocks that were not synchronised."""
    meters, interval_ms = meters_of(plan, node), plan.interval_ms
    begin, end = from_ms // interval_ms, -(-to_ms // interval_ms)
    for meter, capture in sorted(seen.books.capture(begin * interval_ms, end * interval_ms).items()):
        if meter in meters:
            for reason, count in Counter(capture.missed).most_common(_MISSED):
                yield Why("missed", {"meter": meter, "count": count, "reason": reason})
    for meter in sorted(meters):
        if any((meter, number) in seen.unclocked for number in range(begin, end + 1)):
            yield Why("clock", {"meter": meter})


def _measuring(plan: Plan, node: Node) -> Node:
    """The node by whose registers a node is measured: itself, or the one that it stands below of (P5)."""
    return node if node.terms else next((o for o in plan.nodes.values() if o.below == node.name), node)


def meters_of(plan: Plan, node: Node) -> set[str]:
    """The meters that a node is measured by."""
    measuring = _measuring(plan, node)
    return {
        plan.points[point].meter for point in (*(point for _, point in measuring.terms), *measuring.gauges.values())
    }
