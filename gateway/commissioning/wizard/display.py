"""Comparison of a value with what the meter's display shows. Pure.

A display cuts or rounds: a number that is typed stands for one unit of its last digit to either side. The meter goes on
counting while somebody reads and types, so that it is judged against the values before and after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

from gateway.errors import GatewayError
from gateway.messages.message import Message

_NUMBER: Final = re.compile(r"([+-]?)([0-9]{1,3}(?:[ '’][0-9]{3})+|[0-9]{1,18})(?:[.,]([0-9]{1,9}))?")
_PREFIXES: Final = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9}
_BASES: Final = ("Wh", "varh", "VAh", "W", "var", "VA", "V", "A", "Hz")
"""Units that displays show with the prefixes above."""
_THOUSANDS: Final = (3, -3, 6, -6)
_SPELT: Final = {unit.lower(): unit for unit in ("kW", "kWh", "Wh", "V", "A", "kvarh", "kvar", "Hz", "W")}
"""How units are often typed."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody read on a display. ``text`` as it was typed; ``number`` and ``step``, one unit of its last digit,
    in the unit of the point."""

    text: str
    number: Decimal
    step: Decimal


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a display shows the value. Where it does not: ``power_of_ten`` if it is off by thousands alone (3: the
    display shows 1000 times as much), and ``times``, the quotient of display and value, None for a value of 0."""

    agrees: bool
    power_of_ten: int | None = None
    times: Decimal | None = None


def typed(text: str, unit: str) -> Typed:
    """``12345.6``, ``12 345,6`` or ``12.3 MWh`` as a number in ``unit``. Raises GatewayError: no number, or no unit
    that could be meant."""
    whole = " ".join(text.split())
    found = _NUMBER.match(whole)
    rest = whole[found.end() :].strip() if found else ""
    if found is None or re.match("[0-9.,]", rest):
        raise GatewayError(Message("wizard-no-number", text=whole, unit=unit))
    sign, digits, decimals = found[1], re.sub("[^0-9]", "", found[2]), found[3] or ""
    number = Decimal(f"{sign}{digits}.{decimals or 0}")
    exponent = _exponent(rest, unit)
    with localcontext() as context:
        context.prec = 40
        return Typed(whole, number.scaleb(exponent), Decimal(1).scaleb(exponent - len(decimals)))


def judged(shown: Typed, before: Decimal, after: Decimal) -> Judged:
    """Whether the display may show what it shows while the value went from ``before`` to ``after``."""
    low, high = min(before, after), max(before, after)
    if low - shown.step <= shown.number <= high + shown.step:
        return Judged(True)
    for power in _THOUSANDS:
        number, step = shown.number.scaleb(-power), shown.step.scaleb(-power)
        if after and low - step <= number <= high + step:
            return Judged(False, power, Decimal(1).scaleb(power))
    return Judged(False, None, shown.number / after if after else None)


def _exponent(given: str, unit: str) -> int:
    """The power of ten from a typed unit to that of the point; without one they are the same."""
    if not given or given == unit:
        return 0
    typed, wanted = _parted(given if _parted(given) else _SPELT.get(given.lower(), given)), _parted(unit)
    if typed is None or wanted is None or typed[1] != wanted[1]:
        raise GatewayError(Message("wizard-other-unit", given=given, unit=unit))
    return typed[0] - wanted[0]


def _parted(unit: str) -> tuple[int, str] | None:
    """A unit as a power of ten and what it is one of."""
    for base in _BASES:
        if unit.endswith(base) and (prefix := unit.removesuffix(base)) in _PREFIXES:
            return _PREFIXES[prefix], base
    return None
