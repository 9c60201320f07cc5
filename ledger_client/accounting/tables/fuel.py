"""Table of fuels: what was burnt by civil month and year, heat and carbon with their sources, kg of CO₂. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil, month_ms, utc_text
from ledger_client.accounting.formats.numbers import MICRO, MILLI, micro
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row, mantissa
from ledger_client.accounting.products import DEFAULTS, OXIDATION, carbon_of
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, civil_time, written

CARBON: Final = "C"
_LETTERS: Final = ("NCV", "CC", CARBON, OXIDATION)
_FIRST: Final = "1"
"""Where OF is from that neither an entry nor the plan has."""
HEADER: Final = (
    "plan", "node", "fuel", "time", "from", "to", "civil_from", "civil_to", "whole", "quantity", "unit",
    *_LETTERS, "TJ", "kg", "quantity_missing", *(f"{letter}_from" for letter in _LETTERS), "statement",
)  # fmt: skip


def fuel(statements: Iterable[StatedRows]) -> Table:
    """A line for each civil month of each node by fuel, and behind those of a year one for the year.

    Refuses statements without such a node, and analyses that no file holds.
    """
    years: dict[tuple[str, str, int], dict[int, _Burnt]] = {}
    for stated in sorted(statements, key=lambda stated: stated.span):
        now = civil(stated.span[0], stated.plan.civil_min)
        for name, node in stated.plan.nodes.items():
            rows = [row for row in stated.rows if row.node == name]
            if node.method == words.BY_FUEL and rows:
                months = years.setdefault((stated.plan.name, name, now.year), {})
                months.setdefault(now.month, _Burnt(stated.plan, node)).add(stated, rows)
    if not years:
        refuse("P4", "rows", "no node of the plan is an emission by `fuel`", "take the table hours or periods")
    lines = []
    for (_, _, year), months in sorted(years.items()):
        for month, burnt in sorted(months.items()):
            lines.append(burnt.line(f"{year}-{month:02}", (year, month), (year, month + 1)))
        lines.append(_together(list(months.values())).line(str(year), (year, 1), (year, 13)))
    return Table(HEADER, lines)


@dataclass(slots=True)
class _Burnt:
    """What was burnt of one fuel in a time. ``known``: of each letter the quantity times it, and what it is from;
    quantities in thousandths of a kg or m³; ``known_of``: how much of the quantity each letter is known of."""

    plan: Plan
    node: Node
    rows: list[Row] = field(default_factory=list)
    quantity: int = 0
    missing: int = 0
    known: dict[str, Fraction] = field(default_factory=dict)
    known_of: dict[str, int] = field(default_factory=dict)
    sources: dict[str, dict[str, None]] = field(default_factory=dict)
    statements: dict[str, None] = field(default_factory=dict)

    def add(self, stated: StatedRows, rows: Sequence[Row]) -> None:
        """The rows of one statement."""
        self.statements[stated.record.hex()] = None
        for row in rows:
            burnt = _quantity(self.node, row)
            self.rows.append(row)
            self.quantity += burnt
            self.missing += burnt if row.amount is None else 0
            for letter, value, sources in _letters(stated, self.node, row):
                self.known[letter] = self.known.get(letter, Fraction(0)) + burnt * value
                self.known_of[letter] = self.known_of.get(letter, 0) + burnt
                self.sources.setdefault(letter, {}).update(dict.fromkeys(sources))

    def line(self, time: str, begin: tuple[int, int], end: tuple[int, int]) -> tuple[Cell, ...]:
        """The line of a month or a year, by its name and its first month and the one behind it."""
        plan, rows = self.plan, sorted(self.rows, key=lambda row: row.from_ms)
        times = [month_ms(*begin, plan.civil_min), *(row.to_ms for row in rows)]
        whole = [row.from_ms for row in rows] == times[:-1] and times[-1] == month_ms(*end, plan.civil_min)
        from_ms, to_ms = rows[0].from_ms, rows[-1].to_ms
        unit = next(point.unit for _, name in self.node.terms if (point := plan.points[name]).unit is not None)
        in_tonnes = unit is not None and unit.base == "kg"
        heat = self._all("NCV")
        return (
            plan.name, self.node.name, self.node.fuel, time, utc_text(from_ms), utc_text(to_ms),
            civil_time(plan, from_ms), civil_time(plan, to_ms), whole,
            _shown(self.quantity, in_tonnes), "t" if in_tonnes else "m3",
            *(self._mean(letter) for letter in _LETTERS),
            None if heat is None else written(micro(heat / 10**9), MICRO),
            written(sum(row.amount or 0 for row in rows)), _shown(self.missing, in_tonnes),
            *(" ".join(self.sources.get(letter, ())) or None for letter in _LETTERS),
            " ".join(self.statements),
        )  # fmt: skip

    def _all(self, letter: str) -> Fraction | None:
        """Quantity times a letter; None: it is not known of all that was burnt."""
        return self.known.get(letter) if self.known_of.get(letter) == self.quantity else None

    def _mean(self, letter: str) -> str | None:
        """Weighted by what was burnt."""
        together = self._all(letter)
        return None if together is None or not self.quantity else written(micro(together / self.quantity), MICRO)


def _together(months: Sequence[_Burnt]) -> _Burnt:
    """The months of a year as one."""
    year = _Burnt(months[-1].plan, months[-1].node)
    for month in months:
        year.rows += month.rows
        year.quantity += month.quantity
        year.missing += month.missing
        year.statements |= month.statements
        for letter in month.known:
            year.known[letter] = year.known.get(letter, Fraction(0)) + month.known[letter]
            year.known_of[letter] = year.known_of.get(letter, 0) + month.known_of[letter]
            year.sources.setdefault(letter, {}).update(month.sources[letter])
    return year


def _quantity(node: Node, row: Row) -> int:
    """What a row's registers counted, in thousandths of a kg or m³ (I8)."""
    signs = {name: sign for sign, name in node.terms}
    line = sum(signs[name] * (mantissa(end) - mantissa(start)) for name, start, end, _ in row.facts["edges"])
    return line + sum(signs[name] * mantissa(amount) for name, _, amount, _ in row.facts.get("jumps", ()))


def _letters(stated: StatedRows, node: Node, row: Row) -> Iterator[tuple[str, Fraction, list[str]]]:
    """NCV, CC, C and OF of a row as far as they are known, and where each is from: entries, `defaults`, or 1."""
    analyses, known = row.facts.get("analyses", {}), {entry.record: entry for entry in stated.entries}
    if lacking := [record for record in analyses.values() if record not in known]:
        refuse("P9", "entries", f"no file holds the analysis {lacking[0].hex()}", "give the batch or proof of it")
    analysed = {letter: Fraction(known[record].values[letter]) for letter, record in analyses.items()}
    values = {**node.defaults, **analysed}
    for letter in ("NCV", "CC"):
        if letter in values:
            yield letter, values[letter], [_source(analyses, letter)]
    carbon = carbon_of(node, analysed)
    if carbon is None:
        return
    yield CARBON, carbon.content, [_source(analyses, letter) for letter in carbon.letters]
    yield OXIDATION, carbon.oxidation, [_source(analyses, OXIDATION) if OXIDATION in values else _FIRST]


def _source(analyses: dict[str, bytes], letter: str) -> str:
    return analyses[letter].hex() if letter in analyses else DEFAULTS


def _shown(milli: int, in_tonnes: bool) -> str | None:
    return written(milli, MICRO if in_tonnes else MILLI)
