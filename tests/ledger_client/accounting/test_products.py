"""Emissions from energy and fuel: factors by year and region, analyses and defaults (M6, M8, F1, F2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.factors import series
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.products import electricity, fuel
from tests.ledger_client.accounting.plans import counter, node, plan_fields
from tests.ledger_client.accounting.stacks import counted, entry

TONNE = 1_000_000
"""Thousandths of a kg."""
MWH = 10**9
NCV_CC = {"NCV": Decimal("25.8"), "CC": Decimal("25.8")}
AD = {"C_ad": Decimal("0.6"), "M_ar": Decimal(10), "M_ad": Decimal(4)}
"""C_ar = 0.6 × 90/96 = 0.5625."""


def boiler(**defaults: Decimal) -> Node:
    """A node of kind fuel by 44/12."""
    fields = node("emission", "scale/fuel", method="fuel", defaults=defaults)
    return parse_plan(plan_fields(points={"scale/fuel": counter("t")}, nodes={"boiler": fields})).nodes["boiler"]


@pytest.mark.parametrize(
    ("defaults", "analyses", "kg", "marked"),
    [
        (NCV_CC, [], "2440.680", True),
        ({**NCV_CC, "OF": Decimal("0.99")}, [], "2416.273", True),
        ({"C_ar": Decimal("0.6")}, [], "2200.000", True),
        (AD, [], "2062.500", True),
        (NCV_CC, [{"NCV": Decimal(24), "CC": Decimal(26)}], "2288.000", False),
        (NCV_CC, [{"NCV": Decimal(24)}], "2270.400", True),
        (NCV_CC, [{"NCV": Decimal(24)}, {"CC": Decimal(26)}], "2288.000", False),
        (NCV_CC, [{"NCV": Decimal(1)}, {"NCV": Decimal(24), "CC": Decimal(26)}], "2288.000", False),
        ({"C_ar": Decimal("0.6")}, [AD], "2062.500", False),
        ({"C_ar": Decimal("0.6")}, [NCV_CC], "2440.680", False),
        ({**AD, "OF": Decimal(1)}, [{"C_ad": Decimal("0.64")}], "2200.000", True),
        ({}, [{**AD, "OF": Decimal("0.98")}], "2021.250", False),
    ],
)
def test_analyses_go_before_defaults(
    defaults: dict[str, Decimal], analyses: list[dict[str, Decimal]], kg: str, marked: bool
) -> None:
    labs = [entry("lab", "boiler", values) for values in analyses]
    (row,) = fuel(boiler(**defaults), counted("boiler", TONNE), labs)
    assert Decimal(row.amount or 0) / 1000 == Decimal(kg)
    assert (row.facts.get("reason") == "defaults") == marked


def test_an_analysis_of_a_part_of_the_time_or_of_another_node_does_not_count() -> None:
    boiler_node = boiler(**NCV_CC)
    lab = {"NCV": Decimal(1), "CC": Decimal(1)}
    strange = [
        entry("lab", "other", lab, hours=(0, 2)),
        entry("lab", "boiler", lab),
        entry("lab", "boiler", lab, hours=(1, 2)),
    ]
    (row,) = fuel(boiler_node, counted("boiler", TONNE, "measured", "split"), strange)
    assert row.amount == 2_440_680
    assert (row.status, row.facts["reason"]) == ("split", "defaults")


@pytest.mark.parametrize("values", [{}, {"NCV": Decimal(25)}, {"C_ad": Decimal("0.6"), "M_ar": Decimal(9)}])
def test_too_few_letters_are_refused(values: dict[str, Decimal]) -> None:
    with pytest.raises(AccountingError, match="is known") as refused:
        fuel(boiler(**values), counted("boiler", TONNE), ())
    assert refused.value.rule == "M6"


def test_a_sample_that_is_all_water_is_refused() -> None:
    with pytest.raises(AccountingError, match="all water"):
        fuel(boiler(**AD | {"M_ad": Decimal(100)}), counted("boiler", TONNE), ())


def test_without_edges_there_is_no_row() -> None:
    nothing = counted("boiler", TONNE)._replace(rows=[])
    assert fuel(boiler(**NCV_CC), nothing, ()) == []


# ---- factors


def factor(vintage: int, **also: Any) -> dict[str, Any]:
    fields = {
        "series": "grid", "id": f"grid-{vintage}", "kind": "average", "value": f"0.{vintage}", "unit": "t/MWh",
        "region": "CN", "vintage": vintage, "published": "2026-01-01", "document": "announcement", "confirmed": True,
    }  # fmt: skip
    return fields | also


def load(*factors: dict[str, Any], rule: str = "year-of-use", **also: Any) -> tuple[Plan, Node]:
    fields = node("emission", "export/energy", method="electricity", factor="grid", factor_rule=rule, **also)
    plan = parse_plan(plan_fields(nodes={"load": fields}, factors=list(factors)))
    return plan, plan.nodes["load"]


@pytest.mark.parametrize(
    ("year", "used", "provisional"),
    [(2021, 2021, False), (2022, 2021, True), (2023, 2023, False), (2030, 2023, True)],
)
def test_the_year_of_use(year: int, used: int, provisional: bool) -> None:
    plan, load_node = load(factor(2023), factor(2021), factor(2019))
    (row,) = electricity(plan, load_node, counted("load", MWH), year)
    assert row.facts["factor"] == f"grid-{used}"
    assert (row.facts.get("reason") == "provisional") == provisional


@pytest.mark.parametrize(
    ("unit", "kg"), [("t/MWh", "202.3"), ("kg/kWh", "202.3"), ("kg/MWh", "0.2023"), ("g/kWh", "0.2023")]
)
def test_units_of_factors(unit: str, kg: str) -> None:
    plan, load_node = load(factor(2023, unit=unit))
    (row,) = electricity(plan, load_node, counted("load", MWH), 2023)
    assert row.amount == round(Decimal(kg) * 1000)


@pytest.mark.parametrize(
    ("factors", "also", "rule", "words"),
    [
        ([factor(2021), factor(2022)], {}, "F2", "no factor for 2020 or before"),
        ([factor(2019), factor(2019, id="again")], {}, "F2", "two factors for 2019"),
        ([factor(2019, region="CN-GD")], {"zone": "CN-BJ"}, "F2", "not of region CN-BJ"),
        ([factor(2019), factor(2018, region="CN-GD")], {"zone": "CN"}, "F2", "not of region CN"),
        ([factor(2019, unit="kg/GJ")], {}, "F1", "kg/GJ is no unit"),
        ([factor(2019), factor(2020)], {"rule": "fixed"}, "F2", "2 factors of grid fit"),
        ([factor(2019)], {"rule": "fixed", "factor_id": "other"}, "F2", "0 factors of grid fit"),
    ],
)
def test_factors_that_are_refused(factors: list[dict[str, Any]], also: dict[str, Any], rule: str, words: str) -> None:
    plan, load_node = load(*factors, **also)
    with pytest.raises(AccountingError, match=words) as refused:
        electricity(plan, load_node, counted("load", MWH), 2020)
    assert refused.value.rule == rule


def test_a_fixed_factor_is_of_any_year() -> None:
    plan, load_node = load(factor(2019), factor(2020), rule="fixed", factor_id="grid-2019")
    (row,) = electricity(plan, load_node, counted("load", MWH), 2026)
    assert (row.facts["factor"], "reason" in row.facts) == ("grid-2019", False)


def test_a_load_of_a_region_takes_its_series() -> None:
    fields = node(
        "emission",
        "export/energy",
        method="electricity",
        zone="CN-GD",
        factor="CN-GD-average",
        factor_rule="year-of-use",
    )
    plan = parse_plan(plan_fields(nodes={"load": fields}, factors=[dict(f) for f in series("CN-GD-average")]))
    (row,) = electricity(plan, plan.nodes["load"], counted("load", MWH), 2023)
    assert row.amount == 441_900


@pytest.mark.parametrize(
    ("unit", "overrides", "rule", "words"),
    [
        ("kWh", {"method": "fuel", "defaults": NCV_CC}, "P4", "count no fuel"),
        ("t", {"method": "electricity", "factor": "grid", "factor_rule": "fixed"}, "P4", "count no electricity"),
        ("kWh", {"method": "electricity"}, "F2", "it is missing"),
        (
            "kWh",
            {"method": "electricity", "factor": "other", "factor_rule": "fixed"},
            "F2",
            "no factor of series other",
        ),
        ("t", {"method": "fuel", "defaults": {"NCV": "25.8"}}, "M6", "not a number"),
        ("t", {"method": "fuel", "terms": []}, "P4", "count no fuel"),
    ],
)
def test_plans_that_are_refused(unit: str, overrides: dict[str, Any], rule: str, words: str) -> None:
    fields = plan_fields(
        points={"meter/total": counter(unit)},
        nodes={"stack": node("emission", "meter/total") | overrides},
        factors=[factor(2023)],
    )
    with pytest.raises(AccountingError, match=words) as refused:
        parse_plan(fields)
    assert refused.value.rule == rule


@pytest.mark.parametrize(("value", "rule"), [("a half", "F1"), ("1/0", "F1"), (Decimal("0.5"), "F1")])
def test_a_value_is_a_number_as_text(value: object, rule: str) -> None:
    with pytest.raises(AccountingError) as refused:
        load(factor(2023, value=value))
    assert refused.value.rule == rule
