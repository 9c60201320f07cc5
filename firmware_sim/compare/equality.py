"""Equality of a recorded value and one that a meter sent: exact, as text, decimal or IEEE number of the register. Pure.

A float register's value is the same if it is the nearest binary64, or, where a binary32 holds what was sent, the
nearest binary32: `2399.309` and `2399.30908203125` are one register. Any other number is the same in its decimals;
where what was sent has at most 15 of them, the recorded one is rounded to 15, since a binary64 gives back no more of
what was computed in it. So no two values of a register ever count as one. Only with a factor is there a tolerance: 2⁻²³
of what was sent, which a multiplication in binary32 and its rounding may cost.
"""

from __future__ import annotations

import re
import struct
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
NO_VALUE: Final = frozenset({"", "nan", "+nan", "-nan", "null"})
TOLERANCE: Final = Decimal(2) ** -23
_DIGITS: Final = 15
_ROUNDED, _EXACT = Context(prec=_DIGITS), Context(prec=200)
_FORMULA: Final = "=+-@\t\r\n"
_YES_NO: Final = {"true": "1", "false": "0"}


class Ieee(str):
    """A value of the log that a float register showed, in the log's digits."""

    __slots__ = ()


Sent = str | None
"""A value of the log: text in its digits, ``Ieee`` of a float register; None: not available."""


def is_none(recorded: str | None) -> bool:
    """Whether it is no value: nothing, or not a number (NaN)."""
    return recorded is None or recorded.strip().lower() in NO_VALUE


def same(recorded: str, sent: Sent, factor: Decimal | None = None) -> bool:
    """Whether a recorded value is the one that was sent.

    Args:
        recorded: as it stands in the readings, not ``is_none``.
        sent: of the log; None is the same as no value.
        factor: what makes of the recorded number that of the log; None: they have one unit.
    """
    if sent is None:
        return False
    if factor is None and recorded == sent:
        return True
    if factor is not None:
        mine, theirs = _number(recorded), _number(sent)
        if mine is None or theirs is None:
            return False
        return abs(_EXACT.multiply(mine, factor) - theirs) <= abs(theirs) * TOLERANCE
    if isinstance(sent, Ieee):
        return _number(recorded) is not None and _same_ieee(float(recorded), float(sent))
    mine, theirs = _number(_YES_NO.get(recorded.lower(), recorded)), _number(sent)
    if mine is None or theirs is None:
        is_quoted = recorded[:1] == "'" and recorded[1:2] in _FORMULA  # as CSV has text that looks like a formula
        return is_quoted and recorded[1:] == sent
    return mine == theirs or (_fits(theirs) and _ROUNDED.plus(mine) == theirs)


def _same_ieee(recorded: float, sent: float) -> bool:
    return recorded == sent or (_binary32(sent) == sent and _binary32(recorded) == sent)


def _binary32(number: float) -> float | None:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return None


@lru_cache(4096)
def _number(text: str) -> Decimal | None:
    text = text.strip()
    return Decimal(text) if NUMBER.fullmatch(text) else None


def _fits(number: Decimal) -> bool:
    return max(len(number.as_tuple().digits), number.adjusted() + 1) <= _DIGITS
