"""Shortest periods with which a line works, by its read budget: what `check` proposes where a plan is overfull, and the
alarm `line-overloaded` where a line turned out to be. Pure.

The budget assumes what a device takes to answer; where that was measured it is given, and over Modbus TCP, whose speed
nobody knows before, time is counted only then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.fieldbus.read_budget import FULL, MeterBudget, ReadBudget, budget
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message

DAY_MS = 86_400_000
MEASURED_FULL = 0.95
"""So full may a line be by times that were measured: they are means, and every second answer takes longer."""

Device = Mapping[str, float]
"""By meter: what the device needs for an answer, in ms, as it was measured."""


def device_times(spec: LineSpec, poll_ms: Mapping[str, float]) -> Device:
    """What the devices need for an answer, by the mean times of whole polls (identity, second reads and time-outs
    included). A meter that was never polled is taken to be as slow as the mean of the others; without any it stays as
    it is assumed."""
    at_once = {known.meter: known for known in budget(spec, dict.fromkeys((m.name for m in spec.meters), 0.0)).meters}
    found = {
        name: max(0.0, ms - at_once[name].poll_ms) / len(at_once[name].reads)
        for name, ms in poll_ms.items()
        if at_once[name].reads
    }
    if not found:
        return {}
    mean = sum(found.values()) / len(found)
    return {meter.name: found.get(meter.name, mean) for meter in spec.meters}


def shortest_periods(spec: LineSpec, device_ms: Device | None = None) -> tuple[int, ...] | None:
    """The shortest periods in ms with which the line works: none shorter than now, none shorter than its meter's shapes
    allow, and else all stretched alike. ``device_ms``: as measured, where it was; else as assumed."""
    first = min(meter.period_ms for meter in spec.meters)
    found = budget(spec)
    allowed = [shortest_by_shapes(spec, m) or DAY_MS if short_of(m, b) else 0 for m, b in pairs_of(spec, found.meters)]

    def stretched(period_ms: int) -> LineSpec:
        periods = [_up(m.period_ms * period_ms / first, _step_ms(m.period_ms)) for m in spec.meters]
        pairs = zip(spec.meters, periods, allowed, strict=True)
        return replace(spec, meters=tuple(replace(m, period_ms=max(p, least)) for m, p, least in pairs))

    least = first
    if not carries(stretched(first), device_ms):
        least = _least(first, lambda period_ms: carries(stretched(period_ms), device_ms), _step_ms(first)) or 0
    return tuple(m.period_ms for m in stretched(least).meters) if least else None


def carries(spec: LineSpec, device_ms: Device | None = None) -> bool:
    """Neither overfull nor short of shapes."""
    found = budget(spec, device_ms)
    pairs = pairs_of(spec, found.meters)
    full = FULL if device_ms is None else MEASURED_FULL
    in_time = all(b.poll_ms + m.profile.pause_ms <= m.period_ms for m, b in pairs)
    return found.share <= full and in_time and not any(short_of(m, b) for m, b in pairs)


def short_of(meter: MeterSpec, known: MeterBudget) -> list[ReadBudget]:
    """The reads that are made more often than they have shapes for. How far a SunSpec model reaches, only the wire
    shows: its reads are not counted."""
    return [] if meter.profile.protocol == "sunspec" else known.short()


def shortest_by_shapes(spec: LineSpec, meter: MeterSpec) -> int | None:
    """The shortest period of a meter for which its reads have shapes; None: there is none."""
    return _least(meter.period_ms, lambda ms: has_shapes(spec, meter, ms), _step_ms(meter.period_ms))


def has_shapes(spec: LineSpec, meter: MeterSpec, period_ms: int) -> bool:
    """Whether a meter's reads have shapes enough at a period."""
    changed = replace(meter, period_ms=period_ms)
    meters = tuple(changed if m is meter else m for m in spec.meters)
    return not short_of(changed, budget(replace(spec, meters=meters)).meters[spec.meters.index(meter)])


def pairs_of(spec: LineSpec, known: Sequence[MeterBudget]) -> list[tuple[MeterSpec, MeterBudget]]:
    """Each meter of a line with its budget."""
    return list(zip(spec.meters, known, strict=True))


def every_text(spec: LineSpec, periods_ms: Sequence[int] | None) -> tuple[Message, ...]:
    """Periods as gateway.toml takes them."""
    if periods_ms is None:
        return (Message("budget-every-none"),)
    if len(periods_ms) == 1:
        return (Message("budget-every", every_s=seconds(periods_ms[0])),)
    if len(set(periods_ms)) == 1:
        return (Message("budget-every-all", every_s=seconds(periods_ms[0])),)
    pairs = zip(spec.meters, periods_ms, strict=True)
    return tuple(Message("budget-every-meter", every_s=seconds(ms), meter=meter.name) for meter, ms in pairs)


def seconds(ms: int) -> str:
    """As gateway.toml takes it, without the unit."""
    return f"{ms / 1000:g}"


def decimal(number: float) -> str:
    """A share of each second, to hundredths."""
    return f"{number:.2f}"


def _least(first_ms: int, works: Callable[[int], bool], step_ms: int) -> int | None:
    """The least period from ``first_ms`` on, in whole steps, that works; longer ones work as well. None: no period."""
    low, high = first_ms // step_ms, first_ms // step_ms + 1
    while not works(high * step_ms):
        low, high = high, 2 * high
        if high * step_ms > DAY_MS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle * step_ms) else (middle, high)
    return high * step_ms


def _step_ms(period_ms: int) -> int:
    """Periods are proposed in tenths of a second, and in whole seconds from 10 s on."""
    return 100 if period_ms < 10_000 else 1000


def _up(ms: float, step_ms: int) -> int:
    return math.ceil(round(ms / step_ms, 9)) * step_ms
