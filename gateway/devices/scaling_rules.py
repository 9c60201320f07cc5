"""Rules between the keys that scale a point: what goes together, and what each may refer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from gateway.devices.points import FACTORS, SUM, Point, Profile, ProfileError, nearest
from gateway.devices.read_plan import readable_spans
from gateway.devices.units import CONVERSIONS, NORMAL, NORMAL_UNITS

Refuse = Callable[[str, str, str], ProfileError]
"""(key, problem, way out) → the error of this file."""

_INTEGERS = ("uint", "int", "acc", "bits", "enum")
_NUMBERS = (*_INTEGERS, "bcd", "float")


def measures(point: Point) -> bool:
    """Whether the point is a number with a unit, not a status, a text, a scale point or a part."""
    return point.kind in ("gauge", "counter")


def check_scaling(profile: Profile, point: Point, refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of the first rule that the point's scaling breaks."""
    where = f"points.{point.name}"
    _kinds(profile, point, where, refuse)
    _factor(point, where, refuse)
    _references(profile, point, where, refuse)
    _reading(point, where, refuse)
    _line(point, where, refuse)
    _from_unit(point, where, refuse)
    if point.type == SUM:
        _sum(profile, point, where, refuse)


def _kinds(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    """What a status, a text and a scale point have none of."""
    if measures(point) or (point.kind == "part" and point.type.startswith(_NUMBERS)):
        return
    if point.kind == "part":
        raise refuse(f"{where}.kind", f"type {point.type} is no number", "a part is a number: leave kind out")
    rational = point.factor or point.scale_from or point.factor_from or point.sign_from or point.span or point.from_unit
    if point.kind == "scale" and point.type != "sunssf" and profile.format == 2:
        if point.name in FACTORS:
            raise refuse(where, f"{point.name!r} is the ratio of gateway.toml", "give the scale point another name")
        if not point.type.startswith(_NUMBERS):
            raise refuse(
                f"{where}.type", f"type {point.type} is no number", "a scale point is an integer, BCD or float"
            )
        if rational:
            way_out = "it is read before all others: it has only bits, scale and offset"
            raise refuse(f"{where}.scale", "a scale point refers to no other, so that there is no circle", way_out)
        return
    if point.scale or point.offset or rational:
        raise refuse(f"{where}.scale", f"a {point.kind} is not scaled", "leave scale and factor out, or set kind")


def _factor(point: Point, where: str, refuse: Refuse) -> None:
    if point.factor is None or isinstance(point.factor, Fraction):
        return
    if len(point.factor.as_tuple().digits) > 18 or abs(point.factor.adjusted()) > 18:
        problem = "more than 18 digits, or beyond 10^18 or 10^-18"
        raise refuse(f"{where}.factor", problem, "give the factor as the manual prints it")


def _references(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    """Scale points are named points of the same model."""
    same = [p for p in profile.points if p.model == point.model and p.kind == "scale"]
    numbers = [p.name for p in same if p.type != "sunssf"] if profile.format == 2 else []
    exponents = [p.name for p in same if p.type == "sunssf"] + numbers
    if point.scale_from is not None:
        if point.scale and profile.format == 1:
            raise refuse(f"{where}.scale", "the scale comes from scale_from already", "leave one of them out")
        if point.scale_from not in exponents:
            new = 'add a point of type = "sunssf"'
            if profile.format == 2:
                new = 'add a point of type = "sunssf", or of kind = "scale"'
            way_out = nearest(point.scale_from, exponents) if exponents else new
            raise refuse(f"{where}.scale_from", f"{point.scale_from!r} is no scale register of the same model", way_out)
    ratios = [name for name in point.factor_from if name not in FACTORS]
    for key, names in (("factor_from", ratios), ("sign_from", [point.sign_from] if point.sign_from else [])):
        for name in names:
            if name not in numbers:
                known = [*FACTORS, *numbers] if key == "factor_from" else numbers
                way_out = f'add it as a point of kind = "scale"; {nearest(name, known)}'
                raise refuse(f"{where}.{key}", f"{name!r} is no scale point of the same model", way_out)


def _reading(point: Point, where: str, refuse: Refuse) -> None:
    """How the registers become a number or a text."""
    if point.bits is not None:
        if not point.type.startswith(_INTEGERS):
            raise refuse(f"{where}.bits", f"type {point.type} is no integer", "take uint16, uint32, uint48 or uint64")
        if not point.bits[0] <= point.bits[1] < 16 * point.registers:
            problem = f"{list(point.bits)} does not lie in bits 0 to {16 * point.registers - 1}"
            raise refuse(f"{where}.bits", problem, "give the lowest and the highest bit, 0 is the lowest")
    if point.chars != "two" and point.type != "string":
        raise refuse(f"{where}.chars", f"type {point.type} has no characters", 'only type = "string" has')
    if point.byte_order != "big" and point.type == "bit":
        raise refuse(f"{where}.byte_order", "a bit has no bytes", "leave byte_order out")


def _line(point: Point, where: str, refuse: Refuse) -> None:
    if point.span is None:
        return
    if point.kind != "gauge":
        raise refuse(f"{where}.span", f"a {point.kind} has none", "an analogue signal is a gauge: leave kind out")
    for key in ("offset", "factor_from", "from_unit"):
        if getattr(point, key):
            raise refuse(f"{where}.{key}", "span draws the whole line already", f"put it into span's to, without {key}")


def _from_unit(point: Point, where: str, refuse: Refuse) -> None:
    if point.from_unit is None:
        return
    ways = CONVERSIONS[point.from_unit]
    if point.wire_unit is not None:
        raise refuse(f"{where}.wire_unit", "from_unit says it already", "leave wire_unit out, it is a remark only")
    if point.unit not in ways:
        can = " or ".join(f'"{unit}"' for unit in ways)
        raise refuse(f"{where}.from_unit", f"{point.from_unit!r} does not become {point.unit!r}", f"write unit = {can}")
    if point.from_unit in NORMAL_UNITS and not point.name.endswith(NORMAL):
        problem = f"{point.from_unit!r} is at normal conditions, which no SenML unit can say"
        raise refuse(f"{where}.from_unit", problem, f'name the point "{point.name}{NORMAL}"')


def _sum(profile: Profile, point: Point, where: str, refuse: Refuse) -> None:
    parts = [part for part, _ in point.parts]
    if len(parts) < 2 or len(set(point.sum)) < len(parts):
        raise refuse(f"{where}.sum", "not two parts or more, each once", 'write sum = ["part_1", "part_2"]')
    for part in parts:
        if part.unit not in (None, point.unit):
            problem = f"{part.name} is in {part.unit}, the sum in {point.unit}"
            raise refuse(f"{where}.sum", problem, "give both one unit, with the parts' scale or from_unit")
        if (part.fc, part.model) != (point.fc, point.model):
            problem = f"{part.name} is of another function or model than {parts[0].name}"
            raise refuse(f"{where}.sum", problem, "parts are read at one moment: take parts of one table")
    bare = replace(profile, points=tuple(p for p in profile.points if p.type != SUM))
    spans = [s for s in readable_spans(bare) if s.fc == point.fc and s.first <= point.address < point.end <= s.last + 1]
    if profile.protocol == "modbus" and not spans:
        problem = f"no read may run over all of {point.address} to {point.end - 1}"
        way_out = "parts are read in one block: raise max_gap, or add the stretch to readable, if the device answers so"
        raise refuse(f"{where}.sum", problem, way_out)
    if point.kind == "counter" and point.wraps_at is None:
        problem = "missing: registers of a sum do not say where it starts again"
        raise refuse(f"{where}.wraps_at", problem, "give the number at which the meter starts again at 0")
