"""Summary of a statement for the person who closes a month: statuses of each node, I8 and M7 with their numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import Row, mantissa, parse_row
from ledger_client.accounting.tables.corroboration import Corroboration, corroborations
from ledger_client.accounting.tables.stated import base_unit, written


class Tally(NamedTuple):
    """Rows of a node with one status: how many, and their sum in thousandths of the base unit; None: none has an amount
    (`missing`), which is not 0."""

    node: str
    status: str
    rows: int
    milli: int | None


class Balance(NamedTuple):
    """I8 of one point in a node, in thousandths: R(last) − R(first) + Σ jumps, with its sign."""

    node: str
    point: str
    sign: int
    first: int
    last: int
    jumps: int

    @property
    def energy(self) -> int:
        """Its part of the node, in thousandths."""
        return self.sign * (self.last - self.first + self.jumps)


def tallies(rows: Sequence[Row]) -> list[Tally]:
    """Tallies by node and status, in the order of a statement."""
    counts, sums = Counter[tuple[str, int]](), dict[tuple[str, int], int]()
    for row in rows:
        counts[key := (row.node, words.RANK[row.status])] += 1
        if row.amount is not None:
            sums[key] = sums.get(key, 0) + row.amount
    return [
        Tally(node, words.STATUSES[rank], count, sums.get((node, rank)))
        for (node, rank), count in sorted(counts.items())
    ]


def balances(plan: Plan, rows: Sequence[Row]) -> Iterator[Balance]:
    """Balance of each point of a node of registers, from its first edge to its last. An emission is no sum of
    registers."""
    for node in plan.nodes.values():
        of_node = [row for row in rows if row.node == node.name and "edges" in row.facts]
        if not of_node or not node.terms or node.method is not None:
            continue
        for sign, point in node.terms:
            first, last = _edges(of_node[0], point)[0], _edges(of_node[-1], point)[1]
            jumps = sum(mantissa(jump[2]) for row in of_node for jump in row.facts.get("jumps", ()) if jump[0] == point)
            yield Balance(node.name, point, sign, first, last, jumps)


def sum_of(plan: Plan, node: str, rows: Sequence[Row]) -> int:
    """Sum of all rows of a node in thousandths, less what went to the one below it (P5)."""
    below = plan.nodes[node].below
    return sum((row.amount or 0) * (-1 if row.node == below else 1) for row in rows if row.node in (node, below))


def lines(plan: Plan, span: tuple[int, int], stated: Sequence[bytes]) -> Iterator[str]:
    """The summary of a statement as lines of text. ``span``: its beginning and end in ms; ``stated``: its rows."""
    rows = [parse_row(row) for row in stated]
    yield f"{'node':20} {'status':12} {'intervals':>9} {'amount':>20}"
    for tally in tallies(rows):
        shown = "no amount" if tally.milli is None else f"{amount(tally.milli):>20} {base_unit(plan, tally.node)}"
        yield f"{tally.node:20} {tally.status:12} {tally.rows:9} {shown:>20}"
    by_node: dict[str, list[Balance]] = defaultdict(list)
    for balance in balances(plan, rows):
        by_node[balance.node].append(balance)
    for node, all_ in by_node.items():
        total, energy, unit = sum_of(plan, node, rows), sum(b.energy for b in all_), base_unit(plan, node)
        same = "=" if total == energy else "differs from"
        yield f"I8 {node}: sum of rows {amount(total)} {same} registers {amount(energy)} {unit}"
        for b in all_:
            sign = "+" if b.sign > 0 else "-"
            yield f"   {sign} {b.point}: {amount(b.last)} - {amount(b.first)} + jumps {amount(b.jumps)}"
    yield from _by_fuel(corroborations(plan, span, rows))


def _by_fuel(found: Iterable[Corroboration]) -> Iterator[str]:
    for one in found:
        yield f"M7 {one.node}: measured {amount(one.measured)} kg, by fuel {amount(one.calculated)} kg"
        if one.difference is None:
            yield "   they are not of the same time: no difference"
        else:
            share = "" if one.share is None else f", {one.share * 100:f} % of the measured"
            yield f"   difference {amount(one.difference)} kg{share}"


def by_fuel_json(plan: Plan, span: tuple[int, int], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Measured emissions beside those of their fuels (M7); masses in kg as text with all their places, or null."""
    return [
        {"node": one.node, "by_fuel": list(one.by_fuel), "measured": written(one.measured),
         "calculated": written(one.calculated), "difference": written(one.difference),
         "share": None if one.share is None else f"{one.share:f}"}
        for one in corroborations(plan, span, rows)
    ]  # fmt: skip


def as_json(plan: Plan, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The table as plain data; amounts are text with all their places, null where no row has one."""
    return [
        {"node": one.node, "status": one.status, "intervals": one.rows, "amount": written(one.milli),
         "unit": base_unit(plan, one.node)}
        for one in tallies(rows)
    ]  # fmt: skip


def amount(milli: int) -> str:
    """Thousandths as a number with three places."""
    return f"{scaled(milli, MILLI):,f}"


def _edges(row: Row, point: str) -> tuple[int, int]:
    edge = next(edge for edge in row.facts["edges"] if edge[0] == point)
    return mantissa(edge[1]), mantissa(edge[2])
