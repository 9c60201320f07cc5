"""Values into registers, with the simulator's own few lines of struct, and what a reader must make of them.

This never uses the gateway's decoder turned round: a swapped word order would then cancel itself out in every test.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from decimal import Decimal

Value = float | int | str | None
"""What a point shows: a number, a text, or None for "not available"."""

_FORMATS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q", "float32": ">f",
    "float64": ">d", "bits16": ">H", "bits32": ">I", "enum16": ">H", "enum32": ">I", "acc32": ">I", "acc64": ">Q",
    "sunssf": ">h", "bit": ">H",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """Registers that belong together: one point as the device lays it out.

    ``name`` is the profile's point, None for registers that no profile point names. The raw number is the value divided
    by ``factor`` × 10^``exponent``. ``absent`` are the registers of a value that is not available.
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

    @property
    def end(self) -> int:
        """First address behind the cell."""
        return self.address + self.registers

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
        data = value.encode("ascii", "replace")[: 2 * cell.registers].ljust(2 * cell.registers, b"\0")
        words = struct.unpack(f">{cell.registers}H", data)
        return Packed(words, value[: 2 * cell.registers] if value else None)
    raw = None if value is None or isinstance(value, str) else _raw(cell, value)
    if raw is None:
        words = cell.absent
    else:
        data = struct.pack(_FORMATS[cell.type], raw)
        words = struct.unpack(f">{len(data) // 2}H", data)
        words = words[::-1] if cell.word_order == "little" else words
    return Packed(words, None if cell.type == "string" else _reading(cell, words))


def _raw(cell: Cell, value: float) -> float | int | None:
    form = _FORMATS[cell.type]
    scaled = value / (float(cell.factor) * 10.0**cell.exponent) if cell.is_scaled else value
    if form in (">f", ">d"):
        return scaled if form == ">d" or abs(scaled) < 3.4e38 else None
    if not math.isfinite(scaled):
        return None
    raw, bits = round(scaled), 8 * struct.calcsize(form)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if form[1].islower() else (0, 2**bits - 1)
    return raw if low <= raw <= high else None


def _reading(cell: Cell, words: tuple[int, ...]) -> Value:
    data = struct.pack(f">{len(words)}H", *(words[::-1] if cell.word_order == "little" else words))
    if int.from_bytes(data, "big") in cell.not_available:
        return None
    (raw,) = struct.unpack(_FORMATS[cell.type], data)
    if isinstance(raw, float):
        if not math.isfinite(raw):
            return None
        return raw * float(cell.factor.scaleb(cell.exponent)) if cell.is_scaled else raw
    return format(Decimal(raw).scaleb(cell.exponent) * cell.factor, "f") if cell.is_scaled else int(raw)
