"""Reads of a device as a client asks for them: the registers of a profile's points in blocks, within its limits.

A block runs over a gap only where the profile allows it (``max_gap``, ``readable``), never splits a value, and begins
and ends at multiples of the device's ``step``. Of a SunSpec device the chain of models is looked for first.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from firmware_sim.meters.pdu import Read
from firmware_sim.meters.sunspec_map import END_ID, MARKER
from firmware_sim.recorded.recording import BITS
from gateway.devices.profile import Point, Profile

BASES = (40000, 50000, 0)
"""Where a chain can begin, as clients look for it."""
MOST_MODELS = 200
READS_CHAIN = 3
"""The function of all reads of a chain."""


@dataclass(frozen=True, slots=True)
class Model:
    """A SunSpec model in a device: its number, the address of its ID register, and its length behind the head."""

    number: int
    address: int
    length: int


Chain = Generator[Read, tuple[int, ...] | None, list[Model]]
"""Reads that find a chain. Each takes the registers of its answer; None: it has none."""


def chain() -> Chain:
    """The models of a SunSpec device; none: it has no chain."""
    for base in BASES:
        if (yield Read(READS_CHAIN, base, len(MARKER))) == MARKER:
            break
    else:
        return []
    found: list[Model] = []
    address = base + len(MARKER)
    while len(found) < MOST_MODELS and address <= 0xFFFF - 1:
        head = yield Read(READS_CHAIN, address, 2)
        if head is None or head[0] == END_ID:
            break
        found.append(Model(head[0], address, head[1]))
        address += 2 + head[1]
    return found


def whole(profile: Profile, models: Iterable[Model]) -> list[Read]:
    """Reads of all registers of these models, each with its head."""
    reads = []
    for model in models:
        end = min(model.address + 2 + model.length, 0x10000)
        for address in range(model.address, end, profile.max_registers):
            reads.append(Read(READS_CHAIN, address, min(profile.max_registers, end - address)))
    return reads


def placed(profile: Profile, models: Sequence[Model]) -> tuple[Point, ...]:
    """The points at their addresses in the device. Of a SunSpec device those of models that it has; where it lacks the
    one that a point names, the first of the same layout that it has stands in its place."""
    if profile.protocol != "sunspec":
        return profile.points
    at: dict[int, int] = {}
    for model in models:
        at.setdefault(model.number, model.address)
    for row in profile.same_layout:
        if there := [number for number in row if number in at]:
            at.setdefault(row[0], at[there[0]])
    return tuple(
        replace(point, at=replace(point.held, address=at[point.model] + point.address))
        for point in profile.points
        if point.model in at
    )


def blocks(profile: Profile, points: Iterable[Point]) -> list[Read]:
    """The reads that cover all of these points, in the order of functions and addresses."""
    reads: list[Read] = []
    first, end = 0, -1
    for point in sorted(points, key=lambda p: (p.fc, p.address, -p.end)):
        same = bool(reads) and reads[-1].fc == point.fc
        if same and _joins(profile, point.fc, end, point.address):
            longer = _aligned(profile, point.fc, first, max(end, point.end))
            if longer.count <= (profile.max_bits if point.fc in BITS else profile.max_registers):
                reads[-1], end = longer, max(end, point.end)
                continue
        first, end = point.address, point.end
        reads.append(_aligned(profile, point.fc, first, end))
    return reads


def _joins(profile: Profile, fc: int, end: int, address: int) -> bool:
    """Whether one read may run from what ends at ``end`` to ``address``."""
    if address - end <= profile.max_gap:
        return True
    return any(span.fc == fc and span.first <= end and address <= span.last + 1 for span in profile.readable)


def _aligned(profile: Profile, fc: int, first: int, end: int) -> Read:
    """A read over [first, end) at multiples of the device's step."""
    begin = first // profile.step * profile.step
    return Read(fc, begin, min(-(-end // profile.step) * profile.step, 0x10000) - begin)
