"""Aggregate codec: one minute or hour of one meter ↔ the packed bytes of its row. Pure.

``version, form, readings, first, last`` (16 bits each in version 1, 32 in version 2; the two times from the span's
start on), one byte of flags for each point of the form, the points' figures one after the other as their flags say,
and a CBOR map of what is not so regular: missed polls under ``-1``, else figures by the point's index. Numbers are
little-endian; the mean is kept as the share of the way from the lowest to the highest. A *form* is the list of points,
sorted by name, with their units; it is kept once.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import inf
from typing import Any

import cbor2

from gateway.history.aggregates import Aggregate, PointStats
from ledger_client.formats.senml import Number

_FLOAT32, _FLOAT64, _INT16, _INT32, _INT64, _ODD = 1, 2, 3, 4, 5, 6
_FORMAT, _SHAPE, _COUNT, _BITS = 0b111, 3, 0b100_0000, 0b1000_0000  # _SHAPE: how far its three bits are shifted
_SHAPES = (
    (0, 1, 2, 3),
    (0, 0, 0, 0),
    (0, 1, 0, 1),
    (0, 1, 1, 0),
    (0, 1, 0, 2),
    (0, 1, 2, 0),
    (0, 1, 1, 2),
    (0, 1, 2, 1),
)
"""Which of the kept numbers are the first, last, lowest and highest: one that is two of them is kept once."""
_SAME = 1
_WHOLE = (3, 4, 5)
_PARTS = 0xFFFF  # of the way from the lowest to the highest: where the mean lies
_LETTERS = {_FLOAT32: "f", _FLOAT64: "d", _INT16: "h", _INT32: "i", _INT64: "q"}
_MISSED = -1
_HEADS = {1: struct.Struct("<BHHHH"), 2: struct.Struct("<BIIII")}
_RANGES = ((_INT16, 1 << 15), (_INT32, 1 << 31), (_INT64, 1 << 63))


def _layout(flags: int) -> struct.Struct:
    """How the figures of a point with these flags lie: exponent, numbers, mean, count and its two times, bits."""
    kind, shape = flags & _FORMAT, flags >> _SHAPE & 7
    letter = _LETTERS.get(kind, "")
    numbers = letter * (1 + max(_SHAPES[shape])) + ("H" if letter and shape != _SAME else "")
    exponent = "b" if kind in _WHOLE else ""
    return struct.Struct(f"<{exponent}{numbers}{'HII' if flags & _COUNT else ''}{'II' if flags & _BITS else ''}")


_LAYOUTS = [_layout(flags) for flags in range(256)]
_SIZES = [layout.size for layout in _LAYOUTS]


@dataclass(frozen=True)
class Form:
    """Which points a row holds, in order, with their units."""

    points: tuple[tuple[str, str | None], ...]

    @staticmethod
    def of(span: Aggregate) -> Form:
        """The form of a folded span."""
        return Form(tuple(sorted([(name, figures.unit) for name, figures in span.points.items()])))

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each name."""
        return {name: n for n, (name, _) in enumerate(self.points)}


def pack(span: Aggregate, form: int, points: Sequence[tuple[str, str | None]]) -> bytes:
    """A folded span as a row of the form with this number and these points."""
    flags, parts, odd = bytearray(), [], {}
    for n, (name, _) in enumerate(points):
        figures = span.points[name]
        flag, part = _packed(figures, span)
        if flag == _ODD:
            odd[n] = _odd(figures, span.start_ms)
        flags.append(flag)
        parts.append(part)
    head = (form, span.readings, max(0, span.first_ms - span.start_ms), max(0, span.last_ms - span.start_ms))
    version = 1 if max(head) < 1 << 16 else 2
    missed = {reason: n for reason, n in sorted(span.missed.items()) if n}
    rest = odd | {_MISSED: missed} if missed else odd
    return b"".join((_HEADS[version].pack(version, *head), flags, *parts, cbor2.dumps(rest) if rest else b""))


def form_of(data: bytes) -> int:
    """The number of a row's form. Raises ValueError for bytes that are no row."""
    try:
        return int(_HEADS[data[0]].unpack_from(data)[1])
    except (struct.error, LookupError) as error:
        raise ValueError(f"no row of a span: {error}") from None


def unpack(data: bytes, start_ms: int, form: Form, only: Collection[str] | None = None) -> Aggregate:
    """The span of a row, with all points or with some; its totals are those that the kept means tell. Raises ValueError
    for bytes that are no row of this form."""
    try:
        return _unpacked(data, start_ms, form, only)
    except (struct.error, LookupError, TypeError, AttributeError, cbor2.CBORDecodeError, OverflowError) as error:
        raise ValueError(f"no row of a span: {error}") from None


def _unpacked(data: bytes, start_ms: int, form: Form, only: Collection[str] | None) -> Aggregate:
    head = _HEADS[data[0]]
    _, _, span_readings, first, last = head.unpack_from(data)
    span = Aggregate(start_ms)
    span.readings = span_readings
    if span_readings:
        span.first_ms, span.last_ms = start_ms + first, start_ms + last
    count = len(form.points)
    flags = data[head.size : head.size + count]
    begin = head.size + count
    ends = sum(map(_SIZES.__getitem__, flags)) + begin
    rest: dict[int, Any] = cbor2.loads(data[ends:]) if len(data) > ends else {}
    span.missed = Counter(rest.get(_MISSED, {}))
    if only is None:
        wanted: Any = range(count)
    else:
        wanted = sorted(form.index[name] for name in only if name in form.index)
    at, place = 0, begin
    for n in wanted:
        place += sum(map(_SIZES.__getitem__, flags[at:n]))
        at = n
        name, unit = form.points[n]
        figures = PointStats(unit)
        if flags[n] == _ODD:
            _take_odd(figures, rest[n], start_ms)
        else:
            _take(figures, flags[n], data, place, span)
        span.points[name] = figures
    return span


def _packed(figures: PointStats, span: Aggregate) -> tuple[int, bytes]:
    """Flags and bytes of a point."""
    count, bits, value_bits = figures.count, figures.bits, figures.value_bits
    more: tuple[int, ...] = ()
    flag = 0
    if count != span.readings:  # else the times of the span's readings are the point's as well
        flag, more = _COUNT, _counted(figures, span.start_ms)
    if bits:
        flag |= _BITS
        more = (*more, bits, value_bits)
    if count > 0xFFFF or bits >= 1 << 32:
        return _ODD, b""
    if not count:
        return flag, _LAYOUTS[flag].pack(*more)
    first, last, low, high, mean = figures.first, figures.last, figures.low, figures.high, figures.mean
    if low is None or high is None or mean is None:
        return _ODD, b""
    shape, numbers = _shaped(first, last, low, high)
    if shape == _SAME:
        return _with_numbers(flag | _SAME << _SHAPE, numbers, more) if _alike(first, last) else (_ODD, b"")
    way = float(high) - float(low)
    if not 0 < way < inf:
        return _ODD, b""
    share = round((mean - float(low)) / way * _PARTS)
    return _with_numbers(flag | shape << _SHAPE, numbers, (min(max(share, 0), _PARTS), *more))


def _shaped(first: Any, last: Any, low: Any, high: Any) -> tuple[int, Sequence[Any]]:
    """A shape and the numbers that it keeps."""
    if low == high:
        return _SAME, (first,)
    if first == low:
        return (2, (first, last)) if last == high else (4, (first, last, high))
    if first == high:
        return (3, (first, last)) if last == low else (5, (first, last, low))
    if last == low:
        return 6, (first, last, high)
    return (7, (first, last, low)) if last == high else (0, (first, last, low, high))


def _alike(one: object, other: object) -> bool:
    """Whether two equal numbers are also written in the same way."""
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one.as_tuple() == other.as_tuple()
    return type(one) is type(other)


def _with_numbers(flag: int, numbers: Sequence[Number], more: tuple[int, ...]) -> tuple[int, bytes]:
    kinds = set(map(type, numbers))
    exponent: tuple[int, ...] = ()
    candidates: Sequence[int]
    if kinds == {float}:
        candidates = (_FLOAT32, _FLOAT64)
    else:
        whole = _mantissas(numbers, kinds)
        if whole is None:
            return _ODD, b""
        exponent, numbers = whole
        top = max(max(numbers), -min(numbers) - 1)
        candidates = [kind for kind, limit in _RANGES if top < limit][:1]
    for kind in candidates:
        layout = _LAYOUTS[flag | kind]
        try:
            part = layout.pack(*exponent, *numbers, *more)
        except (OverflowError, struct.error):
            continue
        if kind != _FLOAT32 or layout.unpack(part)[: len(numbers)] == tuple(numbers):
            return flag | kind, part
    return _ODD, b""


def _mantissas(numbers: Sequence[Any], kinds: set[type]) -> tuple[tuple[int], list[int]] | None:
    """A common exponent and whole numbers that are exactly these; None where they have none in common."""
    if kinds == {int}:
        return (0,), list(numbers)
    if kinds != {Decimal}:
        return None
    parts = [number.as_tuple() for number in numbers]
    exponent = parts[0].exponent
    if not -128 <= exponent < 128 or exponent == 0 or any(part.exponent != exponent for part in parts):
        return None
    if any(len(part.digits) > 18 or (part.sign and not any(part.digits)) for part in parts):
        return None
    return (exponent,), [int(number.scaleb(-exponent)) for number in numbers]


def _counted(figures: PointStats, start_ms: int) -> tuple[int, int, int]:
    """How many values, and when the first and the last were read, from the span's start on."""
    if not figures.count:
        return 0, 0, 0
    return figures.count, max(0, figures.first_ms - start_ms), max(0, figures.last_ms - start_ms)


def _take(figures: PointStats, flag: int, data: bytes, place: int, span: Aggregate) -> None:
    fields = list(_LAYOUTS[flag].unpack_from(data, place))
    if flag & _BITS:
        figures.value_bits = fields.pop()
        figures.bits = fields.pop()
    figures.count, figures.first_ms, figures.last_ms = span.readings, span.first_ms, span.last_ms
    if flag & _COUNT:
        figures.last_ms = span.start_ms + fields.pop()
        figures.first_ms = span.start_ms + fields.pop()
        figures.count = fields.pop()
    if not flag & _FORMAT:
        figures.count = figures.first_ms = figures.last_ms = 0
        return
    shape = flag >> _SHAPE & 7
    share = 0 if shape == _SAME else fields.pop()
    numbers: list[Any] = fields
    if flag & _FORMAT in _WHOLE:
        exponent, *numbers = fields
        if exponent:
            numbers = [Decimal(number).scaleb(exponent) for number in numbers]
    first, last, low, high = _SHAPES[shape]
    figures.first, figures.last, figures.low, figures.high = numbers[first], numbers[last], numbers[low], numbers[high]
    least = float(numbers[low])
    figures.total = (least + (float(numbers[high]) - least) * share / _PARTS) * figures.count


def _odd(figures: PointStats, start_ms: int) -> list[Any]:
    f = figures
    return [*_counted(f, start_ms), f.bits, f.value_bits, f.first, f.last, f.low, f.high, f.mean]


def _take_odd(figures: PointStats, kept: Sequence[Any], start_ms: int) -> None:
    f = figures
    f.count, first, last, f.bits, f.value_bits, f.first, f.last, f.low, f.high, mean = kept
    if f.count:
        f.first_ms, f.last_ms = start_ms + first, start_ms + last
    f.total = mean * f.count if mean is not None else None if f.low is None else inf
