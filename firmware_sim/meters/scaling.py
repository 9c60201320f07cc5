"""Inverse scaling of profile points: shown value to raw register number, and the reading it gives. Pure.

The simulator's own arithmetic, in fractions. Its units are written the other way round than a reader needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from gateway.devices.profile import Point

_WIRE: dict[str, dict[str, str]] = {
    "m3/h": {"m3/s": "3600"}, "l/min": {"m3/s": "60000"}, "l/h": {"m3/s": "3600000"}, "L": {"l": "1", "m3": "1000"},
    "bar": {"Pa": "0.00001", "hPa": "0.001"}, "MPa": {"Pa": "0.000001", "hPa": "0.0001"},
    "kPa": {"Pa": "0.001", "hPa": "0.1"}, "GJ": {"kWh": "0.0036"}, "MJ": {"kWh": "3.6"}, "MWh": {"kWh": "0.001"},
    "MW": {"kW": "0.001"}, "Mvarh": {"kvarh": "0.001"}, "Mvar": {"kvar": "0.001"}, "t": {"kg": "0.001"},
    "g": {"kg": "1000"}, "mg/m3": {"ug/m3": "0.001"}, "g/m3": {"ug/m3": "0.000001"}, "%": {"/100": "1"},
    "vol%": {"/100": "1"}, "%O2": {"/100": "1"}, "Nm3": {"m3": "1"}, "Nm3/h": {"m3/s": "3600"},
    "mg/Nm3": {"ug/m3": "0.001"}, "degF": {"Cel": "1.8"}, "K": {"Cel": "1"},
}  # fmt: skip
"""How many of what the registers hold make one of the point's unit."""
_FREEZING = {"degF": Fraction(32), "K": Fraction("273.15")}
_DIGITS = Context(prec=18)
_ALL = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Line:
    """Raw number = shown value × ``gain`` + ``zero``. A gain of 0 shows nothing: a ratio in the device is 0."""

    gain: Fraction
    zero: Fraction = Fraction(0)

    def raw(self, value: Fraction) -> Fraction:
        return value * self.gain + self.zero

    def value(self, raw: Fraction) -> Fraction:
        return (raw - self.zero) / self.gain

    def text(self, raw: int) -> str:
        """The reading of an integer: all of its digits by a power of ten alone, else at most 18."""
        exact = not self.zero and _is_power_of_ten(self.gain)
        return in_digits(self.value(Fraction(raw)), _ALL if exact else _DIGITS)


def in_digits(value: Fraction, digits: Context = _DIGITS) -> str:
    """A number in decimals, rounded half to even."""
    return format(digits.divide(Decimal(value.numerator), Decimal(value.denominator)), "f")


def line_of(point: Point, times: Fraction) -> Line:
    """How a point's registers follow from its value. ``times``: the product of its ratios and power of ten."""
    worth = Fraction(point.factor or 1) * Fraction(10) ** point.scale * times
    if not worth:
        return Line(Fraction(0))
    if point.span is not None:
        low, high = (Fraction(end) for end in point.span.to)
        steep = (Fraction(point.span.end) - Fraction(point.span.start)) / (high - low)
        return Line(steep / worth, (Fraction(point.span.start) - low * steep) / worth)
    per = Fraction(_WIRE[point.from_unit][str(point.unit)]) if point.from_unit else Fraction(1)
    zero = _FREEZING.get(point.from_unit or "", Fraction(0)) - Fraction(point.offset or 0) * per
    return Line(per / worth, zero / worth)


def limits_of(point: Point) -> tuple[Fraction, Fraction] | None:
    """The raw numbers between which the signal is sound; None where nothing says so."""
    if point.span is None or point.span.fault is None:
        return None
    worth = Fraction(point.factor or 1) * Fraction(10) ** point.scale
    first, last = sorted(Fraction(end) / worth for end in point.span.fault)
    return first, last


def shares(value: Fraction, lines: Sequence[Line]) -> list[Fraction]:
    """A value over parts of a sum: each holds as many of its own steps as fit into what the coarser ones leave over."""
    steps = [abs(1 / line.gain) for line in lines]
    left = round(value / min(steps)) * min(steps)
    found = [Fraction(0)] * len(lines)
    for n in sorted(range(len(lines)), key=lambda n: -steps[n]):
        found[n] = left // steps[n] * steps[n]
        left -= found[n]
    return found


def _is_power_of_ten(number: Fraction) -> bool:
    return {str(number.numerator).rstrip("0"), str(number.denominator).rstrip("0")} == {"1"}
