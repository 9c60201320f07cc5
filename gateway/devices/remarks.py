"""Signs of a misread register map: improbable patterns, and integers without limits or code for no value."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from gateway.devices.places import Registers
from gateway.devices.points import UNRECORDED, Point, Profile
from gateway.devices.scaling import byte_places
from gateway.messages.message import Message

LEAST, MOST = 1e-30, 1e15
"""Sizes of floats between which measured values lie, whatever their unit."""
_INTEGERS = ("uint", "int", "acc")
_IEEE = {"float32": struct.Struct(">f"), "float64": struct.Struct(">d")}


def remark(point: Point, registers: Sequence[int]) -> Message | None:
    """What is odd about the registers of a point; None for what a meter may well mean."""
    parts = point.parts or ((point, 0),)
    remarks = (_remark(part, registers[first : first + part.registers]) for part, first in parts)
    return next((found for found in remarks if found), None)


def _remark(point: Point, registers: Sequence[int]) -> Message | None:
    if not point.type.startswith((*_INTEGERS, "bcd", "float")) or len(registers) != point.registers or point.bits:
        return None
    words = struct.pack(f">{point.registers}H", *registers)
    data = bytes(words[place] for place in byte_places(point))
    pattern = int.from_bytes(data, "big")
    if pattern in point.not_available:
        return None
    top = 1 << 8 * len(data) - 1
    if pattern in (2 * top - 1, top - 1) or (pattern == top and point.type not in _IEEE):
        return Message("remark-no-value-code", code="0x" + data.hex().upper())
    if point.type in _IEEE:
        size = abs(_IEEE[point.type].unpack(data)[0])
        if 0 < size < LEAST or size > MOST:
            return Message("remark-float-size")
    return None


def value_remark(point: Point, value: object) -> Message | None:
    """What is odd about the value of a float, where its registers are not at hand."""
    if point.at.type not in _IEEE or not isinstance(value, float) or not (0 < abs(value) < LEAST or abs(value) > MOST):
        return None
    return Message("remark-float-size")


def unbounded(profile: Profile) -> list[str]:
    """The integers in registers for which the profile gives neither a code for no value nor limits."""
    found = (
        number.name
        for point in profile.points
        if isinstance(point.at, Registers)
        and point.kind not in (*UNRECORDED, "status")
        and point.low is None
        and point.high is None
        for number in _integers(point)
    )
    return list(dict.fromkeys(found))


def _integers(point: Point) -> Iterator[Point]:
    """The point, or the parts of a sum, that are whole registers read as integers, of which any pattern is a value."""
    for number in [part for part, _ in point.parts] or [point]:
        bounded = number.not_available or number.bits or (number.span and number.span.fault)
        if number.type.startswith(_INTEGERS) and not bounded:
            yield number
