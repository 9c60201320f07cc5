"""Dialect of DL/T 645-2007: reads of data identifiers on a serial line, behind a device server or behind a DTU.

An answer bears its identifier, so each read has one key and no variants, and none is made twice within the answer life.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.devices.blocks import Block
from gateway.devices.decode_bcd import DataBlock, place_of
from gateway.devices.points import Point, Profile
from gateway.fieldbus.dlt645.frames import NO_SUCH_DATA
from gateway.fieldbus.dlt645.framing import DLT645, refused
from gateway.fieldbus.dlt645.learned_refusals import Refusals
from gateway.fieldbus.dlt645.reads import blocks_of, question
from gateway.fieldbus.wire import keys
from gateway.fieldbus.wire.dialect import BlockSet, Discovery, Keys, LearnedLimits, ReadPlan
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.messages.message import Message

LATENCY_MS = 100.0
"""What a meter usually needs to begin its answer, where its profile does not say; the standard allows 20 to 500 ms."""
_AROUND = 4 + 12 + 4
"""Characters of a question, and those of an answer around its value: preamble, frame and identifier."""


class Dlt645Dialect:
    """See ``wire.dialect.Dialect``."""

    framing = DLT645

    def discovery(self, line: LineSpec, meter: MeterSpec) -> Discovery | None:
        return None

    def learned(self, points: Sequence[Point]) -> LearnedLimits:
        return Refusals(points)

    def plan(
        self,
        line: LineSpec,
        meter: MeterSpec,
        profile: Profile,
        points: Sequence[Point],
        missing: tuple[Point, ...] = (),
        *,
        learned: LearnedLimits | None = None,
        avoid: Keys = frozenset(),
        armed: bool = True,
        along: bool = True,
    ) -> ReadPlan:
        refusals = learned if isinstance(learned, Refusals) else Refusals(points)
        others = {di for (di,) in avoid} if armed else set()
        asked = [point for point in points if point.name not in refusals.holes]
        sets = partial(self._set, meter)
        return ReadPlan(
            keys.needed(*self._times(line, meter)) if armed else 1,
            tuple(map(sets, blocks_of(asked, refusals.divided | others))),
            tuple(map(sets, blocks_of(self._identity(profile)))),
            first_only=True,
            missing=missing,
            avoid=avoid,
        )

    def planned_apart(self, meter: MeterSpec) -> list[tuple[Point, ...]]:
        return [meter.points]

    def occupied(self, line: LineSpec, meter: MeterSpec) -> float:
        return keys.occupied(*self._times(line, meter))

    def latency_ms(self, profile: Profile) -> float:
        return LATENCY_MS if profile.latency_ms is None else profile.latency_ms

    def read_ms(self, line: LineSpec, block: Block, device_ms: float) -> float:
        assert isinstance(block, DataBlock)
        char_s = char_seconds(line.baudrate, line.parity, line.stopbits)
        return ((2 * _AROUND + block.needs) * char_s + 2 * t35_seconds(line.baudrate)) * 1000 + device_ms

    def identity_ms(self, line: LineSpec, meter: MeterSpec) -> list[float]:
        reads = blocks_of(self._identity(meter.profile))[:1]
        return [self.read_ms(line, block, self.latency_ms(meter.profile)) for block in reads]

    def read_name(self, block: Block) -> Message:
        assert isinstance(block, DataBlock)
        return Message("read-identifier", di=block.di)

    def hole(self, point: Point) -> Refused:
        return refused(NO_SUCH_DATA)

    def unread(self, points: Sequence[Point]) -> Block:
        return DataBlock(place_of(points[0]).di, tuple(points))

    def _identity(self, profile: Profile) -> list[Point]:
        """The points that tell who the meter is, in the order of the profile's ``identity``: the first one that it
        does not refuse counts."""
        by_name = {point.name: point for point in profile.points}
        return [by_name[name] for name in profile.identity]

    def _set(self, meter: MeterSpec, block: DataBlock) -> BlockSet:
        return BlockSet.of(partial(question, meter.address), block, (block,))

    def _times(self, line: LineSpec, meter: MeterSpec) -> tuple[float, float, float]:
        life_ms, timeout_ms = line.answer_life_of(meter), line.timeout_of(meter)
        return life_ms / 1000, timeout_ms / 1000, meter.period_ms / 1000


OVER_DLT645 = Dlt645Dialect()
