"""Tables of statements: hours, periods, the MRR's hours, China's months; as CSV and JSON, to the byte."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.assembly import times_of
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import scaled
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row, order
from ledger_client.accounting.formats.words import STATUSES
from ledger_client.accounting.substitution import substitutes
from ledger_client.accounting.tables.cn_monthly import cn_monthly
from ledger_client.accounting.tables.corroboration import corroborations
from ledger_client.accounting.tables.grounds import FIXED
from ledger_client.accounting.tables.hours import hours
from ledger_client.accounting.tables.mrr import mrr
from ledger_client.accounting.tables.periods import periods
from ledger_client.accounting.tables.stated import StatedRows, Table, civil_time
from ledger_client.accounting.tables.writing import as_csv, as_json
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import T_HOUR, hour, loaded, stack_fields

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).resolve().parents[3]
FACTOR = {
    "series": "CN-average", "id": "CN-average-2023", "kind": "average", "value": "0.5306", "unit": "kg/kWh",
    "region": "CN", "vintage": 2023, "published": "2026-01", "document": 'a "quoted", long title', "confirmed": True,
}  # fmt: skip


def stated(fields: dict[str, Any], rows: Sequence[Row], *entries: Entry, **also: Any) -> StatedRows:
    plan = parse_plan(fields)
    period = {"from": T0, "to": T0 + 4 * HOUR, "version": 1, "complete": True, "plan": b"\x02" * 32, "totals": []}
    return StatedRows(b"\x01" * 32, period | also, plan, sorted(rows, key=order), entries)


def site(*entries: Entry, **also: Any) -> StatedRows:
    """A line of the grid with four hours of several statuses, and the emission of what came over it."""
    by_energy = node("emission", "grid/import", method="electricity", factor="CN-average", factor_rule="fixed")
    nodes = {"grid": node("import", "grid/import"), "co2": by_energy, "out": node("export", "grid/export")}
    points = {"grid/import": counter(), "grid/export": counter()}
    fields = plan_fields(points=points, nodes=nodes, factors=[FACTOR])
    plan = parse_plan(fields)
    kinds = (("measured", 1_000_001), ("split", 0), ("implausible", -500), ("unknown", 7))
    rows = [Row("grid", T0 + n * HOUR, T0 + (n + 1) * HOUR, status, a, {}) for n, (status, a) in enumerate(kinds)]
    rows[1].facts["retrospective"] = True
    rows.append(loaded(plan, plan.nodes["co2"], 1_000_000_000, 2023))
    rows.append(Row("out", T0, T0 + 4 * HOUR, "unallocated", 250_000_000, {}))
    return stated(fields, rows, *entries, **also)


def cells(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.header, line, strict=True)) for line in table.lines]


def golden(name: str, data: bytes) -> None:
    """The bytes as they were looked at once."""
    assert data == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize(("name", "kind"), [("hours", hours), ("periods", periods), ("cn-monthly", cn_monthly)])
def test_the_bytes_of_a_table(name: str, kind: Any) -> None:
    statement = site(settlement("grid", "1.0"), totals=[["grid", "u", scaled(5_000, -6)]])
    golden(f"{name}.csv", as_csv(kind([statement])))


def test_a_byte_order_mark_only_where_it_is_asked_for() -> None:
    table = Table(("a", "b"), [("x,y", None), ('say "no"', True), ("two\nlines", 3)])
    plain = as_csv(table)
    assert plain == b'a,b\r\n"x,y",\r\n"say ""no""",true\r\n"two\nlines",3\r\n'
    assert as_csv(table, bom=True) == b"\xef\xbb\xbf" + plain


def test_csv_and_json_say_the_same() -> None:
    statement = site()
    table = hours([statement])
    read = list(csv.DictReader(io.StringIO(as_csv(table).decode(), newline="")))
    plain = json.loads(as_json(table, [statement]))
    assert plain["statements"] == [{"record": "01" * 32, "plan": "02" * 32}]
    shown = {None: "", True: "true", False: "false"}
    for line, row in zip(read, plain["rows"], strict=True):
        assert line == {key: shown[v] if v is None or isinstance(v, bool) else str(v) for key, v in row.items()}
    assert read[1]["amount"] == "1000.001"


def test_civil_time_is_the_same_moment() -> None:
    plan = site().plan
    assert civil_time(plan, T0) == "2026-10-01T08:00:00+08:00"
    west = parse_plan(plan_fields(civil=-480))
    assert civil_time(west, T0 + 1) == "2026-09-30T16:00:00.001-08:00"


def test_fixed_clauses_are_those_of_the_documentation() -> None:
    """The last column of the rules' tables."""
    text = (ROOT / "docs/accounting.md").read_text()
    sources: dict[str, str] = {}
    for line in (line.split(" | ") for line in text.splitlines()):
        if len(line) == 3:
            sources.setdefault(line[0].removeprefix("| "), line[-1].removesuffix(" |").partition(",")[0])
    assert set(FIXED) < set(STATUSES)
    for ground in FIXED.values():
        source = sources[ground.rule]
        assert ground.clause == source or f"{source} = {ground.clause}" in text
        assert ground.confirmed == (ground.clause == "ours")


# ---- the MRR's hours


def gaps(regime: str = "EU-MRR") -> StatedRows:
    fields = stack_fields(regime)
    plan = parse_plan(fields)
    node = plan.nodes[regime.lower()]
    kinds = ("valid", "valid", "missing", "stopped")
    rows = [
        hour(node, n, status, {"valid": T_HOUR, "stopped": 0}.get(status), **({"c": 190 + n} if n < 2 else {}))
        for n, status in enumerate(kinds)
    ]
    rows += substitutes(plan, node, rows, [], [], times_of(plan, T0), T0 + 4 * HOUR)
    return stated(fields, rows)


def test_a_missing_hour_has_its_substitute_beside() -> None:
    statement = gaps()
    lines = cells(mrr([statement]))
    assert [(line["status"], line["rule"], line["kg"]) for line in lines] == [
        ("valid", "H2", "72000.000"), ("valid", "H2", "72000.000"), ("missing", "H2", None), ("stopped", "H4", "0.000"),
    ]  # fmt: skip
    assert [line["concentration"] for line in lines] == ["190.000000", "191.000000", None, "200.000000"]
    assert (lines[0]["flow"], lines[0]["flow_unit"], lines[0]["flow_basis"]) == ("100.000000", "m3/s", "dry")
    substitute = {key: value for key, value in lines[2].items() if key.startswith(("substitute", "population"))}
    assert substitute["substitute_concentration"] == "191.914214"  # 190.5 + 2 · 0.707107
    assert substitute["substitute_status"] == "substituted"
    assert (substitute["substitute_rule"], substitute["substitute_method"]) == ("S2", "EU-45")
    assert "MRR Art. 45(3)" in substitute["substitute_clause"]
    assert (substitute["population_n"], substitute["population_s"]) == (2, "0.707107")
    assert all(value is None for key, value in lines[0].items() if key.startswith("substitute"))


def test_both_columns_of_mass_add_to_the_total() -> None:
    statement = gaps()
    mass = [line[key] for line in cells(mrr([statement])) for key in ("kg", "substitute_kg") if line[key] is not None]
    assert sum(map(Decimal, mass)) == scaled(sum(row.amount or 0 for row in statement.rows), -3)


def test_an_unconfirmed_clause_is_marked() -> None:
    first, *_ = cells(mrr([gaps("CN-HJ75")]))
    assert not first["confirmed"]
    assert first["clause"].startswith("HJ 76-2017 appendix B")


def test_a_reference_of_no_gas_is_no_lack_of_values() -> None:
    fields = stack_fields()
    row = hour(parse_plan(fields).nodes["eu-mrr"], 0, "missing", c=200, w=1)
    assert [line["rule"] for line in cells(mrr([stated(fields, [row])]))] == ["M1"]


def test_a_site_without_a_stack_has_no_hours_of_the_mrr() -> None:
    with pytest.raises(AccountingError, match="emission by `cems`"):
        mrr([site()])


# ---- China's months


def settlement(of: str, value: str, hours_: tuple[int, int] = (0, 4), unit: str = "kWh", **also: Any) -> Entry:
    begin, end = hours_
    record = also.pop("record", b"\x03" * 32)
    replaces = also.pop("replaces", ())
    values = {"value": Decimal(value)}
    span = T0 + begin * HOUR, T0 + end * HOUR
    return Entry(record, "settlement", of, *span, values, unit, "bill", "accountant", None, replaces)


def month(*entries: Entry, of: str = "grid", **also: Any) -> dict[str, Any]:
    return next(line for line in cells(cn_monthly([site(*entries, **also)])) if line["计量节点"] == of)


def test_a_month_beside_its_settlement() -> None:
    line = month(settlement("grid", "1.0"))
    assert (line["月份"], line["正向有功电能（kWh）"], line["反向有功电能（kWh）"]) == ("2026-10", "0.999508", None)
    assert (line["结算电量（kWh）"], line["差值（表计−结算，kWh）"]) == ("1.000000", "-0.000492")
    assert line["状态"] == "实测 1；按比例分摊 1；不合理 1；未知 1"
    out = month(of="out")
    assert (out["正向有功电能（kWh）"], out["反向有功电能（kWh）"], out["结算电量（kWh）"]) == (
        None,
        "250.000000",
        None,
    )


def test_settlements_in_parts_and_of_a_point() -> None:
    parts = settlement("grid/import", "0.4", (0, 1)), settlement("grid/import", "0.0006", (1, 4), "MWh")
    assert month(*parts)["差值（表计−结算，kWh）"] == "-0.000492"
    assert month(*parts, settlement("grid", "2"))["结算电量（kWh）"] == "2.000000"


@pytest.mark.parametrize(
    ("entries", "settled", "note"),
    [
        ((settlement("grid", "1", (0, 3)),), "1.000000", "结算时段与报表时段不一致，未计算差值"),
        ((settlement("grid", "1"), settlement("grid", "2", record=b"\x04" * 32)), None, "结算条目相互矛盾"),
        ((settlement("grid", "1", (0, 5)),), None, None),
    ],
)
def test_what_gives_no_difference(entries: tuple[Entry, ...], settled: str | None, note: str | None) -> None:
    line = month(*entries)
    assert (line["结算电量（kWh）"], line["差值（表计−结算，kWh）"], line["备注"]) == (settled, None, note)


def test_a_replaced_settlement_counts_no_more() -> None:
    line = month(settlement("grid", "1"), settlement("grid", "2", record=b"\x04" * 32, replaces=(b"\x03" * 32,)))
    assert line["结算电量（kWh）"] == "2.000000"


def test_an_incomplete_month_says_so() -> None:
    assert month(complete=False)["备注"] == "报表不完整"


def test_a_settlement_in_tonnes_counts_for_nothing() -> None:
    assert month(settlement("grid", "1", unit="t"))["结算电量（kWh）"] is None
    again = settlement("grid", "1", record=b"\x04" * 32, replaces=(b"\x03" * 32,))
    assert month(settlement("grid", "1", unit="t"), again)["结算电量（kWh）"] == "1.000000"


# ---- measured and by fuel (M7)


def both(missing: int = 0, fuel_hours: int = 4) -> StatedRows:
    """Four hours of a stack, the last ones without a mass, and two fuels of it."""
    fields = stack_fields()
    fuels = {name: node("emission", f"{name}/mass", method="fuel", compare="eu-mrr") for name in ("coal", "oil")}
    fields["points"] |= {f"{name}/mass": counter("t") for name in fuels}
    fields["profiles"] |= plan_fields()["profiles"]
    fields["nodes"] |= fuels
    plan = parse_plan(fields)
    measured = plan.nodes["eu-mrr"]
    rows = [hour(measured, n, "valid", T_HOUR) for n in range(4 - missing)]
    rows += [hour(measured, n, "missing") for n in range(4 - missing, 4)]
    rows.append(Row("coal", T0, T0 + fuel_hours * HOUR, "split", 250_000_000, {"method": "fuel"}))
    rows.append(Row("oil", T0, T0 + 4 * HOUR, "measured", 20_000_001, {"method": "fuel"}))
    return stated(fields, rows)


def by_fuel(statement: StatedRows) -> list[tuple[Any, ...]]:
    keys = ("node", "status", "node_by_fuel", "node_difference", "node_difference_share")
    return [tuple(line[key] for key in keys) for line in cells(periods([statement]))]


def test_a_measured_emission_stands_beside_those_of_its_fuels() -> None:
    """288 t measured, 250 + 20.000001 t by fuel: 17.999999 t more, 6.25 % of the measured."""
    statement = both()
    assert by_fuel(statement) == [
        ("coal", "split", None, None, None),
        ("eu-mrr", "valid", "270000.001", "17999.999", "0.062500"),
        ("oil", "measured", None, None, None),
    ]
    (found,) = corroborations(statement.plan, statement.span, statement.rows)
    assert (found.by_fuel, found.measured, found.calculated) == (("coal", "oil"), 4 * T_HOUR, 270_000_001)


@pytest.mark.parametrize("statement", [both(missing=1), both(fuel_hours=3)])
def test_what_is_of_different_times_has_no_difference(statement: StatedRows) -> None:
    assert {line[2:] for line in by_fuel(statement) if line[0] == "eu-mrr"} == {("270000.001", None, None)}


@pytest.mark.parametrize(
    ("hours", "amounts", "share"),
    [((0, 1, 4), (100, 150), "0.062500"), ((0, 1, 4), (100, None), None), ((0, 1, 3), (100, 150), None)],
)
def test_rows_of_a_fuel_are_taken_together(
    hours: tuple[int, ...], amounts: tuple[int | None, ...], share: str | None
) -> None:
    """As many rows as there were analyses (M6): of the whole time, with a missing one, of a part of the time."""
    statement = both()
    rows = [row for row in statement.rows if row.node != "coal"]
    for begin, end, tonnes in zip(hours, hours[1:], amounts, strict=False):
        status, grams = ("missing", None) if tonnes is None else ("measured", tonnes * 1_000_000)
        rows.append(Row("coal", T0 + begin * HOUR, T0 + end * HOUR, status, grams, {"method": "fuel"}))
    found = by_fuel(stated(dict(statement.plan.fields), rows))
    assert [line[4] for line in found if line[0] == "eu-mrr"] == [share]


def test_a_substitute_is_measured_enough() -> None:
    statement = both(missing=1)
    beside = hour(statement.plan.nodes["eu-mrr"], 3, "substituted", 54_000_001)
    statement = stated(dict(statement.plan.fields), [*statement.rows, beside])
    assert [found.difference for found in corroborations(statement.plan, statement.span, statement.rows)] == [0]


def test_a_stack_that_stood_still_has_no_share() -> None:
    statement = both(missing=4)
    rows = [row._replace(status="stopped", amount=0) if row.node == "eu-mrr" else row for row in statement.rows]
    (found,) = corroborations(statement.plan, statement.span, rows)
    assert (found.difference, found.share) == (-270_000_001, None)


@pytest.mark.parametrize(
    ("name", "compare", "problem"),
    [
        ("coal", "oil", "oil is no measured emission"),
        ("coal", "furnace", "furnace is no measured emission"),
        ("eu-mrr", "coal", "no emission by fuel"),
    ],
)
def test_a_plan_compares_a_fuel_with_a_stack(name: str, compare: str, problem: str) -> None:
    fields = dict(both().plan.fields)
    fields["nodes"] = {**fields["nodes"], name: {**fields["nodes"][name], "compare": compare}}
    with pytest.raises(AccountingError, match=problem) as refused:
        parse_plan(fields)
    assert refused.value.rule == "M7"
