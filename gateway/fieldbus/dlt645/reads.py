"""Reads of a DL/T 645 meter: which data identifiers give its points, and the question for each. Pure.

DL/T 645-2007, annex A: FF in the second byte from the right of an identifier stands for all values that have one of
their own there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.devices.decode_bcd import DataBlock, place_of
from gateway.devices.points import Point
from gateway.fieldbus.dlt645.frames import Request
from gateway.fieldbus.wire.keys import Unit

_ALL = "FF"
_FIRST_IS_PHASE_A = ("0201", "0202", "0207")
"""Quantities without a total: the first value of their block is phase A, 01; of all others it is the total, 00."""


def single_of(di: str, part: int) -> str | None:
    """The identifier of one value alone of a block identifier; None: it is none of a block."""
    if di[4:6] != _ALL or not part:
        return None
    return f"{di[:4]}{part - (di[:4] not in _FIRST_IS_PHASE_A):02X}{di[6:]}"


def divisible(block: DataBlock) -> bool:
    """Its values have identifiers of their own."""
    return block.di[4:6] == _ALL


def alone(point: Point) -> Point:
    """The point under the identifier of its value alone."""
    at = place_of(point)
    di = single_of(at.di, at.part)
    return point if di is None else replace(point, at=replace(at, di=di, part=0))


def blocks_of(points: Sequence[Point], divided: Collection[str] = ()) -> list[DataBlock]:
    """The reads that give these points, in their order. ``divided``: blocks that are asked value by value."""
    found: dict[str, list[Point]] = {}
    for point in points:
        one = alone(point) if place_of(point).di in divided else point
        found.setdefault(place_of(one).di, []).append(one)
    return [DataBlock(di, tuple(held)) for di, held in found.items()]


def question(unit: Unit, block: DataBlock) -> Request:
    """The question for a block."""
    return Request(str(unit), block.di, block.needs)
