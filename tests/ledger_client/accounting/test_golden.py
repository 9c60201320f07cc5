"""Figures and formulas that are not ours: MRR Annex VIII, 40 CFR 98.33, IPCC 2006, China's electricity factors.

Each case is computed here by the document's formula and units, and again by the accounting.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from statistics import mean, stdev

import pytest

from ledger_client.accounting import profiles
from ledger_client.accounting.assembly import times_of
from ledger_client.accounting.cems import node_rows
from ledger_client.accounting.factors import load, series
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.substitution import substitutes
from ledger_client.accounting.uncertainty import of_product, relative
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import NORMAL, STEP, burnt, counted, filled, hour, loaded, stack


def near(value: Fraction, other: Fraction, within: Fraction) -> bool:
    return abs(value / other - 1) < within


# ---- Regulation (EU) 2018/2066 Annex VIII


def two_hours() -> tuple[list[tuple[Decimal, Decimal]], list[Row]]:
    """Concentrations in g/Nm³ and flows in Nm³/s of two hours, and their rows."""
    hours = [(Decimal("200.25"), Decimal("100.5")), (Decimal("187.12"), Decimal("93.75"))]
    plan, stack_node = stack()
    gauges = filled(plan, stack_node, {}, [])
    for n, (c, q) in enumerate(hours):
        for letter, value in {**NORMAL, "c": c, "Q": q}.items():
            for ms in range(n * HOUR, (n + 1) * HOUR, STEP):
                gauges[letter].observe(T0 + ms, value, 0, gauges[letter].point.unit_name, True, b"")
    return hours, node_rows(plan, stack_node, gauges, T0, T0 + 2 * HOUR, 0)


def test_equation_1_the_year_is_the_sum_of_concentration_by_flow() -> None:
    """GHG Em_total [t] = Σ GHG conc_hourly,i [g/Nm³] × V_hourly,i [Nm³/h] × 10⁻⁶."""
    hours, rows = two_hours()
    tonnes = sum((c * q * 3600 for c, q in hours), Decimal(0)) / 10**6
    assert Decimal(sum(row.amount or 0 for row in rows)) / 10**6 == tonnes


def test_equation_2_average_hourly_emissions() -> None:
    """GHG Em_average [kg/h] = Σ GHG conc_hourly,i × V_hourly,i ÷ (HoursOp × 1000)."""
    hours, rows = two_hours()
    average = sum((c * q * 3600 for c, q in hours), Decimal(0)) / (2 * 1000)
    assert Decimal(sum(row.amount or 0 for row in rows)) / 1000 / len(rows) == average


def test_equation_4_a_missing_concentration() -> None:
    """C*_subst = C̄ + 2·σ_C, σ the best estimate of the standard deviation: n − 1."""
    plan, stack_node = stack()
    hours = [Decimal(c) for c in ("197.3", "201.12", "188.4", "210", "199.999")]
    rows = [*(hour(stack_node, n, "valid", 1, c=c) for n, c in enumerate(hours)), hour(stack_node, 5, "missing")]
    (found,) = substitutes(plan, stack_node, rows, (), (), times_of(plan, T0), T0 + 6 * HOUR)
    content = round(mean(hours), 6) + 2 * round(stdev(hours), 6)
    assert found.amount == round(content * 100 * 3600)


@pytest.mark.parametrize(("instruments", "tier"), [(("1.5", "1.5", "0.5", "0.5"), 4), (("1.5", "2", "0.5", "0.5"), 3)])
def test_table_1_tiers_of_co2(instruments: tuple[str, ...], tier: int) -> None:
    """Tiers of CO₂ emission sources: ±10, ±7.5, ±5, ±2.5 %; the product of independent instruments in quadrature."""
    most = (Fraction(10), Fraction(15, 2), Fraction(5), Fraction(5, 2))
    squares = of_product(Fraction(u) / 100 for u in instruments)
    assert squares is not None
    u = relative(squares * 10**12, 10**6)
    assert u is not None
    assert sum(Fraction(u, 10**4) <= bound for bound in most) == tier


# ---- 40 CFR 98.33: another authority's mass

CUBIC_FOOT = Fraction("0.028316846592")  # m³
C6 = Fraction("5.18e-7")  # metric tons for a standard cubic foot (68 °F, 14.7 psia) and a percent of CO₂


@pytest.mark.parametrize(
    ("basis", "water"), [(("wet", "wet"), "0.1"), (("dry", "wet"), "0.1"), (("dry", "wet"), "0.22")]
)
def test_equations_c6_and_c7(basis: tuple[str, str], water: str) -> None:
    """CO₂ = 5.18×10⁻⁷ × C_CO2 [%] × Q [scfh] (C-6), × (100 − %H₂O)/100 where C is dry and Q is wet (C-7)."""
    plan, stack_node = stack(content="/", basis=basis)
    gas: dict[str, float | Decimal] = {"c": Decimal("0.128"), "Q": 145, "t": 20, "p": 101_325, "w": Decimal(water)}
    (row,) = node_rows(plan, stack_node, filled(plan, stack_node, gas), T0, T0 + HOUR, 0)
    tonnes = C6 * Fraction("12.8") * 145 * 3600 / CUBIC_FOOT
    if basis == ("dry", "wet"):
        tonnes *= (100 - Fraction(water) * 100) / 100
    assert near(Fraction(row.amount or 0, 10**6), tonnes, Fraction(1, 1000))


def fuel_node(defaults: dict[str, Decimal], unit: str = "t", regime: str = "CN-HJ75") -> Node:
    """A boiler whose fuel is counted."""
    plan = parse_plan(
        plan_fields(
            points={"scale/fuel": counter(unit)},
            nodes={"boiler": node("emission", "scale/fuel", method="fuel", profile=regime, defaults=defaults)},
            profiles={regime: dict(profiles.load(regime))},
        )
    )
    return plan.nodes["boiler"]


def test_equation_c1() -> None:
    """CO₂ [t] = 1×10⁻³ × Fuel × HHV × EF; table C-1, bituminous coal: 24.93 mmBtu a short ton, 93.28 kg CO₂ a mmBtu."""
    short_ton, mmbtu = Decimal("907.18474"), Decimal("1055.05585262")  # kg, MJ
    heat = Decimal("24.93") * mmbtu / short_ton
    carbon = Decimal("93.28") / mmbtu * 1000 * 12 / 44
    (row,) = burnt(fuel_node({"NCV": heat, "CC": carbon}), counted("boiler", 907_184_740))
    assert near(
        Fraction(row.amount or 0, 10**6),
        Fraction(10**-3 * 1000 * Fraction("24.93") * Fraction("93.28")),
        Fraction(1, 10**8),
    )


# ---- IPCC 2006 Guidelines


@pytest.mark.parametrize(
    ("name", "tonnes"),
    [
        ("other-bituminous-coal", "2.440680"),
        ("natural-gas", "2.692800"),
        ("gas-diesel-oil", "3.186300"),
        ("lignite", "1.201900"),
    ],
)
def test_fuels_by_their_defaults(name: str, tonnes: str) -> None:
    """t CO₂ a tonne of fuel: table 1.2 × table 1.4, which is rounded to three figures; M6 takes tables 1.2 and 1.3."""
    letters = {f["id"].rpartition("-")[2]: Decimal(f["value"]) for f in series(f"IPCC-2006-{name}")}
    assert letters["NCV"] * letters["CO2"] / 10**6 == Decimal(tonnes)
    boiler = fuel_node({"NCV": letters["NCV"], "CC": letters["CC"]})
    (row,) = burnt(boiler, counted("boiler", 1_000_000))
    assert near(Fraction(row.amount or 0, 10**6), Fraction(tonnes), Fraction(1, 400))
    assert row.facts["reason"] == "defaults"


def test_a_ratio_of_the_regime() -> None:
    """The EU's 3.664 t CO₂ a tonne of carbon: a tonne of carbon is 3,664 kg, and 3,666.667 kg by 44/12."""
    pure = {"C_ar": Decimal(1)}
    eu, cn = (burnt(fuel_node(pure, regime=regime), counted("boiler", 10**6))[0] for regime in ("EU-MRR", "CN-HJ75"))
    assert (eu.amount, cn.amount) == (3_664_000, 3_666_667)


# ---- China's factors


def grid(rule: str = "year-of-use", name: str = "CN-average", **also: object) -> tuple[Plan, Node]:
    """A factory's load with a published factor."""
    load_node = node("emission", "export/energy", method="electricity", factor=name, factor_rule=rule, **also)
    plan = parse_plan(plan_fields(nodes={"load": load_node}, factors=[dict(f) for f in load() if f["series"] == name]))
    return plan, plan.nodes["load"]


@pytest.mark.parametrize(
    ("name", "year", "kg"),
    [
        ("CN-average", 2021, 556_800), ("CN-average", 2022, 536_600), ("CN-average", 2023, 530_600),
        ("CN-residual", 2023, 609_600), ("CN-fossil", 2023, 827_300), ("CN-GD-average", 2023, 441_900),
    ],
)  # fmt: skip
def test_a_thousand_megawatt_hours(name: str, year: int, kg: int) -> None:
    plan, stack_node = grid(name=name)
    row = loaded(plan, stack_node, 10**12, year)
    assert row.amount == kg * 1000
    assert row.facts["factor"] == f"{name}-{year}"
    assert "reason" not in row.facts


def test_until_the_year_is_published_the_newest_is_provisional() -> None:
    plan, stack_node = grid()
    row = loaded(plan, stack_node, 10**12, 2026)
    assert (row.facts["factor"], row.facts["reason"]) == ("CN-average-2023", "provisional")
