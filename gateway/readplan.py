"""What a line would read, and what that costs on the wire: the answer of `meterseal check`. Touches no wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.devices.plan import bits_per_char, wire_time_ms
from gateway.fieldbus.blocks import read_plan
from gateway.fieldbus.bus import LineSpec, MeterSpec


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """One block read of one meter: in how many ``shapes`` it can be asked of those ``needed`` against late answers."""

    meter: str
    address: int
    every_ms: int
    read: str
    points: int
    shapes: int
    needed: int
    wire_ms: float | None


@dataclass(frozen=True, slots=True)
class LinePlan:
    """Every read of one line; ``busy`` is the share of time that frames and silences take of a serial line."""

    line: str
    wire: str
    reads: tuple[PlannedRead, ...]
    busy: float | None

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)


def line_plan(spec: LineSpec) -> LinePlan:
    """The reads of every meter of a line. SunSpec addresses are offsets in a model, which is found at run time."""
    reads = tuple(read for meter in spec.meters for read in _reads(spec, meter))
    if spec.port is None:
        return LinePlan(spec.name, f"{spec.host}:{spec.tcp_port} ({spec.type})", reads, None)
    busy = sum((read.wire_ms or 0.0) / read.every_ms for read in reads)
    return LinePlan(spec.name, f"{spec.port}, {spec.baudrate} baud 8{spec.parity}{spec.stopbits}", reads, busy)


def _reads(spec: LineSpec, meter: MeterSpec) -> Iterator[PlannedRead]:
    bits = bits_per_char(spec.parity, spec.stopbits)
    for model in sorted({p.model for p in meter.points}, key=lambda m: m or 0):
        plan = read_plan(spec, meter, meter.profile, [p for p in meter.points if p.model == model])
        for blocks in plan.blocks:
            block = blocks.block
            what = "bits" if block.fc in (1, 2) else "registers"
            where = f"model {model} + {block.address}" if model is not None else str(block.address)
            yield PlannedRead(
                meter=meter.name,
                address=meter.address,
                every_ms=meter.period_ms,
                read=f"function {block.fc}, {block.count} {what} from {where}",
                points=len(block.points),
                shapes=len(blocks.variants),
                needed=plan.k,
                wire_ms=wire_time_ms(block.count, spec.baudrate, bits) if spec.port else None,
            )


def print_plan(out: Console, plan: LinePlan) -> None:
    """One line's plan for people."""
    out.print(f"[bold]{plan.line}[/]  {plan.wire}")
    table = Table("meter", "address", "every", "read", "points", "shapes", "wire time", box=None)
    for r in plan.reads:
        every, shapes = f"{r.every_ms / 1000:g} s", f"{r.shapes} of {r.needed}"
        wire = f"{r.wire_ms:.1f} ms" if r.wire_ms else ""
        table.add_row(r.meter, str(r.address), every, r.read, str(r.points), shapes, wire)
    out.print(table)
    if plan.busy is not None:
        out.print(f"frames take {plan.busy:.0%} of the line's time, the devices' own pauses not counted")
    for r in plan.reads:
        if r.shapes < r.needed:
            out.print(
                f"[bold]note:[/] {r.meter}: {r.read} has {r.shapes} shapes, but {r.needed} are needed "
                f"every {r.every_ms / 1000:g} s: some polls will be missed as no-shape; a longer `every` avoids that"
            )
