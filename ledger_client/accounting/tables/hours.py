"""Table of rows: every interval of every node, with status, rule and clause. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.tables.grounds import amount_rule, ground
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, base_unit, civil_time, written

HEADER: Final = (
    "plan", "from", "to", "civil_from", "civil_to", "node", "role", "status", "rule", "clause", "confirmed",
    "amount", "unit", "amount_rule", "method", "reason", "factor", "retrospective", "version", "statement",
)  # fmt: skip


def hours(statements: Iterable[StatedRows]) -> Table:
    """A line for each row."""
    return Table(HEADER, [line for stated in statements for line in _lines(stated)])


def _lines(stated: StatedRows) -> Iterable[tuple[Cell, ...]]:
    plan, record = stated.plan, stated.record.hex()
    for row in stated.rows:
        unit, why, facts = base_unit(plan, row.node), ground(plan, row), row.facts
        yield (
            plan.name, utc_text(row.from_ms), utc_text(row.to_ms),
            civil_time(plan, row.from_ms), civil_time(plan, row.to_ms),
            row.node, plan.nodes[row.node].role, row.status, why.rule, why.clause, why.confirmed,
            written(row.amount), unit, amount_rule(plan, row),
            facts.get("method"), facts.get("reason"), facts.get("factor"), "retrospective" in facts,
            stated.fields["version"], record,
        )  # fmt: skip
