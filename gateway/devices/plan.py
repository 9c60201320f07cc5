"""Points → block reads, at the least time on the bus. Pure: nothing here knows a line or a clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.devices.points import Point, Profile


@dataclass(frozen=True, slots=True)
class Block:
    """One read: ``count`` registers (fc 1 and 2: bits) from ``address``, and the points in it with their offsets."""

    fc: int
    address: int
    count: int
    points: tuple[tuple[Point, int], ...]

    @property
    def byte_count(self) -> int:
        """The byte count that the answer must bear."""
        return (self.count + 7) // 8 if self.fc in (1, 2) else 2 * self.count

    def slices(self, registers: Sequence[int]) -> Iterator[tuple[Point, Sequence[int]]]:
        """Each point with its own registers (fc 1 and 2: bits, 0 or 1) out of the block's."""
        for point, offset in self.points:
            yield point, registers[offset : offset + point.registers]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a read may be, and what it costs (any unit of time, the same for both costs)."""

    max_registers: int = 125
    max_gap: int = 0
    request_cost: float = 30.0
    register_cost: float = 2.1


def plan(points: Sequence[Point], limits: Limits) -> tuple[Block, ...]:
    """Reads that cover all points."""
    blocks: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (p.fc, p.address, p.end)):
        if blocks:
            first, last = blocks[-1][0], max(p.end for p in blocks[-1])
            gap = point.address - last
            if point.fc == first.fc and gap <= limits.max_gap and point.end - first.address <= limits.max_registers:
                blocks[-1].append(point)
                continue
        blocks.append([point])
    return tuple(
        Block(
            b[0].fc, b[0].address, max(p.end for p in b) - b[0].address, tuple((p, p.address - b[0].address) for p in b)
        )
        for b in blocks
    )


def variants(block: Block, k: int, profile: Profile) -> tuple[Block, ...]:
    """Up to ``k`` shapes of one block, itself first."""
    room = profile.max_registers - block.count
    return tuple(Block(block.fc, block.address, block.count + i, block.points) for i in range(min(k, room + 1)))


def resolve(points: Sequence[Point], models: Mapping[int, int]) -> tuple[Point, ...]:
    """SunSpec points at absolute addresses; ``models`` maps a model to the address of its ID register."""
    return tuple(
        replace(p, address=models[p.model] + p.address) for p in points if p.model is not None and p.model in models
    )
