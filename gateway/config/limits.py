"""Limits of values: outside of them a value is an alarm. They are no part of a record, so no hour changes with them.

``limits`` of a meter says them by point, or by the stem of its phases (``voltage_ln`` of ``voltage_ln_l1`` to ``_l3``);
of the other points the upper ends of the profile's ``ranges`` hold, as far as no transformer ratio multiplies the
point. Lower ends do not: behind an open switch a meter reads 0 V.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

from pydantic import PlainSerializer, PlainValidator

from gateway.devices.points import Point, Profile
from gateway.field_types import Unfit
from gateway.key_errors import closest
from gateway.messages.message import Message

PART_OF_SPAN: Final = 0.02
PART_OF_END: Final = 0.001
"""Hysteresis: a value is back only when it is so far inside, as a part of the distance between both limits; where one
of them is open, as a part of the other."""
MOST_NAMED: Final = 20
"""Limits that one sentence names."""
_PHASE: Final = re.compile(r"(.+)_l(?:1|2|3|12|23|31)")
_NUMBERS: Final = ("gauge", "counter")

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Limit:
    """The lower and the upper limit of one point, in its recorded unit; infinite where an end is open."""

    low: float
    high: float

    @property
    def hysteresis(self) -> float:
        """How far inside a value is back."""
        if math.isfinite(self.high - self.low):
            return PART_OF_SPAN * (self.high - self.low)
        return PART_OF_END * abs(self.high if math.isfinite(self.high) else self.low)

    def breaks(self, value: float) -> bool:
        """A value is outside; on a limit it is inside."""
        return value < self.low or value > self.high

    def holds(self, value: float) -> bool:
        """A value is inside by more than the hysteresis."""
        return self.low + self.hysteresis <= value <= self.high - self.hysteresis


class Limited(Protocol):
    """What of a meter's configuration its limits depend on."""

    @property
    def points(self) -> tuple[str, ...]:
        """The points to record; none: those that the profile records."""

    @property
    def limits(self) -> Mapping[str, Pair]:
        """The limits that are written, by point or stem."""


def limit_pairs(value: object) -> dict[str, Pair]:
    """``{ voltage_ln = [207, 253] }``: of each point two numbers, the lower one first; ``-inf`` and ``inf`` leave an
    end open. Anything else is an Unfit that shows the form."""
    if not isinstance(value, Mapping):
        raise Unfit(Message("config-limits-table"))
    return {str(name): _pair(str(name), ends) for name, ends in value.items()}


def _pair(name: str, ends: object) -> Pair:
    if not isinstance(ends, list | tuple) or len(ends) != 2 or not all(map(_is_number, ends)):
        raise Unfit(Message("config-limits-pair", name=name), key=name)
    low, high = map(float, ends)
    if low >= high:
        raise Unfit(Message("config-limits-order", low=number_text(low), high=number_text(high)), key=name)
    return low, high


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def number_text(value: float) -> str:
    """A limit as gateway.toml has it: ``253``, ``49.8``, ``-inf``."""
    return f"{value:.12g}"


Limits = Annotated[Mapping[str, Pair], PlainValidator(limit_pairs), PlainSerializer(
    lambda pairs: {name: [number_text(end) for end in ends] for name, ends in pairs.items()}
)]  # fmt: skip
"""``[[bus.meter]]``, ``limits``."""


def recorded_numbers(meter: Limited, profile: Profile) -> dict[str, Point]:
    """The points of a meter that are recorded as numbers, by name."""
    wanted = set(meter.points) or {point.name for point in profile.points if point.record}
    return {point.name: point for point in profile.points if point.name in wanted and point.kind in _NUMBERS}


def limits_of(meter: Limited, profile: Profile) -> dict[str, Limit]:
    """The limits of a meter's points, by point; a point without an entry has none."""
    numbers = recorded_numbers(meter, profile)
    ranges = profile.fingerprint.ranges if profile.fingerprint else {}
    found = {
        name: Limit(-math.inf, float(high))
        for name, (_, high) in ranges.items()
        if name in numbers and not numbers[name].factor_from
    }
    for exact in (False, True):  # a point's own limits go before those of its stem
        for name, ends in meter.limits.items():
            if (name in profile_names(profile)) is exact:
                found |= {point: Limit(*ends) for point in _meant(name, profile) if point in numbers}
    return {name: limit for name, limit in found.items() if limit != Limit(-math.inf, math.inf)}


def phase_stem(point: str) -> str | None:
    """The stem of a phase's point, ``voltage_ln`` of ``voltage_ln_l1``; None: it is of no phase."""
    found = _PHASE.fullmatch(point)
    return found[1] if found else None


def profile_names(profile: Profile) -> set[str]:
    """The names of a profile's points."""
    return {point.name for point in profile.points}


def _meant(name: str, profile: Profile) -> list[str]:
    """The points that a key of ``limits`` is about: the point of that name, else the phases of that stem."""
    names = [point.name for point in profile.points]
    if name in names:
        return [name]
    return [point for point in names if phase_stem(point) == name]


def limits_in_force(meter: str, profile: Profile, limits: Mapping[str, Limit]) -> Message:
    """The limits of a meter that are in force, in words."""
    each = tuple(_limit(profile.point(name), limit) for name, limit in list(limits.items())[:MOST_NAMED])
    if (more := len(limits) - len(each)) > 0:
        each = (*each, Message("points-more", n=more))
    return Message("limits-in-force", meter=meter, limits=each)


def _limit(point: Point, limit: Limit) -> Message:
    name, low, high, unit = point.name, number_text(limit.low), number_text(limit.high), point.unit or ""
    if limit.low == -math.inf:
        return Message("limit-upper", point=name, high=high, unit=unit)
    if limit.high == math.inf:
        return Message("limit-lower", point=name, low=low, unit=unit)
    return Message("limit-of-point", point=name, low=low, high=high, unit=unit)


def unwatched(limits: Mapping[str, Limit], numbers: Mapping[str, Point]) -> bool:
    """Whether a meter records voltages, and none of them has a limit. ``numbers``: its ``recorded_numbers``."""
    volts = {name for name, point in numbers.items() if point.unit == "V"}
    return bool(volts) and not volts & limits.keys()


def misfits(meter: Limited, profile: Profile) -> Iterator[tuple[str, Message]]:
    """Keys of ``limits`` that do not go with the meter's profile, each with what is wrong."""
    numbers = recorded_numbers(meter, profile)
    for name, ends in meter.limits.items():
        meant = _meant(name, profile)
        if not meant:
            yield name, _no_point(name, profile)
        elif not (found := [numbers[point] for point in meant if point in numbers]):
            yield name, _no_number(meant, profile)
        elif len(units := {point.unit for point in found}) > 1:
            of = tuple(f"{point.name} ({point.unit})" for point in found)
            yield name, Message("config-limits-units", points=of, n=len(units))
        elif (elsewhere := _elsewhere(found, ends, profile)) is not None:
            yield name, elsewhere


def _no_point(name: str, profile: Profile) -> Message:
    stems = {stem for point in profile.points if (stem := phase_stem(point.name))}
    other = closest(name, sorted(profile_names(profile) | stems))
    if other is None:
        return Message("config-no-point", point=name, profile=profile.name)
    return Message("config-no-point-meant", point=name, profile=profile.name, other=other)


def _no_number(meant: Sequence[str], profile: Profile) -> Message:
    """None of these points is recorded as a number."""
    if profile.point(meant[0]).kind not in _NUMBERS:
        return Message("config-limits-no-number", point=meant[0], profile=profile.name)
    return Message("config-limits-not-recorded", points=tuple(meant))


def _elsewhere(points: Sequence[Point], ends: Pair, profile: Profile) -> Message | None:
    """Limits beyond all that the device can measure: they are in another unit than the point is recorded in."""
    ranges = profile.fingerprint.ranges if profile.fingerprint else {}
    for point in points:
        if point.name not in ranges or point.factor_from:
            continue
        low, high = map(float, ranges[point.name])
        if ends[1] < low or ends[0] > high:
            name, unit, device = point.name, point.unit or "", profile.name
            can = number_text(low), number_text(high)
            return Message("config-limits-elsewhere", profile=device, point=name, low=can[0], high=can[1], unit=unit)
    return None
