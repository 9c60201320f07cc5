"""Values for display: a meter's headline points, values of a reversed meter turned, the geometry of sparklines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from gateway.config.bus import Meter
from gateway.config.limits import Limit
from gateway.devices.knowledge.direction import Turned
from gateway.devices.knowledge.quantities import Direction, has_sign
from gateway.devices.points import Point, Profile
from gateway.devices.turned_values import shown, turned_point, turns_of
from gateway.history.series import APART
from ledger_client.formats.senml import Number, Reading, Value

WIDTH, HEIGHT = 120, 28  # of a sparkline, in its own units
_ENERGY = ("Wh", "kWh", "MWh")
_PREFERRED = {"generation": "export", "consumption": "import"}


@dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline: the points of each of its pieces (broken where no value was), and its scale."""

    pieces: tuple[str, ...]
    low: float
    high: float
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Beyond:
    """A value outside its limits, as pages show it: above (``high``) or below the limit ``end``."""

    point: str
    high: bool
    end: Number
    unit: str | None


def headline(meter: Meter, profile: Profile) -> tuple[str, ...]:
    """The two points that say most of a meter: its power and its energy in the direction of its role as pages show it,
    or what an emission probe measures."""
    points = profile.select(meter.points or None)
    gauges = [p for p in points if p.kind == "gauge"]
    power = _first(gauges, lambda p: p.unit == "W" and ("total" in p.name or p.name == "active_power")) or _first(
        gauges, lambda p: p.unit in ("W", "kW")
    )
    counters = [p for p in points if p.kind == "counter" and p.unit in _ENERGY]
    wanted = _PREFERRED.get(meter.role, "")
    energy = _first(counters, lambda p: wanted in shown_as(meter, p).name) or _first(counters, lambda p: True)
    others = [p for p in (*gauges, *points) if p.kind != "scale"]
    chosen = [p.name for p in (power, energy, *others) if p is not None]
    return tuple(dict.fromkeys(chosen))[:2]


def _first(points: Iterable[Point], fits: object) -> Point | None:
    assert callable(fits)
    return next((p for p in points if fits(p)), None)


def shown_as(meter: Meter, point: Point) -> Turned:
    """What pages show a point as: itself, or turned where the meter is reversed."""
    if not meter.reversed:
        return Turned(point.name)
    return turned_point(point)


def turns(meter: Meter, profile: Profile) -> Mapping[str, Turned]:
    """What pages show each point of a reversed meter as; of any other meter nothing."""
    return turns_of(profile.points) if meter.reversed else {}


def by_name(reading: Reading, names: Sequence[str], turned_as: Mapping[str, Turned]) -> tuple[Value, ...]:
    """The values of these points as pages show them, as far as the reading has them."""
    found = {value.name: value for value in reading.values if value.name in names}
    return shown((found[name] for name in names if name in found), turned_as)


def with_ways(values: Iterable[Value], positive: Direction | None) -> tuple[tuple[Value, ...], Mapping[str, str]]:
    """Values for people: an active power without its sign, and by its name whether it is ``given`` to the grid or
    ``taken`` from it. ``positive``: which way it is above 0; None: not known, and the sign stays."""
    found, ways = list[Value](), dict[str, str]()
    for value in values:
        content = value.value
        if positive is None or not has_sign(value.name) or (size := number(value)) is None:
            found.append(value)
            continue
        if size:
            ways[value.name] = "taken" if (size > 0) == (positive == "import") else "given"
        found.append(value._replace(value=-content if size < 0 else content))  # type: ignore[operator]  # a number
    return tuple(found), ways


def beyond(reading: Reading, limits: Mapping[str, Limit], turned_as: Mapping[str, Turned]) -> tuple[Beyond, ...]:
    """The values of a reading that are outside their limits. ``limits`` by recorded point."""
    return tuple(
        _beyond(value, limits[value.name], turned_as.get(value.name))
        for value in reading.values
        if value.name in limits and (found := number(value)) is not None and limits[value.name].breaks(found)
    )


def _beyond(value: Value, limit: Limit, turn: Turned | None) -> Beyond:
    recorded = number(value) or 0.0
    end: Number = limit.high if recorded > limit.high else limit.low
    if turn is None:
        return Beyond(value.name, recorded > end, end, value.unit)
    return Beyond(turn.name, turn.of(recorded) > turn.of(end), turn.of(end), value.unit)


def number(value: Value) -> float | None:
    """The value if it is a number."""
    content = value.value
    return float(content) if isinstance(content, Number) and not isinstance(content, bool) else None


def spark(readings: Sequence[tuple[int, float | None]], most: int) -> Spark | None:
    """The course of one point over some readings, by their times in ms, in about ``most`` points; None where fewer than
    two have a number. Readings without a number break it, and so does a time ``APART`` as long as is usual."""
    known = [(time_ms, value) for time_ms, value in readings if value is not None]
    if len(known) < 2:
        return None
    step = max(1, -(-len(readings) // most))
    numbers = [value for _, value in known]
    low, high, from_ms, to_ms = min(numbers), max(numbers), known[0][0], known[-1][0]

    def place(time_ms: int, value: float) -> str:
        x = WIDTH * (time_ms - from_ms) / max(1, to_ms - from_ms)
        y = HEIGHT / 2 if high == low else 2 + (HEIGHT - 4) * (high - value) / (high - low)
        return f"{x:.0f},{y:.0f}"

    pieces = [[place(*one) for one in piece[::-1][::step][::-1]] for piece in _pieces(readings)]
    return Spark(tuple(" ".join(piece * (3 - min(2, len(piece)))) for piece in pieces), low, high, from_ms, to_ms)


def _pieces(readings: Sequence[tuple[int, float | None]]) -> list[list[tuple[int, float]]]:
    """What follows one another without a gap."""
    between = [later[0] - earlier[0] for earlier, later in pairwise(readings)]
    apart_ms = APART * median_low(between)
    pieces: list[list[tuple[int, float]]] = [[]]
    for time_ms, value in readings:
        if value is None or (pieces[-1] and time_ms - pieces[-1][-1][0] > apart_ms):
            pieces.append([])
        if value is not None:
            pieces[-1].append((time_ms, value))
    return [piece for piece in pieces if piece]
