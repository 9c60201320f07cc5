"""Emissions from energy or fuel: registers by a factor, or by analyses (rules M6, M8, F1, F2). Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any, Final, NamedTuple

from ledger_client.accounting.counters import Stated
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.factor import Factor, in_use, kg_per_wh
from ledger_client.accounting.formats.letters import LETTERS
from ledger_client.accounting.formats.numbers import half_even
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.formats.standings import Judged
from ledger_client.accounting.formats.words import MISSING, PROVISIONAL, RANK

DEFAULTS: Final = "defaults"
_FORMULAS: Final = (("C_ar",), ("C_ad", "M_ar", "M_ad"), ("NCV", "CC"))
"""What the carbon of a fuel follows from, the directest first."""
OXIDATION: Final = "OF"


def electricity(plan: Plan, node: Node, stated: Stated, from_ms: int) -> list[Row]:
    """MWh × factor, as one row from the first edge of the period to the last (M8). None of its rows: no row.

    ``from_ms``: when the period begins."""
    rows = stated.rows
    if not rows:
        return []
    year = civil(from_ms, plan.civil_min).year
    factor, provisional = factor_for(plan, node, year)
    energy = sum(row.amount or 0 for row in rows)
    mass = energy * kg_per_wh(factor, f"plan.nodes.{node.name}.factor")
    facts = {"factor": factor.id, "method": node.method} | ({"reason": PROVISIONAL} if provisional else {})
    inner = {row.from_ms for row in rows if row.from_ms >= from_ms}
    return [_product(stated, rows, inner, mass, facts, plan.interval_ms)]


def _product(
    stated: Stated, rows: Sequence[Row], inner: set[int], mass: Fraction | None, facts: Mapping[str, Any],
    interval_ms: int,
) -> Row:  # fmt: skip
    """One row in place of several, with the worst of their statuses; open edges within those that begin at ``inner``
    times change nothing. ``mass`` in thousandths of a kg (None: nobody knows it)."""
    from_ms, to_ms = rows[0].from_ms, rows[-1].to_ms
    known: dict[str, Any] = {"edges": stated.edges(from_ms, to_ms, interval_ms), **facts}
    if jumps := [jump for row in rows for jump in row.facts.get("jumps", ())]:
        known["jumps"] = sorted(jumps, key=lambda jump: str(jump[0]))
    if any(row.facts.get("retrospective") for row in rows):
        known["retrospective"] = True
    if mass is None:
        return Row(rows[0].node, from_ms, to_ms, MISSING, None, known)
    statuses = [stated.besides.get(row.from_ms, row.status) if row.from_ms in inner else row.status for row in rows]
    worst = max(statuses, key=RANK.__getitem__)
    return Row(rows[0].node, from_ms, to_ms, worst, half_even(mass.numerator, mass.denominator), known)


def fuel(node: Node, stated: Stated, entries: Judged, from_ms: int, interval_ms: int) -> list[Row]:
    """FC · NCV · CC · OF · k, or FC · C · OF · k: a row from edge to edge for each stretch of the same analyses (M6).

    NCV in MJ for a kg or m³, CC in kg of carbon for a GJ, OF and C shares of 1, M in percent. A stretch without any way
    to its carbon is ``missing``.

    Args:
        entries: all on the plan.
        from_ms: when the period begins.
        interval_ms: the plan's.
    """
    analyses = Analyses(node, entries)
    made = []
    for letters, group in groupby(stated.rows, key=lambda row: analyses.at(row.to_ms)):
        rows = list(group)
        inner = {row.from_ms for row in rows if row.from_ms >= from_ms and analyses.are_same(row, interval_ms)}
        burnt = sum(row.amount or 0 for row in rows)
        carbon = carbon_of(node, analyses.values(letters))
        facts: dict[str, Any] = {"method": node.method} | ({"analyses": dict(letters)} if letters else {})
        facts |= {"reason": DEFAULTS} if carbon is not None and carbon.marked else {}
        mass = None if carbon is None else burnt * carbon.content * carbon.oxidation * node.regime.carbon
        made.append(_product(stated, rows, inner, mass, facts, interval_ms))
    return made


Letters = tuple[tuple[str, bytes], ...]
"""The letters of a fuel that were analysed, each with the entry that says it; in the order of the encoding."""


class Analyses:
    """The entries ``lab`` of a node by fuel: which one gives each letter at a time (M6)."""

    def __init__(self, node: Node, entries: Judged) -> None:
        self._parts = [(letter, part) for letter in LETTERS for part in entries.parts_of("lab", node.name, letter)]
        self._labs = {part.entry.record: part.entry for _, part in self._parts}
        self._bounds = sorted({time_ms for _, part in self._parts for time_ms in (part.from_ms, part.to_ms)})
        self._known: dict[int, Letters] = {}

    def at(self, end_ms: int) -> Letters:
        """Of an interval that ends then: it is of an entry in whose (from, to] its end lies."""
        place = bisect_left(self._bounds, end_ms)
        if place not in self._known:
            found = {letter: part.entry.record for letter, part in self._parts if part.from_ms < end_ms <= part.to_ms}
            self._known[place] = tuple(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))
        return self._known[place]

    def are_same(self, row: Row, interval_ms: int) -> bool:
        """Whether all intervals of a row have the same."""
        return len({self.at(end_ms) for end_ms in range(row.to_ms, row.from_ms, -interval_ms)}) == 1

    def values(self, letters: Letters) -> dict[str, Fraction]:
        """The analysed values of these."""
        return {letter: Fraction(self._labs[record].values[letter]) for letter, record in letters}


class Carbon(NamedTuple):
    """What a fuel gives off: kg of carbon in a kg or m³ by which ``letters``, the share of it that burns; ``marked``: a
    letter of either is a default."""

    letters: tuple[str, ...]
    content: Fraction
    oxidation: Fraction
    marked: bool


def carbon_of(node: Node, analysed: Mapping[str, Fraction]) -> Carbon | None:
    """The carbon of a fuel by the letters that were ``analysed``, and its defaults. None: nobody knows it."""
    values = {**node.defaults, **analysed}
    for known in (analysed, values):
        for letters in _FORMULAS:
            if known.keys() >= set(letters):
                used = {*letters, *(values.keys() & {OXIDATION})}
                oxidation = values.get(OXIDATION, Fraction(1))
                return Carbon(letters, _content(letters, values), oxidation, not used <= analysed.keys())
    return None


def _content(letters: tuple[str, ...], values: Mapping[str, Fraction]) -> Fraction:
    """kg of carbon in a kg or m³ of the fuel."""
    if letters == ("NCV", "CC"):
        return values["NCV"] * values["CC"] / 1000
    if letters == ("C_ar",):
        return values["C_ar"]
    return values["C_ad"] * (100 - values["M_ar"]) / (100 - values["M_ad"])


def factor_for(plan: Plan, node: Node, year: int) -> tuple[Factor, bool]:
    """The factor of a node in a civil year, and whether it is provisional: the year's own is not published yet (F2)."""
    where = f"plan.nodes.{node.name}.factor"
    series = [factor for factor in plan.factors if factor.series == node.factor_series]
    if node.zone is not None and any(factor.region != node.zone for factor in series):
        refuse("F2", where, f"{node.factor_series} is not of region {node.zone}", "name a series of the load's region")
    fixed = node.factor_rule == "fixed"
    return in_use(series, node.factor_series or "", fixed=fixed, named=node.factor_id, year=year, where=where)
