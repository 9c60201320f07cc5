"""Summary of a statement: I8 covers nodes that are sums of registers, M7 of stacks whose fuel is counted, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.accounting.plans import catalog
from gateway.accounting.statements.summary import balances, by_fuel_json, lines
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import parse_row, row_bytes
from tests.ledger_client.accounting.test_tables import both
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields


def test_an_emission_by_electricity_is_not_compared_with_its_registers(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    factors = [dict(factor) for factor in catalog.factors() if factor["series"] == "CN-average"]
    of: dict[str, Any] = {"terms": [[1, POINT]], "profile": "own-test"}
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
    assert not [line for line in lines(plan, (from_ms, from_ms + 2 * QUARTER_MS), statement.rows) if "differs" in line]


def test_a_measured_emission_stands_beside_its_fuels() -> None:
    stated = both()
    written = [row_bytes(row) for row in stated.rows]
    shown = [line for line in lines(stated.plan, stated.span, written) if "measured" in line and line[:3] != "oil"]
    assert shown == [
        "M7 eu-mrr: measured 288,000.000 kg, by fuel 270,000.001 kg",
        "   difference 17,999.999 kg, 6.250000 % of the measured",
    ]
    assert by_fuel_json(stated.plan, stated.span, stated.rows) == [
        {"node": "eu-mrr", "by_fuel": ["coal", "oil"], "measured": "288000.000", "calculated": "270000.001",
         "difference": "17999.999", "share": "0.062500"}
    ]  # fmt: skip
    late = both(fuel_hours=3)
    *_, last = lines(late.plan, late.span, [row_bytes(row) for row in late.rows])
    assert last == "   they are not of the same time: no difference"
