"""Table of fuels by month and year: quantities, heat and carbon weighted by mass, and where each letter is from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import parse_row, row_bytes
from ledger_client.accounting.tables.fuel import fuel
from ledger_client.accounting.tables.stated import StatedRows
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import burnt, counted, entry

MONTH = 31 * 24 * HOUR
LAB = [bytes([letter]) * 32 for letter in b"abc"]
COAL: dict[str, Any] = {"NCV": Decimal(25), "CC": Decimal(26), "OF": Decimal("0.99")}


def stated(*labs: Entry, month: int = 0, hours: int = 4, unit: str = "t", **defaults: Any) -> StatedRows:
    """A tonne, or 1,000 m³, in each of some hours from T0 on, or so many months of 31 days later."""
    boiler = node("emission", "export/energy", method="fuel", defaults=defaults, fuel="IPCC-2006-lignite")
    plan = parse_plan(plan_fields(points={"export/energy": counter(unit)}, nodes={"boiler": boiler}, civil=0))
    registers = counted("boiler", 1_000_000, *["measured"] * hours, hourly=True)
    later = month * MONTH
    rows = [parse_row(row_bytes(row)) for row in burnt(plan.nodes["boiler"], registers, labs)]
    rows = [row._replace(from_ms=row.from_ms + later, to_ms=row.to_ms + later) for row in rows]
    fields = {"from": T0 + later, "to": T0 + later + hours * HOUR, "version": 1, "plan": b"\x02" * 32}
    return StatedRows(bytes([65 + month]) * 32, fields, plan, rows, labs)


def lab(n: int, hours: tuple[int, int], values: Mapping[str, Any]) -> Entry:
    return entry("lab", "boiler", values, hours=hours, record=LAB[n])


def lines(*statements: StatedRows) -> list[dict[str, Any]]:
    table = fuel(statements)
    return [dict(zip(table.header, line, strict=True)) for line in table.lines]


def shown(line: Mapping[str, Any], *keys: str) -> tuple[Any, ...]:
    return tuple(line[key] for key in keys)


def test_values_are_weighted_by_what_was_burnt() -> None:
    """One tonne of 20 MJ/kg, three of the plan's 25: 23.75; C 0.52 and 0.65: 0.6175; 4 · 0.6175 · 0.99 · 44/12."""
    month, year = lines(stated(lab(0, (0, 1), {"NCV": 20}), **COAL))
    assert shown(month, "fuel", "time", "quantity", "unit") == ("IPCC-2006-lignite", "2026-10", "4.000000", "t")
    assert shown(month, "NCV", "CC", "C", "OF") == ("23.750000", "26.000000", "0.617500", "0.990000")
    assert shown(month, "TJ", "kg", "quantity_missing") == ("0.095000", "8966.100", "0.000000")
    of_both = f"{LAB[0].hex()} defaults"
    assert shown(month, "NCV_from", "CC_from", "OF_from") == (of_both, "defaults", "defaults")
    assert month["C_from"].split() == [LAB[0].hex(), "defaults"]
    assert shown(year, "time", "quantity", "kg") == ("2026", "4.000000", "8966.100")


def test_carbon_as_received_says_nothing_of_heat() -> None:
    values = {"C_ad": Decimal("0.6"), "M_ar": 10, "M_ad": 4}
    (month, _) = lines(stated(lab(0, (0, 4), values)))
    assert shown(month, "C", "NCV", "CC", "TJ", "OF", "OF_from") == ("0.562500", None, None, None, "1.000000", "1")
    assert month["C_from"] == LAB[0].hex()


def test_what_no_analysis_is_of_stands_beside_and_takes_the_mean_away() -> None:
    (month, _) = lines(stated(lab(0, (0, 3), {"C_ar": Decimal("0.6")})))
    assert shown(month, "quantity", "quantity_missing", "C", "kg") == ("4.000000", "1.000000", None, "6600.000")


def test_gas_is_in_cubic_metres() -> None:
    (month, _) = lines(stated(unit="m3", NCV=Decimal("0.0389"), CC=Decimal("15.3")))
    assert shown(month, "quantity", "unit", "TJ") == ("4000.000", "m3", "0.000156")


def test_a_year_is_the_sum_of_its_months() -> None:
    october, november = stated(**COAL), stated(lab(1, (0, 2), {"NCV": 20}), month=1, hours=2, **COAL)
    first, second, year = lines(november, october)
    assert [line["time"] for line in (first, second, year)] == ["2026-10", "2026-11", "2026"]
    assert shown(year, "quantity", "NCV", "TJ") == ("6.000000", "23.333333", "0.140000")
    assert Decimal(year["kg"]) == Decimal(first["kg"]) + Decimal(second["kg"])
    assert year["NCV_from"] == f"defaults {LAB[1].hex()}"
    assert year["statement"].split() == [october.record.hex(), november.record.hex()]
    assert shown(year, "from", "to", "whole") == ("2026-10-01T00:00:00Z", "2026-11-01T02:00:00Z", False)


def test_a_month_without_a_gap_is_whole() -> None:
    assert [line["whole"] for line in lines(stated(hours=31 * 24, **COAL))] == [True, False]


def test_an_analysis_that_no_file_holds_is_named() -> None:
    statement = stated(lab(0, (0, 4), {"C_ar": Decimal("0.6")}))
    bare = StatedRows(statement.record, statement.fields, statement.plan, statement.rows, ())
    with pytest.raises(AccountingError, match=LAB[0].hex()) as refused:
        fuel([bare])
    assert refused.value.rule == "P9"
    nothing = parse_plan(plan_fields())
    with pytest.raises(AccountingError, match="no node"):
        fuel([StatedRows(statement.record, statement.fields, nothing, (), ())])
