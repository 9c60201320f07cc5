"""Table of measured emissions as the MRR asks for hours: concentration, flow, mass, and the substitute beside. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ledger_client.accounting.cems import mean_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.numbers import MICRO
from ledger_client.accounting.formats.plan import Node
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row, mantissa
from ledger_client.accounting.formats.units import CONCENTRATION, FLOW, PRESSURE, TEMPERATURE, WATER
from ledger_client.accounting.tables.grounds import ground
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, civil_time, written

_LETTERS: Final = {
    CONCENTRATION: "concentration", FLOW: "flow", TEMPERATURE: "temperature", PRESSURE: "pressure", WATER: "water",
}  # fmt: skip
HEADER: Final = (
    "plan", "node", "from", "to", "civil_from", "civil_to",
    *(f"{name}{part}" for name in _LETTERS.values() for part in ("", "_unit", "_possible", "_valid")),
    "concentration_basis", "flow_basis", "status", "rule", "clause", "confirmed", "kg",
    "substitute_status", "substitute_method", "substitute_rule", "substitute_clause", "substitute_confirmed",
    "substitute_concentration", "substitute_kg", "substitute_reason",
    "population_from", "population_to", "population_n", "population_mean", "population_s",
    "version", "statement",
)  # fmt: skip


def mrr(statements: Iterable[StatedRows]) -> Table:
    """A line for each reference period of each measured emission; ``kg`` and ``substitute_kg`` add to the total.

    Refuses statements without one.
    """
    lines = [line for stated in statements for line in _lines(stated)]
    if not lines:
        refuse("P4", "rows", "no node of the plan is an emission by `cems`", "take the table hours or periods")
    return Table(HEADER, lines)


def _lines(stated: StatedRows) -> Iterable[tuple[Cell, ...]]:
    plan = stated.plan
    rows = [row for row in stated.rows if plan.nodes[row.node].method == words.CEMS]
    beside = {(r.node, r.from_ms): r for r in rows if r.status in (words.SUBSTITUTED, words.MANUAL)}
    for row in rows:
        if row.status in (words.SUBSTITUTED, words.MANUAL):
            continue
        node, why = plan.nodes[row.node], ground(plan, row)
        yield (
            plan.name, row.node, utc_text(row.from_ms), utc_text(row.to_ms),
            civil_time(plan, row.from_ms), civil_time(plan, row.to_ms),
            *(cell for letter in _LETTERS for cell in _input(stated, node, row, letter)),
            plan.points[node.inputs[CONCENTRATION]].basis, plan.points[node.inputs[FLOW]].basis,
            row.status, why.rule, why.clause, why.confirmed, written(row.amount),
            *_substitute(stated, beside.get((row.node, row.from_ms))),
            stated.fields["version"], stated.record.hex(),
        )  # fmt: skip


def _input(stated: StatedRows, node: Node, row: Row, letter: str) -> tuple[Cell, ...]:
    """Mean, unit, possible and valid values of an input; nothing where the node has none."""
    point = node.inputs.get(letter)
    if point is None:
        return None, None, None, None
    possible, valid = next(((p, v) for name, p, v, _ in row.facts.get("inputs", ()) if name == point), (None, None))
    return written(mean_of(row, point), MICRO), stated.plan.points[point].unit_name, possible, valid


def _substitute(stated: StatedRows, row: Row | None) -> tuple[Cell, ...]:
    """Of the row beside a missing one; the concentration of EU-45 is mean + 2·s of its population (S2)."""
    if row is None:
        return (None,) * 13
    why, population = ground(stated.plan, row), row.facts.get("population")
    content: str | None = None
    shown: tuple[Cell, ...] = (None,) * 5
    if population is not None:
        begin, end, count, mean, deviation = population
        shown = (utc_text(begin), utc_text(end), count, _text(mean), _text(deviation))
        if row.facts["method"] == "EU-45":
            content = written(mantissa(mean) + 2 * mantissa(deviation), MICRO)
    return (
        row.status, row.facts.get("method"), why.rule, why.clause, why.confirmed, content, written(row.amount),
        row.facts.get("reason"), *shown,
    )  # fmt: skip


def _text(value: Any) -> str | None:
    """A decimal fraction of a row's facts."""
    exponent, digits = value.value
    return written(digits, exponent)
