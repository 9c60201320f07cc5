"""Time of a plan in force that no statement is of (rule T2): what an owner would leave out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.standings import judged
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.recompute.chain import Link, links_of
from ledger_client.recompute.sources import SignedPlan, Sources

SpanOf = Callable[[int], tuple[int, int]]
"""From and to (ms) of a period that was asked for, at an offset from UTC in minutes."""


class Gap(NamedTuple):
    """A stretch without a statement, in ms, of the plan of a name."""

    plan: str
    from_ms: int
    to_ms: int


def gaps(sources: Sources, asked: SpanOf | None) -> Iterator[Gap]:
    """The stretches of each plan's name that no statement is of.

    A name is in force from the ``from`` of its first plan until all nodes of its newest are closed. Of that counts the
    time that was ``asked`` for; else what lies between statements of the name, or, where a name has none, between
    those of all names: nobody states one plan of a site and leaves another one out.
    """
    links = links_of(sources)
    hull = _hull(links)
    named: dict[str, list[SignedPlan]] = {}
    for signed in sources.plans.values():
        named.setdefault(signed.plan.name, []).append(signed)
    for name, plans in sorted(named.items()):
        mine = [link for link in links if link.plan.name == name]
        newest = max(plans, key=lambda signed: signed.iat_ms).plan
        begins = min(plans, key=lambda signed: signed.iat_ms).plan.from_ms
        ends = ended_ms(newest, [entry for _, entry in sources.entries])
        within = asked(newest.civil_min) if asked else _hull(mine) or hull
        if within is not None:
            stated = [link.span for link in mine]
            free = _free(max(begins, within[0]), min(ends, within[1]), stated)
            yield from (Gap(name, from_ms, to_ms) for from_ms, to_ms in free)


def ended_ms(plan: Plan, entries: Sequence[Entry]) -> int:
    """The last edge at or before the moment at which the last node of a plan was closed; far in the future: one is
    open."""
    counting = judged([entry for entry in entries if plan.concerns(entry.of)], plan).counting
    closed = {e.of: e.from_ms for e in sorted(counting, key=lambda e: -e.from_ms) if e.kind == "closure"}
    if not plan.nodes or not plan.nodes.keys() <= closed.keys():
        return MAX_TIME_MS
    return max(closed[node] for node in plan.nodes) // plan.interval_ms * plan.interval_ms


def _hull(links: Sequence[Link]) -> tuple[int, int] | None:
    if not links:
        return None
    return min(link.choice.from_ms for link in links), max(link.choice.to_ms for link in links)


def _free(from_ms: int, to_ms: int, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is left of [from, to)."""
    for begin, end in sorted(taken):
        if from_ms < min(begin, to_ms):
            yield from_ms, min(begin, to_ms)
        from_ms = max(from_ms, end)
    if from_ms < to_ms:
        yield from_ms, to_ms
