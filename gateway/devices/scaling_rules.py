"""Rules between the keys that scale a point: what goes together, and what each may refer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from gateway.devices.places import SUM, Registers
from gateway.devices.points import FACTORS, Point, Profile, ProfileError, nearest
from gateway.devices.read_plan import readable_spans
from gateway.devices.scaling import CONVERSIONS, NORMAL, NORMAL_UNITS
from gateway.messages.message import Message

Refuse = Callable[[str, Message], ProfileError]
"""(key, what is wrong with it) → the error of this file."""

_INTEGERS = ("uint", "int", "acc", "bits", "enum")
_NUMBERS = (*_INTEGERS, "bcd", "float")


def measures(point: Point) -> bool:
    """Whether the point is a number with a unit, not a status, a text, a scale point or a part."""
    return point.kind in ("gauge", "counter")


def check_scaling(profile: Profile, point: Point, refuse: Refuse) -> None:
    """Check the keys that scale one point.

    Args:
        profile: the whole profile.
        point: the point of it.
        refuse: makes the error.

    Raises:
        ProfileError: what ``refuse`` makes of the first rule that is broken.
    """
    where = f"points.{point.name}"
    _kinds(profile, point, where, refuse)
    _factor(point, where, refuse)
    _references(profile, point, where, refuse)
    if isinstance(point.at, Registers):
        _reading(point, where, refuse)
    _line(point, where, refuse)
    _from_unit(point, where, refuse)
    if point.sum or point.at.type == SUM:
        _sum(profile, point, where, refuse)


def _kinds(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    """What a status, a text and a scale point have none of."""
    if measures(point) or (point.kind == "part" and point.at.type.startswith(_NUMBERS)):
        return
    if point.kind == "part":
        raise refuse(f"{where}.kind", Message("profile-part-number", type=point.type))
    rational = point.factor or point.scale_from or point.factor_from or point.sign_from or point.span or point.from_unit
    if point.kind == "scale" and point.type != "sunssf" and profile.format == 2:
        if point.name in FACTORS:
            raise refuse(where, Message("profile-scale-name", name=point.name))
        if not point.type.startswith(_NUMBERS):
            raise refuse(f"{where}.type", Message("profile-scale-number", type=point.type))
        if rational:
            raise refuse(f"{where}.scale", Message("profile-scale-circle"))
        return
    if point.scale or point.offset or rational:
        raise refuse(f"{where}.scale", Message("profile-kind-not-scaled", kind=point.kind))


def _factor(point: Point, where: str, refuse: Refuse) -> None:
    if point.factor is None or isinstance(point.factor, Fraction):
        return
    if len(point.factor.as_tuple().digits) > 18 or abs(point.factor.adjusted()) > 18:
        raise refuse(f"{where}.factor", Message("profile-factor-digits"))


def _references(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    """Scale points are named points of the same model."""
    same = [p for p in profile.points if p.model == point.model and p.kind == "scale"]
    numbers = [p.name for p in same if p.type != "sunssf"] if profile.format == 2 else []
    exponents = [p.name for p in same if p.type == "sunssf"] + numbers
    if point.scale_from is not None:
        if point.scale and profile.format == 1:
            raise refuse(f"{where}.scale", Message("profile-scale-twice"))
        if point.scale_from not in exponents:
            hint = Message("profile-add-scale") if profile.format == 2 else Message("profile-add-sunssf")
            if exponents:
                hint = nearest(point.scale_from, exponents)
            raise refuse(f"{where}.scale_from", Message("profile-no-scale-register", name=point.scale_from, hint=hint))
    ratios = [name for name in point.factor_from if name not in FACTORS]
    for key, names in (("factor_from", ratios), ("sign_from", [point.sign_from] if point.sign_from else [])):
        for name in names:
            if name not in numbers:
                known = [*FACTORS, *numbers] if key == "factor_from" else numbers
                raise refuse(f"{where}.{key}", Message("profile-no-scale-point", name=name, hint=nearest(name, known)))


def _reading(point: Point, where: str, refuse: Refuse) -> None:
    """How the registers become a number or a text."""
    if point.bits is not None:
        if not point.type.startswith(_INTEGERS):
            raise refuse(f"{where}.bits", Message("profile-not-integer", type=point.type))
        low, high = point.bits
        last = 16 * point.registers - 1
        if not low <= high <= last:
            raise refuse(f"{where}.bits", Message("profile-bits-outside", low=low, high=high, last=last))
    if point.chars != "two" and point.type != "string":
        raise refuse(f"{where}.chars", Message("profile-no-characters", type=point.type))
    if point.byte_order != "big" and point.type == "bit":
        raise refuse(f"{where}.byte_order", Message("profile-bit-order"))


def _line(point: Point, where: str, refuse: Refuse) -> None:
    if point.span is None:
        return
    if point.kind != "gauge":
        raise refuse(f"{where}.span", Message("profile-signal-kind", kind=point.kind))
    for key in ("offset", "factor_from", "from_unit"):
        if getattr(point, key):
            raise refuse(f"{where}.{key}", Message("profile-span-whole", key=key))


def _from_unit(point: Point, where: str, refuse: Refuse) -> None:
    if point.from_unit is None:
        return
    ways = CONVERSIONS[point.from_unit]
    if point.wire_unit is not None:
        raise refuse(f"{where}.wire_unit", Message("profile-unit-said"))
    if point.unit not in ways:
        sentence = Message("profile-unit-convert", from_unit=point.from_unit, unit=point.unit or "", units=tuple(ways))
        raise refuse(f"{where}.from_unit", sentence)
    if point.from_unit in NORMAL_UNITS and not point.name.endswith(NORMAL):
        sentence = Message("profile-unit-normal", unit=point.from_unit, name=point.name + NORMAL)
        raise refuse(f"{where}.from_unit", sentence)


def _sum(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    parts = [part for part, _ in point.parts]
    if len(parts) < 2 or len(set(point.sum)) < len(parts):
        raise refuse(f"{where}.sum", Message("profile-sum-parts"))
    for part in parts:
        if part.unit not in (None, point.unit):
            sentence = Message("profile-sum-units", part=part.name, unit=part.unit or "", sum_unit=point.unit or "")
            raise refuse(f"{where}.sum", sentence)
        if (part.fc, part.model) != (point.fc, point.model):
            raise refuse(f"{where}.sum", Message("profile-sum-tables", part=part.name, other=parts[0].name))
    bare = replace(profile, points=tuple(p for p in profile.points if p.at.type != SUM))
    spans = [s for s in readable_spans(bare) if s.fc == point.fc and s.first <= point.address < point.end <= s.last + 1]
    if profile.protocol == "modbus" and not spans:
        raise refuse(f"{where}.sum", Message("profile-sum-block", first=point.address, last=point.end - 1))
    if point.kind == "counter" and point.wraps_at is None:
        raise refuse(f"{where}.wraps_at", Message("profile-sum-wrap"))
