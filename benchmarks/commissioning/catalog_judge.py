"""What the devices of the catalog were asked and what was read of them, beside the simulator's log of its answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.commissioning.catalog_plant import Device
from firmware_sim.meters import sunspec_map
from gateway.devices.places import Identifier
from gateway.devices.points import Point, Profile, Span
from gateway.devices.read_plan import Limits, for_models, plan, resolve_profile, variants
from gateway.devices.register_block import RegisterBlock

BASES = (40000, 0, 50000)
PROBED = 26
"""Registers that the search for models reads at most at a place where one may begin."""
SHAPES = 200
"""More than a block can have."""
Shown = Mapping[str, Any]
"""Values by point."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as the simulator heard it, and the values of its answer."""

    meter: str
    place: Shown
    values: Shown
    refused: bool


def answers(log: Path) -> list[Asked]:
    """The simulator's log, in the order of its answers."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [Asked(line["meter"], line, line["values"], line["exception"] is not None) for line in lines]


def truth(asked: Iterable[Asked]) -> dict[str, dict[str, Any]]:
    """By meter what a right reader found in the answers."""
    found: dict[str, dict[str, Any]] = {}
    for one in asked:
        found.setdefault(one.meter, {}).update(one.values)
    return found


def is_right(point: Point, value: object, true: object) -> bool:
    """Whether a value is the true one, a number within one of its last digit."""
    if value is None or true is None or point.kind == "text":
        return value == true
    try:
        number, wanted = (Decimal(str(int(found) if isinstance(found, bool) else found)) for found in (value, true))
    except InvalidOperation:
        return False
    known = float(number) if isinstance(value, float) else number
    return abs(number - wanted) <= Decimal(point.at.last_place(known))


def wrong(device: Device, read: Shown, true: Shown) -> list[str]:
    """The points of a device whose value is not the true one, or that were not read."""
    points = (device.profile.point(name) for name in device.points)
    return [
        point.name
        for point in points
        if point.name not in read or point.name not in true or not is_right(point, read[point.name], true[point.name])
    ]


def beyond(devices: Sequence[Device], asked: Iterable[Asked]) -> list[str]:
    """The questions that pass a device's limits: too long, or of registers that no point, range or gap has."""
    known = {device.name: (device, _allowed(device)) for device in devices}
    found = []
    for one in asked:
        device, allowed = known[one.meter]
        if not _within(device, allowed, one):
            found.append(f"{one.meter}: {one.place}")
    return found


def planned(device: Device) -> list[Asked]:
    """Every read that the gateway may put to a device: each block of its plans in all shapes that it can have, for what
    it records by default and for all points, over TCP and on a serial line."""
    profile, places = device.profile, {}
    if profile.protocol == "sunspec":
        places = sunspec_map.bases(_models(device), BASES[0])
        spans = (
            Span(3, first, first + 1 + sunspec_map.MODELS[n].length)
            for n, first in places.items()
            if n in _models(device)
        )
        points = for_models(profile, profile.points, places)
        profile = replace(resolve_profile(replace(profile, points=points), places), readable=tuple(spans))
    if profile.protocol == "dlt645":
        return []
    found = []
    for points in (profile.select(), profile.points):
        for limits in (Limits.over_tcp(profile), Limits.of(profile)):
            blocks = [block for block in plan(points, limits) if isinstance(block, RegisterBlock)]
            shapes = [shape for block in blocks for shape in variants(block, SHAPES, profile)]
            found += [{"fc": shape.fc, "address": shape.address, "count": shape.count} for shape in shapes]
    return [Asked(device.name, place, {}, refused=False) for place in found]


Stretches = dict[int, set[int]]


def _within(device: Device, allowed: Stretches, one: Asked) -> bool:
    place, profile = one.place, device.profile
    if "di" in place:
        return place["di"] in {point.at.di for point in profile.points if isinstance(point.at, Identifier)}
    if place["fc"] not in (1, 2, 3, 4):
        return place["fc"] == 43 and profile.identity_object is not None
    first, count = int(place["address"]), int(place["count"])
    if count > (profile.max_bits if place["fc"] < 3 else profile.max_registers):
        return False
    if profile.protocol == "sunspec" and first in _heads(device) and count <= PROBED:
        return True
    return not one.refused and set(range(first, first + count)) <= allowed.get(place["fc"], set())


def _heads(device: Device) -> set[int]:
    """Where the search for the models of a device reads."""
    return {*BASES, *sunspec_map.bases(_models(device), BASES[0]).values()}


def _models(device: Device) -> list[int]:
    return [1, device.model or device.profile.same_layout[0][0]]


def _allowed(device: Device) -> Stretches:
    """The registers that a read of a device may contain, by function."""
    profile = device.profile
    if profile.protocol == "sunspec":
        places = sunspec_map.bases(_models(device), BASES[0])
        return {3: set(range(BASES[0] + len(sunspec_map.MARKER), places[sunspec_map.END_ID]))}
    found: Stretches = {}
    for point in profile.points if profile.protocol == "modbus" else ():
        found.setdefault(point.fc, set()).update(_stepped(profile, point.address, point.end))
    for span in profile.readable:
        found.setdefault(span.fc, set()).update(range(span.first, span.last + 1))
    for fc, registers in found.items():
        found[fc] = registers | _gaps(sorted(registers), profile.max_gap)
    if profile.same_functions:
        both = found.get(3, set()) | found.get(4, set())
        found |= {3: both, 4: both}
    return found


def _stepped(profile: Profile, first: int, end: int) -> range:
    step = profile.step
    return range(first // step * step, -(-end // step) * step)


def _gaps(registers: Sequence[int], most: int) -> set[int]:
    return {n for before, after in pairwise(registers) if after - before - 1 <= most for n in range(before + 1, after)}


def grades(profiles: Iterable[Profile]) -> dict[str, int]:
    """How many points have each grade of provenance; ``none``: their profile states none."""
    found: Counter[str] = Counter()
    for profile in profiles:
        for point in profile.points:
            found[profile.provenance.grade(point.name) if profile.provenance else "none"] += 1
    return dict(sorted(found.items()))
