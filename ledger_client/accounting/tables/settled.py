"""Settled energy of a node: the entries `settlement` in force within a time, and whether they are all of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger_client.accounting.formats.entries import Entry, in_force
from ledger_client.accounting.formats.numbers import milli_of
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.units import counter_unit


class Settled(NamedTuple):
    """What was settled, in thousandths of a Wh (None: nothing counts); whether the entries cover the time exactly;
    whether some contradict each other; the entries, in order of time."""

    milli: int | None
    matches: bool
    contradicting: bool
    entries: tuple[Entry, ...] = ()


def settled(plan: Plan, name: str, entries: Sequence[Entry], from_ms: int, to_ms: int) -> Settled:
    """The settlement entries in force of a node, else of its only point, within [from, to) in ms (P9).

    Raises AccountingError where one is in no unit of energy.
    """
    node = plan.nodes[name]
    of_point = [point for _, point in node.terms] if len(node.terms) == 1 else []
    settlements: list[Entry] = []
    for of in (name, *of_point):
        settlements = [
            e for e in entries if e.kind == "settlement" and e.of == of and from_ms <= e.from_ms and e.to_ms <= to_ms
        ]
        if settlements:
            break
    counting, contradicting = in_force(settlements)
    if contradicting or not counting:
        return Settled(None, False, bool(contradicting))
    counting.sort(key=lambda entry: entry.from_ms)
    ends = [from_ms, *(entry.to_ms for entry in counting)]
    matches = [entry.from_ms for entry in counting] == ends[:-1] and ends[-1] == to_ms
    return Settled(sum(map(settled_milli, counting)), matches, False, tuple(counting))


def settled_milli(entry: Entry) -> int:
    """The value of a settlement in thousandths of a Wh. Raises AccountingError: its unit is none of energy."""
    unit = counter_unit(entry.unit, "entry.unit")
    if unit.base != "Wh":
        refuse("P9", "entry.unit", f"a settlement of {entry.of} is in {entry.unit}", "replace it by one in kWh")
    return milli_of(entry.values["value"], unit.factor)
