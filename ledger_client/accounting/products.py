"""Emissions of a period from its energy or fuel: one row of a node's whole total (rules M6, M8, F1, F2). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from ledger_client.accounting.counters import Stated
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.factor import Factor, in_use, kg_per_wh
from ledger_client.accounting.formats.numbers import half_even
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.formats.words import BY_ELECTRICITY, PROVISIONAL, RANK


def electricity(plan: Plan, node: Node, stated: Stated, year: int) -> list[Row]:
    """MWh × factor, as one row from the first edge of the period to the last (M8). None of its rows: no row."""
    rows = stated.rows
    if not rows:
        return []
    assert node.method == BY_ELECTRICITY
    factor, provisional = factor_for(plan, node, year)
    energy = sum(row.amount or 0 for row in rows)
    mass = energy * kg_per_wh(factor, f"plan.nodes.{node.name}.factor")
    facts = {"factor": factor.id, "method": node.method}
    return [_product(node, stated, mass, facts | ({"reason": PROVISIONAL} if provisional else {}))]


def _product(node: Node, stated: Stated, mass: Fraction, facts: Mapping[str, Any]) -> Row:
    """One row of a node's whole total, with the worst of its statuses; ``mass`` in thousandths of a kg."""
    rows = stated.rows
    known: dict[str, Any] = {"edges": stated.edges, **facts}
    if jumps := [jump for row in rows for jump in row.facts.get("jumps", ())]:
        known["jumps"] = sorted(jumps, key=lambda jump: str(jump[0]))
    if any(row.facts.get("retrospective") for row in rows):
        known["retrospective"] = True
    worst = max((row.status for row in rows), key=RANK.__getitem__)
    amount = half_even(mass.numerator, mass.denominator)
    return Row(node.name, rows[0].from_ms, rows[-1].to_ms, worst, amount, known)


DEFAULTS: Final = "defaults"
_FORMULAS: Final = (("C_ar",), ("C_ad", "M_ar", "M_ad"), ("NCV", "CC"))
"""What the carbon of a fuel follows from, the directest first."""


def fuel(node: Node, stated: Stated, entries: Sequence[Entry]) -> list[Row]:
    """FC · NCV · CC · OF · k, or FC · C_ar · OF · k, as one row from the first edge of the period to the last (M6).

    NCV in MJ for a kg or m³, CC in kg of carbon for a GJ, OF and C shares of 1, M in percent.
    """
    rows = stated.rows
    if not rows:
        return []
    analysed = _analysed(node, rows[0].from_ms, rows[-1].to_ms, entries)
    values = {**node.defaults, **analysed}
    letters = _formula(node, values, analysed)
    amount = sum(row.amount or 0 for row in rows) * _carbon(node, letters, values) * values.get("OF", Fraction(1))
    mass = amount * node.regime.carbon
    facts = {"method": node.method} | ({} if analysed.keys() >= set(letters) else {"reason": DEFAULTS})
    return [_product(node, stated, mass, facts)]


def _formula(node: Node, values: Mapping[str, Fraction], analysed: Mapping[str, Fraction]) -> tuple[str, ...]:
    """The letters that the carbon is computed from: those that are all analysed, else those that are all known."""
    for known in (analysed, values):
        for letters in _FORMULAS:
            if known.keys() >= set(letters):
                return letters
    refuse("M6", f"plan.nodes.{node.name}.defaults", "neither NCV and CC nor C_ar is known", "enter an analysis (lab)")


def _carbon(node: Node, letters: tuple[str, ...], values: Mapping[str, Fraction]) -> Fraction:
    """kg of carbon in a kg or m³ of the fuel."""
    if letters == ("NCV", "CC"):
        return values["NCV"] * values["CC"] / 1000
    if letters == ("C_ar",):
        return values["C_ar"]
    if values["M_ad"] >= 100:
        refuse("M6", f"plan.nodes.{node.name}", "M_ad is 100 % or more: all water", "enter M in percent of mass")
    return values["C_ad"] * (100 - values["M_ar"]) / (100 - values["M_ad"])


def _analysed(node: Node, from_ms: int, to_ms: int, entries: Sequence[Entry]) -> dict[str, Fraction]:
    """The values of a fuel by letter that analyses of the whole time gave, of several the last."""
    values: dict[str, Fraction] = {}
    for entry in entries:
        if entry.kind == "lab" and entry.of == node.name and entry.from_ms <= from_ms and to_ms <= entry.to_ms:
            values |= {letter: Fraction(number) for letter, number in entry.values.items()}
    return values


def factor_for(plan: Plan, node: Node, year: int) -> tuple[Factor, bool]:
    """The factor of a node in a civil year, and whether it is provisional: the year's own is not published yet (F2)."""
    where = f"plan.nodes.{node.name}.factor"
    series = [factor for factor in plan.factors if factor.series == node.factor_series]
    if node.zone is not None and any(factor.region != node.zone for factor in series):
        refuse("F2", where, f"{node.factor_series} is not of region {node.zone}", "name a series of the load's region")
    fixed = node.factor_rule == "fixed"
    return in_use(series, node.factor_series or "", fixed=fixed, named=node.factor_id, year=year, where=where)
