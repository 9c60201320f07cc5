"""Relative uncertainty of a total from that of its instruments, k = 2 (rule U1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from ledger_client.accounting.formats.numbers import MICRO, square_root
from ledger_client.accounting.formats.plan import Node, Plan


def of_registers(plan: Plan, node: Node, energy: Mapping[str, int]) -> Fraction | None:
    """The square of the absolute uncertainty of a sum of registers: one instrument adds linearly over time, several
    independent ones in quadrature. ``energy``: of each point in the whole period. None: not all of them say theirs."""
    squares = Fraction(0)
    for _, name in node.terms:
        u = plan.points[name].u
        if u is None:
            return None
        squares += (u * energy.get(name, 0)) ** 2
    return squares


def of_product(shares: Iterable[Fraction | None]) -> Fraction | None:
    """The square of the relative uncertainty of a product; None: not all factors say theirs."""
    total = Fraction(0)
    for share in shares:
        if share is None:
            return None
        total += share**2
    return total


def relative(squares: Fraction, total: int) -> int | None:
    """In millionths of a total, rounded up; None for a total of 0."""
    if total == 0:
        return None
    exact = square_root(squares) / abs(total) * 10**-MICRO
    return -(-exact.numerator // exact.denominator)
