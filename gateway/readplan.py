"""What a line would read, and what that costs on the wire: the answer of `meterseal check`. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gateway.devices.plan import Limits, plan, wire_time_ms
from gateway.fieldbus.bus import LineSpec


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """One block read of one meter; ``wire_ms`` is None where no baud rate limits the wire."""

    meter: str
    address: int
    every_ms: int
    read: str
    points: int
    wire_ms: float | None


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Every read of one line, in the order of its meters."""

    line: str
    wire: str
    reads: tuple[PlannedRead, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_plan(spec: LineSpec) -> ReadPlan:
    """The block reads of each meter. SunSpec addresses are offsets in their model, found on the wire at run time."""
    reads = []
    bits = 10 + (spec.parity != "N") + (spec.stopbits == 2)
    for meter in spec.meters:
        profile = meter.profile
        limits = Limits(max_registers=profile.max_registers, max_gap=profile.max_gap)
        models = sorted({p.model for p in meter.points if p.model is not None}) or [None]
        for model in models:
            for block in plan([p for p in meter.points if p.model == model], limits):
                where = f"model {model} + {block.address}" if model else f"{block.address}"
                read = f"function {block.fc}, {block.count} registers from {where}"
                wire_ms = wire_time_ms(block.count, spec.baudrate, bits) if spec.port else None
                reads.append(PlannedRead(meter.name, meter.address, meter.period_ms, read, len(block.points), wire_ms))
    if spec.port:
        wire = f"{spec.port}, {spec.baudrate} baud 8{spec.parity}{spec.stopbits}"
    else:
        wire = f"{spec.host}:{spec.tcp_port} ({spec.type})"
    return ReadPlan(spec.name, wire, tuple(reads))
