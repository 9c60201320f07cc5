"""Rows of a node of counters: energy or mass between neighbouring edges, with its status (rules I3–I8, P5). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats.entries import Registers
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.accounting.formats.words import (
    BRIDGED,
    IMPLAUSIBLE,
    MEASURED,
    RANK,
    SPLIT,
    UNALLOCATED,
    UNKNOWN,
    WRAP,
)
from ledger_client.accounting.registers import Break, Edge, Register, above_most, within_most

BELOW: Final = "below"
_RANKED: Final = {BRIDGED: RANK[BRIDGED], UNKNOWN: RANK[UNKNOWN], WRAP: RANK[MEASURED]}


class Jump(NamedTuple):
    """What corrects a register over a break: its kind, by how much, and the look or entry that shows it."""

    time_ms: int
    kind: str
    amount: int
    record: bytes


def jumps_of(register: Register, entries: Sequence[Registers]) -> list[Jump]:
    """The jumps of a register's breaks (I4); ``entries``: its own of kind register, in order of time."""
    found: list[Jump] = []
    for broken in register.breaks:
        if broken.wrap is not None:
            found.append(Jump(broken.time_ms, WRAP, broken.wrap, broken.record))
        else:
            within = [entry for entry in entries if broken.before_ms < entry.time_ms <= broken.time_ms]
            found += _bridged(register, broken, within) or [
                Jump(broken.time_ms, UNKNOWN, broken.before - broken.after, broken.record)
            ]
    return found


def _bridged(register: Register, broken: Break, entries: Sequence[Registers]) -> list[Jump]:
    """A jump for each exchanged register, where final and initial ones fit between the looks; else none."""
    stand = broken.before
    for entry in entries:
        if entry.final < stand:
            return []
        stand = entry.initial
    rise = broken.after - broken.before + sum(entry.final - entry.initial for entry in entries)
    if not entries or broken.after < stand:
        return []
    if not within_most(register.point, broken.before_ms, broken.time_ms, rise):
        return []
    return [Jump(broken.time_ms, BRIDGED, entry.final - entry.initial, entry.record) for entry in entries]


@dataclass(frozen=True, slots=True)
class Line:
    """One term of a node: its sign, its register, and the jumps of it in order of time."""

    sign: int
    register: Register
    jumps: Sequence[Jump]


class Stated(NamedTuple):
    """Rows of a node; ``open``: its register at the end of the period is not known; ``last``: its last known edge, as
    the number of an interval (None: none is known); ``energy``: of each point between its first and last known edge;
    ``lines``: by point, what the rows are made of; ``besides``: of each ``unallocated`` row, by its beginning, the
    status that it has but for its open edges."""

    rows: list[Row]
    open: bool
    last: int | None
    energy: Mapping[str, int]
    lines: Sequence[Line] = ()
    besides: Mapping[int, str] = MappingProxyType({})

    def edges(self, from_ms: int, to_ms: int, interval_ms: int) -> list[list[Any]]:
        """The registers at two known edges, as a row of all the time between them bears them."""
        before, after = from_ms // interval_ms, to_ms // interval_ms
        registers = [line.register for line in self.lines]
        return [_edge(one.point.name, one.edges[before], one.edges[after]) for one in registers]


def node_rows(
    plan: Plan,
    node: Node,
    lines: Sequence[Line],
    from_ms: int,
    to_ms: int,
    *,
    first: bool,
    plan_ms: int,
    closed_ms: int,
) -> Stated:
    """The rows of a node that end in (from, to], in ms.

    Args:
        lines: of each of its points; registers that have seen all records up to the gap behind ``to_ms``, and before
            ``from_ms`` back to the node's last known edge.
        first: there is no statement before: counting begins at ``from_ms``.
        plan_ms: when the plan was signed; intervals before are retrospective (P2).
        closed_ms: when the node was closed by an entry, or far in the future.
    """
    interval_ms = plan.interval_ms
    lines = sorted(lines, key=lambda line: line.register.point.name)
    least = -(-max(plan.from_ms, from_ms if first else 0) // interval_ms)
    begin, most = from_ms // interval_ms, min(to_ms, closed_ms) // interval_ms
    known = _known(lines, least, most)
    earlier = [number for number in known if number <= begin]
    edges = [*earlier[-1:], *(number for number in known if number > begin)]
    rows, besides = list[Row](), dict[int, str]()
    places, most_gaps_ms = [0] * len(lines), int(node.regime.edge * interval_ms)
    for before, after in pairwise(edges):
        row = _row(node, lines, before, after, interval_ms, places, most_gaps_ms)
        if after - before > 1:
            besides[row.from_ms] = row.status
            row = row._replace(status=_STATUS[max(RANK[row.status], RANK[UNALLOCATED])])
        if row.from_ms < plan_ms:
            row.facts["retrospective"] = True
        rows += (row,) if node.below is None else _both(node.below, row)
    is_open = closed_ms > to_ms and (not known or known[-1] != to_ms // interval_ms)
    energy = {
        line.register.point.name: _energy(line, edges[0], edges[-1], plan.interval_ms)
        for line in lines
        if len(edges) > 1
    }
    return Stated(rows, is_open, known[-1] if known else None, energy, lines, besides)


def _energy(line: Line, before: int, after: int, interval_ms: int) -> int:
    """What a register gained between two known edges (I8)."""
    edges, within = line.register.edges, range(before * interval_ms + 1, after * interval_ms + 1)
    return edges[after].value - edges[before].value + sum(j.amount for j in line.jumps if j.time_ms in within)


def _known(lines: Sequence[Line], least: int, most: int) -> list[int]:
    """The edges that all points of a node know (I3)."""
    fewest = min(lines, key=lambda line: len(line.register.edges)).register.edges
    others = [line.register.edges for line in lines if line.register.edges is not fewest]
    return sorted(n for n in fewest if least <= n <= most and all(n in edges for edges in others))


def _row(
    node: Node, lines: Sequence[Line], before: int, after: int, interval_ms: int, places: list[int], most_gaps_ms: int
) -> Row:
    """The row between two neighbouring edges of a node, with its status but for open edges between them. ``lines``: by
    point; ``places``: of each the first jump that is not behind us; ``most_gaps_ms``: what the gaps at both edges may
    have together (I2)."""
    from_ms, to_ms = before * interval_ms, after * interval_ms
    amount, worst, start_gap_ms, end_gap_ms = 0, RANK[MEASURED], 0, 0
    edges, counted_jumps = [], []
    for place, line in enumerate(lines):
        register, jumps = line.register, line.jumps
        start, end = register.edges[before], register.edges[after]
        energy, at = end.value - start.value, places[place]
        while at < len(jumps) and jumps[at].time_ms <= to_ms:
            jump = jumps[at]
            at += 1
            if jump.time_ms > from_ms:
                energy += jump.amount
                worst = max(worst, _RANKED[jump.kind])
                counted_jumps.append([register.point.name, jump.kind, decimal(jump.amount), jump.record])
        places[place] = at
        if above_most(register.point, from_ms, to_ms, energy):
            worst = max(worst, RANK[IMPLAUSIBLE])
        amount += line.sign * energy
        start_gap_ms, end_gap_ms = max(start_gap_ms, start.gap_ms), max(end_gap_ms, end.gap_ms)
        edges.append(_edge(register.point.name, start, end))
    if start_gap_ms + end_gap_ms > most_gaps_ms:
        worst = max(worst, RANK[SPLIT])
    if node.capacity_w is not None and amount * 10 * HOUR_MS > 11_000 * node.capacity_w * (to_ms - from_ms):
        worst = max(worst, RANK[IMPLAUSIBLE])
    if amount < 0 and node.below is None:
        worst = max(worst, RANK[IMPLAUSIBLE])
    facts: dict[str, Any] = {"edges": edges}
    if counted_jumps:
        facts["jumps"] = counted_jumps
    return Row(node.name, from_ms, to_ms, _STATUS[worst], amount, facts)


_STATUS: Final[Mapping[int, str]] = {rank: status for status, rank in RANK.items()}


def _both(below: str, row: Row) -> tuple[Row, Row]:
    """A row, and beside it what fell below 0 as a row of the node ``below`` (P5)."""
    assert row.amount is not None
    facts = row.facts | ({"reason": BELOW} if row.amount < 0 else {})
    return row._replace(amount=max(row.amount, 0), facts=facts), row._replace(
        node=below, amount=max(-row.amount, 0), facts=facts
    )


def _edge(point: str, start: Edge, end: Edge) -> list[Any]:
    """[point, register at the beginning, register at the end, the looks around both in order of time]."""
    looks = [*start.looks, *[look for look in end.looks if look not in start.looks]]
    return [point, decimal(start.value), decimal(end.value), looks]
