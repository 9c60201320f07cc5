"""Read plan: points → block reads at the least bus time, and the shapes in which one block can be read.

Pure: nothing here knows a line or a clock. A block never splits a value, keeps to what the device can answer, and its
*shape* (function and byte count; the unit is the line's to add) is all that an RTU answer says about its question.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from gateway.devices.points import MAX_BITS, MAX_REGISTERS, Point, Profile, ProfileError, Span
from gateway.devices.register_block import BITS, RegisterBlock, byte_count
from gateway.messages.message import Message

TWINS = {3: 4, 4: 3}
"""The function that reads the same registers, on devices that do not tell holding from input registers."""

TCP_REQUEST_MS, TCP_REGISTER_MS = 3.0, 0.00001
"""A request to a device over TCP, and 16 bits more or less at some Mbit/s."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one read of a device may be, and what it costs on its line (both costs in one unit, such as ms).

    ``request_cost`` is all that a request costs whatever it reads (frame heads, silences, latency, pause),
    ``register_cost`` what each register adds. ``variants`` is how many shapes each block must be readable in (K).
    ``avoid``: shapes (function and byte count) that no read may have, because another master uses them.
    ``inside``: function and address of each register inside a value, its first one not: a read that begins or ends
    there holds half of the value, which many devices refuse.
    """

    max_registers: int = MAX_REGISTERS
    max_gap: int = 0
    request_cost: float = 30.0
    register_cost: float = 2.1
    max_bits: int = MAX_BITS
    step: int = 1
    same_functions: bool = False
    readable: tuple[Span, ...] = ()
    variants: int = 1
    avoid: frozenset[tuple[int, int]] = frozenset()
    inside: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(
        cls, profile: Profile, *, request_cost: float = 30.0, register_cost: float = 2.1, variants: int = 1
    ) -> Limits:
        """The limits of a device.

        Args:
            profile: of a SunSpec device, resolved (``resolve_profile``).
            request_cost: of a request whatever it reads, in ms or another unit.
            register_cost: of each register in it, in the same unit.
            variants: shapes that each block must be readable in.
        """
        return cls(
            max_registers=profile.max_registers,
            max_gap=profile.max_gap,
            request_cost=request_cost,
            register_cost=register_cost,
            max_bits=profile.max_bits,
            step=profile.step,
            same_functions=profile.same_functions,
            readable=readable_spans(profile),
            variants=variants,
            inside=_inside(profile),
        )

    @classmethod
    def over_tcp(cls, profile: Profile, *, variants: int = 1) -> Limits:
        """The limits of a device over TCP, where a request costs time and its length next to none: all of a device's
        registers together weigh less than one request, so that no plan has more requests than it must."""
        return cls.of(profile, request_cost=TCP_REQUEST_MS, register_cost=TCP_REGISTER_MS, variants=variants)

    def most(self, fc: int) -> int:
        """The largest count of one read."""
        return self.max_bits if fc in BITS else self.max_registers

    def cost(self, fc: int, count: int) -> float:
        """The time that a read of ``count`` registers or bits takes."""
        return self.request_cost + self.register_cost * (count / 16 if fc in BITS else count)


def plan(points: Iterable[Point], limits: Limits) -> tuple[RegisterBlock, ...]:
    """The reads that cover all points at the least cost; with ``limits.variants`` > 1 the cheapest that have K shapes.

    Where a shape of the cheapest reads is to be avoided, they are cut so that as many as can be have shapes of their
    own among the others. Raises ProfileError for a value that no read of this device can hold.
    """
    return _planned(tuple(points), limits)


@lru_cache(maxsize=128)
def _planned(wanted: tuple[Point, ...], limits: Limits) -> tuple[RegisterBlock, ...]:
    """``plan``; meters of one kind share what was found."""
    cheapest = _cut(wanted, limits)
    if limits.variants == 1 and not any(block.shape in limits.avoid for block in cheapest):
        return cheapest
    best: tuple[RegisterBlock, ...] = ()
    lacking, room = math.inf, _distinct(wanted, limits)
    for blocks in _roomier(wanted, limits):
        if len(blocks) * limits.variants - room >= lacking:
            break  # shorter reads are only more, and none of them finds a shape that is still free
        if _at_least_lacking(blocks, limits) >= lacking:
            continue
        now = sum(limits.variants - len(found) for found in shape_sets(blocks, limits.variants, limits))
        if now < lacking:
            best, lacking = blocks, now
        if lacking == 0:
            break  # shorter reads only cost more
    return best


def variants(block: RegisterBlock, k: int, profile: Profile) -> tuple[RegisterBlock, ...]:
    """Shapes in which one block alone can be read: the block itself first, then by cost.

    Args:
        block: the read.
        k: how many shapes at most; there are fewer where the device's readable registers leave no room.
        profile: of a SunSpec device, resolved (``resolve_profile``).
    """
    return tuple(_shapes(block, Limits.of(profile)))[:k]


def shape_sets(blocks: Sequence[RegisterBlock], k: int, limits: Limits) -> tuple[tuple[RegisterBlock, ...], ...]:
    """For each block up to ``k`` variants, no shape used by two of them: what one unit can be asked within K uses.

    Args:
        blocks: the reads of one unit.
        k: how many variants each is to have; a block that gets fewer must wait out the life of its answers.
        limits: of the device.
    """
    options = [list(_shapes(block, limits)) for block in blocks]
    owner: dict[tuple[int, int], tuple[int, int]] = {}
    chosen: dict[tuple[int, int], RegisterBlock] = {}

    def place(slot: tuple[int, int], tried: set[tuple[int, int]]) -> bool:
        for option in options[slot[0]]:
            if option.shape in tried:
                continue
            tried.add(option.shape)
            if option.shape not in owner or place(owner[option.shape], tried):
                owner[option.shape], chosen[slot] = slot, option
                return True
        return False

    for turn in range(k):
        for index in range(len(blocks)):
            place((index, turn), set())
    return tuple(
        tuple(sorted((chosen[slot] for slot in chosen if slot[0] == index), key=lambda b: (b.count, b.fc)))
        for index in range(len(blocks))
    )


def readable_spans(profile: Profile) -> tuple[Span, ...]:
    """Where a read may run over: the profile's ``readable`` and its points, joined over gaps of at most ``max_gap``."""
    spans = list(profile.readable)
    for point in profile.points:
        first = point.address // profile.step * profile.step
        spans.append(Span(point.fc, first, -(-point.end // profile.step) * profile.step - 1))
    if profile.same_functions:
        spans += [Span(TWINS[span.fc], span.first, span.last) for span in spans if span.fc in TWINS]
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.fc, s.first)):
        before = joined[-1] if joined else None
        if before and before.fc == span.fc and span.first - before.last - 1 <= profile.max_gap:
            joined[-1] = Span(span.fc, before.first, max(before.last, span.last))
        else:
            joined.append(span)
    return tuple(joined)


def for_models(profile: Profile, points: Iterable[Point], found: Container[int]) -> tuple[Point, ...]:
    """SunSpec points of the models that a device has: where it lacks the one that a point names, the point stands in
    the first of the same layout that it has.

    Args:
        profile: of the device.
        points: of that profile.
        found: the device's models.
    """
    instead = {row[0]: next((model for model in row if model in found), row[0]) for row in profile.same_layout}
    return tuple(replace(p, at=replace(p.held, model=instead[p.model])) if p.model in instead else p for p in points)


def resolve(points: Iterable[Point], models: Mapping[int, int]) -> tuple[Point, ...]:
    """SunSpec points at absolute addresses; ``models`` maps each model found to the address of its ID register.

    Points of a model that the device does not have are left out: they are NOT_FOUND, which is for the caller to say.
    """
    return tuple(
        replace(p, at=replace(p.held, address=p.address + models[p.model]))
        for p in points
        if p.model is not None and p.model in models
    )


def resolve_profile(profile: Profile, models: Mapping[int, int]) -> Profile:
    """The profile of one SunSpec device after discovery, with absolute addresses, ready for ``Limits.of``."""
    return replace(profile, points=resolve(profile.points, models))


def bits_per_char(parity: str, stopbits: int) -> int:
    """Bits of one character on the line: start, eight data, parity if any, stop."""
    return 9 + (parity != "N") + stopbits


def silence_ms(baudrate: int) -> float:
    """t3.5, the silence before and after a frame: 3.5 characters of 11 bits, above 19200 baud 1.750 ms (Modbus over
    serial line V1.02, 2.5.1.1)."""
    return 1.75 if baudrate > 19200 else 3.5 * 11 * 1000 / baudrate


def wire_time_ms(count: int, baudrate: int, bits: int) -> float:
    """Time in ms that a read fills the line: 8 characters out, 5 + 2 × count back, a silence before each. The device's
    own latency and pause come on top.

    Args:
        count: registers.
        baudrate: in bit/s.
        bits: of one character (``bits_per_char``).
    """
    return (13 + 2 * count) * bits * 1000 / baudrate + 2 * silence_ms(baudrate)


def _cut(points: Sequence[Point], limits: Limits) -> tuple[RegisterBlock, ...]:
    """The cheapest cut, table by table."""
    tables: dict[int, list[_Placed]] = {}
    for placed in sorted(map(_placed, points), key=lambda p: (p.fc, p.address, -p.end, p.point.name)):
        tables.setdefault(placed.fc, []).append(placed)
    return tuple(block for table in tables.values() for block in _cut_table(table, limits))


class _Placed(NamedTuple):
    """A point and its registers, looked up once: the planner asks for them many times."""

    point: Point
    fc: int
    address: int
    end: int


def _placed(point: Point) -> _Placed:
    at = point.held
    return _Placed(point, at.fc, at.address, at.address + at.registers)


def _cut_table(points: Sequence[_Placed], limits: Limits) -> list[RegisterBlock]:
    """One table's cheapest cut: best[n], for the first n points, is the least of best[m] + one block of points m…n.

    Runs of neighbours are enough: of two blocks that cross, one can hand points to the other without growing it. A
    point inside another one goes where that goes.
    """
    outer: list[_Placed] = []
    for point in points:
        if not outer or point.end > outer[-1].end:
            outer.append(point)
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost, requests, first point of the last block
    for end in range(1, len(outer) + 1):
        choices = []
        for start in range(end - 1, -1, -1):
            if start < end - 1 and not _joins(outer[start], outer[start + 1], limits):
                break
            first, count = _range(outer[start].address, outer[end - 1].end, limits)
            if count > limits.most(outer[start].fc):
                break
            cost, requests, _ = best[start]
            choices.append((cost + limits.cost(outer[start].fc, count), requests + 1, start))
        if not choices:
            raise _unreadable(outer[end - 1].point)
        best.append(min(choices))
    blocks: list[RegisterBlock] = []
    end = len(outer)
    while end:
        start = best[end][2]
        first, count = _range(outer[start].address, outer[end - 1].end, limits)
        inside = [p for p in points if outer[start].address <= p.address and p.end <= outer[end - 1].end]
        taken = {p.name for block in blocks for p in block.points}
        mine = [p for p in inside if p.point.name not in taken]
        offsets = tuple(p.address - first for p in mine)
        blocks.append(RegisterBlock(outer[start].fc, first, count, tuple(p.point for p in mine), offsets))
        end = start
    return blocks[::-1]


def _range(address: int, end: int, limits: Limits) -> tuple[int, int]:
    """First address and count of a read over [address, end) that starts and ends at multiples of the device's step."""
    first = address // limits.step * limits.step
    return first, min(-(-end // limits.step) * limits.step, 65536) - first


def _joins(before: _Placed, after: _Placed, limits: Limits) -> bool:
    """Whether one read may run from one point to the next."""
    if after.address - before.end <= limits.max_gap:
        return True
    return any(s.fc == before.fc and s.first <= before.end and after.address <= s.last + 1 for s in limits.readable)


def _unreadable(point: Point) -> ProfileError:
    return ProfileError(
        f"points.{point.name}", "registers", Message("profile-read-too-long", registers=point.registers)
    )


def _roomier(points: Sequence[Point], limits: Limits) -> Iterator[tuple[RegisterBlock, ...]]:
    """The cheapest cut, then the cheapest with ever shorter reads: each leaves the blocks more room to grow."""
    most = limits.max_registers
    while True:
        try:
            blocks = _cut(points, replace(limits, max_registers=most))
        except ProfileError:
            if most == limits.max_registers:
                raise
            return
        yield blocks
        longest = max((b.count for b in blocks if b.fc not in BITS), default=0)
        most = longest - limits.step
        if most < 1:
            return


def _at_least_lacking(blocks: Sequence[RegisterBlock], limits: Limits) -> int:
    """How many shapes a cut lacks at least: those that single blocks lack, or that there are too few of for all."""
    options = [{byte_count(fc, count) << 3 | fc for fc, _, count in _reads(block, limits)} for block in blocks]
    single = sum(max(0, limits.variants - len(shapes)) for shapes in options)
    return max(single, len(blocks) * limits.variants - len(set().union(*options)))


def _distinct(points: Sequence[Point], limits: Limits) -> int:
    """At most so many shapes can all reads of these points have together."""
    count = 0
    held = [point.held for point in points]
    for fc in {at.fc for at in held}:
        step = 8 if fc in BITS else limits.step
        places = [(at.address, at.end) for at in held if at.fc == fc]
        places += [(s.first, s.last + 1) for s in limits.readable if s.fc == fc]
        extent = max(end for _, end in places) - min(first for first, _ in places) + 2 * step
        shapes = min(limits.most(fc), extent) // step + 1
        count += 2 * shapes if limits.same_functions and fc in TWINS else shapes
    return count


def _shapes(block: RegisterBlock, limits: Limits) -> Iterator[RegisterBlock]:
    """Every shape of a block, the cheapest first: itself, ever longer, each also by the function that aliases."""
    for fc, address, count in _reads(block, limits):
        shift = block.address - address
        yield RegisterBlock(fc, address, count, block.points, tuple(offset + shift for offset in block.offsets))


def _reads(block: RegisterBlock, limits: Limits) -> Iterator[tuple[int, int, int]]:
    """Function, address and count of every shape of a block."""
    functions = (block.fc, TWINS[block.fc]) if limits.same_functions and block.fc in TWINS else (block.fc,)
    step = 8 if block.fc in BITS else limits.step
    for count in range(block.count, limits.most(block.fc) + 1, step):
        for fc in functions:
            if (fc, byte_count(fc, count)) in limits.avoid:
                continue
            if (address := _room(block, fc, count, limits)) is not None:
                yield fc, address, count


def _room(block: RegisterBlock, fc: int, count: int, limits: Limits) -> int | None:
    """Where a read of ``count`` over the block may start: as late as the readable registers allow, with whole values at
    both ends."""
    if count == block.count:
        return block.address
    end = block.address + block.count
    for span in limits.readable:
        if span.fc == fc and span.first <= block.address and end <= span.last + 1:
            latest = min(block.address, (span.last + 1 - count) // limits.step * limits.step)
            for address in range(latest, max(span.first, end - count) - 1, -limits.step):
                if (fc, address) not in limits.inside and (fc, address + count) not in limits.inside:
                    return address
            return None
    return None


def _inside(profile: Profile) -> frozenset[tuple[int, int]]:
    """Function and address of the registers of each value but its first; of both functions where they are the same."""
    found = {(p.fc, address) for p in profile.points for address in range(p.address + 1, p.end)}
    if profile.same_functions:
        found |= {(TWINS[fc], address) for fc, address in found if fc in TWINS}
    return frozenset(found)
