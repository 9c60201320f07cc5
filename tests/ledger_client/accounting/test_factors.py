"""Factors that come with Meterseal: complete, of the published figures, and listed by the command (F1)."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from pycddl import Schema

from ledger_client.accounting.factors import load, series
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.formats import cbor
from tests.ledger_client.accounting.plans import plan_fields
from tests.support.commands import ledger_command

CDDL = Path(__file__).parents[3] / "docs" / "accounting.cddl"
PROVINCES = 30  # without Tibet, Hong Kong, Macao and Taiwan
GRIDS = 7


def test_a_plan_bears_every_factor() -> None:
    factors = parse_plan(plan_fields(factors=[dict(factor) for factor in load()])).factors
    assert max(Counter(factor.id for factor in factors).values()) == 1
    assert all(factor.amount > 0 for factor in factors)
    schema = Schema(f"start = factor\n{CDDL.read_text()}")
    for factor in load():
        schema.validate_cbor(cbor.encode(dict(factor)))


@pytest.mark.parametrize("year", [2021, 2022, 2023])
def test_each_year_of_china_is_whole(year: int) -> None:
    of_year = [factor for factor in load() if factor["vintage"] == year]
    kinds = Counter(factor["kind"] for factor in of_year)
    assert kinds == {"average": 1 + GRIDS + PROVINCES, "residual": 1, "fossil": 1}
    assert {factor["unit"] for factor in of_year} == {"kg/kWh"}
    assert all(factor["confirmed"] for factor in of_year)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        # 公告2024年第12号, 2024年第33号, 2025年第47号: tables 1, 4 and 5 of each annex
        ("CN-average", ["0.5568", "0.5366", "0.5306"]),
        ("CN-residual", ["0.5942", "0.5856", "0.6096"]),
        ("CN-fossil", ["0.8426", "0.8325", "0.8273"]),
        # 光明日报 2026-01-22 and 新京报 2024-12-27, which name regions with their values
        ("CN-north-average", ["0.7120", "0.6776", "0.6361"]),
        ("CN-southwest-average", ["0.2113", "0.2268", "0.2472"]),
    ],
)
def test_published_figures(name: str, values: list[str]) -> None:
    assert [factor["value"] for factor in series(name)] == values


def test_changes_between_years_as_the_ministry_said() -> None:
    """光明日报 2026-01-22, of 2023 beside 2022 in percent."""
    published = {
        "CN": "-1.1", "CN-north": "-6.1", "CN-northeast": "-8.0", "CN-east": "-2.1", "CN-central": "-2.3",
        "CN-northwest": "-5.4", "CN-south": "4.5", "CN-southwest": "9.0",
    }  # fmt: skip
    for region, percent in published.items():
        before, after = (Decimal(factor["value"]) for factor in series(f"{region}-average")[1:])
        assert abs((after / before - 1) * 100 - Decimal(percent)) < Decimal("0.1"), region


def test_fuel_factors_are_their_carbon() -> None:
    """IPCC 2006 vol. 2 table 1.4 is table 1.3 × 44/12, rounded to three figures."""
    fuels = {f["id"].removesuffix("-CC"): Decimal(f["value"]) for f in load() if f["id"].endswith("-CC")}
    for fuel, carbon in fuels.items():
        (published,) = (Decimal(f["value"]) for f in series(fuel) if f["id"].endswith("-CO2"))
        exact = carbon * 44 / 12 * 1000
        assert round(exact, 2 - exact.adjusted()) == published, fuel


def test_the_command_lists_a_series() -> None:
    done = ledger_command("factors", "CN-residual")
    assert "CN-residual-2023  0.6096 kg/kWh  CN" in done.out
    assert "公告2025年第47号" in done.out
    assert "not confirmed" in ledger_command("factors", "IPCC-2006-anthracite").out
    (newest,) = [f for f in json.loads(ledger_command("factors", "--json").out) if f["id"] == "CN-average-2023"]
    assert newest == {**series("CN-average")[-1]}


def test_a_series_that_is_not_there_is_wrong_usage() -> None:
    done = ledger_command("factors", "CN-XZ-average")
    assert done.code == 2
    assert "there is no series CN-XZ-average" in done.err
