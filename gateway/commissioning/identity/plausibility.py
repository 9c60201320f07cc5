"""Plausibility of what registers hold when they are read as a profile says: electrical laws, and the ranges and sums of
its fingerprint. Pure.

=====================  ======  =============  ===================================================================
fact                   for     against        condition
=====================  ======  =============  ===================================================================
frequency              2       4              45 to 65 Hz; 0 says nothing
voltages               1 or 2  4              30 to 450 V to neutral, 50 to 780 V between phases: one, or more of them;
                                              0 and medium voltage say nothing
P = sum of Pn          2       1              within 2 % and a digit, once there is power
S² = P² + Q²           2       1              the same; of the total, or of phase 1
cos φ                  1       1              at most 1, and P / S
U × I                  1       1              is the apparent power of phase 1; against: the active power is above it
energies               ½       1              above 0; negative counters are against
ranges of the profile  1 to 4  2 each         one a point in its range; 0 says nothing
sums of the profile    1 or 2  1 each         as for P
states                 1               a state of 32 bits that is not 0 and has a name in the profile
sizes                          2 each, to 4   a float that is neither 0 nor of a size that measured values have
=====================  ======  =============  ===================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.devices.blocks import Content
from gateway.devices.points import Point, Profile
from gateway.messages.message import Message

HERTZ = (45.0, 65.0)
VOLTS = {"voltage_ln": (30.0, 450.0), "voltage_ll": (50.0, 780.0)}
MEDIUM_V = 40_000.0
"""Behind voltage transformers a meter may show volts up to here."""
PART = 0.02
"""What a sum and the power triangle may be off, as a part of the whole: phases are not read at one moment."""
COS = 0.03
LEAST_POWER = 5.0
"""W, var or VA below which powers say nothing: digits are too coarse."""
MOST_COUNTED = 1e10
SMALLEST, LARGEST = 1e-9, 1e12
"""Between them lie the values of all devices, whatever their unit."""
_BASE = {
    "V": 1.0, "mV": 1e-3, "kV": 1e3, "A": 1.0, "mA": 1e-3, "W": 1.0, "kW": 1e3, "VA": 1.0, "kVA": 1e3, "var": 1.0,
    "kvar": 1e3, "Hz": 1.0, "/": 1.0, "/100": 0.01,
}  # fmt: skip
_MEASURED = ("voltage_ln", "voltage_ll", "frequency")


@dataclass(frozen=True, slots=True)
class Fact:
    """What speaks for a profile, or with a weight below 0 against it."""

    weight: float
    sentence: Message


def facts(profile: Profile, values: Mapping[str, Content]) -> list[Fact]:
    """What the values say. ``values``: of the points that could be read, in their recorded units."""
    known = _Numbers(profile, values)
    found = [*_frequency(known), *_voltages(known), *_sum_of_phases(known), *_triangle(known), *_cosine(known)]
    found += [*_product(known), *_energies(known), *_ranges(known), *_sums(known), *_sizes(known)]
    found += _states(profile, values)
    return found


def measured(profile: Profile, values: Mapping[str, Content]) -> bool:
    """A voltage or the frequency is one that a grid has."""
    known = _Numbers(profile, values)
    return any(fact.weight > 0 for fact in [*_frequency(known), *_voltages(known)])


class _Numbers:
    """Numbers by point, in base units (V, A, W, Hz)."""

    def __init__(self, profile: Profile, values: Mapping[str, Content]) -> None:
        self.profile, self.points = profile, {p.name: p for p in profile.points}
        self.found = {
            name: float(value) * _BASE.get(self.points[name].unit or "", 1.0)
            for name, value in values.items()
            if isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        }

    def of(self, *names: str) -> float | None:
        """The first of these that has a number."""
        return next((self.found[name] for name in names if name in self.found), None)

    def all(self, *names: str) -> list[float] | None:
        """Each of these; None: not all are there."""
        return [self.found[name] for name in names] if all(name in self.found for name in names) else None

    def digit(self, name: str) -> float:
        """What the last digit is worth."""
        point = self.points[name]
        whole = point.type.startswith("float") or point.sum
        return 0.0 if whole else _BASE.get(point.unit or "", 1.0) * 10.0**point.scale


def _shown(value: float) -> str:
    return format(value, ".4g")


def _frequency(known: _Numbers) -> Iterator[Fact]:
    hertz = known.of("frequency")
    if hertz is None or hertz == 0:
        return
    if HERTZ[0] <= hertz <= HERTZ[1]:
        yield Fact(2, Message("scan-why-frequency", value=_shown(hertz)))
    else:
        yield Fact(-4, Message("scan-why-not", point="frequency", value=_shown(hertz), unit="Hz"))


def _voltages(known: _Numbers) -> Iterator[Fact]:
    good: list[str] = []
    for name, value in known.found.items():
        bounds = VOLTS.get(name[: len("voltage_ln")])
        if bounds is None or value == 0:
            continue
        if bounds[0] <= value <= bounds[1]:
            good.append(_shown(value))
        elif not bounds[1] < value <= MEDIUM_V:
            yield Fact(-4, Message("scan-why-not", point=name, value=_shown(value), unit="V"))
            return
    if good:
        yield Fact(min(2, len(good)), Message("scan-why-voltage", values=tuple(good[:3])))


def _sum_of_phases(known: _Numbers) -> Iterator[Fact]:
    total = known.of("active_power_total")
    parts = known.all(*(f"active_power_l{n}" for n in (1, 2, 3)))
    if total is None or parts is None or (size := max(abs(total), sum(map(abs, parts)))) < LEAST_POWER:
        return
    digits = 4 * max(known.digit("active_power_total"), known.digit("active_power_l1"))
    if abs(total - sum(parts)) <= PART * size + digits:
        yield Fact(2, Message("scan-why-sum", total="active_power_total", value=_shown(total)))
    else:
        yield Fact(
            -1, Message("scan-why-no-sum", total="active_power_total", value=_shown(total), sum=_shown(sum(parts)))
        )


def _triangle(known: _Numbers) -> Iterator[Fact]:
    for place in ("total", "l1"):
        names = [f"{kind}_power_{place}" for kind in ("active", "reactive", "apparent")]
        three = known.all(*names)
        if three is None:
            continue
        p, q, s = three
        right = math.hypot(p, q)
        if abs(s) < LEAST_POWER and right < LEAST_POWER:
            continue
        digits = 3 * max(map(known.digit, names))
        if abs(abs(s) - right) <= PART * right + digits:
            yield Fact(2, Message("scan-why-apparent", value=_shown(abs(s))))
        elif not right < abs(s) <= 1.5 * right:  # harmonics, and phases that were added up as numbers
            yield Fact(-1, Message("scan-why-not-apparent", value=_shown(abs(s)), right=_shown(right)))
        return


def _cosine(known: _Numbers) -> Iterator[Fact]:
    for name, place in (("power_factor_total", "total"), ("power_factor_l1", "l1")):
        cos = known.of(name)
        if cos is None:
            continue
        if abs(cos) > 1.001:
            yield Fact(-1, Message("scan-why-not", point=name, value=_shown(cos), unit=""))
            return
        p, s = known.of(f"active_power_{place}"), known.of(f"apparent_power_{place}")
        if p is None or s is None or abs(s) < LEAST_POWER or cos == 0:
            continue
        if abs(abs(p / s) - abs(cos)) <= COS:
            yield Fact(1, Message("scan-why-cosine", value=_shown(cos)))
        return


def _product(known: _Numbers) -> Iterator[Fact]:
    volts, amperes = known.of("voltage_ln_l1", "voltage_ln"), known.of("current_l1", "current")
    p = known.of("active_power_l1", *([] if known.of("current_l1") is not None else ["active_power_total"]))
    s = known.of("apparent_power_l1", *([] if known.of("current_l1") is not None else ["apparent_power_total"]))
    if not volts or not amperes or abs(right := volts * amperes) < 4 * LEAST_POWER:
        return
    if s is not None and abs(abs(s) - abs(right)) <= 0.05 * abs(right):
        yield Fact(1, Message("scan-why-product", value=_shown(abs(right))))
    elif p is not None and abs(p) > 1.2 * abs(right) + LEAST_POWER:
        yield Fact(-1, Message("scan-why-no-product", power=_shown(p), value=_shown(abs(right))))


def _energies(known: _Numbers) -> Iterator[Fact]:
    counted = [(n, v) for n, v in known.found.items() if known.points[n].kind == "counter"]
    for name, value in counted:
        if value < 0 or value > MOST_COUNTED:
            yield Fact(-1, Message("scan-why-not", point=name, value=_shown(value), unit=known.points[name].unit or ""))
            return
    above = next(((name, value) for name, value in counted if value > 0), None)
    if above is not None:
        unit = known.points[above[0]].unit or ""
        yield Fact(0.5, Message("scan-why-energy", point=above[0], value=_shown(above[1]), unit=unit))


def _ranges(known: _Numbers) -> Iterator[Fact]:
    fingerprint = known.profile.fingerprint
    good: list[str] = []
    for name, (low, high) in fingerprint.ranges.items() if fingerprint else ():
        if name.startswith(_MEASURED) or not (value := known.found.get(name)):
            continue
        factor = _BASE.get(known.points[name].unit or "", 1.0)
        if float(low) * factor <= value <= float(high) * factor:
            good.append(name)
        else:
            yield Fact(-2, Message("scan-why-not", point=name, value=_shown(value), unit=known.points[name].unit or ""))
    if good:
        yield Fact(min(4, len(good)), Message("scan-why-range", points=tuple(good)))


def _sums(known: _Numbers) -> Iterator[Fact]:
    fingerprint, right = known.profile.fingerprint, 0
    for each in fingerprint.sums if fingerprint else ():
        total, parts = known.found.get(each.total), known.all(*each.parts)
        if each.total == "active_power_total" or total is None or parts is None:
            continue
        if (size := max(abs(total), sum(map(abs, parts)))) == 0:
            continue
        digits = 4 * max(map(known.digit, (each.total, *each.parts)))
        if abs(total - sum(parts)) > PART * size + digits:
            yield Fact(-1, Message("scan-why-no-sum", total=each.total, value=_shown(total), sum=_shown(sum(parts))))
        elif right < 2:
            right += 1
            yield Fact(1, Message("scan-why-sum", total=each.total, value=_shown(total)))


def _sizes(known: _Numbers) -> Iterator[Fact]:
    odd = [
        (name, value)
        for name, value in known.found.items()
        if known.points[name].type.startswith("float") and value and not SMALLEST <= abs(value) <= LARGEST
    ]
    for name, value in odd[:2]:
        if not name.startswith(_MEASURED):
            yield Fact(-2, Message("scan-why-not", point=name, value=_shown(value), unit=known.points[name].unit or ""))


def _states(profile: Profile, values: Mapping[str, Content]) -> Iterator[Fact]:
    for point in profile.points:
        value = values.get(point.name)
        if point.kind == "status" and point.at.form == "code" and point.registers > 1 and value and point.symbol(value):
            yield Fact(1, Message("scan-why-state", point=point.name, symbol=point.symbol(value)))
            return


def sizes_fit(points: list[tuple[Point, Content]]) -> bool:
    """None of the numbers is of a size that no measured value has (``gateway.devices.remarks``), and one is not 0."""
    numbers = [abs(float(v)) for _, v in points if isinstance(v, int | float | Decimal) and not isinstance(v, bool)]
    return any(numbers) and all(n == 0 or SMALLEST <= n <= LARGEST for n in numbers)
