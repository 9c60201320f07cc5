"""Dialect of Modbus and SunSpec: reads of registers, over serial lines, converters and TCP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.devices.blocks import Block
from gateway.devices.points import Point, Profile
from gateway.devices.read_plan import plan
from gateway.devices.register_block import BITS, RegisterBlock
from gateway.fieldbus.modbus import read_variants
from gateway.fieldbus.modbus.ascii_framing import ASCII
from gateway.fieldbus.modbus.exceptions import ILLEGAL_ADDRESS, refused
from gateway.fieldbus.modbus.learned_limits import Cuts
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.modbus.sunspec_discovery import ModelSearch
from gateway.fieldbus.wire.dialect import Discovery, Keys, LearnedLimits, ReadPlan
from gateway.fieldbus.wire.framing import Framing, Refused
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.messages.message import Message

IDENTITY_OBJECT_BYTES = 32
"""About so much says who a device is that tells it by function 43."""


@dataclass(frozen=True, slots=True)
class ModbusDialect:
    """See ``wire.dialect.Dialect``. ``framing``: of a serial line; None: Modbus TCP."""

    framing: Framing | None

    def discovery(self, line: LineSpec, meter: MeterSpec) -> Discovery | None:
        if meter.profile.protocol != "sunspec":
            return None
        return ModelSearch(read_variants.unit_of(meter), direct=line.direct(meter))

    def learned(self, points: Sequence[Point]) -> LearnedLimits:
        return Cuts(points)

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
        cuts = learned if isinstance(learned, Cuts) else None
        return read_variants.read_plan(
            line, meter, profile, points, missing, cuts=cuts, avoid=avoid, armed=armed, along=along
        )

    def planned_apart(self, meter: MeterSpec) -> list[tuple[Point, ...]]:
        models = sorted({p.model for p in meter.points}, key=lambda model: model or 0)
        return [tuple(p for p in meter.points if p.model == model) for model in models]

    def occupied(self, line: LineSpec, meter: MeterSpec) -> float:
        return read_variants.shapes_occupied(line, meter)

    def latency_ms(self, profile: Profile) -> float:
        return read_variants.latency_ms(profile)

    def read_ms(self, line: LineSpec, block: Block, device_ms: float) -> float:
        assert isinstance(block, RegisterBlock)
        if self.framing is None:
            return device_ms
        data = math.ceil(block.count / 8) if block.fc in BITS else 2 * block.count
        char_s = char_seconds(line.baudrate, line.parity, line.stopbits, line.databits)
        around, a_byte = read_variants.chars(line)
        return ((around + data * a_byte) * char_s + 2 * t35_seconds(line.baudrate)) * 1000 + device_ms

    def identity_ms(self, line: LineSpec, meter: MeterSpec) -> list[float]:
        profile = meter.profile
        points = [point for point in profile.points if point.name in profile.identity]
        reads = list(plan(points, read_variants.limits(line, profile, 1)))
        if profile.identity_object is not None:
            reads.append(RegisterBlock.over(3, 0, IDENTITY_OBJECT_BYTES // 2, ()))
        return [self.read_ms(line, block, self.latency_ms(profile)) for block in reads]

    def read_name(self, block: Block) -> Message:
        assert isinstance(block, RegisterBlock)
        function, n, first, model = block.fc, block.count, block.address, block.points[0].model
        if block.fc in BITS:
            return Message("read-bits", function=function, n=n, first=first)
        if model is not None:
            return Message("read-registers-of-model", function=function, n=n, model=model, offset=first)
        return Message("read-registers", function=function, n=n, first=first)

    def hole(self, point: Point) -> Refused:
        return refused(ILLEGAL_ADDRESS, point.fc)

    def unread(self, points: Sequence[Point]) -> Block:
        first = points[0]
        if len(points) == 1:
            return RegisterBlock.over(first.fc, first.address, first.registers, points)
        return RegisterBlock(first.fc, 0, 0, tuple(points), (0,) * len(points))


OVER_RTU, OVER_ASCII, OVER_TCP = ModbusDialect(RTU), ModbusDialect(ASCII), ModbusDialect(None)
