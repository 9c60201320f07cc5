"""Data blocks of DL/T 645: the bytes behind one data identifier → values. Pure.

Bytes come lowest first; digits are packed two a byte. What is above 9 is no digit, and all bytes FF say that there is
no value. Where a point is signed, the first bit of its highest byte is the sign, and the others stay digits. Source:
DL/T 645-2007, clause 5 (order of bytes) and annex A (identifiers and formats).

A block identifier holds values of one format one after the other. A meter with fewer of them (single phase, fewer
tariffs) sends fewer: those that are not there are NOT_FOUND. A length that is no multiple of the format tells nothing
of any.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from gateway.devices.blocks import Content, Raw, number
from gateway.devices.places import Identifier
from gateway.devices.points import UNRECORDED, Point, Ratio
from gateway.devices.scaling import Scales, Scaling
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

_SIGN = 0x80


@dataclass(frozen=True, slots=True)
class DataBlock:
    """What one data identifier holds (``di``: 8 hexadecimal digits, DI3 first), and its points, all of them at
    ``Identifier`` places of this identifier. A ``Block`` (``gateway.devices.blocks``)."""

    di: str
    points: tuple[Point, ...]
    key: int = field(init=False, compare=False, repr=False, default_factory=number)

    @property
    def needs(self) -> int:
        """How many bytes of the value its points reach into: theirs and all before them."""
        return max((place.size * max(1, place.part) for place in map(place_of, self.points)), default=0)

    def only(self, wanted: Container[str]) -> DataBlock:
        """The same identifier with the points of these names alone."""
        return DataBlock(self.di, tuple(point for point in self.points if point.name in wanted))

    def label(self) -> Message:
        """What it asks for, such as ``DI 0001FF00``."""
        return Message("block-identifier", di=self.di)

    def decoder(self, factors: Mapping[str, Ratio]) -> BcdDecoder:
        """What decodes its bytes. ``factors``: the meter's configured ``ct`` and ``pt``."""
        return BcdDecoder(self.points, factors)

    def shown(self, raw: Raw) -> dict[str, str]:
        """The bytes of each point, by its name, in hexadecimal and as they came, the lowest first."""
        parts = _parts(bytes(raw), self.points) if not isinstance(raw, Mapping) else None
        return {p.name: part.hex(" ").upper() for p, part in zip(self.points, parts or (), strict=False) if part}


class BcdDecoder:
    """The points of one data identifier, prepared once. A ``Decoder`` (``gateway.devices.blocks``)."""

    def __init__(self, points: Sequence[Point], factors: Mapping[str, Ratio]) -> None:
        """``factors``: the meter's configured ``ct`` and ``pt``."""
        self.points = tuple(point for point in points if point.kind not in UNRECORDED)
        self.lines: tuple[int, ...] = ()
        self._forms = [(place_of(point), Scaling(point, factors)) for point in self.points]

    def split(self, raw: bytes) -> tuple[bytes, ...]:
        """The bytes of each point's own field, none where the meter did not send it; empty if the length is wrong."""
        return _parts(raw, self.points) or ()

    def scales(self, split: tuple[bytes, ...]) -> dict[tuple[int | None, str], int | Fraction]:
        """None: no identifier scales others."""
        return {}

    def values(self, split: tuple[bytes, ...], scales: Scales) -> list[Content]:
        """A value or None for each of ``points``."""
        if not split:
            return [None] * len(self.points)
        return [_value(place, part, scaling) for (place, scaling), part in zip(self._forms, split, strict=True)]

    def faults(self, split: tuple[bytes, ...], scales: Scales) -> list[str]:
        """None: there are no signal lines."""
        return []

    def flags(self, split: tuple[bytes, ...]) -> Sequence[int]:
        """NOT_FOUND for what the meter did not send of its block."""
        return () if all(split) else tuple(0 if part else int(Quality.NOT_FOUND) for part in split)


def place_of(point: Point) -> Identifier:
    """Where a point of DL/T 645 stands."""
    assert isinstance(point.at, Identifier), f"{point.name} stands behind no identifier"
    return point.at


def _parts(raw: bytes, points: Sequence[Point]) -> tuple[bytes, ...] | None:
    """The field of each point; empty where there is none, None if the length fits no number of values."""
    parts = []
    for place in map(place_of, points):
        count, rest = divmod(len(raw), place.size)
        if rest or not count or (count > 1 and not place.part):
            return None
        begin = place.size * max(0, place.part - 1)
        first, last = place.field
        parts.append(raw[begin + first : begin + last])
    return tuple(parts)


def _value(place: Identifier, part: bytes, scaling: Scaling) -> Content:
    if not part or part.count(0xFF) == len(part):
        return None
    data = part[::-1]
    if place.form == "flags":
        return int.from_bytes(data, "big")
    if place.is_ascii:
        return _text(data)
    negative = place.signed and bool(data[0] & _SIGN)
    digits = (bytes([data[0] & ~_SIGN]) + data[1:] if negative else data).hex()
    if not digits.isdecimal():
        return None
    if place.form == "text":
        return digits
    value = int(digits)
    return scaling.content(-value if negative else value)


def _text(data: bytes) -> Content:
    """Text without the zeros and blanks around it; none at all means that the meter does not tell it."""
    text = data.decode("ascii", "replace").strip(" \0")
    return text if text and text.isascii() and text.isprintable() else None
