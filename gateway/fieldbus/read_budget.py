"""Read budget of a line: the time and the shapes that its polls need, before anything is started. Pure.

Wire time of a read of N registers: t = (8 + 5 + 2N) · b / baud + 2 · t3.5 + t_device, b bits a character. The device's
time is its profile's ``latency_ms``, else ``LATENCY_MS``, and its pause is added where it is asked twice in one poll.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.devices.blocks import Block
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.wire.dialect import BlockSet, Keys
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec

FULL, NEARLY_FULL = 1.0, 0.8
IDENTITY_OFTEN_S, IDENTITY_SELDOM_S, IDENTITY_SHARE = 60.0, 3600.0, 0.01
TUNNEL_LATENCY_MS = 1000.0
"""What a read over radio or GPRS takes at least."""


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """One block: its variants of the ``needed`` ones, and the mean time of a read over them, in ms. It keeps
    ``occupied`` shapes from being asked again."""

    block: Block
    variants: tuple[Block, ...]
    shapes: Keys
    """The keys that its variants have."""
    needed: int
    occupied: float
    time_ms: float


@dataclass(frozen=True, slots=True)
class MeterBudget:
    """One meter: its reads, the time of a poll in ms without waiting for shapes, and its share of the line."""

    meter: str
    reads: tuple[ReadBudget, ...]
    poll_ms: float
    share: float

    def sharing(self, read: ReadBudget) -> list[ReadBudget]:
        """The reads that have to do with the same few shapes, itself among them; mostly it is alone."""
        found, shapes = [read], read.shapes
        while more := [r for r in self.reads if r not in found and not shapes.isdisjoint(r.shapes)]:
            found += more
            shapes = shapes.union(*(r.shapes for r in more))
        return found

    def short(self) -> list[ReadBudget]:
        """The reads that are made more often than the shapes suffice for that they have, alone or together."""
        return [read for read in self.reads if self._overused(self.sharing(read))]

    @staticmethod
    def _overused(reads: Sequence[ReadBudget]) -> bool:
        return sum(read.occupied for read in reads) > len({shape for read in reads for shape in read.shapes})


@dataclass(frozen=True, slots=True)
class LineBudget:
    """One line: ``share`` of its time that is used."""

    line: str
    meters: tuple[MeterBudget, ...]
    share: float


def budget(line: LineSpec, device_ms: Mapping[str, float] | None = None) -> LineBudget:
    """The budget of a line. ``device_ms``: by meter, what its device needs for an answer as it was measured; else it is
    assumed, and over Modbus TCP only shapes are counted, as its speed is not known before."""
    meters = tuple(
        _meter(line, meter, None if device_ms is None else device_ms.get(meter.name)) for meter in line.meters
    )
    return LineBudget(line.name, meters, sum(meter.share for meter in meters))


def identity_every_s(line: LineSpec) -> float:
    """How often it is read who each meter of this line is: every minute where all of these reads take less than 1 % of
    its time, else once an hour."""
    cost_ms = sum(_identity_ms(line, meter) for meter in line.meters)
    return IDENTITY_OFTEN_S if cost_ms < IDENTITY_SHARE * IDENTITY_OFTEN_S * 1000 else IDENTITY_SELDOM_S


def _identity_ms(line: LineSpec, meter: MeterSpec) -> float:
    more_ms = meter.profile.pause_ms + (TUNNEL_LATENCY_MS if line.far else 0)
    return sum(read_ms + more_ms for read_ms in DIALECTS[line.type].identity_ms(line, meter))


def _meter(line: LineSpec, meter: MeterSpec, device_ms: float | None) -> MeterBudget:
    dialect, reads = DIALECTS[line.type], list[ReadBudget]()
    for points in dialect.planned_apart(meter):
        found = dialect.plan(line, meter, meter.profile, points, along=meter.profile.protocol != "sunspec")
        reads += [_read(line, meter, blocks, found.k, device_ms) for blocks in found.blocks]
    pauses = meter.profile.pause_ms * max(0, len(reads) - 1)
    poll_ms = sum(read.time_ms for read in reads) + pauses
    share = 0.0 if dialect.framing is None and device_ms is None else poll_ms / meter.period_ms
    return MeterBudget(meter.name, tuple(reads), poll_ms, share)


def _read(line: LineSpec, meter: MeterSpec, blocks: BlockSet, needed: int, measured_ms: float | None) -> ReadBudget:
    dialect = DIALECTS[line.type]
    device_ms = dialect.latency_ms(meter.profile) if measured_ms is None else measured_ms
    occupied = dialect.occupied(line, meter)
    mean = sum(dialect.read_ms(line, variant, device_ms) for variant in blocks.variants) / len(blocks.variants)
    keys = frozenset(question.key[1:] for question in blocks.questions)
    return ReadBudget(blocks.bare(blocks.block), blocks.variants, keys, needed, occupied, mean)
