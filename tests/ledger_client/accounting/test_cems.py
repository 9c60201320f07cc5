"""Measured emissions: status and mass of each reference (H4, M1–M4), and what a plan of a stack is refused for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from ledger_client.accounting.cems import node_rows, representative
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from tests.ledger_client.accounting.plans import HOUR, T0
from tests.ledger_client.accounting.stacks import (
    NORMAL,
    STEP,
    T_HOUR,
    filled,
    gauge,
    stack,
    stack_fields,
    stack_node,
)


def stated(values: dict[str, Any], **also: Any) -> Row:
    """The row of one hour."""
    plan, stack_node = stack(**also)
    (row,) = node_rows(plan, stack_node, filled(plan, stack_node, {**NORMAL, **values}), T0, T0 + HOUR, 0)
    return row


def test_a_dry_gas_at_normal_conditions() -> None:
    row = stated({})
    assert (row.status, row.amount) == ("valid", T_HOUR)
    assert [facts[:3] for facts in row.facts["inputs"]] == [[f"stack/{x}", 360, 360] for x in ("Q", "c", "p", "t", "w")]


@pytest.mark.parametrize(
    ("gas", "share"),
    [
        ({"t": Decimal("136.575")}, Fraction(2, 3)),
        ({"p": 202_650}, Fraction(2)),
        ({"t": Decimal("273.15"), "p": 202_650}, Fraction(1)),
    ],
)
def test_temperature_and_pressure(gas: dict[str, Any], share: Fraction) -> None:
    assert stated(gas).amount == T_HOUR * share


@pytest.mark.parametrize(
    ("basis", "share"),
    [
        (("dry", "dry"), Fraction(1)), (("wet", "wet"), Fraction(1)),
        (("dry", "wet"), Fraction(9, 10)), (("wet", "dry"), Fraction(10, 9)),
    ],
)  # fmt: skip
def test_wet_and_dry(basis: tuple[str, str], share: Fraction) -> None:
    """``basis`` of the concentration and of the flow, with a tenth of water."""
    assert stated({"w": Decimal("0.1")}, basis=basis).amount == T_HOUR * share


def test_a_share_needs_the_density() -> None:
    """12 % CO₂ of 1.9635 kg/Nm³ is 235.62 g/Nm³; the same as parts per million."""
    whole = T_HOUR * Fraction("235.62") / 200
    assert stated({"c": Decimal("0.12")}, content="/").amount == whole
    assert stated({"c": 120_000}, content="ppm").amount == whole


@pytest.mark.parametrize("gas", [{"t": Decimal("-273.15")}, {"w": 1}, {"w": Decimal("1.2")}])
def test_a_gas_that_cannot_be_is_missing(gas: dict[str, Any]) -> None:
    row = stated(gas, basis=("wet", "dry"))
    assert (row.status, row.amount) == ("missing", None)


def running(run: dict[int, float], regime: str = "EU-MRR", content: float = 200) -> list[Row]:
    """Two hours with an operating signal: ``run`` is its value from a ms on, until the next. A value of −1 is none."""
    fields = stack_fields(regime)
    fields["nodes"] = {"stack": stack_node(regime, operating="stack/run", threshold=Decimal("0.5"))}
    plan = parse_plan(fields)
    node_of = plan.nodes["stack"]
    gauges = filled(plan, node_of, {**NORMAL, "operating": 1}, [])
    for ms in range(0, 2 * HOUR, STEP):
        values = {**NORMAL, "c": content, "operating": run[max(begin for begin in run if begin <= ms)]}
        for letter, of in gauges.items():
            if values[letter] >= 0:
                of.observe(T0 + ms, values[letter], 0, of.point.unit_name, True, b"")
    return node_rows(plan, node_of, gauges, T0, T0 + 2 * HOUR, 0)


@pytest.mark.parametrize("regime", ["EU-MRR", "CN-HJ75"])
def test_what_is_measured_is_valid_whatever_the_signal_says(regime: str) -> None:
    """A start-up at load 0 burns: a threshold never makes its gas disappear."""
    on, off = running({0: 1, HOUR: 0}, regime)
    assert [(row.status, row.amount, row.facts.get("reason")) for row in (on, off)] == [
        ("valid", T_HOUR, None), ("valid", T_HOUR, "below-threshold"),
    ]  # fmt: skip
    assert [representative(row) for row in (on, off)] == [True, False]


@pytest.mark.parametrize("regime", ["EU-MRR", "CN-HJ75"])
def test_a_standstill_takes_the_place_of_what_is_missing(regime: str) -> None:
    assert [(row.status, row.amount) for row in running({0: 1, HOUR: 0}, regime, -1)] == [
        ("missing", None), ("stopped", 0),
    ]  # fmt: skip


def test_one_value_at_the_threshold_is_no_standstill() -> None:
    assert [row.status for row in running({0: 0, STEP: 0.5, 2 * STEP: 0}, content=-1)] == ["missing", "stopped"]


def test_a_signal_that_is_not_valid_stops_nothing() -> None:
    """Four fifths of the first hour are there, of the second half."""
    rows = running({0: 0, HOUR * 8 // 10: -1, HOUR: 0, HOUR * 3 // 2: -1}, content=-1)
    assert [row.status for row in rows] == ["stopped", "missing"]


def test_a_mass_below_zero_is_zero() -> None:
    """An analyser below its zero takes nothing from other hours."""
    assert (stated({"c": -3}).status, stated({"c": -3}).amount) == ("valid", 0)


def test_hours_before_the_plan_was_signed_are_marked() -> None:
    plan, stack_node = stack()
    (row,) = node_rows(plan, stack_node, filled(plan, stack_node, NORMAL), T0, T0 + HOUR, T0 + 1)
    assert row.facts["retrospective"]


def point(letter: str, **also: Any) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        fields["points"][f"stack/{letter}"] |= also

    return change


def regime(**also: Any) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        (stack_node,) = fields["profiles"].values()
        stack_node.update(also)

    return change


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        *places, last = path
        for place in places:
            fields = fields[place]
        del fields[last]

    return change


def counter_as_signal(fields: dict[str, Any]) -> None:
    fields["points"]["stack/run"] = {"kind": "counter", "unit": "kWh", "sample": STEP, "max": 1}
    fields["nodes"]["eu-mrr"] |= {"operating": "stack/run", "threshold": 1}


def slow_signal(fields: dict[str, Any]) -> None:
    fields["points"]["stack/run"]["sample"] = 5 * 60_000
    (stack_node,) = fields["nodes"].values()
    stack_node |= {"operating": "stack/run", "threshold": 1}


@pytest.mark.parametrize(
    ("profile", "change", "rule", "words"),
    [
        ("EU-MRR", without("points", "stack/c", "basis"), "M2", "does not say wet or dry"),
        ("EU-MRR", point("Q", basis="wet"), "", ""),
        ("EU-MRR", without("nodes", "eu-mrr", "inputs", "t"), "P4", "t is missing"),
        ("EU-MRR", point("p", unit="kPa"), "M1", "stack/p is in kPa"),
        ("EU-MRR", point("c", unit="Cel"), "M1", "its unit is one of"),
        ("EU-MRR", point("p", pressure="gauge"), "P3", "absolute pressure"),
        ("EU-MRR", point("c", sample=7_000_000), "P3", "longer than the interval"),
        ("EU-MRR", point("c", sample=7_000), "P3", "do not divide"),
        ("EU-MRR", point("c", range=[5, 1]), "P3", "it is not"),
        ("EU-MRR", point("c", range=["a", "b"]), "P3", "it is not"),
        ("CN-HJ75", point("c", sample=40_000), "P3", "divides no minute"),
        ("CN-HJ75", point("c", sample=120_000), "P3", "divides no minute"),
        ("CN-HJ75", slow_signal, "P3", "divides no minute"),
        ("EU-MRR", regime(most_sample=5000), "P3", "asks for 5000"),
        ("EU-MRR", counter_as_signal, "P4", "stack/run is no gauge"),
        ("EU-MRR", without("profiles", "EU-MRR", "validity"), "H2", "does not say when a reference is valid"),
        ("EU-MRR", regime(share=Decimal("1.01")), "H2", "not a share"),
        ("EU-MRR", regime(share=0), "H2", "not a share"),
        ("EU-MRR", regime(share=float("nan")), "H7", "not a number"),
        ("EU-MRR", regime(reference=1_000_000), "H1", "does not divide the interval"),
        ("EU-MRR", regime(reference=7_200_000), "H1", "does not divide the interval"),
        ("CN-HJ75", regime(reference=900_000), "H2", "more minutes than a reference has"),
    ],
)
def test_plans_of_stacks_that_are_refused(profile: str, change: Any, rule: str, words: str) -> None:
    fields = stack_fields(profile)
    change(fields)
    if not rule:
        parse_plan(fields)
        return
    with pytest.raises(AccountingError) as refused:
        parse_plan(fields)
    assert refused.value.rule == rule, refused.value.sentence
    assert words in str(refused.value.sentence) + refused.value.way_out


def test_water_where_wet_meets_dry() -> None:
    fields = stack_fields(basis=("wet", "dry"))
    del fields["nodes"]["eu-mrr"]["inputs"]["w"]
    with pytest.raises(AccountingError, match="wet meets dry"):
        parse_plan(fields)


def test_percent_without_a_density() -> None:
    fields = stack_fields(content="ppm")
    del fields["profiles"]["EU-MRR"]["density"]
    with pytest.raises(AccountingError, match="density"):
        parse_plan(fields)


def test_a_sample_divides_the_reference_of_the_profile() -> None:
    fields = stack_fields()
    fields["profiles"]["EU-MRR"]["reference"] = 900_000
    fields["points"]["stack/c"] = gauge("mg/l", basis="dry") | {"sample": 1_800_000}
    with pytest.raises(AccountingError, match="divides no reference"):
        parse_plan(fields)
