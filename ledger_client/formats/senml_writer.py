"""Fast SenML encoder: the bytes of ``senml.pack``, with cached point heads and numbers by struct. No I/O.

Whatever is unusual (a value to be refused, a subclass of a number) raises ``Unusual``; ``senml.pack`` decides then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import IntFlag
from itertools import accumulate
from struct import Struct
from typing import Any, Final

from ledger_client.formats import cbor
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.senml import SECONDARY_UNITS, Columns, Reading, Value, base_name, check_point, named_twice

_MILLISECONDS: Final = b"\xc4\x82\x22"  # tag 4, array of two, exponent −3; the mantissa follows
_MOST_POINTS, _MOST_IN_FORMS = 4096, 16_384
"""Points that are kept, and the points of all forms that are: a few MB of either, whatever comes."""
_QUALITY: Final = b"\x62q_"
_SINGLE_HEAD: Final = b"\x02\xfa"  # v, a 32-bit float
_VERSION_SECONDARY: Final = b"\x20\x18\x1a"  # bver: 26


class Unusual(Exception):
    """Not for the fast way, which says no more about it; never leaves this package."""


class _Points(dict[tuple[str, str | None], tuple[tuple[bytes, ...], bool]]):
    """For each point: map head, n and u, with room for its value and 0 to 5 further fields; is u a secondary unit."""

    def __missing__(self, key: tuple[str, str | None]) -> tuple[tuple[bytes, ...], bool]:
        point, unit = key
        check_point(point, unit)
        named = b"\x00" + cbor.encode(point) + (b"" if unit is None else b"\x01" + cbor.encode(unit))
        fields = 2 if unit is None else 3
        heads = tuple(bytes((0xA0 + fields + more,)) + named for more in range(6))
        if len(self) >= _MOST_POINTS:
            self.clear()
        self[key] = learnt = heads, unit in SECONDARY_UNITS
        return learnt


class _Template:
    """A pack of 32-bit floats of given names, units and one quality, ready but for its numbers and its time."""

    def __init__(self, points: _Points, names: tuple[str, ...], units: tuple[str | None, ...], quality: int) -> None:
        if len(set(names)) != len(names):
            raise Unusual
        self.names = names
        known = [points[point] for point in zip(names, units, strict=True)]
        secondary = any(is_secondary for _, is_secondary in known)
        more = 1 if quality else 0
        self.tail = _QUALITY + uint_bytes(quality) if quality else b""  # stands behind every number
        heads = [self.tail + variants[more] + _SINGLE_HEAD for variants, _ in known[1:]]
        self.numbers = Struct(f">{len(known)}f")
        self.start = array_head(len(known)) + known[0][0][2 + secondary + more] + _SINGLE_HEAD
        self.version = _VERSION_SECONDARY if secondary else b""
        self.others = Struct(">" + "".join(f"{len(head)}sf" for head in heads))
        self.entries: list[object] = [part for head in heads for part in (head, 0.0)]
        ends = accumulate(len(head) + 4 for head in heads)
        self.places = [end - 4 for end in ends]  # of the numbers in what ``others`` packs


_Key = tuple[tuple[str, ...], tuple[str | None, ...], int]


class _Forms(dict[_Key, _Template]):
    """The forms that a meter's readings take: one, and a few more for polls that were answered in part."""

    def __init__(self, points: _Points) -> None:
        super().__init__()
        self._points, self._size = points, 0

    def __missing__(self, key: _Key) -> _Template:
        learnt = _Template(self._points, *key)
        self._size += len(learnt.names)
        if self._size > _MOST_IN_FORMS:
            self.clear()
            self._size = len(learnt.names)
        self[key] = learnt
        return learnt


class Tables:
    """What packs are written with: the heads of points, and the forms of readings; as much as has room."""

    def __init__(self) -> None:
        self.points = _Points()
        self.forms = _Forms(self.points)


class PackWriter:
    """Encodes the readings of one meter."""

    def __init__(self, gateway: str, meter: str, tables: Tables | None = None) -> None:
        """``tables``: those of other meters are used by this one, too."""
        tables = tables or Tables()
        self._base = b"\x21" + cbor.encode(base_name(gateway, meter)) + b"\x22" + _MILLISECONDS
        self._points, self._forms = tables.points, tables.forms

    def encode(self, reading: Reading) -> bytes:
        """The pack, byte for byte that of ``senml.pack``; ``Unusual``, or ``EncodeError`` likewise."""
        try:
            return self._singles(reading) or self._encode(reading)
        except LookupError:  # no writer for this type
            raise Unusual from None

    def _singles(self, reading: Reading) -> bytes | None:
        """A reading of 32-bit floats of one moment and one quality, as most are, in one go; None for any other."""
        values = reading.values
        if type(values) is tuple and values and type(values[0].value) is not float:
            return None
        columns = Columns.of(values)
        if columns is None or not 0 <= reading.time_ms <= MAX_TIME_MS or set(map(type, columns.contents)) != {float}:
            return None
        contents: tuple[Any, ...] = columns.contents
        form = self._forms[columns.names, columns.units, int(columns.quality)]
        try:
            packed = form.numbers.pack(*contents)
        except OverflowError:
            return None
        if form.numbers.unpack(packed) != contents:
            return None
        entries = form.entries[:]
        entries[1::2] = contents[1:]
        moment = uint_bytes(reading.time_ms)
        others = form.others.pack(*entries) + form.tail  # the head of each begins with the tail of the one before
        front = b"".join((form.start, packed[:4], form.version, self._base, moment))
        short = _low_bits(packed)
        if 0 not in short:
            return front + others
        if float("inf") in contents or float("-inf") in contents:
            return None
        places = [len(form.start), *[len(front) + place for place in form.places]]
        return _with_halves(front + others, contents, places, short)

    def _encode(self, reading: Reading) -> bytes:
        points, writers = self._points, _WRITERS
        first, *others = reading.values or (None,)
        if first is None or not 0 <= reading.time_ms <= MAX_TIME_MS or named_twice(reading.values) is not None:
            raise Unusual
        variants, secondary = points[first.name, first.unit]
        parts = [b""]
        add = parts.append
        for value in others:
            content = value.value
            heads, is_secondary = points[value.name, value.unit]
            if is_secondary:
                secondary = True
            if value.quality:
                add(_flagged(value, heads))
            elif content is None:
                raise Unusual
            elif value.offset_ms:
                add(heads[1])
                add(writers[type(content)](content))
                add(_offset(value.offset_ms))
            else:
                add(heads[0])
                add(writers[type(content)](content))
        parts[0] = array_head(len(reading.values)) + self._first(first, variants, secondary, reading.time_ms)
        return b"".join(parts)

    def _first(self, value: Value, heads: tuple[bytes, ...], secondary: bool, time_ms: int) -> bytes:
        """The first entry, which also bears the base fields."""
        if value.value is None and not value.quality:
            raise Unusual
        fields = 2 + secondary + (1 if value.quality else 0) + (1 if value.offset_ms else 0)
        return b"".join(
            (
                heads[fields],
                _WRITERS[type(value.value)](value.value),
                _offset(value.offset_ms) if value.offset_ms else b"",
                _VERSION_SECONDARY if secondary else b"",
                self._base,
                uint_bytes(time_ms),
                _QUALITY + uint_bytes(value.quality) if value.quality else b"",
            )
        )


def _flagged(value: Value, heads: tuple[bytes, ...]) -> bytes:
    """An entry with quality bits."""
    content, quality = _WRITERS[type(value.value)](value.value), _QUALITY + uint_bytes(value.quality)
    if value.offset_ms:
        return heads[2] + content + _offset(value.offset_ms) + quality
    return heads[1] + content + quality


_U16, _U32, _U64 = Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack


def _head(major: int, argument: int) -> bytes:
    """A CBOR head in its shortest form (RFC 8949 §3)."""
    if argument < 24:
        return bytes((major | argument,))
    if argument < 0x100:
        return bytes((major | 24, argument))
    if argument < 0x10000:
        return _U16(major | 25, argument)
    if argument < 0x100000000:
        return _U32(major | 26, argument)
    if argument < 2**64:
        return _U64(major | 27, argument)
    raise Unusual


def uint_bytes(value: int) -> bytes:
    """An unsigned integer; ``Unusual`` if it is negative, too large or no plain integer."""
    if type(value) is not int and not isinstance(value, IntFlag):
        raise Unusual
    if value < 0:
        raise Unusual
    return _head(0, int(value))


def array_head(size: int) -> bytes:
    """The head of an array."""
    return _head(0x80, size)


def _offset(ms: int) -> bytes:
    if not 0 < ms <= MAX_TIME_MS:
        raise Unusual
    return b"\x06" + _MILLISECONDS + uint_bytes(ms)


_INTEGER_32, _DECIMAL_32 = Struct(">2sI").pack, Struct(">4sBI").pack


def _integer(value: int) -> bytes:
    if 0x10000 <= value < 0x100000000:  # what counters are; the other sizes are read off the head
        return _INTEGER_32(b"\x02\x1a", value)
    return b"\x02" + (_head(0, value) if value >= 0 else _head(0x20, -1 - value))


_SINGLE: Final = Struct(">2sf")
_HALF: Final = Struct(">Be")
_LOW_5_BITS: Final = bytes(byte & 0x1F for byte in range(256))


def _low_bits(singles: bytes) -> bytes:
    """For each of these big-endian 32-bit floats 0 where its 13 lowest bits are, as in 16-bit floats and infinity."""
    third, fourth = singles[2::4].translate(_LOW_5_BITS), singles[3::4]
    return (int.from_bytes(third) | int.from_bytes(fourth)).to_bytes(len(third))


def _with_halves(pack: bytes, contents: Sequence[float], places: Sequence[int], low_bits: bytes) -> bytes:
    """The pack, with those of its 32-bit floats in 16 bits that fit; zeros and round numbers do."""
    parts, done, n = [], 0, low_bits.find(0)
    while n >= 0:
        try:
            half = _HALF.pack(0xF9, contents[n])
        except OverflowError:
            half = b""
        if half and _HALF.unpack(half)[1] == contents[n]:
            parts += [pack[done : places[n] - 1], half]
            done = places[n] + 4
        n = low_bits.find(0, n + 1)
    return b"".join((*parts, pack[done:]))


def _float(value: float) -> bytes:
    """Shortest of 16, 32 and 64 bits; a meter's own floats are mostly 32."""
    try:
        encoded = _SINGLE.pack(_SINGLE_HEAD, value)
    except OverflowError:
        return b"\x02" + cbor.shortest_float(value)
    if encoded[5] & 0x1F and _SINGLE.unpack(encoded)[1] == value:
        return encoded  # not infinite, and more fraction bits than 16 have: the common case decided by one look
    if value - value != 0.0:
        raise Unusual
    return b"\x02" + cbor.shortest_float(value)


# v, tag 4, array of two, and the exponents −1 … −9, which is how registers are scaled
_SCALED: Final = tuple(b"\x02\xc4\x82" + bytes((0x20 + n,)) for n in range(9))


def _decimal(value: Decimal) -> bytes:
    """Tag 4 from the decimal's text, which is the quickest way to its digits."""
    text = str(value)
    try:
        prefix = _SCALED[len(text) - text.index(".") - 2]
        mantissa = int(text.replace(".", ""))
    except (ValueError, LookupError):  # no fraction, 1.5E+3, or more than nine places
        exponent, mantissa = cbor.decimal_parts(value)
        prefix = b"\x02" if exponent == 0 else b"\x02\xc4\x82" + _integer(exponent)[1:]
    if 0x10000 <= mantissa < 0x100000000 and len(prefix) == 4:
        return _DECIMAL_32(prefix, 0x1A, mantissa)
    return prefix + (_head(0, mantissa) if mantissa >= 0 else _head(0x20, -1 - mantissa))


def _text(value: str) -> bytes:
    if not value:
        raise Unusual
    return b"\x03" + cbor.encode(value)


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    int: _integer,
    float: _float,
    Decimal: _decimal,
    str: _text,
    bool: lambda value: b"\x04\xf5" if value else b"\x04\xf4",
    type(None): lambda value: b"\x03\x60",
}
