"""Whether a line can carry what is asked of it, told before anything is started. Pure.

Wire time of a read of N registers: t = (8 + 5 + 2N) · b / baud + 2 · t3.5 + t_device, b bits a character. The device's
time is not known before; ``LATENCY_MS`` stands for it, and its pause is added where it is asked twice in one poll.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.devices.plan import Block
from gateway.fieldbus.blocks import LATENCY_MS, BlockSet, read_plan, shapes_needed
from gateway.fieldbus.frames import BITS, char_seconds, t35_seconds
from gateway.fieldbus.schedule import PROBE_SHARE
from gateway.fieldbus.shapes import LATENESS
from gateway.fieldbus.spec import LineSpec, MeterSpec

FULL, NEARLY_FULL = 1.0, 0.8


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """One block: its variants of the ``needed`` ones, and the mean time of a read over them, in ms."""

    block: Block
    variants: tuple[Block, ...]
    needed: int
    time_ms: float


@dataclass(frozen=True, slots=True)
class MeterBudget:
    """One meter: its reads, the time of a poll in ms, its share of the line, and what a poll costs when it is dead."""

    meter: str
    reads: tuple[ReadBudget, ...]
    poll_ms: float
    share: float
    dead_ms: float


@dataclass(frozen=True, slots=True)
class LineBudget:
    """One line: ``share`` of its time that is used; ``errors`` forbid the start, ``warnings`` do not. Both name the
    meter or line, and what would do."""

    line: str
    meters: tuple[MeterBudget, ...]
    share: float
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def budget(line: LineSpec) -> LineBudget:
    """The budget of a line. Over Modbus TCP only shapes are counted: its speed is not known before."""
    meters = tuple(_meter(line, meter) for meter in line.meters)
    share = sum(meter.share for meter in meters)
    errors = [problem for meter, spec in zip(meters, line.meters, strict=True) for problem in _short(line, spec, meter)]
    warnings = []
    if share > FULL:
        errors.append(f"{line.name}: this line needs {share:.2f} s of each second; {_remedy(line, meters, share)}")
    elif share > NEARLY_FULL:
        warnings.append(f"{line.name}: {share:.0%} of the line's time is used; one slow meter will cost others polls")
    if dead := [m for m, spec in zip(meters, line.meters, strict=True) if m.dead_ms > spec.period_ms]:
        warnings.append(
            f"{line.name}: when {dead[0].meter} is dead, a poll of it takes {dead[0].dead_ms / 1000:.1f} s, longer "
            f"than its period; it is then probed for at most {PROBE_SHARE:.0%} of the time"
        )
    return LineBudget(line.name, meters, share, tuple(errors), tuple(warnings))


def read_ms(line: LineSpec, block: Block) -> float:
    """The time of one read on the line in ms; over TCP only the device's."""
    if line.type == "modbus-tcp":
        return LATENCY_MS
    data = math.ceil(block.count / 8) if block.fc in BITS else 2 * block.count
    char_s = char_seconds(line.baudrate, line.parity, line.stopbits)
    return ((13 + data) * char_s + 2 * t35_seconds(line.baudrate)) * 1000 + LATENCY_MS


def _meter(line: LineSpec, meter: MeterSpec) -> MeterBudget:
    reads = []
    for model in sorted({p.model for p in meter.points}, key=lambda m: m or 0):
        plan = read_plan(line, meter, meter.profile, [p for p in meter.points if p.model == model])
        reads += [_read(line, blocks, plan.k) for blocks in plan.blocks]
    pauses = meter.profile.pause_ms * max(0, len(reads) - 1)
    poll_ms = sum(read.time_ms for read in reads) + pauses
    share = 0.0 if line.type == "modbus-tcp" else poll_ms / meter.period_ms
    dead_ms = float(line.timeout_of(meter))  # a dead meter is asked for one block, then left alone
    return MeterBudget(meter.name, tuple(reads), poll_ms, share, dead_ms)


def _read(line: LineSpec, blocks: BlockSet, needed: int) -> ReadBudget:
    mean = sum(read_ms(line, variant) for variant in blocks.variants) / len(blocks.variants)
    return ReadBudget(blocks.block, blocks.variants, needed, mean)


def _short(line: LineSpec, spec: MeterSpec, meter: MeterBudget) -> list[str]:
    """A block that has fewer shapes than its period needs, and the periods that would do. A SunSpec device is left out:
    how far its models reach is found on the wire."""
    if spec.profile.protocol == "sunspec" or not meter.reads:
        return []
    worst = min(meter.reads, key=lambda read: len(read.variants))
    have = len(worst.variants)
    if have >= shapes_needed(line, spec):
        return []
    busy_ms = line.answer_life_of(spec) + line.timeout_of(spec)
    shortest = busy_ms if have == 1 else busy_ms / (have - LATENESS)
    block = worst.block
    return [
        f"{line.name}: {meter.meter} every {spec.period_ms / 1000:g} s: function {block.fc} from {block.address} can "
        f"be asked in {have} of the {worst.needed} shapes that keep a late answer apart (answer life "
        f'{line.answer_life_of(spec) / 1000:g} s); every = "{_duration(shortest)}" or slower will do'
    ]


def _remedy(line: LineSpec, meters: tuple[MeterBudget, ...], share: float) -> str:
    factor = share / NEARLY_FULL
    every = ", ".join(f'{m.name} every "{_duration(m.period_ms * factor)}"' for m in line.meters)
    return f"it works with {every}, with fewer points, or with some of its {len(meters)} meters on another line"


def _duration(ms: float) -> str:
    """A duration as gateway.toml takes it, rounded up to a tenth of a second."""
    return f"{math.ceil(ms / 100) / 10:g}s"
