"""Corroboration of measured emissions by those of their fuels: both totals, the difference and its share (M7). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.numbers import MICRO, written
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import Row


@dataclass(frozen=True, slots=True)
class Corroboration:
    """A measured emission beside the nodes by fuel of the same source: totals in grams.

    ``same_time``: the rows of each fuel go from the statement's begin to its end, and neither one of them nor a
    reference is without a mass.
    """

    node: str
    by_fuel: tuple[str, ...]
    measured: int
    calculated: int
    same_time: bool

    @property
    def difference(self) -> int | None:
        """Measured − calculated, in grams; None: they are of different times."""
        return self.measured - self.calculated if self.same_time else None

    @property
    def share(self) -> Decimal | None:
        """The difference for one of the measured; None: there is none, or nothing was measured."""
        if self.difference is None or not self.measured:
            return None
        return written(Fraction(self.difference, self.measured), MICRO)


def corroborations(plan: Plan, span: tuple[int, int], rows: Sequence[Row]) -> Iterator[Corroboration]:
    """Of each measured emission that a node by fuel is compared with; ``rows``: of a statement of ``span``, in ms."""
    for name in plan.nodes:
        by_fuel = tuple(sorted(node.name for node in plan.nodes.values() if node.compare == name))
        if not by_fuel:
            continue
        measured = [row for row in rows if row.node == name]
        counted = {fuel: [row for row in rows if row.node == fuel] for fuel in by_fuel}
        missing = {row.from_ms for row in measured if row.status == words.MISSING}
        beside = {row.from_ms for row in measured if row.status in (words.SUBSTITUTED, words.MANUAL)}
        same_time = missing <= beside and all(_whole(of, span) for of in counted.values())
        calculated = sum(_total(of) for of in counted.values())
        yield Corroboration(name, by_fuel, _total(measured), calculated, same_time)


def _whole(rows: Sequence[Row], span: tuple[int, int]) -> bool:
    """Whether rows of a fuel, in order of time, are of exactly this time together, each with a mass."""
    ends = [span[0], *(row.to_ms for row in rows)]
    known = all(row.amount is not None for row in rows)
    return known and [row.from_ms for row in rows] == ends[:-1] and ends[-1] == span[1]


def _total(rows: Sequence[Row]) -> int:
    return sum(row.amount or 0 for row in rows)
