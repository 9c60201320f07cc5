"""Books of a demonstration's month: what is stated of each node, I8 to the last digit, and where two regimes differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from gateway.accounting.statements import stating, summary
from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.accounting.formats.rows import Row, parse_row

EU, CN = "unit-co2", "unit-co2-cn"
"""Nodes of the same stack, after EU-MRR and after CN-HJ75."""


def books_of(made: stating.Made) -> dict[str, Any]:
    """What each node has by status, whether I8 holds to the last digit for each node of registers, and the references
    that are valid under one regime only."""
    rows = [parse_row(row) for row in made.statement.rows]
    registers: dict[str, int] = {}
    for balance in summary.balances(made.plan, rows):
        registers[balance.node] = registers.get(balance.node, 0) + balance.energy
    sums = {node: summary.sum_of(made.plan, node, rows) for node in registers}
    return {
        "version": made.choice.version,
        "i8": bool(sums) and registers == sums,
        "nodes": summary.as_json(made.plan, rows),
        "by_fuel": summary.by_fuel_json(made.plan, made.span, rows),
        "one_regime": list(_one_regime(rows)),
        "complete": made.statement.fields["complete"],
        "findings": dict(made.statement.fields["findings"]),
        "rows": str(made.rows),
    }


def _one_regime(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """References of the stack that are valid in China and missing in the EU, with the EU's fewest valid values."""
    china = {(row.from_ms, row.to_ms) for row in rows if row.node == CN and row.status == "valid"}
    for row in rows:
        if row.node == EU and row.status == "missing" and (row.from_ms, row.to_ms) in china:
            _, possible, valid, _ = min(row.facts["inputs"], key=lambda read: int(read[2]))
            yield {"from": row.from_ms, "valid": valid, "possible": possible}


def superseded(books: Mapping[str, Any]) -> Iterator[str]:
    """Of a statement that a later version supersedes: how far fuel and stack were apart."""
    for one in books["by_fuel"]:
        difference = f"difference {one['difference']} kg" if one["difference"] else "no difference"
        masses = f"measured {one['measured']} kg, by fuel {one['calculated']} kg, {difference}"
        yield f"version {books['version']}, superseded: {one['node']} {masses}"


def lines(made: stating.Made, books: Mapping[str, Any]) -> Iterator[str]:
    """The text of a statement's books: statuses, I8, M7; tonnes by status; the hours of one regime only."""
    version, complete = books["version"], "complete" if books["complete"] else "not complete"
    yield f"version {version}, {complete}"
    yield from summary.lines(made.plan, made.span, made.statement.rows)
    for one in books["nodes"]:
        if one["unit"] == "kg":
            mass = "no amount" if one["amount"] is None else f"{Decimal(one['amount']) / 1000:,.3f} t CO2"
            yield f"{one['node']}: {mass} {one['status']}"
    for one in books["one_regime"]:
        hour = civil_text(one["from"], made.plan.civil_min)
        yield f"{hour}: {one['valid']} of {one['possible']} values: valid under CN-HJ75, missing under EU-MRR"
