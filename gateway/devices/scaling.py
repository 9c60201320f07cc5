"""Scaling: the bytes of a point → its recorded value, in rational steps, exact and rounded once at the end.

The order is that of docs/profiles.md: bytes, byte order, word order, type, code for no value, bits, sign, scale and
factor, ratios, power of ten, unit, line or offset. A step without a value gives none.

SenML's own units are in RFC 8428 and RFC 8798; those that it does not have become recorded ones by exact factors:
1 m3/h = 1/3600 m3/s, 1 MJ = 5/18 kWh, K and degF by their definitions (BIPM SI brochure; NIST SP 811).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from functools import lru_cache

from gateway.devices.points import FACTORS, UNRECORDED, Point, Ratio
from gateway.messages.message import Message

Scales = Mapping[tuple[int | None, str], int | Fraction]
"""Values of scale points by model and name; those of ``sunssf`` are whole numbers."""

MOST_EXPONENT = 18
EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])
DIGITS = Context(prec=18, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
"""Of a scaled integer: the mantissa of 64 bits holds them."""
_IEEE = {"float32": struct.Struct(">f"), "float64": struct.Struct(">d")}


Conversion = tuple[Fraction, Fraction]
"""Value in the recorded unit = number × the first + the second."""

NORMAL = "_n"
"""End of the names of points at normal conditions: SenML cannot say so in a unit."""

_FACTORS: dict[str, dict[str, Fraction]] = {
    "m3/h": {"m3/s": Fraction(1, 3600)},
    "l/min": {"m3/s": Fraction(1, 60_000)},
    "l/h": {"m3/s": Fraction(1, 3_600_000)},
    "L": {"l": Fraction(1), "m3": Fraction(1, 1000)},
    "bar": {"Pa": Fraction(100_000), "hPa": Fraction(1000)},
    "MPa": {"Pa": Fraction(1_000_000), "hPa": Fraction(10_000)},
    "kPa": {"Pa": Fraction(1000), "hPa": Fraction(10)},
    "GJ": {"kWh": Fraction(2500, 9)},
    "MJ": {"kWh": Fraction(5, 18)},
    "MWh": {"kWh": Fraction(1000)},
    "MW": {"kW": Fraction(1000)},
    "Mvarh": {"kvarh": Fraction(1000)},
    "Mvar": {"kvar": Fraction(1000)},
    "t": {"kg": Fraction(1000)},
    "g": {"kg": Fraction(1, 1000)},
    "mg/m3": {"ug/m3": Fraction(1000)},
    "g/m3": {"ug/m3": Fraction(1_000_000)},
    "%": {"/100": Fraction(1)},
    "vol%": {"/100": Fraction(1)},
    "%O2": {"/100": Fraction(1)},
    "Nm3": {"m3": Fraction(1)},
    "Nm3/h": {"m3/s": Fraction(1, 3600)},
    "mg/Nm3": {"ug/m3": Fraction(1000)},
}
_TEMPERATURES: dict[str, Conversion] = {
    "degF": (Fraction(5, 9), Fraction(-160, 9)),
    "K": (Fraction(1), Fraction(-27315, 100)),
}
CONVERSIONS: dict[str, dict[str, Conversion]] = {
    **{unit: {to: (factor, Fraction(0)) for to, factor in ways.items()} for unit, ways in _FACTORS.items()},
    **{unit: {"Cel": conversion} for unit, conversion in _TEMPERATURES.items()},
}
"""For each ``from_unit`` the units that it can be recorded in."""

NORMAL_UNITS = ("Nm3", "Nm3/h", "mg/Nm3")
COUNTED = ("Wh", "kWh", "varh", "kvarh", "VAh", "kVAh", "m3", "l", "kg")
"""Units of which most points are counters, and some are not: their kind must be said."""


def line_to_write(unit: str) -> Message | None:
    """What a profile says in place of a unit that SenML does not have; None if it is not known here."""
    ways = CONVERSIONS.get(unit)
    if ways is None:
        return None
    to = next(iter(ways))
    if unit in NORMAL_UNITS:
        return Message("profile-write-unit-and-name", unit_new=to, unit_old=unit, suffix=NORMAL)
    return Message("profile-write-unit", unit_new=to, unit_old=unit)


def recorded(value: Fraction) -> int | Decimal:
    """The number with its shortest mantissa, rounded half to even where that has more than 18 digits."""
    quotient = DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
    return shortest(quotient)


def shortest(number: Decimal) -> int | Decimal:
    """The same number with its shortest mantissa; an integer where its exponent is 0."""
    number = DIGITS.normalize(number)
    return number if number.as_tuple().exponent else int(number)


@lru_cache(1024)
def decimal_of(value: Fraction) -> Decimal | None:
    """The decimal that is exactly this number; None if there is none."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return None
    places = max(twos, fives)
    return EXACT.normalize(Decimal(value.numerator * 10**places // value.denominator).scaleb(-places, EXACT))


@lru_cache(1024)
def power_of_ten(value: Fraction) -> int | None:
    """k where the number is 10^k; else None."""
    number = decimal_of(value)
    if number is None:
        return None
    sign, digits, exponent = number.as_tuple()
    return int(exponent) if (sign, digits) == (0, (1,)) else None


def ten_to(exponent: int) -> Fraction:
    """10^exponent."""
    return Fraction(10) ** exponent


def is_exact(point: Point) -> bool:
    """Whether a point goes through the steps of this module: it uses a key of format 2, or a factor that no decimal
    can say. All others are read faster, to the same values."""
    return bool(
        point.byte_order != "big" or point.bits or point.offset or point.span or point.from_unit or point.sign_from
        or point.sum or point.chars != "two" or point.type.startswith("bcd") or point.type in ("uint48", "int48")
        or any(name not in FACTORS for name in point.factor_from)
        or (isinstance(point.factor, Fraction) and decimal_of(point.factor) is None)
        or (point.kind in UNRECORDED and point.type != "sunssf")
        or (point.scale_from and point.model is None and point.type in _IEEE)
    )  # fmt: skip


def quantum(point: Point) -> Fraction:
    """What one unit of the raw number is worth in the recorded unit, where no ratio multiplies it."""
    size = abs(Fraction(point.factor or 1)) * ten_to(point.scale + point.at.exponent)
    return size * CONVERSIONS[point.from_unit][str(point.unit)][0] if point.from_unit else size


class Scaling:
    """From the number that a device writes out (digits, a text) to the recorded one, prepared once for a point.
    ``factors``: the meter's configured ``ct`` and ``pt``."""

    def __init__(self, point: Point, factors: Mapping[str, Ratio]) -> None:
        self._missing = any(name not in factors for name in point.factor_from)
        self._times, self._plus = multiplier(point, factors), added(point)
        self._exponent = None if self._plus else power_of_ten(self._times)

    def content(self, number: int | Decimal) -> int | Decimal | None:
        """The value to record: with the digits of ``number`` wherever only the decimal point moves. None: a ratio is
        not configured."""
        if self._missing:
            return None
        if self._exponent is None:
            return recorded(Fraction(number) * self._times + self._plus)
        return EXACT.scaleb(Decimal(number), Decimal(self._exponent)) if self._exponent else number


def multiplier(point: Point, factors: Mapping[str, Ratio]) -> Fraction:
    """What the raw number of a point is multiplied with, as far as profile and configuration say it."""
    times = quantum(point) * (1 if (point.factor or 1) > 0 else -1)
    for name in point.factor_from:
        times *= Fraction(factors.get(name, 1))
    return times


def added(point: Point) -> Fraction:
    """What is added to the product."""
    plus = CONVERSIONS[point.from_unit][str(point.unit)][1] if point.from_unit else Fraction(0)
    return plus + Fraction(point.offset or 0)


class Steps:
    """The steps of one point, prepared once. ``factors``: the meter's configured ``ct`` and ``pt``."""

    def __init__(self, point: Point, factors: Mapping[str, Ratio]) -> None:
        self._point = point
        self._order = byte_places(point)
        self._codes = frozenset(point.not_available)
        self._parts = [
            (Steps(part, factors), 2 * offset, 2 * (offset + part.registers)) for part, offset in point.parts
        ]
        self.is_float: bool = point.type in _IEEE or any(part.is_float for part, _, _ in self._parts)
        self._ratios = [(point.model, name) for name in point.factor_from if name not in FACTORS]
        self._missing = any(name in FACTORS and name not in factors for name in point.factor_from)
        self._times, self._plus = multiplier(point, factors), added(point)
        self._keeps_digits = not (self.is_float or self._plus or self._parts or point.span)

    def content(self, data: bytes, scales: Scales) -> int | float | Decimal | None:
        """The value to record; None: there is none."""
        scaled = self._scaled(data, scales)
        if scaled is None:
            return None
        raw, times = scaled
        if self._keeps_digits and raw.denominator == 1 and (k := power_of_ten(times)) is not None:
            return raw.numerator if k == 0 else EXACT.scaleb(Decimal(raw.numerator), Decimal(k))
        value = self._placed(raw * times)
        if value is None:
            return None
        return _binary64(value) if self.is_float else recorded(value)

    def number(self, data: bytes, scales: Scales) -> Fraction | None:
        """The value before it is rounded; None: there is none."""
        scaled = self._scaled(data, scales)
        return None if scaled is None else self._placed(scaled[0] * scaled[1])

    def is_faulty(self, data: bytes, scales: Scales) -> bool:
        """Whether the signal is outside of what a sound sensor can send."""
        line = self._point.span
        scaled = self._scaled(data, scales) if line and line.fault else None
        if line is None or line.fault is None or scaled is None:
            return False
        return not _within(line.fault, scaled[0] * scaled[1])

    def text(self, data: bytes) -> bytes:
        """The characters of a text in their order."""
        return bytes(data[place] for place in self._order)

    def _scaled(self, data: bytes, scales: Scales) -> tuple[Fraction, Fraction] | None:
        """The raw number with its sign, and what it is multiplied with."""
        if self._missing:
            return None
        raw, times = self._raw(data, scales), self._times
        if raw is None:
            return None
        point = self._point
        if point.sign_from:
            sign = scales.get((point.model, point.sign_from))
            if sign is None:
                return None
            raw = -raw if sign else raw
        for key in self._ratios:
            ratio = scales.get(key)
            if not ratio:
                return None
            times *= ratio
        if point.scale_from:
            exponent = scales.get((point.model, point.scale_from))
            if exponent is None or exponent.denominator != 1 or abs(int(exponent)) > MOST_EXPONENT:
                return None
            times *= ten_to(int(exponent))
        return raw, times

    def _raw(self, data: bytes, scales: Scales) -> Fraction | None:
        if self._parts:
            numbers = [part.number(data[first:end], scales) for part, first, end in self._parts]
            return None if None in numbers else sum((n for n in numbers if n is not None), Fraction(0))
        pattern_bytes, point = self.text(data), self._point
        pattern = int.from_bytes(pattern_bytes, "big")
        if pattern in self._codes:
            return None
        if point.bits:
            low, high = point.bits
            return Fraction(pattern >> low & ((1 << high - low + 1) - 1))
        if point.type.startswith("bcd"):
            digits = pattern_bytes.hex()
            return Fraction(int(digits)) if digits.isdecimal() else None
        if point.type in _IEEE:
            (value,) = _IEEE[point.type].unpack(pattern_bytes)
            return Fraction(value) if math.isfinite(value) else None
        return Fraction(int.from_bytes(pattern_bytes, "big", signed=point.type in _SIGNED))

    def _placed(self, value: Fraction) -> Fraction | None:
        """The number on the line that the profile draws, or with its offset."""
        line = self._point.span
        if line is None:
            return value + self._plus
        if line.fault is not None and not _within(line.fault, value):
            return None
        return line.at(value)


_SIGNED = ("int16", "int32", "int48", "int64", "sunssf")


def _within(limits: tuple[Decimal, Decimal], value: Fraction) -> bool:
    return Fraction(limits[0]) <= value <= Fraction(limits[1])


def _binary64(value: Fraction) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def byte_places(point: Point) -> Sequence[int]:
    """Which bytes of the registers the value has, in the order that the type is read in."""
    words = range(point.registers)
    if point.word_order == "little" and point.type != "string":
        words = words[::-1]
    both = (0, 1) if point.byte_order == "big" else (1, 0)
    kept = {"two": both, "high": both[:1], "low": both[1:]}[point.chars]
    return [2 * word + byte for word in words for byte in kept]
