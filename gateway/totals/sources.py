"""Sources of a site's totals: which points of a meter say its power and its energy, and which way these are. Pure.

Directions are seen from the grid, as in the vocabulary: ``import`` is taken from it, ``export`` is given to it.

1. Power is ``active_power``, under whichever name; its sign is what the profile says (``positive``). Where that is not
   usable, it is import less export.
2. Energy of a direction is its counter, else the sum of its tariffs; of generation, what is given is else the yield of
   the inverter.
3. A meter that is installed the wrong way round is turned first (``knowledge.direction``), as pages show it.
4. What the device's own meter at the grid connection says (``grid_meter_…``, ``pcc_…``) is another meter's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from gateway.config.bus import Meter
from gateway.devices.knowledge.direction import Turned
from gateway.devices.knowledge.quantities import UNITS, Direction, one_name
from gateway.devices.points import Point, Profile
from gateway.devices.turned_values import turned_point
from gateway.verdicts import verdict
from ledger_client.formats.senml import Columns, Number, Value

DIRECTIONS: Final[tuple[Direction, Direction]] = ("import", "export")
COUNTS: Final[Mapping[str, Mapping[str, Direction]]] = {
    "generation": {"generation": "export"},
    "consumption": {"consumption": "import"},
    "grid": {"import": "import", "export": "export"},
    "storage": {"charge": "import", "discharge": "export"},
}
"""By the role of a meter, its flows, each with the direction that it counts. Meters of other roles are in no total."""
FLOWS: Final = tuple(flow for flows in COUNTS.values() for flow in flows)
_WATTS: Final = {"W": 1, "kW": 1000}
_POWER, _IMPORT, _EXPORT = "active_power", "active_power_import", "active_power_export"
_YIELD: Final = "energy_yield_total"
_TARIFFS: Final = 4


class Counters(NamedTuple):
    """The counters whose sum is the energy of a direction; or, without any, why there are none: ``no-counter``, or
    ``not-recorded``, where the device has tariffs of which some are not recorded."""

    names: tuple[str, ...] = ()
    lack: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """Active power of a meter in W, as seen from the grid: what is taken and what is given, one of them 0; None: not
    known. ``lack``: why. ``is_uncertain``: by the quality of what it is made of."""

    taken: Fraction | None = None
    given: Fraction | None = None
    lack: str = ""
    is_uncertain: bool = False

    def of(self, direction: Direction) -> Fraction | None:
        """The power of one direction."""
        return self.taken if direction == "import" else self.given


@dataclass(frozen=True, slots=True)
class Source:
    """What a meter says of the totals. ``powers``: the points of power, by recorded name, each as what it is to be
    taken; ``counters`` by direction."""

    meter: str
    role: str
    every_ms: int
    positive: Direction | None
    powers: Mapping[str, Turned]
    counters: Mapping[Direction, Counters]

    @property
    def flows(self) -> Mapping[str, Direction]:
        """The flows that it is part of."""
        return COUNTS[self.role]

    def power(self, values: Iterable[Value]) -> Power:
        """The power in the values of a reading."""
        found: dict[str, Fraction] = {}
        bad, doubted = False, set[str]()
        for value in self._powers_of(values):
            turn = self.powers[value.name]
            if (number := _watts(value, turn)) is None:
                bad = True
            elif (name := one_name(turn.name)) not in found:
                found[name] = number
                doubted |= {name} if verdict(value.quality) != "good" else set()
        if _POWER in found and self.positive is not None:
            taken = found[_POWER] if self.positive == "import" else -found[_POWER]
            return signed(taken, is_uncertain=_POWER in doubted)
        has = {one_name(turn.name) for turn in self.powers.values()}
        if _IMPORT in found and _EXPORT in found:
            return signed(found[_IMPORT] - found[_EXPORT], is_uncertain=bool(doubted & {_IMPORT, _EXPORT}))
        if not has & {_IMPORT, _EXPORT} - {*found} and found.keys() & {_IMPORT, _EXPORT}:
            return Power(found.get(_IMPORT), found.get(_EXPORT), is_uncertain=bool(doubted))
        if not has:
            return Power(lack="no-power")
        return Power(lack="bad-quality" if bad else "no-sign" if _POWER in found else "no-value")

    def _powers_of(self, values: Iterable[Value]) -> list[Value]:
        """The values of its points of power; of columns no other value is made."""
        if isinstance(values, Columns):
            rows = zip(values.names, values.contents, values.units, strict=True)
            return [Value(*row, values.quality) for row in rows if row[0] in self.powers]
        return [value for value in values if value.name in self.powers]


def signed(taken: Fraction, *, is_uncertain: bool = False) -> Power:
    """Power that is below 0 where it is given."""
    return Power(max(taken, Fraction(0)), max(-taken, Fraction(0)), is_uncertain=is_uncertain)


def source(meter: Meter, profile: Profile) -> Source | None:
    """The source that a meter is; None: it is in no total."""
    if meter.role not in COUNTS or not meter.in_totals:
        return None
    turns = {point.name: _turned(meter, point) for point in profile.points}
    recorded = [point for point in profile.points if (point.name in meter.points if meter.points else point.record)]
    powers = {
        point.name: turns[point.name]
        for point in recorded
        if point.kind == "gauge" and point.unit in _WATTS
        if one_name(turns[point.name].name) in (_POWER, _IMPORT, _EXPORT)
    }
    counters: dict[str, list[Point]] = {}
    for point in profile.points:
        if point.kind == "counter" and point.unit in UNITS["active energy"]:
            counters.setdefault(one_name(turns[point.name].name), []).append(point)
    names = {point.name for point in recorded}
    of = {direction: _counters(direction, counters, names, meter.role) for direction in DIRECTIONS}
    return Source(meter.name, meter.role, meter.every, profile.positive, powers, of)


def _counters(direction: Direction, counters: Mapping[str, list[Point]], recorded: set[str], role: str) -> Counters:
    known = {name: [p.name for p in points if p.name in recorded] for name, points in counters.items()}
    if whole := known.get(f"energy_{direction}"):
        return Counters((whole[0],))
    tariffs = [f"energy_{direction}_t{n}" for n in range(1, _TARIFFS + 1) if f"energy_{direction}_t{n}" in counters]
    if tariffs and all(known[name] for name in tariffs):
        return Counters(tuple(known[name][0] for name in tariffs))
    if role == "generation" and direction == "export" and (made := known.get(_YIELD)):
        return Counters((made[0],))
    partly = any(known[name] for name in tariffs)
    return Counters(lack="not-recorded" if partly else "no-counter")


def _turned(meter: Meter, point: Point) -> Turned:
    return turned_point(point) if meter.reversed else Turned(point.name)


def _watts(value: Value, turn: Turned) -> Fraction | None:
    """A power in W, turned; None: it has no value that counts."""
    number, unit = value.value, _WATTS.get(value.unit or "")
    if unit is None or not isinstance(number, Number) or isinstance(number, bool):
        return None
    if verdict(value.quality) in ("bad", "missing"):
        return None
    try:
        return Fraction(turn.of(number)) * unit
    except (ValueError, OverflowError):  # a float that is no number
        return None
