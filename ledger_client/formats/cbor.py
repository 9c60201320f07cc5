"""Core deterministic CBOR (RFC 8949 §4.2.1), restricted to what evidence may contain. Pure.

Written by cbor2, read by a decoder of our own: two implementations that must agree byte for byte. Values are
None, bool, int (64 bits), float (finite), str, bytes, list, dict, ``decimal.Decimal`` (tag 4) and, outermost only,
``cbor2.CBORTag(18, …)``. A map's keys are integers from −24 to 23 and text, or else non-negative integers only:
for these sets RFC 8949's bytewise order and cbor2's length-first order are the same.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

import cbor2

from ledger_client.errors import EncodeError, Malformed

MAX_DEPTH: Final = 16
MAX_EXPONENT: Final = 64  # of a decimal fraction, either way; no register is scaled further
TAG_DECIMAL: Final = 4
TAG_SIGN1: Final = 18
_UINT64: Final = 2**64 - 1
_HEAD_32, _HEAD_64 = struct.Struct(">BI").pack, struct.Struct(">BQ").pack


def encode(obj: object) -> bytes:
    """The one encoding of a value; ``EncodeError`` for anything that evidence may not contain."""
    return cbor2.dumps(_plain(obj, 0), canonical=True)


def _plain(obj: object, depth: int) -> object:
    """The same value in the types that cbor2 writes, checked."""
    if depth > MAX_DEPTH:
        raise EncodeError(f"nested deeper than {MAX_DEPTH}")
    if obj is None or isinstance(obj, bool):
        return obj
    if isinstance(obj, int):
        return _int64(int(obj))
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise EncodeError(f"{obj} is never a value")
        return obj
    if isinstance(obj, str):
        return _utf8(obj)
    if isinstance(obj, bytes):
        return obj
    if isinstance(obj, Decimal):
        return cbor2.CBORTag(TAG_DECIMAL, list(decimal_parts(obj)))
    if isinstance(obj, list | tuple):
        return [_plain(item, depth + 1) for item in obj]
    if isinstance(obj, Mapping):
        return _plain_map(obj, depth)
    if isinstance(obj, cbor2.CBORTag) and obj.tag == TAG_SIGN1 and depth == 0:
        return cbor2.CBORTag(TAG_SIGN1, _plain(obj.value, 1))
    raise EncodeError(f"{type(obj).__name__} has no place in evidence")


def _int64(value: int) -> int:
    if not -_UINT64 - 1 <= value <= _UINT64:
        raise EncodeError(f"integer {value} needs more than 64 bits")
    return value


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"{text!r} is not text that UTF-8 can hold") from None
    return str(text)


def _plain_map(obj: Mapping[Any, object], depth: int) -> dict[object, object]:
    for key in obj:
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise EncodeError(f"map key {key!r} is neither an integer nor text")
    if not _orders_agree(obj):
        raise EncodeError(f"map keys {list(obj)} mix integers above 23 with text or negative ones")
    return {
        _int64(int(key)) if isinstance(key, int) else _utf8(key): _plain(value, depth + 1) for key, value in obj.items()
    }


def _orders_agree(keys: Mapping[Any, object]) -> bool:
    """True if the keys sort alike bytewise and length-first: all in {−24…23, text}, or all integers ≥ 0."""
    return all(isinstance(k, str) or -24 <= k <= 23 for k in keys) or all(
        not isinstance(k, str) and k >= 0 for k in keys
    )


def decimal_parts(value: Decimal) -> tuple[int, int]:
    """(exponent, mantissa) of a finite decimal as they are written, exponent kept (1.50 is 150 × 10⁻²)."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise EncodeError(f"{value} is never a value")
    if abs(exponent) > MAX_EXPONENT or len(digits) > 20:
        raise EncodeError(f"{value} has an exponent beyond ±{MAX_EXPONENT} or more than 64 bits of digits")
    mantissa = int("".join(map(str, digits)))
    return exponent, _int64(-mantissa if sign else mantissa)


def decode(data: bytes, *, foreign: bool = False) -> Any:
    """The value of one encoded item; ``Malformed`` for anything else.

    Strict by default: minimal heads, shortest floats, sorted keys, tags 18 (outermost) and 4 only, so that
    ``encode(decode(data)) == data``. With ``foreign=True`` (what others wrote): definite lengths, no duplicate key and
    no trailing byte are demanded, the rest is taken as it comes, and every tag is returned as a ``cbor2.CBORTag``.
    """
    value, end = _Decoder(bytes(data), foreign).item(0, 0)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after the end of the CBOR item at byte {end}")
    return value


def decode_first(data: bytes) -> tuple[Any, int]:
    """The first item of some bytes, read strictly, and where it ends."""
    return _Decoder(bytes(data), False).item(0, 0)


def head(data: bytes, major: int) -> tuple[int, int]:
    """The argument of a head of this major type, in its shortest form, at the beginning of ``data``, and its size."""
    decoder = _Decoder(bytes(data[:9]), False)
    if decoder.take(0, 1)[0] >> 5 != major:
        decoder.fail(0, f"0x{data[0]:02x} is not the head of an item of major type {major}")
    return decoder.argument(0, data[0] & 31)


def head_bytes(major: int, argument: int) -> bytes:
    """A head in its shortest form (RFC 8949 §3)."""
    major <<= 5
    if argument < 24:
        return bytes((major | argument,))
    if argument < 0x100:
        return bytes((major | 24, argument))
    if argument < 0x10000:
        return struct.pack(">BH", major | 25, argument)
    if argument < 0x100000000:
        return _HEAD_32(major | 26, argument)
    return _HEAD_64(major | 27, argument)


class _NoTags(dict[int, Any]):
    def __missing__(self, tag: int) -> NoReturn:
        raise Malformed(f"tag {tag} has no place here")


_NO_TAGS: Final = _NoTags()
MAX_USUAL: Final = 1 << 16  # bytes that cbor2 is given of what others wrote


def untagged(data: bytes) -> Any:
    """What cbor2 reads of some bytes without a tag: far quicker, and not strict at all. Whoever asks writes again what
    was read, and knows by equal bytes that it was written so. Raises whatever is wrong."""
    if type(data) is not bytes or len(data) > MAX_USUAL:
        raise Malformed("not the bytes of something usual")
    return cbor2.loads(data, semantic_decoders=_NO_TAGS, max_depth=6, allow_indefinite=False)


def byte_string(data: bytes, at: int) -> tuple[bytes, int]:
    """The byte string of less than 64 KiB at this place, its head in the shortest form, and where it ends; raises
    whatever is wrong."""
    initial = data[at]
    if initial == 0x58:
        size, begin, least = data[at + 1], at + 2, 24
    elif initial == 0x59:
        size, begin, least = data[at + 1] << 8 | data[at + 2], at + 3, 256
    else:
        size, begin, least = initial - 0x40, at + 1, 0
    end = begin + size
    if size < least or (not least and size >= 24) or end > len(data):
        raise Malformed("not the byte string of something usual")
    return data[begin:end], end


def text_bytes(text: str) -> bytes:
    """A text as it is written."""
    data = text.encode()
    size = len(data)
    return (bytes((0x60 | size,)) if size < 24 else head_bytes(3, size)) + data


_HEADS: Final = {24: (1, 24), 25: (2, 0x100), 26: (4, 0x10000), 27: (8, 0x100000000)}  # info: (bytes, smallest value)
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE: Final = {20: False, 21: True, 22: None}


class _Decoder:
    """One pass over the bytes; each method returns (value, position after it)."""

    def __init__(self, data: bytes, foreign: bool) -> None:
        self.data = data
        self.foreign = foreign

    def fail(self, at: int, problem: str) -> NoReturn:
        raise Malformed(f"CBOR byte {at}: {problem}")

    def take(self, at: int, count: int) -> bytes:
        if count > len(self.data) - at:
            self.fail(at, f"{count} bytes announced, {len(self.data) - at} left")
        return self.data[at : at + count]

    def argument(self, at: int, info: int) -> tuple[int, int]:
        """The head's argument (RFC 8949 §3) and the position after the head that starts at ``at``."""
        if info < 24:
            return info, at + 1
        if info not in _HEADS:
            self.fail(at, "indefinite length" if info == 31 else "reserved head")
        width, smallest = _HEADS[info]
        value = int.from_bytes(self.take(at + 1, width), "big")
        if value < smallest and not self.foreign:
            self.fail(at, f"{value} is not written in its shortest form")
        return value, at + 1 + width

    def item(self, at: int, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            self.fail(at, f"nested deeper than {MAX_DEPTH}")
        if at >= len(self.data):
            self.fail(at, "1 bytes announced, 0 left")
        initial = self.data[at]
        major, info = initial >> 5, initial & 31
        if major == 7:
            return self.simple(at, info)
        argument, end = (info, at + 1) if info < 24 else self.argument(at, info)  # most heads are one byte
        if major == 0:
            return argument, end
        if major == 1:
            return -1 - argument, end
        if major == 2:
            return self.take(end, argument), end + argument
        if major == 3:
            return self.text(end, argument), end + argument
        if major == 4:
            return self.array(end, argument, depth)
        if major == 5:
            return self.map(end, argument, depth)
        return self.tag(at, end, argument, depth)

    def text(self, at: int, length: int) -> str:
        try:
            return self.take(at, length).decode()
        except UnicodeDecodeError:
            self.fail(at, "text is not UTF-8")

    def array(self, at: int, length: int, depth: int) -> tuple[list[Any], int]:
        items = []
        for _ in range(length):
            item, at = self.item(at, depth + 1)
            items.append(item)
        return items, at

    def map(self, at: int, length: int, depth: int) -> tuple[dict[Any, Any], int]:
        result: dict[Any, Any] = {}
        data, depth = self.data, depth + 1
        previous, usual = b"", True
        for _ in range(length):
            if at < len(data) and data[at] < 24 and depth <= MAX_DEPTH:  # most keys, and all of a value of a point
                key, end = data[at], at + 1
            else:
                key, end = self.item(at, depth)
                if type(key) not in (int, str, bytes):
                    self.fail(at, f"map key {key!r} is neither an integer nor a string")
                usual = usual and (type(key) is str or (type(key) is int and -24 <= key <= 23))
            if key in result:
                self.fail(at, f"map key {key!r} comes twice")
            if not self.foreign:
                encoded = data[at:end]
                if encoded < previous:
                    self.fail(at, f"map key {key!r} is out of order")
                previous = encoded
            result[key], at = self.item(end, depth)
        if not (usual or self.foreign) and (any(type(k) is bytes for k in result) or not _orders_agree(result)):
            self.fail(at, f"map keys {list(result)} are not a set that evidence uses")
        return result, at

    def tag(self, at: int, content: int, tag: int, depth: int) -> tuple[Any, int]:
        if self.foreign or (tag == TAG_SIGN1 and depth == 0):
            value, end = self.item(content, depth + 1)
            return cbor2.CBORTag(tag, value), end
        if tag != TAG_DECIMAL:
            self.fail(at, f"tag {tag} has no place here")
        value, end = self.item(content, depth + 1)
        if type(value) is not list or [type(part) for part in value] != [int, int] or abs(value[0]) > MAX_EXPONENT:
            self.fail(at, "tag 4 holds no [exponent, mantissa]")
        exponent, mantissa = value
        return Decimal((mantissa < 0, tuple(map(int, str(abs(mantissa)))), exponent)), end

    def simple(self, at: int, info: int) -> tuple[Any, int]:
        if info in _SIMPLE:
            return _SIMPLE[info], at + 1
        if info in _FLOATS:
            return self.float(at, info)
        if not self.foreign or info > 24:
            self.fail(at, "simple value has no place here")
        if info == 24:
            value = self.take(at + 1, 1)[0]
            if value < 32:  # RFC 8949 §3.3: not well-formed
                self.fail(at, "simple value in two bytes below 32")
            return cbor2.CBORSimpleValue(value), at + 2
        return cbor2.undefined if info == 23 else cbor2.CBORSimpleValue(info), at + 1

    def float(self, at: int, info: int) -> tuple[float, int]:
        width = 1 << (info - 24)
        raw = self.take(at + 1, width)
        value: float = struct.unpack(_FLOATS[info], raw)[0]
        if not self.foreign:
            if not math.isfinite(value):
                self.fail(at, f"{value} is never a value")
            # of 32 bits with a fraction that 16 have no room for, or of 64 that 32 have none for, it is the shortest
            if not (width == 4 and raw[3]) and not (width == 8 and raw[7]) and shortest_float(value)[1:] != raw:
                self.fail(at, f"{value} is not written in its shortest form")
        return value, at + 1 + width


def shortest_float(value: float) -> bytes:
    """A finite float in the shortest of 16, 32 and 64 bits that keeps it (RFC 8949 §4.2.1)."""
    try:
        single = struct.pack(">f", value)
    except OverflowError:
        return b"\xfb" + struct.pack(">d", value)
    if struct.unpack(">f", single)[0] != value:
        return b"\xfb" + struct.pack(">d", value)
    if not single[3] and not single[2] & 0x1F:  # binary16 keeps 10 of binary32's 23 fraction bits
        try:
            half = struct.pack(">e", value)
        except OverflowError:
            return b"\xfa" + single
        if struct.unpack(">e", half)[0] == value:
            return b"\xf9" + half
    return b"\xfa" + single
