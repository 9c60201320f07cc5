"""Registers → values. Pure, and decoding only: nothing here can encode, and nothing here knows a line or a clock.

Numbers follow one rule: an integer register × 10^k is a Decimal with exponent k (k = 0: an int), any other scale gives
the exact decimal product with the shortest mantissa; an IEEE register is its own value, and with a scale the product in
binary64. NaN, infinity and the codes of a profile's ``not_available`` are never values: they come back as None with
DECODE_ERR.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation

from gateway.devices.points import Point
from ledger_client.senml import Quality

_EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])
_ONE = Decimal(1)
_MANTISSA = 1 << 64  # what an integer without a tag holds in CBOR: -2^64 to 2^64 - 1
_SF_LIMIT = 10  # SunSpec: a sunssf runs from -10 to 10
_IEEE = {"float32": struct.Struct(">f"), "float64": struct.Struct(">d")}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value and its quality flags; without a value at least one flag says why."""

    value: int | float | Decimal | str | bool | None
    quality: int = 0


ABSENT = Decoded(None, int(Quality.DECODE_ERR))


def decode(
    point: Point, registers: Sequence[int], *, scale: int | None = None, factor: Decimal | None = None
) -> Decoded:
    """The value of one point from its own registers (fc 1 and 2: its bit).

    ``scale`` is the decoded value of the register that ``scale_from`` names, None when it has none; ``factor`` is the
    product of the meter's configured ``factor_from`` factors (``configured_factor``).
    """
    if len(registers) != point.registers:
        return ABSENT
    if point.type == "bit":
        return Decoded(bool(registers[0]))
    if point.type == "string":
        return _string(registers)
    pattern = _pattern(registers, point.word_order)
    if pattern in point.not_available:
        return ABSENT
    if point.type == "sunssf":
        exponent = _signed(pattern, 16)
        return Decoded(exponent) if -_SF_LIMIT <= exponent <= _SF_LIMIT else ABSENT
    if (point.scale_from and scale is None) or (point.factor_from and factor is None):
        return ABSENT
    exponent = point.scale if scale is None or not point.scale_from else scale
    total = _scale(point, exponent, factor if point.factor_from else None)
    if point.type in _IEEE:
        return _ieee(pattern, point, total)
    return _integer(_signed(pattern, 16 * point.registers) if point.type.startswith("int") else pattern, total)


def decode_points(
    read: Iterable[tuple[Point, Sequence[int]]], factors: Mapping[str, Decimal] | None = None
) -> dict[str, Decoded]:
    """Decode all points of one poll, scale registers first; they scale their points and are not in the result."""
    pairs = list(read)
    scales: dict[tuple[int | None, str | None], int] = {}
    for point, registers in pairs:
        if point.kind == "scale" and isinstance(value := decode(point, registers).value, int):
            scales[point.model, point.name] = value
    return {
        point.name: decode(
            point,
            registers,
            scale=scales.get((point.model, point.scale_from)),
            factor=configured_factor(point, factors or {}),
        )
        for point, registers in pairs
        if point.kind != "scale"
    }


def configured_factor(point: Point, factors: Mapping[str, Decimal]) -> Decimal | None:
    """The product of the factors (``ct``, ``pt``) that the point needs; None when it needs none or one is not given."""
    if not point.factor_from or any(name not in factors for name in point.factor_from):
        return None
    product = _ONE
    for name in point.factor_from:
        product = _EXACT.multiply(product, factors[name])
    return product


def _pattern(registers: Sequence[int], word_order: str) -> int:
    pattern = 0
    for register in registers if word_order == "big" else reversed(registers):
        pattern = pattern << 16 | register
    return pattern


def _signed(pattern: int, bits: int) -> int:
    return pattern - (1 << bits) if pattern >> (bits - 1) else pattern


def _string(registers: Sequence[int]) -> Decoded:
    """Text up to the first NUL, without spaces behind; none at all means that the device does not tell it.

    Control characters are no text: a device must not write on the terminal that shows its serial number.
    """
    data = b"".join(register.to_bytes(2, "big") for register in registers).split(b"\0", 1)[0]
    try:
        text = data.decode("utf-8").rstrip()
    except UnicodeDecodeError:
        return ABSENT
    return Decoded(text) if text and text.isprintable() else ABSENT


def _scale(point: Point, exponent: int, configured: Decimal | None) -> int | Decimal:
    """What the raw number is multiplied with: k for 10^k, or the exact factor that is no power of ten."""
    if point.factor is None and configured is None:
        return exponent
    total = _EXACT.scaleb(_ONE, exponent)
    for factor in (point.factor, configured):
        if factor is not None:
            total = _EXACT.multiply(total, factor)
    sign, digits, power = total.normalize(_EXACT).as_tuple()
    return int(power) if (sign, digits) == (0, (1,)) else total


def _ieee(pattern: int, point: Point, scale: int | Decimal) -> Decoded:
    (value,) = _IEEE[point.type].unpack(pattern.to_bytes(2 * point.registers, "big"))
    if scale != 0:
        value *= float(_EXACT.scaleb(_ONE, scale) if isinstance(scale, int) else scale)
    return Decoded(value) if math.isfinite(value) else ABSENT


def _integer(raw: int, scale: int | Decimal) -> Decoded:
    if isinstance(scale, int):
        return Decoded(_EXACT.scaleb(Decimal(raw), scale)) if scale else Decoded(raw)
    product = _EXACT.multiply(Decimal(raw), scale).normalize(_EXACT)
    sign, digits, exponent = product.as_tuple()
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    if not -_MANTISSA <= mantissa < _MANTISSA:
        return ABSENT  # no record can hold it, and no meter means it
    return Decoded(product if exponent else mantissa)
