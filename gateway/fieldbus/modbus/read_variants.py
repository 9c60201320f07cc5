"""Read variants of one meter: its blocks, and the shapes in which each may be requested. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from gateway.devices.points import Point, Profile
from gateway.devices.read_plan import Limits, plan, shape_sets
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.ascii_framing import AROUND, QUESTION
from gateway.fieldbus.modbus.frames import Request, identification_object, object_text
from gateway.fieldbus.modbus.learned_limits import Cuts, Read, read_of
from gateway.fieldbus.modbus.rtu_framing import AROUND as RTU_AROUND
from gateway.fieldbus.wire.dialect import BlockSet, IdentityObject, Keys, ReadPlan
from gateway.fieldbus.wire.keys import needed, occupied
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds

MOST_SHAPES = 24
"""Shapes that a block is planned for; a period that needs more is an error of the configuration (``budget``)."""
LATENCY_MS = 20.0
"""What a device usually needs to begin its answer, where its profile does not say; devices answer within 20 to 50 ms,
some need 150."""


ALONG_SHARE = 0.01
"""What reading the identity along with a block may cost of a meter's period."""
_AGAIN = 1
"""Spare shapes of a block that holds a counter: for the second look at one that fell or jumped."""
_IN_HAND = 1
"""Shapes of each block beyond K where another master uses some: for the next one that it takes in the midst of a poll,
and for the first one that the device refuses."""


def _counts(block: RegisterBlock) -> bool:
    return any(point.kind == "counter" for point in block.points)


def latency_ms(profile: Profile) -> float:
    """What a device needs from the question to the beginning of its answer."""
    return LATENCY_MS if profile.latency_ms is None else profile.latency_ms


def limits(line: LineSpec, profile: Profile, k: int) -> Limits:
    """The planner's limits for a device on this line, costs in ms."""
    if line.type == "modbus-tcp":
        return Limits.over_tcp(profile, variants=k)
    char_ms = char_seconds(line.baudrate, line.parity, line.stopbits, line.databits) * 1000
    silence_ms = 2 * t35_seconds(line.baudrate) * 1000
    around, a_byte = chars(line)
    request = around * char_ms + silence_ms + latency_ms(profile) + profile.pause_ms
    return Limits.of(profile, request_cost=request, register_cost=2 * a_byte * char_ms, variants=k)


def chars(line: LineSpec) -> tuple[int, int]:
    """Characters of a question and its answer besides the data, and those of one byte of data."""
    return (QUESTION + AROUND, 2) if line.type == "modbus-ascii" else (8 + RTU_AROUND, 1)


def shapes_needed(line: LineSpec, meter: MeterSpec) -> int:
    """K of a meter's blocks; 1 where the device itself speaks Modbus TCP."""
    if line.direct(meter):
        return 1
    once = needed(line.answer_life_of(meter) / 1000, line.timeout_of(meter) / 1000, meter.period_ms / 1000)
    return 2 * once if line.shared else once


def shapes_occupied(line: LineSpec, meter: MeterSpec) -> float:
    """How many shapes each of a meter's blocks keeps from being asked again; ``shapes_needed`` or less."""
    if line.direct(meter):
        return 0.0
    once = occupied(line.answer_life_of(meter) / 1000, line.timeout_of(meter) / 1000, meter.period_ms / 1000)
    return 2 * math.ceil(once) if line.shared else once


def _with_witness(points: Sequence[Point], profile: Profile) -> list[Point]:
    names = {point.name for point in points}
    return [*points, *(p for p in profile.points if p.name in profile.identity and p.name not in names)]


def _along(points: Sequence[Point], profile: Profile, bounds: Limits, period_ms: int) -> Sequence[Point]:
    """The points, with those of the identity where one of their reads then holds all of it: no read more, no shape
    less, and next to no time of the line."""
    who = [point for point in profile.points if point.name in profile.identity]
    lowest, most = min((p.address for p in who), default=0), max((bounds.most(p.fc) for p in who), default=0)
    near = [p for p in points if who and p.fc == who[0].fc and abs(p.address - lowest) < most]
    if not near or profile.identity_object is not None:
        return points
    more = _with_witness(points, profile)
    alone, along = plan(points, replace(bounds, variants=1)), plan(more, replace(bounds, variants=1))
    cost = sum(bounds.cost(b.fc, b.count) for b in along) - sum(bounds.cost(b.fc, b.count) for b in alone)
    if len(along) != len(alone) or cost > ALONG_SHARE * period_ms or not any(_holds(b, profile) for b in along):
        return points
    shapes = [sum(map(len, shape_sets(blocks, bounds.variants, bounds))) for blocks in (alone, along)]
    return more if shapes[1] >= shapes[0] else points


def _holds(block: RegisterBlock, profile: Profile) -> bool:
    """All of the profile's identity is in the block."""
    return bool(profile.identity) and {p.name for p in block.points}.issuperset(profile.identity)


def read_plan(
    line: LineSpec,
    meter: MeterSpec,
    profile: Profile,
    points: Sequence[Point],
    missing: tuple[Point, ...] = (),
    *,
    cuts: Cuts | None = None,
    avoid: Keys = frozenset(),
    armed: bool = True,
    along: bool = True,
) -> ReadPlan:
    """What to read of a meter; profile and points at absolute addresses (SunSpec: resolved).

    Args:
        missing: points of SunSpec models that the device does not have.
        cuts: limits that the device has shown for these points.
        avoid: shapes that another master uses; others take their place, and a block that has no other is not requested.
        armed: False plans as if there were no guard: each block in one shape, two blocks perhaps in the same.
        along: the identity may be read along with a block.
    """
    k = shapes_needed(line, meter) if armed else 1
    bounds = replace(limits(line, profile, min(k, MOST_SHAPES)), avoid=avoid if armed else frozenset())
    groups = _groups(line, meter, profile, points, bounds, cuts, along=along)
    wanted = {point.name for point in points}
    blocks = tuple(b for group in groups for b in plan(group, bounds) if any(p.name in wanted for p in b.points))
    identity = tuple(plan([p for p in profile.points if p.name in profile.identity], replace(bounds, variants=1)))
    if armed:
        spares = _AGAIN * any(map(_counts, blocks))
        offered = _offered((*blocks, *identity), bounds, set() if cuts is None else cuts.banned, spares)
    else:
        offered = [_Offered(block, (block,), ()) for block in (*blocks, *identity)]
    polled, asked_who = offered[: len(blocks)], offered[len(blocks) :]
    return ReadPlan(
        k,
        tuple(_set(line, meter, profile, one, wanted) for one in polled),
        tuple(_set(line, meter, profile, one, None) for one in asked_who),
        _object(meter, profile),
        missing=missing,
        avoid=avoid,
    )


def _object(meter: MeterSpec, profile: Profile) -> IdentityObject | None:
    """The device identification object that tells who it is."""
    number = profile.identity_object
    if number is None:
        return None
    question = identification_object(unit_of(meter), number)
    return IdentityObject(f"object {number:#x}", question, partial(object_text, number=number))


def unit_of(meter: MeterSpec) -> int:
    """The unit address of a Modbus meter."""
    assert isinstance(meter.address, int)
    return meter.address


def question_of(unit: int, block: RegisterBlock) -> Request:
    """The request that reads a block."""
    return Request(unit, block.fc, block.address, block.count)


def _groups(
    line: LineSpec,
    meter: MeterSpec,
    profile: Profile,
    points: Sequence[Point],
    bounds: Limits,
    cuts: Cuts | None,
    *,
    along: bool,
) -> Sequence[Sequence[Point]]:
    """The points that may share a read, with those of the identity that are read along."""
    groups: Sequence[Sequence[Point]] = [points] if cuts is None else cuts.groups
    if line.shared:
        return [_with_witness(group, profile) for group in groups]
    if along and len(groups) == 1 and not (cuts and (cuts.banned or cuts.holes)):
        return [_along(groups[0], profile, bounds, meter.period_ms)]
    return groups


class _Offered(NamedTuple):
    """A block, the variants that it may be asked in, and the spare ones."""

    block: RegisterBlock
    variants: tuple[RegisterBlock, ...]
    spare: tuple[RegisterBlock, ...]


def _offered(every: Sequence[RegisterBlock], bounds: Limits, banned: Collection[Read], spares: int) -> list[_Offered]:
    """The variants of each block, without the banned ones. ``spares``: how many more where a block holds a counter."""

    def allowed(blocks: Sequence[RegisterBlock], most: int) -> list[tuple[RegisterBlock, ...]]:
        found = shape_sets(blocks, most + len(banned), bounds)
        return [tuple(b for b in shapes if read_of(b) not in banned) for shapes in found]

    most, offered = bounds.variants + _IN_HAND * bool(bounds.avoid), []
    for block, shapes in zip(every, allowed(every, most + spares), strict=True):
        # a block for which no shape is left shares those of others: it may have to wait, and stays correct
        variants = shapes[:most] or allowed((block,), MOST_SHAPES)[0] or (block,)
        offered.append(_Offered(block, variants, shapes[most:][:_AGAIN] if _counts(block) else ()))
    return offered


def _set(
    line: LineSpec, meter: MeterSpec, profile: Profile, offered: _Offered, wanted: Container[str] | None
) -> BlockSet:
    """The requests for a block; with the identity, where it is read along and tells who answers."""
    block = offered.block
    whole = not line.shared and profile.identity_object is None and _holds(block, profile)
    who = tuple(p for p in block.points if p.name in profile.identity) if whole else ()
    question = partial(question_of, unit_of(meter))
    return BlockSet.of(question, block, offered.variants, offered.spare, wanted=wanted, who=who)
