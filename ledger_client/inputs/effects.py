"""What each entry does to a statement: the totals of its nodes with it and without it (rule P9). Pure.

The same books are kept once more for each entry that counts, without it: they share registers, coverage and gauges with
the whole ones, and only a gauge that the entry calibrates is kept twice. So the whole costs little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

from ledger_client.accounting.assembly import assemble
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.statement import Choice
from ledger_client.inputs.listing import Effect
from ledger_client.inputs.plan_shows import points_of


class Apart(NamedTuple):
    """Books of a statement without each of its entries, by record; and of each node with calibrations without any of
    them."""

    entries: Mapping[bytes, Books]
    uncalibrated: Mapping[str, Books]

    @classmethod
    def of(cls, books: Books) -> Apart:
        """To be made before the first record: what is calibrated is counted as it comes."""
        plan, counting = books.plan, books.counting
        apart = {e.record: books.without({e.record}) for e in counting if nodes_of(plan, e) and e.kind != "settlement"}
        checks = [entry for entry in counting if entry.kind == "calibration"]
        calibrated = {node for entry in checks for node in nodes_of(plan, entry)}
        bare = books.without({entry.record for entry in checks}) if calibrated else books
        return cls(apart, dict.fromkeys(sorted(calibrated), bare))


def put_aside(books: Books, apart: Apart | None) -> tuple[Books, Apart | None]:
    """Books, and those without their entries, as they are now, whatever else comes to others kept with them."""
    aside: tuple[Books, Apart | None] = deepcopy((books, apart), {id(books.plan): books.plan})
    return aside


def nodes_of(plan: Plan, entry: Entry) -> list[str]:
    """The nodes that an entry concerns: itself, or those that have its point."""
    if entry.of in plan.nodes:
        return [entry.of]
    return [node.name for node in plan.nodes.values() if entry.of in points_of(node)]


def effects(
    books: Books, apart: Apart, statement: bytes, choice: Choice, history: Mapping[str, Sequence[Row]]
) -> dict[bytes, list[Effect]]:
    """By entry, of each node of a statement that it changes or could change."""
    found: dict[bytes, list[Effect]] = {}
    totals: dict[str, int | None] = {}
    for entry in books.counting:
        if entry.record not in apart.entries or not concerns(entry, choice.from_ms, choice.to_ms):
            continue
        for node in nodes_of(books.plan, entry):
            if node not in totals:
                totals[node] = total(books, node, choice, history)
            lacking = total(apart.entries[entry.record], node, choice, history)
            effect = Effect(statement, choice.from_ms, choice.to_ms, node, totals[node], lacking)
            found.setdefault(entry.record, []).append(effect)
    return found


def concerns(entry: Entry, from_ms: int, to_ms: int) -> bool:
    """Whether an entry is of some of a time; a closure has no end."""
    if entry.kind == "closure":
        return entry.from_ms <= to_ms
    if entry.from_ms == entry.to_ms:
        return from_ms < entry.to_ms <= to_ms
    return entry.from_ms < to_ms and from_ms < entry.to_ms


def standings(books: Books, choice: Choice) -> dict[bytes, str]:
    """What becomes of each entry that a statement names (P9)."""
    return {one.entry.record: one.word for one in books.judged.within(choice.from_ms, choice.to_ms)}


def total(books: Books, name: str, choice: Choice, history: Mapping[str, Sequence[Row]]) -> int | None:
    """The sum of all rows of a node, by these books, in thousandths of its unit; None: it has no amount."""
    whole = books.plan
    node = replace(whole.nodes[name], compare=None)
    books.plan = replace(whole, nodes={name: node}, balanced=False)
    try:
        assembled = assemble(
            books, choice.from_ms, choice.to_ms, first=choice.before is None, plan_ms=choice.plan_ms, history=history
        )
    except AccountingError:  # as where no analysis and no default is known
        return None
    finally:
        books.plan = whole
    written = assembled.nodes.get(name)
    return assembled.total(name) if written is not None and written.sums else None
