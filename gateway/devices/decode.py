"""Registers → values. Pure, and decoding only: encodes nothing, and knows neither a line nor a clock.

Numbers follow one rule: an integer register × 10^k is a Decimal with exponent k (k = 0: an int), any other scale gives
the decimal product with the shortest mantissa, rounded half to even where it has more than 18 digits; an IEEE register
is its own value, and with a scale the product in binary64. NaN, infinity and the codes of a profile's
``not_available`` are never values: they come back as None with DECODE_ERR.

Points that use a key of format 2 take the steps of ``gateway.devices.scaling``; all others are read here, faster.

``RegisterDecoder`` prepares the points of a block once and then takes all of its registers apart in one go;
``decode`` and ``decode_points`` are for single values.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any

from gateway.devices.blocks import Content
from gateway.devices.points import UNRECORDED, Point, Ratio
from gateway.devices.scaling import DIGITS, EXACT, MOST_EXPONENT, Scales, Steps, decimal_of, is_exact, shortest
from ledger_client.formats.senml import Quality

_ONE = Decimal(1)
_SF_LIMIT = 10  # SunSpec: a sunssf runs from -10 to 10
_IEEE = {"float32": struct.Struct(">f"), "float64": struct.Struct(">d")}
_FORMATS = {
    "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q", "float32": "f",
    "float64": "d", "bits16": "H", "bits32": "I", "enum16": "H", "enum32": "I", "acc32": "I", "acc64": "Q",
    "sunssf": "h",
}  # fmt: skip
_UNSIGNED = {1: "H", 2: "I", 4: "Q"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value and its quality flags; without a value at least one flag says why."""

    value: Content
    quality: int = 0


ABSENT = Decoded(None, int(Quality.DECODE_ERR))


class RegisterDecoder:
    """The points of one block. ``points`` are those that have a value, in the block's order: scale registers have none
    of their own."""

    def __init__(self, points: Sequence[tuple[Point, int]], factors: Mapping[str, Ratio] | None = None) -> None:
        """``points`` with their offsets; ``factors``: the meter's configured ``ct`` and ``pt``."""
        valued = [pair for pair in points if pair[0].kind not in UNRECORDED]
        both = valued + [pair for pair in points if pair[0].kind == "scale"]
        self.points = tuple(point for point, _ in valued)
        given = factors or {}
        decimals = {name: number for name, ratio in given.items() if (number := _decimal(ratio)) is not None}
        self._steps = {n: Steps(p, given) for n, (p, _) in enumerate(both) if _takes_steps(p, given)}
        """By place among the valued points, scale points behind them."""
        scales = [(n, (p.model, p.name), p) for n, (p, _) in enumerate(both) if n >= len(valued)]
        self._has_scales = bool(scales)
        self._exponents = [(n, key, p.not_available) for n, key, p in scales if n not in self._steps]
        self._numbers_of_steps = [(n, key, self._steps[n]) for n, key, _ in scales if n in self._steps]
        self.lines = tuple(n for n in self._steps if n < len(valued) and self.points[n].span is not None)
        """Places of points that are read from an analogue signal."""
        self._reach = max((offset + point.registers for point, offset in both), default=0)
        self._bits = bool(both) and both[0][0].type == "bit"
        self._take = _taker(
            [
                place
                for n, (point, offset) in enumerate(both)
                for place in (range(offset, offset + point.registers) if n in self._steps else _places(point, offset))
            ]
        )
        self._words = struct.Struct(f">{sum(point.registers for point, _ in both)}H")
        self._numbers = struct.Struct(
            ">" + "".join(_bytes(p) if n in self._steps else _format(p) for n, (p, _) in enumerate(both))
        )
        self._floats = [n for n, p in enumerate(self.points) if n not in self._steps and _is_plain_float(p)]
        self._readers = [
            (n, read)
            for n, point in enumerate(self.points)
            if not point.scale_from and n not in self._steps and (read := _reader(point, decimals)) is not None
        ]
        self._scaled = [
            (n, p, (p.model, p.scale_from)) for n, p in enumerate(self.points) if p.scale_from and n not in self._steps
        ]
        exact = [(n, p.type == "string") for n, p in enumerate(self.points) if n in self._steps]
        self._exact = [(n, self._steps[n]) for n, is_text in exact if not is_text]
        self._texts = [(n, self._steps[n]) for n, is_text in exact if is_text]
        self._factors = decimals
        self._by_scale: dict[tuple[int, int | Fraction], Callable[[Any], Content]] = {}

    def split(self, registers: Sequence[int]) -> Sequence[Any]:
        """What stands in the registers (fc 1 and 2: bits), for ``scales`` and ``values``; empty if they are too few."""
        if len(registers) < self._reach:
            return ()
        words = self._take(registers)
        return words if self._bits else self._numbers.unpack(self._words.pack(*words))

    def scales(self, split: Sequence[Any]) -> dict[tuple[int | None, str], int | Fraction]:
        """The block's scale registers, those that hold a scale."""
        if not split or not self._has_scales:
            return {}
        found: dict[tuple[int | None, str], int | Fraction] = {}
        for n, key, codes in self._exponents:
            raw = split[n]
            if -_SF_LIMIT <= raw <= _SF_LIMIT and raw % 0x10000 not in codes:
                found[key] = raw
        for n, key, steps in self._numbers_of_steps:
            if (number := steps.number(split[n], {})) is not None:
                found[key] = number
        return found

    def faults(self, split: Sequence[Any], scales: Scales) -> list[str]:
        """Names of the points whose signal no sound sensor sends."""
        return [self.points[n].name for n in self.lines if split and self._steps[n].is_faulty(split[n], scales)]

    def values(self, split: Sequence[Any], scales: Scales) -> list[Content]:
        """A value or None for each of ``points``; ``scales`` are those of the whole poll."""
        if not split:
            return [None] * len(self.points)
        values: list[Content] = list(split[: len(self.points)])
        for n in self._floats:
            raw = split[n]
            if raw - raw != 0.0:  # NaN or infinity
                values[n] = None
        for n, read in self._readers:
            values[n] = read(split[n])
        for n, point, key in self._scaled:
            exponent = scales.get(key)
            if exponent is None:
                values[n] = None
            else:
                read = self._by_scale.get((n, exponent)) or self._scaled_reader(n, point, exponent)
                values[n] = read(split[n])
        for n, steps in self._exact:
            values[n] = steps.content(split[n], scales)
        for n, steps in self._texts:
            values[n] = _string(steps.text(split[n]))
        return values

    def flags(self, split: Sequence[Any]) -> Sequence[int]:
        """Nothing: registers do not say how good they are."""
        return ()

    def _scaled_reader(self, n: int, point: Point, exponent: int | Fraction) -> Callable[[Any], Content]:
        if exponent.denominator != 1 or abs(int(exponent)) > MOST_EXPONENT:
            return _nothing
        read = _reader(point, self._factors, int(exponent)) or _as_it_is
        return self._by_scale.setdefault((n, exponent), read)


def decode(
    point: Point, registers: Sequence[int], *, scale: int | None = None, factors: Mapping[str, Ratio] | None = None
) -> Decoded:
    """The value of one point from its own registers.

    Args:
        point: the point; of kind ``scale`` its value is the exponent.
        registers: as many as the point has (fc 1 and 2: bits); with more or fewer it has no value.
        scale: the decoded value of the register that ``scale_from`` names; None: it has none.
        factors: the meter's configured ``ct`` and ``pt``.
    """
    if len(registers) != point.registers:
        return ABSENT
    decoder = RegisterDecoder([(point, 0)], factors)
    split = decoder.split(registers)
    if point.kind == "scale":
        exponent = decoder.scales(split).get((point.model, point.name))
        return ABSENT if exponent is None else Decoded(int(exponent))
    scales = {} if scale is None else {(point.model, str(point.scale_from)): scale}
    return _decoded(decoder.values(split, scales)[0])


def decode_points(
    read: Iterable[tuple[Point, Sequence[int]]], factors: Mapping[str, Ratio] | None = None
) -> dict[str, Decoded]:
    """Decode all points of one poll, scale registers first; they scale their points and are not in the result."""
    split = [(RegisterDecoder([(point, 0)], factors), registers) for point, registers in read]
    parts = [(decoder, decoder.split(registers)) for decoder, registers in split]
    scales = {key: scale for decoder, part in parts for key, scale in decoder.scales(part).items()}
    return {
        point.name: _decoded(value)
        for decoder, part in parts
        for point, value in zip(decoder.points, decoder.values(part, scales), strict=True)
    }


def configured_factor(point: Point, factors: Mapping[str, Decimal]) -> Decimal | None:
    """The product of the factors (``ct``, ``pt``) that the point needs; None when it needs none or one is not given."""
    if not point.factor_from or any(name not in factors for name in point.factor_from):
        return None
    product = _ONE
    for name in point.factor_from:
        product = EXACT.multiply(product, factors[name])
    return product


def _decoded(value: Content) -> Decoded:
    return ABSENT if value is None else Decoded(value)


def _taker(places: Sequence[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    """Picks the registers at ``places``, in that order."""
    if len(places) > 1:
        in_order = list(places) == list(range(places[0], places[0] + len(places)))
        return itemgetter(slice(places[0], places[0] + len(places))) if in_order else itemgetter(*places)
    return lambda registers: tuple(registers[place] for place in places)


def _decimal(ratio: Ratio) -> Decimal | None:
    return ratio if isinstance(ratio, Decimal) else decimal_of(ratio)


def _takes_steps(point: Point, factors: Mapping[str, Ratio]) -> bool:
    given = (factors[name] for name in point.factor_from if name in factors)
    return is_exact(point) or any(_decimal(ratio) is None for ratio in given)


def _places(point: Point, offset: int) -> Sequence[int]:
    """Where the point's registers stand, the highest word first."""
    places = range(offset, offset + point.registers)
    return places if point.word_order == "big" or point.type == "string" else places[::-1]


def _bytes(point: Point) -> str:
    return f"{2 * point.registers}s"


def _format(point: Point) -> str:
    if point.type in ("string", "bit"):
        return _bytes(point)
    if point.type in _IEEE and point.not_available:
        return _UNSIGNED[point.registers]  # a code is a pattern of bits, not a number
    return _FORMATS[point.type]


def _is_plain_float(point: Point) -> bool:
    scaled = point.scale or point.factor is not None or point.factor_from or point.scale_from
    return point.type in _IEEE and not scaled and not point.not_available


def _as_it_is(raw: Any) -> Content:
    return raw  # type: ignore[no-any-return]


def _nothing(raw: Any) -> Content:
    return None


def _reader(
    point: Point, factors: Mapping[str, Decimal], exponent: int | None = None
) -> Callable[[Any], Content] | None:
    """What turns a raw number into the value, None where it is the value. ``exponent``: of its scale register."""
    if point.type == "string":
        return _string
    if point.type == "bit":
        return bool
    configured = configured_factor(point, factors)
    if point.factor_from and configured is None:
        return _nothing
    total = _scale(point, point.scale + (exponent or 0), configured)
    if point.type in _IEEE:
        return None if _is_plain_float(point) else _ieee_reader(point, total)
    read = None if total == 0 else _integer_reader(total)
    return read if not point.not_available else _coded(point, read or _as_it_is)


def _coded(point: Point, read: Callable[[Any], Content]) -> Callable[[Any], Content]:
    """``read``, but None for the codes, which are unsigned patterns."""
    modulus, codes = 1 << 16 * point.registers, frozenset(point.not_available)
    return lambda raw: None if raw % modulus in codes else read(raw)


def _ieee_reader(point: Point, scale: int | Decimal) -> Callable[[Any], Content]:
    multiplier = float(EXACT.scaleb(_ONE, scale) if isinstance(scale, int) else scale)
    number, codes, size = _IEEE[point.type], frozenset(point.not_available), 2 * point.registers

    def read(raw: Any) -> Content:
        if codes:
            if raw in codes:
                return None
            (raw,) = number.unpack(raw.to_bytes(size, "big"))
        value = raw * multiplier if scale != 0 else raw
        return value if math.isfinite(value) else None

    return read


def _integer_reader(scale: int | Decimal) -> Callable[[Any], Content]:
    if isinstance(scale, int):
        exponent = Decimal(scale)
        return lambda raw: EXACT.scaleb(Decimal(raw), exponent)
    factor = scale

    def read(raw: Any) -> Content:
        return shortest(DIGITS.multiply(Decimal(raw), factor))

    return read


def _string(data: bytes) -> Content:
    """Text up to the first NUL, without spaces behind; none at all means that the device does not tell it.

    Control characters are no text: a device must not write on the terminal that shows its serial number.
    """
    try:
        text = data.split(b"\0", 1)[0].decode("utf-8").rstrip()
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None


def _scale(point: Point, exponent: int, configured: Decimal | None) -> int | Decimal:
    """What the raw number is multiplied with: k for 10^k, or the exact factor that is no power of ten."""
    of_point = None if point.factor is None else _decimal(point.factor)
    if of_point is None and configured is None:
        return exponent
    total = EXACT.scaleb(_ONE, exponent)
    for factor in (of_point, configured):
        if factor is not None:
            total = EXACT.multiply(total, factor)
    sign, digits, power = total.normalize(EXACT).as_tuple()
    return int(power) if (sign, digits) == (0, (1,)) else total
