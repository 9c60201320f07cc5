"""Reigns of plans: which plan of a name rules which time (P2), and whose a point is (P6). Pure.

Two plans of two names that have one point would state its energy twice. The point is that name's which has had it for
longer, by plans one behind the other, in nodes that are not closed. The gateway asks before it signs a plan, and
whoever recomputes asks the same of each statement: both by these functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.standings import judged
from ledger_client.formats.checks import MAX_TIME_MS


class Reign(NamedTuple):
    """A plan by its record, and the time that it rules, [from, to) in ms; ``place``: in the order of signing."""

    place: int
    record: bytes
    plan: Plan
    from_ms: int
    to_ms: int


def reigns(signed: Iterable[tuple[bytes, Plan, int]]) -> dict[str, list[Reign]]:
    """The reigns of plans by name, each in the order of signing; of each plan the record, and when it was signed in ms.

    The first of a name rules from its ``from`` on, another from its signing; the last one has no end.
    """
    named: dict[str, list[Reign]] = {}
    for place, (record, plan, iat_ms) in enumerate(signed):
        others = named.setdefault(plan.name, [])
        begins_ms = plan.rules_from_ms(iat_ms) if others else plan.from_ms
        others[:] = [other._replace(to_ms=min(other.to_ms, begins_ms)) for other in others]
        others.append(Reign(place, record, plan, begins_ms, MAX_TIME_MS))
    return named


def closed_nodes(entries: Sequence[Entry], time_ms: int) -> frozenset[str]:
    """The nodes that were closed up to a time, by entries that count (P9)."""
    counting = judged([entry for entry in entries if entry.kind == "closure"]).counting
    return frozenset(entry.of for entry in counting if entry.from_ms <= time_ms)


def shared(
    mine: Reign, named: Mapping[str, Sequence[Reign]], from_ms: int, to_ms: int, closed: Collection[str]
) -> Iterator[tuple[Reign, str]]:
    """The plans of other names that rule in [from, to) and have had a point of a plan for longer, each with the first
    such point. ``closed``: the nodes that are closed by then."""
    earlier = [reign for reign in named.get(mine.plan.name, ()) if reign.place < mine.place]
    for name, others in named.items():
        for n, other in enumerate(others if name != mine.plan.name else ()):
            if other.from_ms < to_ms and from_ms < other.to_ms:
                points = _counted(other.plan, closed) & mine.plan.points.keys()
                line = others[: n + 1]
                longer = (p for p in points if _since(line, p, closed) < _since([*earlier, mine], p, closed))
                if (point := min(longer, default=None)) is not None:
                    yield other, point


def _since(line: Sequence[Reign], point: str, closed: Collection[str]) -> int:
    """The place of the first of the plans that have had a point up to the last one of a line."""
    place = line[-1].place
    for reign in reversed(line[:-1]):
        if point not in _counted(reign.plan, closed):
            break
        place = reign.place
    return place


def _counted(plan: Plan, closed: Collection[str]) -> frozenset[str]:
    """The points of a plan's nodes that are not closed."""
    nodes = (node for node in plan.nodes.values() if node.name not in closed)
    return frozenset(point for node in nodes for point in (*(name for _, name in node.terms), *node.gauges.values()))
