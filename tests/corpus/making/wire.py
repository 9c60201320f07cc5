"""CBOR written by hand: the deterministic encoding (RFC 8949 §4.2.1), and whatever departs from it on purpose.

Nothing here comes from the product: bytes that it must accept, or refuse, are not to be made by its own writer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raw:
    """Bytes that stand as they are in the place of an item."""

    data: bytes


@dataclass(frozen=True)
class Tag:
    number: int
    content: object


@dataclass(frozen=True)
class Pairs:
    """A map whose pairs stay in this order; a key may come twice."""

    pairs: tuple[tuple[object, object], ...]


def decimal(exponent: int, mantissa: int) -> Tag:
    """A decimal fraction (tag 4)."""
    return Tag(4, [exponent, mantissa])


def milliseconds(ms: int) -> Tag:
    return decimal(-3, ms)


def head(major: int, argument: int, width: int | None = None) -> bytes:
    """The head of an item, its argument in so many bytes; None: as few as hold it."""
    if width is None:
        width = next(w for w, end in ((0, 24), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32), (8, 1 << 64)) if argument < end)
    if width == 0:
        return bytes((major << 5 | argument,))
    info = {1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes((major << 5 | info,)) + argument.to_bytes(width, "big")


def encode(value: object) -> bytes:
    """The deterministic encoding; ``Raw`` and ``Pairs`` stay as they are."""
    if isinstance(value, Raw):
        return value.data
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, Tag):
        return head(6, value.number) + encode(value.content)
    if isinstance(value, Pairs):
        return head(5, len(value.pairs)) + b"".join(encode(key) + encode(item) for key, item in value.pairs)
    if isinstance(value, Mapping):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    assert isinstance(value, Sequence), value
    return head(4, len(value)) + b"".join(map(encode, value))


def _shortest(value: float) -> bytes:
    for initial, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return initial + packed
    return b"\xfb" + struct.pack(">d", value)


def nested(depth: int) -> object:
    """An empty array within so many others."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def indefinite(value: Mapping[Any, Any] | Sequence[object] | bytes | str) -> Raw:
    """A map, an array or a string in the form without a length."""
    if isinstance(value, bytes | str):
        return Raw((b"\x5f" if isinstance(value, bytes) else b"\x7f") + encode(value) + b"\xff")
    if isinstance(value, Mapping):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return Raw(b"\xbf" + b"".join(key + item for key, item in pairs) + b"\xff")
    return Raw(b"\x9f" + b"".join(map(encode, value)) + b"\xff")


def long_head(value: object) -> Raw:
    """An integer, a string, an array or a map with a head one size longer than it needs."""
    data = encode(value)
    major, info = data[0] >> 5, data[0] & 31
    width = {24: 1, 25: 2, 26: 4}.get(info, 0)
    argument = int.from_bytes(data[1 : 1 + width], "big") if width else info
    return Raw(head(major, argument, {0: 1, 1: 2, 2: 4, 4: 8}[width]) + data[1 + width :])


def backwards(value: Mapping[Any, Any]) -> Pairs:
    """A map with its keys in the opposite order."""
    return Pairs(tuple(sorted(value.items(), key=lambda pair: encode(pair[0]), reverse=True)))


def with_pair(value: Mapping[Any, Any], key: object) -> Pairs:
    """A map in which a key comes twice."""
    pairs = sorted([*value.items(), (key, value[key])], key=lambda pair: encode(pair[0]))
    return Pairs(tuple(pairs))
