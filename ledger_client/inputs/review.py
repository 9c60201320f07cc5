"""Review of a statement: what becomes of each entry, and the figures that unusual inputs are judged by. Pure.

All of it follows from the books that the statement was made of, once they have all records: no bound stands here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ledger_client.accounting.assembly import registers_on
from ledger_client.accounting.books import Books
from ledger_client.accounting.counters import jumps_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.rows import Row, parse_row
from ledger_client.accounting.statement import Choice, Statement
from ledger_client.accounting.tables.corroboration import corroborations
from ledger_client.inputs.effects import Apart, effects, standings, total
from ledger_client.inputs.listing import Effect


class Manual(NamedTuple):
    """A substitute by entry: of which node and time, its mass and the mean of the valid references above the threshold,
    in grams (None: there is none)."""

    node: str
    from_ms: int
    amount: int
    mean: Fraction | None


class Beyond(NamedTuple):
    """Of a gauge: how many values the books took, and how many more were above its range."""

    point: str
    taken: int
    above: int


@dataclass(frozen=True, slots=True)
class Review:
    """Of the last version of a statement.

    ``standings``, ``effects``: by the record of an entry, what becomes of it, and what it does to the totals of its
    nodes. ``shifts``: of each node with calibrations its total with them and without any. ``manual``, ``beyond``: see
    there. ``unreached``: measured nodes whose operating signal was below its threshold throughout, with what they and
    their fuels count. ``after_closure``: by node what its registers gained after it was closed. ``shares``: M7, by
    node. ``retrospective``: by node how many rows. Amounts are thousandths of the base unit.
    """

    plan: Plan
    choice: Choice
    findings: Mapping[str, int]
    standings: Mapping[bytes, str]
    effects: Mapping[bytes, Sequence[Effect]]
    shifts: Mapping[str, tuple[int | None, int | None]]
    manual: Sequence[Manual]
    beyond: Sequence[Beyond]
    unreached: Mapping[str, int]
    after_closure: Mapping[str, int]
    shares: Mapping[str, Decimal]
    retrospective: Mapping[str, int]


def review(
    books: Books,
    apart: Apart,
    record: bytes,
    choice: Choice,
    statement: Statement,
    history: Mapping[str, Sequence[Row]],
) -> Review:
    """The review of a statement that comes out of its books; ``record``: its hash."""
    plan, rows = books.plan, [parse_row(row) for row in statement.rows]
    span = choice.from_ms, choice.to_ms
    retrospective = defaultdict[str, int](int)
    for row in rows:
        if row.facts.get("retrospective"):
            retrospective[row.node] += 1
    return Review(
        plan, choice,
        dict(statement.fields["findings"]),
        standings(books, choice),
        effects(books, apart, record, choice, history),
        {
            node: (total(books, node, choice, history), total(bare, node, choice, history))
            for node, bare in apart.uncalibrated.items()
        },
        list(_manual(rows)),
        list(_beyond(books, span)),
        dict(_unreached(books, rows, span)),
        dict(_after_closure(books, choice.to_ms)),
        {one.node: one.share for one in corroborations(plan, span, rows) if one.share is not None},
        retrospective,
    )  # fmt: skip


def _manual(rows: Sequence[Row]) -> Iterator[Manual]:
    valid = defaultdict[str, list[int]](list)
    for row in rows:
        if row.status == words.VALID and "reason" not in row.facts:
            valid[row.node].append(row.amount or 0)
    for row in rows:
        if row.status == words.MANUAL:
            others = valid[row.node]
            yield Manual(row.node, row.from_ms, row.amount or 0, Fraction(sum(others), len(others)) if others else None)


def _beyond(books: Books, span: tuple[int, int]) -> Iterator[Beyond]:
    for (point, _), gauge in sorted(books.gauges.items()):
        within = range(span[0] // gauge.reference_ms, span[1] // gauge.reference_ms)
        taken = sum(gauge.cells[number].sum.count for number in within if number in gauge.cells)
        above = sum(gauge.above.get(number, 0) for number in within)
        if above:
            yield Beyond(point, taken, above)


def _unreached(books: Books, rows: Sequence[Row], span: tuple[int, int]) -> Iterator[tuple[str, int]]:
    """Measured nodes whose signal has values, none of which is at the threshold or above."""
    plan = books.plan
    for node in plan.nodes.values():
        if node.operating is None or node.threshold is None:
            continue
        gauge = books.gauges[node.operating, node.regime.id]
        within = range(span[0] // gauge.reference_ms, span[1] // gauge.reference_ms)
        highest = [cell.highest for number in within if (cell := gauge.cells.get(number)) and cell.highest is not None]
        if highest and all(value < node.threshold for value in highest):
            names = {node.name, *(other.name for other in plan.nodes.values() if other.compare == node.name)}
            yield node.name, sum(row.amount or 0 for row in rows if row.node in names)


def _after_closure(books: Books, to_ms: int) -> Iterator[tuple[str, int]]:
    for node in books.plan.nodes.values():
        closed_ms = books.closed_ms(node.name)
        if closed_ms is not None and closed_ms < to_ms and (gained := _gained(books, node, closed_ms)):
            yield node.name, gained


def _gained(books: Books, node: Node, since_ms: int) -> int:
    """What the registers of a node gained from the first edge at or after a moment to the last that is known."""
    least, gained = -(-since_ms // books.plan.interval_ms), 0
    for _, point in node.terms:
        register = books.registers[point, node.regime.id]
        known = sorted(number for number in register.edges if number >= least)
        if len(known) > 1:
            times = range(known[0] * books.plan.interval_ms + 1, known[-1] * books.plan.interval_ms + 1)
            jumps = jumps_of(register, registers_on(books, point))
            gained += register.edges[known[-1]].value - register.edges[known[0]].value
            gained += sum(jump.amount for jump in jumps if jump.time_ms in times)
    return gained
