"""Values as the pages show them, which of a meter's points come first, and the small picture of their course."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from gateway.config import Meter
from gateway.devices.points import Point, Profile
from ledger_client.record import Number, Reading, Value

WIDTH, HEIGHT = 120, 28  # of a sparkline, in its own units
_ENERGY = ("Wh", "kWh", "MWh")
_PREFERRED = {"generation": "export", "consumption": "import"}


@dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline: its pieces as points of a polyline (broken where no value was), and its scale."""

    pieces: tuple[str, ...]
    low: float
    high: float
    from_ms: int
    to_ms: int


def headline(meter: Meter, profile: Profile) -> tuple[str, ...]:
    """The two points that say most of a meter: its power and its energy in the direction of its role, or what an
    emission probe measures."""
    points = profile.select(meter.points or None)
    gauges = [p for p in points if p.kind == "gauge"]
    power = _first(gauges, lambda p: p.unit == "W" and ("total" in p.name or p.name == "active_power")) or _first(
        gauges, lambda p: p.unit in ("W", "kW")
    )
    counters = [p for p in points if p.kind == "counter" and p.unit in _ENERGY]
    wanted = _PREFERRED.get(meter.role, "")
    energy = _first(counters, lambda p: wanted in p.name) or _first(counters, lambda p: True)
    others = [p for p in (*gauges, *points) if p.kind != "scale"]
    chosen = [p.name for p in (power, energy, *others) if p is not None]
    return tuple(dict.fromkeys(chosen))[:2]


def _first(points: Iterable[Point], fits: object) -> Point | None:
    assert callable(fits)
    return next((p for p in points if fits(p)), None)


def by_name(reading: Reading, names: Sequence[str]) -> tuple[Value, ...]:
    """The values of these points, as far as the reading has them."""
    found = {value.name: value for value in reading.values if value.name in names}
    return tuple(found[name] for name in names if name in found)


def shared_flags(found: Sequence[Value]) -> int:
    """The quality bits that all of some values have: said once."""
    return reduce(and_, (value.quality for value in found)) if len(found) > 1 else 0


def number(value: Value) -> float | None:
    """The value if it is a number."""
    content = value.value
    return float(content) if isinstance(content, Number) and not isinstance(content, bool) else None


def spark(readings: Sequence[tuple[int, float | None]], most: int) -> Spark | None:
    """The course of one point over some readings, by their times in ms, in ``most`` points or fewer; None where
    fewer than two have a number."""
    step = max(1, -(-len(readings) // most))
    course = readings[::-1][::step][::-1]
    numbers = [value for _, value in course if value is not None]
    if len(numbers) < 2:
        return None
    low, high, from_ms, to_ms = min(numbers), max(numbers), course[0][0], course[-1][0]
    pieces: list[list[str]] = [[]]
    for time_ms, value in course:
        if value is None:
            pieces.append([])
            continue
        x = WIDTH * (time_ms - from_ms) / max(1, to_ms - from_ms)
        y = HEIGHT / 2 if high == low else 2 + (HEIGHT - 4) * (high - value) / (high - low)
        pieces[-1].append(f"{x:.0f},{y:.0f}")
    return Spark(tuple(" ".join(piece) for piece in pieces if piece), low, high, from_ms, to_ms)
