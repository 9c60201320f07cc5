"""Emissions from energy and fuel: factors by year and region, analyses and defaults (M6, M8, F1, F2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.counters import Stated
from ledger_client.accounting.factors import series
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.products import electricity
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import burnt, counted, entry, loaded

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
        ({"OF": Decimal("0.99")}, [{"NCV": Decimal(24), "CC": Decimal(26)}], "2265.120", True),
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
    records = [bytes([n]) * 32 for n in range(len(analyses))]
    labs = [
        entry("lab", "boiler", values, record=records[n], replaces=tuple(records[:n]))
        for n, values in enumerate(analyses)
    ]
    (row,) = burnt(boiler(**defaults), counted("boiler", TONNE), labs)
    assert Decimal(row.amount or 0) / 1000 == Decimal(kg)
    assert (row.facts.get("reason") == "defaults") == marked


LAB = [bytes([letter]) * 32 for letter in b"abcdef"]
"""Hashes of entries."""


def rows_of(*labs: Entry, defaults: dict[str, Decimal] = NCV_CC, hours: int = 4) -> list[tuple[Any, ...]]:
    """A tonne in each of some hours: from and to in hours, kg, analyses, reason of each row."""
    rows = burnt(boiler(**defaults), counted("boiler", TONNE, *["measured"] * hours, hourly=True), labs)
    return [
        ((row.from_ms - T0) // HOUR, (row.to_ms - T0) // HOUR, row.amount and Decimal(row.amount) / 1000,
         row.facts.get("analyses"), row.facts.get("reason"))
        for row in rows
    ]  # fmt: skip


def test_a_row_for_each_stretch_of_the_same_analyses() -> None:
    """Carbon of the whole time, moisture of two hours each: 0.6 · 90/96 · 44/12 t, and 0.6 · 72/96 · 44/12 t."""
    carbon = entry("lab", "boiler", {"C_ad": Decimal("0.6"), "M_ad": 4}, hours=(-100, 100), record=LAB[0])
    dry = entry("lab", "boiler", {"M_ar": 10}, hours=(-2, 2), record=LAB[1])
    wet = entry("lab", "boiler", {"M_ar": 28}, hours=(2, 4), record=LAB[2])
    of_coal = {"C_ad": LAB[0], "M_ad": LAB[0]}
    assert rows_of(wet, carbon, dry) == [
        (0, 2, Decimal("4125.000"), {**of_coal, "M_ar": LAB[1]}, None),
        (2, 4, Decimal("3300.000"), {**of_coal, "M_ar": LAB[2]}, None),
    ]


def test_an_interval_is_of_the_analysis_in_which_it_ends() -> None:
    """Half an hour into the second one: that ends within the analysis; the one in which it ends does not."""
    lab = entry("lab", "boiler", {"C_ar": Decimal("0.3")}, hours=(0.5, 2.5), record=LAB[0])
    other = entry("lab", "another", {"C_ar": Decimal("0.1")}, hours=(0, 4), record=LAB[1])
    assert rows_of(lab, other) == [
        (0, 2, Decimal("2200.000"), {"C_ar": LAB[0]}, None),
        (2, 4, Decimal("4881.360"), None, "defaults"),
    ]


def test_an_analysis_that_no_mass_is_made_of_is_named() -> None:
    """NCV alone makes no carbon without CC; it is there for the TJ."""
    lab = entry("lab", "boiler", {"NCV": 20}, hours=(0, 4), record=LAB[0])
    assert rows_of(lab, defaults={"C_ar": Decimal("0.6")}) == [(0, 4, Decimal("8800.000"), {"NCV": LAB[0]}, "defaults")]


def test_what_no_analysis_and_no_default_is_of_is_missing() -> None:
    lab = entry("lab", "boiler", {"C_ar": Decimal("0.6")}, hours=(1, 3), record=LAB[0])
    moisture = entry("lab", "boiler", {"M_ar": 9}, hours=(3, 4), record=LAB[1])
    assert rows_of(lab, moisture, defaults={"C_ad": Decimal("0.6")}) == [
        (0, 1, None, None, None),
        (1, 3, Decimal("4400.000"), {"C_ar": LAB[0]}, None),
        (3, 4, None, {"M_ar": LAB[1]}, None),
    ]
    (first, *_) = burnt(boiler(), counted("boiler", TONNE))
    assert first.status == "missing"


@pytest.mark.parametrize(
    ("begins", "analysed", "status"),
    [(0, (0, 3), "split"), (-1, (-1, 3), "unallocated"), (0, (2, 3), "unallocated")],
)
def test_open_edges_within_a_row_do_not_worsen_it(begins: int, analysed: tuple[int, int], status: str) -> None:
    """Three hours without edges between them: of the period and of one analysis; begun before it; of two."""
    hours = counted("boiler", TONNE, *["measured"] * 3)
    begin, end = T0 + begins * HOUR, T0 + 3 * HOUR
    (line,) = hours.lines
    line.register.edges[begin // HOUR] = line.register.edges[T0 // HOUR]
    row = Row("boiler", begin, end, "unallocated", TONNE, {"edges": hours.edges(begin, end, HOUR)})
    stretch = Stated([row], False, None, {}, [line], {begin: "split"})
    lab = entry("lab", "boiler", {"C_ar": Decimal("0.6")}, hours=analysed, record=LAB[0])
    (found,) = burnt(boiler(), stretch, [lab])
    assert (found.status, found.amount) == (status, 2_200_000)
    plan, load_node = load(factor(2026))
    (found,) = electricity(plan, load_node, stretch, T0)
    assert found.status == ("unallocated" if begins else "split")


def test_without_edges_there_is_no_row() -> None:
    nothing = counted("boiler", TONNE)._replace(rows=[])
    assert burnt(boiler(**NCV_CC), nothing) == []


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
    row = loaded(plan, load_node, MWH, year)
    assert row.facts["factor"] == f"grid-{used}"
    assert (row.facts.get("reason") == "provisional") == provisional


@pytest.mark.parametrize(
    ("unit", "kg"), [("t/MWh", "202.3"), ("kg/kWh", "202.3"), ("kg/MWh", "0.2023"), ("g/kWh", "0.2023")]
)
def test_units_of_factors(unit: str, kg: str) -> None:
    plan, load_node = load(factor(2023, unit=unit))
    row = loaded(plan, load_node, MWH, 2023)
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
        loaded(plan, load_node, MWH, 2020)
    assert refused.value.rule == rule


def test_a_fixed_factor_is_of_any_year() -> None:
    plan, load_node = load(factor(2019), factor(2020), rule="fixed", factor_id="grid-2019")
    row = loaded(plan, load_node, MWH, 2026)
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
    row = loaded(plan, plan.nodes["load"], MWH, 2023)
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
        ("t", {"method": "fuel", "below": "other"}, "P5", "not counted below 0"),
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
