"""Rules between the keys of a profile. Each refusal names file, key and way out."""

from __future__ import annotations

from itertools import pairwise

from gateway.devices.points import (
    FIRST,
    MAX_NAME,
    REGISTERS,
    SECOND,
    SUM,
    UNRECORDED,
    Point,
    Profile,
    nearest,
)
from gateway.devices.scaling_rules import Refuse, check_scaling, measures
from gateway.devices.units import line_to_write
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS

WAYS_OUT = {
    "%": 'in SenML "%" is a ratio from 0 to 1; percent is "/100", a ratio "/"',
    "%O2": 'percent is "/100"',
    "1": 'a ratio is "/", a number of things "count"',
    "degC": 'degrees Celsius are "Cel"',
    "°C": 'degrees Celsius are "Cel"',
    "°": 'degrees are "deg"',
    "VAr": 'write "var"',
    "kVAr": 'write "kvar"',
    "kVArh": 'write "kvarh"',
    "mbar": 'write "hPa" (1 mbar = 1 hPa)',
}
"""What to write in place of a unit that people use and SenML does not have (RFC 8428 12.1, RFC 8798)."""

FLAGS = (
    "DEVICE_FAULT", "CAL_RANGE", "MAINTENANCE", "CALIBRATING", "STOPPED", "MANUAL", "SUBSTITUTED", "OUT_OF_CONTROL",
    "CAL_OVERDUE", "TAMPER",
)  # fmt: skip
"""Quality flags that a device can tell about itself, for ``raises``."""


def check(profile: Profile, refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of the first rule that the profile breaks."""
    for point in profile.points:
        _name(point, refuse)
        _shape(profile, point, refuse)
        _unit(point, refuse)
        check_scaling(profile, point, refuse)
        _range(point, refuse)
        _status(profile, point, refuse)
    _overlaps(profile, refuse)
    _witnesses(profile, refuse)
    _sleep(profile, refuse)


def _name(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.name.endswith((FIRST, SECOND)):
        problem = f"names that end in {FIRST} or {SECOND} are taken, for counters that were read twice"
        raise refuse(where, problem, "give it another name")
    if point.kind == "counter" and len(point.name + SECOND) > MAX_NAME:
        raise refuse(where, f"a counter's name has at most {MAX_NAME - len(SECOND)} letters", "shorten it")


def _shape(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.type not in ("string", SUM) and point.registers != REGISTERS[point.type]:
        raise refuse(f"{where}.registers", f"type {point.type} fills {REGISTERS[point.type]}", "leave registers out")
    if point.end > 65536:
        raise refuse(f"{where}.address", f"the point reaches to {point.end - 1}", "registers end at 65535")
    if (point.type == "bit") != (point.fc in (1, 2)):
        way_out = 'fc 1 and 2 read type = "bit" and nothing else, fc 3 and 4 all other types'
        raise refuse(f"{where}.type", f"type {point.type} by fc {point.fc}", way_out)
    read = -(-point.end // profile.step) * profile.step - point.address // profile.step * profile.step
    if point.fc in (3, 4) and read > profile.max_registers:
        raise refuse(
            f"{where}.registers",
            f"the value needs a read of {read} registers, a read holds max_registers = {profile.max_registers}",
            "a value is never split over two reads: raise max_registers or leave the point out",
        )
    if point.type in ("string", "bit") and point.not_available:
        raise refuse(f"{where}.not_available", f"type {point.type} has no codes", "leave it out: an empty text is none")
    if profile.protocol == "modbus" and point.model is not None:
        raise refuse(f"{where}.model", "only a SunSpec device has models", 'set protocol = "sunspec" or leave it out')


def _unit(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.kind == "part" and point.unit is None and point.from_unit is None:
        return
    if not measures(point) and point.kind != "part":
        if point.unit is not None or point.wire_unit is not None:
            raise refuse(f"{where}.unit", f"a {point.kind} has no unit", "leave unit out, or set kind")
        return
    if point.type in ("string", "sunssf", "bit"):
        raise refuse(f"{where}.kind", f"type {point.type} is no {point.kind}", "leave kind out")
    if point.unit is None:
        raise refuse(f"{where}.unit", "missing", 'give a SenML unit; a ratio is "/", a number of things "count"')
    if point.unit in WAYS_OUT:
        raise refuse(f"{where}.unit", f"{point.unit!r} will not do", WAYS_OUT[point.unit])
    known = tuple(PRIMARY_UNITS | SECONDARY_UNITS)
    if point.unit not in known and (line := line_to_write(point.unit)):
        raise refuse(f"{where}.unit", f"{point.unit!r} is not in the SenML unit registries", line)
    if point.unit not in known:
        raise refuse(f"{where}.unit", f"{point.unit!r} is not in the SenML unit registries", nearest(point.unit, known))


def _range(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    for key in ("low", "high", "wraps_at", "max_per_hour"):
        if getattr(point, key) is not None and not measures(point):
            raise refuse(f"{where}.{key}", f"a {point.kind} has no range", "leave it out, or set kind")
    if point.low is not None and point.high is not None and point.low > point.high:
        raise refuse(f"{where}.low", f"{point.low} is above high = {point.high}", "swap them")
    if point.wraps_at is not None and (point.kind != "counter" or point.wraps_at <= 0):
        raise refuse(f"{where}.wraps_at", "only a counter wraps, at a number above 0", 'set kind = "counter"')
    if point.max_per_hour is not None and (point.kind != "counter" or point.max_per_hour <= 0):
        raise refuse(f"{where}.max_per_hour", "only a counter grows, and by more than 0", 'set kind = "counter"')
    if point.lively and point.kind not in ("gauge", "counter"):
        raise refuse(f"{where}.lively", f"a {point.kind} may rest for ever", "mark a point that never stands still")


def _status(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    codes = [*point.symbols, *point.raises]
    if (codes or point.about) and point.kind != "status":
        raise refuse(f"{where}.symbols", f"a {point.kind} has no codes", 'set kind = "status"')
    if point.type.startswith("bits") and any(not 0 <= bit < 16 * point.registers for bit, _ in codes):
        raise refuse(
            f"{where}.symbols", f"type {point.type} has bits 0 to {16 * point.registers - 1}", "give bit numbers"
        )
    for code, flag in point.raises:
        if flag not in FLAGS:
            raise refuse(f"{where}.raises.{code}", f"{flag!r} is no flag that a device tells", nearest(flag, FLAGS))
    names = [p.name for p in profile.points if p is not point]
    for name in point.about:
        if name not in names:
            raise refuse(f"{where}.about", f"{name!r} is no other point of this profile", nearest(name, names))


def _overlaps(profile: Profile, refuse: Refuse) -> None:
    """Points may share registers wholly (a word and its parts), never by a part of each."""
    ordered = sorted(
        (p for p in profile.points if p.type != SUM), key=lambda p: (p.model or 0, p.fc, p.address, -p.end)
    )
    reach: list[Point] = []
    for before, after in pairwise(ordered):
        if (before.model, before.fc) != (after.model, after.fc):
            reach = []
            continue
        reach = [p for p in [*reach, before] if p.end > after.address]
        for other in reach:
            if after.end > other.end:
                raise refuse(
                    f"points.{after.name}.address",
                    f"it starts at {after.address}, inside {other.name} ({other.address} to {other.end - 1})",
                    "check both addresses and types; addresses count from 0",
                )


def _witnesses(profile: Profile, refuse: Refuse) -> None:
    names = [p.name for p in profile.points]
    freshness = (profile.freshness,) if profile.freshness is not None else ()
    for key, wanted in (("identity", profile.identity), ("freshness", freshness)):
        for name in wanted:
            if name not in names:
                raise refuse(key, f"{name!r} is no point of this profile", nearest(name, names))
    if profile.freshness is not None and profile.point(profile.freshness).kind in UNRECORDED:
        raise refuse("freshness", "a scale register does not move", "name a value that always moves")


def _sleep(profile: Profile, refuse: Refuse) -> None:
    name = profile.sleeps_below
    if name is None:
        return
    if not profile.may_sleep:
        raise refuse("sleeps_below", "this device never sleeps", "add may_sleep = true, or leave sleeps_below out")
    powers = [p.name for p in profile.points if measures(p) and p.unit in ("W", "kW")]
    if name not in powers:
        raise refuse("sleeps_below", f"{name!r} is no point in W or kW of this profile", nearest(name, powers))
