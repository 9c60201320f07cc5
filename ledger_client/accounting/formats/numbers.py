"""Exact arithmetic of accounting: rationals, rounded half to even when they are written (rules N1–N3, N5). Pure.

Registers, energy and mass are integers of a thousandth of the base unit (``milli``): 1,500 is 1.5 Wh, kg or m³. What is
no register is a ``Fraction`` until it is written.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Final

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.formats import cbor
from ledger_client.formats.senml import Number

MILLI: Final = -3
"""Exponent of registers, energy and mass: a thousandth of Wh, kg or m³."""
MICRO: Final = -6
"""Exponent of means, standard deviations, shares and relative uncertainties."""
_ROOT_DIGITS: Final = 12
MOST: Final = 2**63 - 1


def exact(number: Number) -> Fraction:
    """The rational that an integer, a decimal fraction or an IEEE float is (N1)."""
    return Fraction(number)


def half_even(numerator: int, denominator: int) -> int:
    """The integer nearest to a quotient, of two equally near the even one; ``denominator`` > 0."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient & 1 == 1))


def milli_of(number: Number, factor: Fraction) -> int:
    """A register's value in thousandths of the base unit, ``factor`` of which are one of its own unit (N2)."""
    return times(number, 1000 * factor.numerator, factor.denominator)


def times(number: Number, numerator: int, denominator: int) -> int:
    """A number times a quotient, rounded once; ``denominator`` > 0."""
    above, below = number.as_integer_ratio()
    return half_even(above * numerator, below * denominator)


def written(value: Fraction, exponent: int) -> Decimal:
    """A value as it is written: with the exponent of its quantum, always (N2, N5)."""
    scale = 10**-exponent
    return scaled(half_even(value.numerator * scale, value.denominator), exponent)


def fitting(mantissa: int) -> int:
    """The digits of a quantity, which are an integer of 64 bits. Refuses larger ones (N5)."""
    if not -MOST <= mantissa <= MOST:
        refuse("N5", "a quantity", f"{mantissa} has more digits than 64 bits", "look for a register of another unit")
    return mantissa


def scaled(mantissa: int, exponent: int) -> Decimal:
    """``mantissa`` × 10^``exponent``, with this exponent."""
    return Decimal((mantissa < 0, tuple(map(int, str(abs(fitting(mantissa))))), exponent))


def micro(value: Fraction) -> int:
    """A mean, a deviation or a share in millionths, rounded once."""
    return half_even(value.numerator * 10**-MICRO, value.denominator)


def mantissa_of(value: object, exponent: int) -> int | None:
    """The mantissa of a written value; None for anything but a decimal fraction with this exponent."""
    if not isinstance(value, Decimal):
        return None
    found, mantissa = cbor.decimal_parts(value)
    return mantissa if found == exponent else None


def square_root(value: Fraction) -> Fraction:
    """The square root of a value ≥ 0, cut off behind 12 places (N3)."""
    return Fraction(isqrt(value.numerator * 10 ** (2 * _ROOT_DIGITS) // value.denominator), 10**_ROOT_DIGITS)
