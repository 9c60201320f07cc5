"""Summary of a statement: I8 is told of nodes that are sums of registers, and of no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.accounting import catalog
from gateway.accounting.summary import balances, lines
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import parse_row
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields


def test_an_emission_by_electricity_is_not_compared_with_its_registers(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    factors = [dict(factor) for factor in catalog.factors() if factor["series"] == "CN-average"]
    of: dict[str, Any] = {"terms": [[1, POINT]], "profile": "ours"}
    by_energy = {"method": "electricity", "factor": "CN-average", "factor_rule": "year-of-use"}
    nodes = {"station": {**of, "role": "production"}, "co2": {**of, **by_energy, "role": "emission"}}
    fields = plan_fields(from_ms, nodes=nodes, factors=factors)
    site.publish(fields)
    site.polls(300)
    site.seal()
    statement, _ = site.state(from_ms, from_ms + 2 * QUARTER_MS, (0, 0))
    plan = parse_plan(fields)
    rows = [parse_row(row) for row in statement.rows]
    assert {row.node for row in rows} == {"station", "co2"}
    assert [balance.node for balance in balances(plan, rows)] == ["station"]
    assert not [line for line in lines(plan, statement.rows) if "differs" in line]
