"""Table of periods: totals of each statement by node and status, with factors, uncertainty, comparison. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.formats.words import RANK
from ledger_client.accounting.statement import UNCERTAINTY
from ledger_client.accounting.tables.corroboration import Corroboration, corroborations
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, base_unit, civil_time, written

HEADER: Final = (
    "plan", "from", "to", "civil_from", "civil_to", "node", "role", "status", "rows", "amount", "unit",
    "factor", "factor_value", "factor_unit", "factor_confirmed", "factor_document", "node_uncertainty",
    "node_by_fuel", "node_difference", "node_difference_share",
    "complete", "version", "statement",
)  # fmt: skip


def periods(statements: Iterable[StatedRows]) -> Table:
    """A line for each node and status; of a status without an amount, too."""
    return Table(HEADER, [line for stated in statements for line in _lines(stated)])


def _lines(stated: StatedRows) -> Iterable[tuple[Cell, ...]]:
    plan, (from_ms, to_ms) = stated.plan, stated.span
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in stated.rows:
        groups.setdefault((row.node, row.status), []).append(row)
    uncertainty = {node: f"{u:f}" for node, status, u in stated.fields.get("totals", ()) if status == UNCERTAINTY}
    fuels = {found.node: found for found in corroborations(plan, stated.span, stated.rows)}
    for (node, status), rows in sorted(groups.items(), key=lambda item: (item[0][0], RANK[item[0][1]])):
        yield (
            plan.name, utc_text(from_ms), utc_text(to_ms), civil_time(plan, from_ms), civil_time(plan, to_ms),
            node, plan.nodes[node].role, status, len(rows), _sum(rows), base_unit(plan, node),
            *_factor(stated, node, rows), uncertainty.get(node), *_by_fuel(fuels.get(node)),
            stated.fields["complete"], stated.fields["version"], stated.record.hex(),
        )  # fmt: skip


def _sum(rows: Iterable[Row]) -> str | None:
    amounts = [row.amount for row in rows if row.amount is not None]
    return written(sum(amounts)) if amounts else None


def _by_fuel(found: Corroboration | None) -> tuple[Cell, ...]:
    """Of a measured emission with a node by fuel of the same source (M7); else nothing."""
    if found is None:
        return None, None, None
    return written(found.calculated), written(found.difference), None if found.share is None else f"{found.share:f}"


def _factor(stated: StatedRows, node: str, rows: Iterable[Row]) -> tuple[Cell, ...]:
    """Of the one row of a node by electricity (M8); else nothing."""
    named = next((row.facts["factor"] for row in rows if "factor" in row.facts), None)
    series = stated.plan.nodes[node].factor_series
    factor = next((f for f in stated.plan.factors if (f.series, f.id) == (series, named)), None)
    if factor is None:
        return named, None, None, None, None
    return factor.id, factor.value, factor.unit, factor.confirmed, factor.document
