"""Encoding of values into registers, and the reading that a correct decoder makes of them. Pure.

This never uses the gateway's decoder turned round: a swapped word order would then cancel itself out in every test.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import partial

from firmware_sim.meters.scaling import Line

Value = float | int | str | Fraction | None
"""What a point shows: a number, a text, or None for "not available". A fraction is never read back as one."""

_FORMATS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q", "float32": ">f",
    "float64": ">d", "bits16": ">H", "bits32": ">I", "enum16": ">H", "enum32": ">I", "acc32": ">I", "acc64": ">Q",
    "sunssf": ">h", "bit": ">H",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """Registers that belong together: one point as the device lays it out.

    ``name`` is the profile's point, None for registers that no profile point names. The raw number is the value divided
    by ``factor`` × 10^``exponent``, or where there is a ``line``, lies on it; of a ``magnitude`` the sign stands
    elsewhere. ``bits`` are the lowest and the highest that it fills. ``absent`` are the registers of a value that is
    not available.
    """

    name: str | None
    fc: int
    address: int
    registers: int
    type: str
    word_order: str = "big"
    exponent: int = 0
    factor: Decimal = Decimal(1)
    kind: str = "gauge"
    absent: tuple[int, ...] = (0,)
    not_available: tuple[int, ...] = ()
    byte_order: str = "big"
    bits: tuple[int, int] | None = None
    chars: str = "two"
    line: Line | None = None
    magnitude: bool = False
    limits: tuple[Fraction, Fraction] | None = None
    """Raw numbers beyond these are no value: the signal is broken."""

    @property
    def end(self) -> int:
        """First address behind the cell."""
        return self.address + self.registers

    @property
    def can_lack(self) -> bool:
        """Whether a reader can tell its registers without a value from a number."""
        return bool(self.not_available) or self.type.startswith(("float", "bcd"))

    def within(self, value: float | Fraction) -> float | Fraction:
        """The number, or the one next to it that its registers can show."""
        if self.type.startswith("float"):
            return value
        low, high = sorted((self._value(_lowest(self)), self._value(_highest(self))))
        return min(max(value, low), high)

    def ceiling(self, digits: int) -> Fraction | None:
        """Where a counter begins anew: behind so many digits before the decimal point, with 0 behind the largest number
        of its registers; None: it has none."""
        if digits:
            return Fraction(10) ** digits
        return None if self.type.startswith("float") else self._value(_room(self)[1] + 1)

    def _value(self, raw: int) -> Fraction:
        """The number that a raw one means."""
        if self.line is not None:
            return self.line.value(Fraction(raw)) if self.line.gain else Fraction(0)
        return raw * Fraction(self.factor) * Fraction(10) ** self.exponent

    @property
    def is_scaled(self) -> bool:
        """Whether the raw register differs from the value."""
        return self.exponent != 0 or self.factor != 1


@dataclass(frozen=True, slots=True)
class Packed:
    """The registers of a value in wire order, and what a reader should decode from them."""

    words: tuple[int, ...]
    reading: Value


def pack(cell: Cell, value: Value) -> Packed:
    """The registers that show ``value``; one that cannot be shown is "not available", and so is what has no name."""
    if cell.name is None:
        return Packed(cell.absent, None)
    if cell.type == "string" and isinstance(value, str):
        size = cell.registers * (2 if cell.chars == "two" else 1)
        return Packed(
            _text(cell, value.encode("ascii", "replace")[:size].ljust(size, b"\0")), value[:size].rstrip(" ") or None
        )
    raw = None if value is None or isinstance(value, str) else _raw(cell, value)
    if raw is None:
        words = cell.absent
    else:
        words = arranged(_bytes(cell, abs(raw) if cell.magnitude else raw), cell.word_order, cell.byte_order)
    negative = raw is not None and cell.magnitude and raw < 0
    return Packed(words, None if cell.type == "string" else reading(cell, words, negative=negative))


def packer(cell: Cell) -> Callable[[Value], Packed]:
    """``pack`` of this cell, prepared: a meter packs the same cells at each read. Plain numbers take a short way."""
    if cell.name is None:
        constant = pack(cell, None)
        return lambda value: constant
    if cell.line is None and cell.bits is None and not cell.magnitude:
        if cell.type in ("float32", "float64") and not cell.is_scaled:
            return _float_packer(cell)
        if cell.type in _FORMATS and cell.type not in ("float32", "float64", "bit"):
            return _integer_packer(cell)
    return partial(pack, cell)


def _float_packer(cell: Cell) -> Callable[[Value], Packed]:
    form, absent = struct.Struct(_FORMATS[cell.type]), pack(cell, None)
    most = 3.4e38 if cell.type == "float32" else math.inf
    codes = {code.to_bytes(2 * cell.registers, "big") for code in cell.not_available}

    def packed(value: Value) -> Packed:
        if value is None or isinstance(value, str) or not math.isfinite(value) or abs(float(value)) >= most:
            return absent
        data = form.pack(value)
        (shown,) = form.unpack(data)
        return Packed(arranged(data, cell.word_order, cell.byte_order), None if data in codes else shown)

    return packed


def _integer_packer(cell: Cell) -> Callable[[Value], Packed]:
    form, absent = struct.Struct(_FORMATS[cell.type]), pack(cell, None)
    low, high = _room(cell)
    codes = {code.to_bytes(2 * cell.registers, "big") for code in cell.not_available}
    step = float(cell.factor) * 10.0**cell.exponent if cell.is_scaled else None

    def packed(value: Value) -> Packed:
        if value is None or isinstance(value, str) or not math.isfinite(value):
            return absent
        raw = round(value) if step is None else round(float(value) / step)
        if not low <= raw <= high:
            return absent
        data = form.pack(raw)
        shown: Value = raw if step is None else format(Decimal(raw).scaleb(cell.exponent) * cell.factor, "f")
        return Packed(arranged(data, cell.word_order, cell.byte_order), None if data in codes else shown)

    return packed


def repacked(cell: Cell, laid: Cell, value: Value) -> Packed:
    """A value in a cell that the device lays out as ``laid``, and what a reader of ``cell`` makes of it."""
    packed = pack(laid, value)
    if laid is cell:
        return packed
    negative = isinstance(value, int | float | Fraction) and cell.magnitude and value < 0
    return Packed(packed.words, reading(cell, packed.words, negative=negative))


def arranged(data: bytes, word_order: str, byte_order: str) -> tuple[int, ...]:
    """The registers of a value's bytes; or back, as each order is its own inverse.

    Args:
        data: the bytes, the highest first.
        word_order: ``big`` or ``little``.
        byte_order: within each register, likewise.
    """
    words = struct.unpack(f"{'>' if byte_order == 'big' else '<'}{len(data) // 2}H", data)
    return words[::-1] if word_order == "little" else words


def ordered(cell: Cell, word_order: str) -> Cell:
    """A number in this order of its registers; a text has one order only."""
    if cell.type == "string" or cell.word_order == word_order:
        return cell
    return replace(cell, word_order=word_order, absent=cell.absent[::-1])


def mask(cell: Cell) -> tuple[int, ...]:
    """Which bits of its registers a cell fills."""
    pattern = (1 << 16 * cell.registers) - 1
    if cell.bits is not None:
        pattern = (1 << cell.bits[1] + 1) - (1 << cell.bits[0])
    return arranged(pattern.to_bytes(2 * cell.registers, "big"), cell.word_order, cell.byte_order)


def _text(cell: Cell, data: bytes) -> tuple[int, ...]:
    one_each = {"low": b"\0%c", "high": b"%c\0"}
    if cell.chars != "two":
        data = b"".join(one_each[cell.chars] % character for character in data)
    return arranged(data, "big", cell.byte_order)


def _raw(cell: Cell, value: float | Fraction) -> float | int | None:
    form = _FORMATS.get(cell.type)
    scaled: float | Fraction = value
    if not math.isfinite(value):
        return None
    if cell.line is not None:
        if not cell.line.gain:
            return None
        exact = cell.line.raw(Fraction(value))
        scaled = float(exact) if form in (">f", ">d") else exact
    elif cell.is_scaled:
        scaled = float(value) / (float(cell.factor) * 10.0**cell.exponent)
    if form in (">f", ">d"):
        return float(scaled) if form == ">d" or abs(float(scaled)) < 3.4e38 else None
    raw = round(scaled)
    low, high = _room(cell)
    return raw if low <= (abs(raw) if cell.magnitude else raw) <= high else None


def _lowest(cell: Cell) -> int:
    """The smallest integer that a reader takes for a number."""
    low, high = _room(cell)
    if cell.magnitude:
        return -high
    return low + ((low % (1 << 16 * cell.registers)) in cell.not_available)


def _highest(cell: Cell) -> int:
    """The largest integer that a reader takes for a number."""
    high = _room(cell)[1]
    return high - (high in cell.not_available)


def _room(cell: Cell) -> tuple[int, int]:
    """The smallest and the largest integer that a cell can hold."""
    if cell.bits is not None:
        return 0, 2 ** (cell.bits[1] - cell.bits[0] + 1) - 1
    if cell.type.startswith("bcd"):
        return 0, 10 ** (4 * cell.registers) - 1
    bits = 16 * cell.registers
    signed = cell.type == "int48" or _FORMATS.get(cell.type, "H")[-1].islower()
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _bytes(cell: Cell, raw: float | int) -> bytes:
    if cell.bits is not None:
        return (int(raw) << cell.bits[0]).to_bytes(2 * cell.registers, "big")
    if cell.type.startswith("bcd"):
        return bytes.fromhex(f"{int(raw):0{4 * cell.registers}d}")
    if cell.type in ("uint48", "int48"):
        return struct.pack(">Q", int(raw) % 2**48)[2:]
    return struct.pack(_FORMATS[cell.type], raw)


def reading(cell: Cell, words: tuple[int, ...], *, negative: bool = False) -> Value:
    """What a reader should make of a cell's registers.

    Args:
        cell: where and how the value stands.
        words: its registers in the order of their addresses.
        negative: the sign that another point holds.
    """
    words = words[::-1] if cell.word_order == "little" else words
    data = struct.pack(f"{'>' if cell.byte_order == 'big' else '<'}{len(words)}H", *words)
    raw = _number(cell, data)
    if raw is None:
        return None
    raw = -raw if negative else raw
    if cell.line is not None:
        return _on_line(cell, cell.line, raw)
    if isinstance(raw, float):
        return raw * float(cell.factor.scaleb(cell.exponent)) if cell.is_scaled else raw
    return format(Decimal(raw).scaleb(cell.exponent) * cell.factor, "f") if cell.is_scaled else int(raw)


def readings(
    placed: Iterable[tuple[Cell, int]], words: Sequence[int | None], signs: Mapping[str, str]
) -> dict[str, Value]:
    """What a reader should make of the cells in some registers.

    Args:
        placed: cells with a name, and where each begins in the words.
        words: None where nobody knows the register.
        signs: by name of a magnitude the point that holds its sign; without that it has no reading.
    """
    values: dict[str, Value] = {}
    for cell, at in sorted(placed, key=lambda each: each[0].magnitude):  # signs before what takes them
        name, known = str(cell.name), tuple(word for word in words[at : at + cell.registers] if word is not None)
        sign = values.get(signs[name]) if cell.magnitude else 0
        if len(known) < cell.registers or sign is None:
            values[name] = None
        elif cell.type == "string":
            values[name] = _text_in(cell, known)
        else:
            values[name] = reading(cell, known, negative=Fraction(sign) != 0)
    return values


def _text_in(cell: Cell, words: tuple[int, ...]) -> str | None:
    """What stands before the first NUL, without blanks behind it; None: nothing."""
    swapped = arranged(b"".join(word.to_bytes(2, "big") for word in words), "big", cell.byte_order)
    data = b"".join(word.to_bytes(2, "big") for word in swapped)
    if cell.chars != "two":
        data = data[cell.chars == "low" :: 2]
    return data.partition(b"\0")[0].decode("ascii", "replace").rstrip(" ") or None


def _number(cell: Cell, data: bytes) -> float | int | None:
    """The raw number in a cell's bytes, the highest first."""
    pattern = int(data.hex(), 16)
    if pattern in cell.not_available:
        return None
    if cell.bits is not None:
        return (pattern & (1 << cell.bits[1] + 1) - 1) >> cell.bits[0]
    if cell.type.startswith("bcd"):
        return int(data.hex()) if data.hex().isdecimal() else None
    if cell.type in ("uint48", "int48"):
        return pattern - (2**48 if cell.type == "int48" and data[0] & 0x80 else 0)
    (raw,) = struct.unpack(_FORMATS[cell.type], data)
    return raw if not isinstance(raw, float) or math.isfinite(raw) else None


def _on_line(cell: Cell, line: Line, raw: float | int) -> Value:
    exact = Fraction(raw)
    if not line.gain or (cell.limits and not cell.limits[0] <= exact <= cell.limits[1]):
        return None
    return float(line.value(exact)) if isinstance(raw, float) else line.text(int(raw))
