"""Values of readings as rows, and back again exactly: a shape for what does not change, and an array of numbers.

A *shape* is the names, the units and the decimals of a reading's values. A value is a double precision number, which
holds 15 significant digits: with the decimals of its shape it comes back as it was recorded, type included. What does
not fit its shape stands apart, in ``rest``: text, numbers of more digits or of other decimals, and the times of values
that were read later than the first. What has no value has no number, and its quality says why.

A meter has one shape as a rule. Where the decimals of its values change it gets more, a few at most: beyond those the
values that do not fit stand apart, so that no meter makes a shape a record.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from operator import lt
from typing import Any, Final, NamedTuple

from ledger_client.formats.record import Number, Reading, Value
from ledger_client.formats.senml import Columns

FLOAT, TRUTH, NO_NUMBER = 100, 101, 102
"""In place of decimals: a float as it is, true or false, and a value that was no number when the shape was made."""
MOST_SHAPES: Final = 8
"""Of the same names and units."""
_DIGITS: Final = 15
Content = Number | str | bool | None
_same_quantum: Final = Decimal.same_quantum
_TYPES: Final[Mapping[int, type]] = {FLOAT: float, TRUTH: bool, NO_NUMBER: type(None), 0: int}


class Points(NamedTuple):
    """Names and units of a reading's values; ``""`` for no unit."""

    names: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def key(self) -> bytes:
        """What they are found by: names and units have no character below a space."""
        return hashlib.sha256("\n".join((*self.names, "", *self.units)).encode()).digest()


class Shape:
    """Points and decimals, with what fits them quickly. ``id`` is its row's."""

    __slots__ = ("_all_decimal", "_all_numbers", "_limits", "_quanta", "_types", "decimals", "id", "points")

    def __init__(self, number: int, points: Points, decimals: Sequence[int]) -> None:
        self.id, self.points, self.decimals = number, points, tuple(decimals)
        self._types = tuple(_TYPES.get(d, Decimal) for d in self.decimals)
        self._limits = tuple(math.inf if d >= FLOAT else float(Decimal((0, (1,), _DIGITS - d))) for d in self.decimals)
        self._quanta = tuple(Decimal((0, (1,), -d)) for d, kind in zip(self.decimals, self._types, strict=True)
                             if kind is Decimal)  # fmt: skip
        self._all_decimal = len(self._quanta) == len(self.decimals)
        self._all_numbers = NO_NUMBER not in self.decimals

    def numbers(self, contents: Sequence[Content]) -> list[float] | None:
        """The contents as numbers, where every one of them fits; None where one does not."""
        if not self._all_numbers or tuple(map(type, contents)) != self._types:
            return None
        decimals: Any = contents if self._all_decimal else [c for c in contents if type(c) is Decimal]
        if not all(map(_same_quantum, decimals, self._quanta)):
            return None
        numbers: list[float] = list(map(float, contents))  # type: ignore[arg-type]
        return numbers if all(map(lt, map(abs, numbers), self._limits)) else None

    def fits(self, index: int, content: Content) -> bool:
        """Whether the number of a content, with these decimals, is the whole of it. Of no value and of text, it is none
        in any shape."""
        if content is None or isinstance(content, str):
            return True
        if type(content) is not self._types[index]:
            return False
        if type(content) is Decimal and -_exponent(content) != self.decimals[index]:
            return False
        return abs(float(content)) < self._limits[index]

    def content(self, index: int, number: float | None) -> Content:
        """What a number of a row was recorded as."""
        if number is None:
            return None
        decimals = self.decimals[index]
        if decimals == FLOAT:
            return number
        if decimals == TRUTH:
            return bool(number)
        if decimals == 0:
            return int(number)
        return Decimal(f"{number:.{_DIGITS - 1}e}").quantize(Decimal((0, (1,), -decimals)))


class Row(NamedTuple):
    """A reading's columns: ``quality`` None where all is good, of one element where all are alike."""

    shape: int
    quality: list[int] | None
    num: Sequence[float | None]
    rest: dict[str, Any] | None


def columns(reading: Reading) -> tuple[Points, tuple[Content, ...], list[int] | None, list[tuple[int, int]]]:
    """Points, contents, qualities and the times of values of their own: (index from which on, milliseconds later)."""
    values = reading.values
    if isinstance(values, Columns):
        quality = [values.quality] if values.quality else None
        return Points(values.names, tuple(u or "" for u in values.units)), values.contents, quality, []
    names, contents, units, qualities, offsets = zip(*values, strict=True)
    if None in units:
        units = tuple(u or "" for u in units)
    quality = None
    if any(qualities):
        quality = [qualities[0]] if qualities.count(qualities[0]) == len(qualities) else list(qualities)
    return Points(names, units), contents, quality, _steps(offsets) if any(offsets) else []


def _steps(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Where the offset of values changes, and to what: values of one block have one, and stand together."""
    before = (0, *offsets)
    return [(index, offset) for index, offset in enumerate(offsets) if offset != before[index]]


def decimals_of(contents: Sequence[Content], like: Sequence[int] | None) -> list[int]:
    """The decimals of a shape for these contents; where there is no number, those of another shape of these points."""
    others = like if like is not None else repeat(NO_NUMBER)
    return [_decimals(content, other) for content, other in zip(contents, others, strict=False)]


def _decimals(content: Content, other: int) -> int:
    if content is None or isinstance(content, str):
        return other
    if isinstance(content, bool):
        return TRUTH
    if isinstance(content, float):
        return FLOAT
    return -_exponent(content) if isinstance(content, Decimal) else 0


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # evidence holds finite numbers only
    return exponent


def apart(shape: Shape, contents: Sequence[Content]) -> dict[str, Any]:
    """What does not fit the shape, or is text, by its index, as JSON holds it."""
    return {
        str(index): content if isinstance(content, str | bool) else _exact(content)
        for index, content in enumerate(contents)
        if isinstance(content, str) or not shape.fits(index, content)
    }


def _exact(content: Content) -> dict[str, str]:
    return {"float": content.hex()} if isinstance(content, float) else {"number": str(content)}


def numbers(contents: Sequence[Content]) -> list[float | None]:
    """Each content as the nearest number, None where it is none."""
    return [None if content is None or isinstance(content, str) else float(content) for content in contents]


def rest(parts: Mapping[str, Any], steps: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    """The column of what stands apart; None where nothing does."""
    found = ({"values": dict(parts)} if parts else {}) | ({"later": [list(step) for step in steps]} if steps else {})
    return found or None


def values(shape: Shape, row: Row) -> tuple[Value, ...]:
    """The values of a row as they were recorded."""
    count = len(shape.points.names)
    parts = (row.rest or {}).get("values", {})
    contents = [_recorded(parts[str(i)]) if str(i) in parts else shape.content(i, row.num[i]) for i in range(count)]
    quality = row.quality or [0]
    qualities = quality * count if len(quality) == 1 else quality
    offsets, at = [0] * count, 0
    steps = dict((row.rest or {}).get("later", []))
    for index in range(count):
        offsets[index] = at = steps.get(index, at)
    names, units = shape.points
    return tuple(
        Value(name, content, unit or None, q, offset)
        for name, content, unit, q, offset in zip(names, contents, units, qualities, offsets, strict=True)
    )


def _recorded(part: Any) -> Content:
    if isinstance(part, str | bool):
        return part
    if "float" in part:
        return float.fromhex(part["float"])
    number = Decimal(part["number"])
    return int(number) if number.as_tuple().exponent == 0 else number
