"""Settled energy of a node: the entries `settlement` in force within a time, and whether they are all of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import milli_of
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.standings import CONTRADICTS, COUNTS, judged
from ledger_client.accounting.formats.units import counter_unit


class Settled(NamedTuple):
    """What was settled, in thousandths of a Wh (None: nothing counts); whether the entries cover the time exactly;
    whether some contradict each other; the entries, in order of time."""

    milli: int | None
    matches: bool
    contradicting: bool
    entries: tuple[Entry, ...] = ()


def settled(plan: Plan, name: str, entries: Sequence[Entry], from_ms: int, to_ms: int) -> Settled:
    """The settlement entries that count of a node, else of its only point, within [from, to) in ms (P9)."""
    node = plan.nodes[name]
    of_point = [point for _, point in node.terms] if len(node.terms) == 1 else []
    bills = [one for one in judged(entries, plan).standings if one.entry.kind == "settlement"]
    within = [one for one in bills if from_ms <= one.entry.from_ms and one.entry.to_ms <= to_ms]
    of = next((of for of in (name, *of_point) if any(one.entry.of == of for one in within)), name)
    counting = [one.entry for one in within if one.entry.of == of and one.word == COUNTS]
    contradicting = any(one.entry.of == of and one.word == CONTRADICTS for one in within)
    if contradicting or not counting:
        return Settled(None, False, contradicting)
    counting.sort(key=lambda entry: entry.from_ms)
    ends = [from_ms, *(entry.to_ms for entry in counting)]
    matches = [entry.from_ms for entry in counting] == ends[:-1] and ends[-1] == to_ms
    return Settled(sum(map(settled_milli, counting)), matches, False, tuple(counting))


def settled_milli(entry: Entry) -> int:
    """The value of a settlement that counts, in thousandths of a Wh."""
    return milli_of(entry.values["value"], counter_unit(entry.unit, "entry.unit").factor)
