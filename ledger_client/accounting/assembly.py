"""Rows of all nodes of a period: registers, gauges, substitutes and products, in the order of a statement. Pure.

The rows of a node are written as soon as it has them all: as bytes they take a fraction of the memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from ledger_client.accounting import cems, counters
from ledger_client.accounting.books import Books, Capture, too_dense
from ledger_client.accounting.counters import Line, Stated, jumps_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil, month_ms
from ledger_client.accounting.formats.entries import Registers, registers_of
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row, order, row_bytes
from ledger_client.accounting.products import electricity, fuel
from ledger_client.accounting.substitution import LONGEST_SILENCE, MOST_BACK_MS, Times, silences, substitutes
from ledger_client.accounting.uncertainty import of_product, of_registers
from ledger_client.formats.checks import MAX_TIME_MS

_SOURCES: Final = (words.PRODUCTION, words.IMPORT, words.DISCHARGE)
_SINKS: Final = (words.CONSUMPTION, words.EXPORT, words.CHARGE)


class Written(NamedTuple):
    """The rows of a node in their order; the sums of their amounts by status; ``lacking``: one is unknown, or missing
    without a substitute (T7)."""

    rows: Sequence[bytes]
    sums: Mapping[str, int]
    lacking: bool

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Written:
        """All rows of a node."""
        sums: dict[str, int] = defaultdict(int)
        missing, beside, unknown, written = set[int](), set[int](), False, list[bytes]()
        for row in sorted(rows, key=order):
            written.append(row_bytes(row))
            if row.amount is not None:
                sums[row.status] += row.amount
            if row.status == words.MISSING:
                missing.add(row.from_ms)
            elif row.status in (words.SUBSTITUTED, words.MANUAL):
                beside.add(row.from_ms)
            unknown = unknown or row.status == words.UNKNOWN
        return cls(written, sums, unknown or not missing <= beside)


@dataclass(slots=True)
class Assembled:
    """Everything that follows from the books of a period.

    ``nodes``: the rows of each that has some; ``stated``: of each node of counters how far it got, with its first row
    alone; ``captures``: by meter what was due; ``squares``: of the absolute uncertainty of each node's total, in
    thousandths of the base unit, where it is known.
    """

    nodes: dict[str, Written] = field(default_factory=dict)
    stated: dict[str, Stated] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    captures: Mapping[str, Capture] = field(default_factory=dict)
    squares: dict[str, Fraction] = field(default_factory=dict)

    def take(self, rows: Sequence[Row]) -> None:
        """All rows of a node, and those of the one ``below``."""
        by_name: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_name[row.node].append(row)
        self.nodes |= {name: Written.of(node_rows) for name, node_rows in by_name.items()}

    @property
    def rows(self) -> Iterator[bytes]:
        """All of them, in the order of a statement (T1)."""
        return (row for _, written in sorted(self.nodes.items()) for row in written.rows)

    def total(self, node: str) -> int:
        """Of all rows of a node."""
        return sum(self.nodes[node].sums.values()) if node in self.nodes else 0


def assemble(
    books: Books, from_ms: int, to_ms: int, *, first: bool, plan_ms: int, history: Mapping[str, Sequence[Row]]
) -> Assembled:
    """The rows of every node. ``first``: there is no statement before; ``plan_ms``: when the plan was signed;
    ``history``: by node, the rows of earlier statements that this one uses, in order of time."""
    plan, found = books.plan, Assembled(captures=books.capture(from_ms, to_ms))
    silent, burnt, stopped = 0, dict[str, list[Row]](), dict[str, set[int]]()
    for node in plan.nodes.values():
        if node.of_counters:
            stated = counted(books, node, from_ms, to_ms, first=first, plan_ms=plan_ms)
            found.take(_of_counters(books, node, found, stated, from_ms))
            if node.compare is not None:
                burning = (row for row in stated.rows if row.node == node.name and _between_looks(books, node, row) > 0)
                burnt.setdefault(node.compare, []).extend(burning)
        elif node.method == words.CEMS:
            rows = gauged(books, node, from_ms, to_ms, plan_ms)
            earlier = history.get(node.name, ())
            beside = substitutes(plan, node, rows, earlier, books.counting, times_of(plan, from_ms), to_ms)
            silent += silences(rows, earlier)
            stopped[node.name] = {row.from_ms for row in rows if row.status == words.STOPPED}
            found.take([*rows, *beside])
            if (squares := of_product(plan.points[point].u for point in node.inputs.values())) is not None:
                found.squares[node.name] = squares * sum(row.amount or 0 for row in (*rows, *beside)) ** 2
    found.findings = {
        "cadence": too_dense(found.captures),
        "entry": books.judged.findings,
        "inform-authority": silent,
        "open": sum(stated.open for stated in found.stated.values()),
        "stopped-but-emitting": sum(_emitting(plan, name, rows, stopped[name]) for name, rows in burnt.items()),
        "unbalanced": int(plan.balanced and not _balanced(plan, found)),
    }
    return found


def _between_looks(books: Books, node: Node, row: Row) -> int:
    """What a row's points counted from the first look in its time to the last: not what is interpolated at its ends."""
    amount, interval_ms = row.amount or 0, books.plan.interval_ms
    for sign, name in node.terms:
        edges = books.registers[name, node.regime.id].edges
        first, last = edges[row.from_ms // interval_ms], edges[row.to_ms // interval_ms]
        amount -= sign * (first.after - first.value + last.value - last.before)
    return amount


def _emitting(plan: Plan, measured: str, burnt: Sequence[Row], stopped: Set[int]) -> int:
    """Rows of fuels that were burnt while all references of the measured node were stopped (H4)."""
    reference_ms = plan.reference_ms(plan.nodes[measured].regime)
    return sum(stopped >= {*range(row.from_ms, row.to_ms, reference_ms)} for row in burnt)


def _of_counters(books: Books, node: Node, found: Assembled, stated: Stated, from_ms: int) -> list[Row]:
    plan = books.plan
    found.stated[node.name] = stated._replace(rows=stated.rows[:1], lines=(), besides={})
    if node.method == words.BY_ELECTRICITY:
        return electricity(plan, node, stated, from_ms)
    if node.method == words.BY_FUEL:
        return fuel(node, stated, books.judged, from_ms, plan.interval_ms)
    if (squares := of_registers(plan, node, stated.energy)) is not None:
        found.squares[node.name] = squares
    return stated.rows


def counted(books: Books, node: Node, from_ms: int, to_ms: int, *, first: bool, plan_ms: int) -> Stated:
    """The rows of a node of counters, up to where it was closed; ``first`` and ``plan_ms`` as in ``assemble``."""
    closed_ms = books.closed_ms(node.name)
    closed_ms = MAX_TIME_MS if closed_ms is None else closed_ms
    lines = _lines(books, node)
    return counters.node_rows(
        books.plan, node, lines, from_ms, to_ms, first=first, plan_ms=plan_ms, closed_ms=closed_ms
    )


def gauged(books: Books, node: Node, from_ms: int, to_ms: int, plan_ms: int) -> list[Row]:
    """The rows of a measured emission, without substitutes."""
    gauges = {letter: books.gauges[point, node.regime.id] for letter, point in node.gauges.items()}
    return cems.node_rows(books.plan, node, gauges, from_ms, to_ms, plan_ms)


def _lines(books: Books, node: Node) -> list[Line]:
    """The terms of a node of counters, each with its register and the jumps of it."""
    registers = ((sign, name, books.registers[name, node.regime.id]) for sign, name in node.terms)
    return [Line(sign, register, jumps_of(register, registers_on(books, name))) for sign, name, register in registers]


def registers_on(books: Books, point: str) -> list[Registers]:
    """The entries of registers of a point that count, in order of time (I4)."""
    return sorted(registers_of(e) for e in books.counting if e.kind == "register" and e.of == point)


def _balanced(plan: Plan, found: Assembled) -> bool:
    """Whether what comes in is what goes out, within the uncertainty of both (P7)."""
    nodes = [node for node in plan.nodes.values() if node.role in (*_SOURCES, *_SINKS)]
    difference = sum(found.total(n.name) * (1 if n.role in _SOURCES else -1) for n in nodes)
    return Fraction(difference) ** 2 <= sum((found.squares.get(n.name, Fraction(0)) for n in nodes), Fraction(0))


def times_of(plan: Plan, time_ms: int) -> Times:
    """The civil year and quarter of a moment."""
    now = civil(time_ms, plan.civil_min)
    quarter = (now.month - 1) // 3 * 3 + 1

    def begin(month: int) -> int:
        return month_ms(now.year, month, plan.civil_min)

    return Times((begin(1), begin(13)), (begin(quarter), begin(quarter + 3)))


def history_from_ms(plan: Plan, from_ms: int) -> int:
    """How far back a statement from this moment on uses earlier ones: a silence of gauges, and the populations of its
    substitutes (H6, T5)."""
    begins = [from_ms]
    for node in plan.nodes.values():
        if node.method == words.CEMS:
            begins.append(from_ms - LONGEST_SILENCE * HOUR_MS)
            if node.regime.substitution == "EU-45":
                begins.append(times_of(plan, from_ms).year[0])
            elif node.regime.substitution == "CN-HJ75":
                begins.append(from_ms - MOST_BACK_MS)
    return min(begins)
