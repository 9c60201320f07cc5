"""Reading of a meter for its commissioning: a poll of the running gateway, or one by hand, as live values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from gateway.acquisition.line_use import HandSession
from gateway.acquisition.message_by_hand import sends
from gateway.acquisition.meter_look import Look, PointLook
from gateway.clock import Clock
from gateway.commissioning.record.content import Shown
from gateway.commissioning.record.live_values import look
from gateway.commissioning.wizard.direction import Place
from gateway.commissioning.wizard.live import Live, LiveValue, Reader
from gateway.config.bus import Meter
from gateway.config.model import Config
from gateway.devices.points import Point
from gateway.errors import NotYet
from gateway.fieldbus.polling.line import Waits
from gateway.messages.message import Message
from gateway.process import instance_lock
from gateway.startup.line_specs import line_specs


def reader(in_force: Config, clock: Clock, waits: Waits, session: HandSession) -> Reader:
    """What reads meters of drafts. ``in_force``: the configuration on disk, which a running gateway has; ``session``:
    of this process."""

    def read(config: Config, meter: str, points: tuple[str, ...] = ()) -> Live:
        line = next(spec for spec in line_specs(config) if meter in {each.name for each in spec.meters})
        profile = config.profiles[meter]
        if points and not sends(line):
            one = {
                each.name: replace(each, points=profile.select(points)) for each in line.meters if each.name == meter
            }
            line = replace(line, meters=tuple(one.get(each.name, each) for each in line.meters))
        by_gateway = instance_lock.running(in_force.data) is not None and meter in in_force.meters
        found = look(in_force, line, meter, clock, waits, session)
        if not found.points:
            raise NotYet(Message("read-no-values", meter=meter, problem=found.failures[0]))
        factors = _factors(in_force.meters[meter], config.meters[meter]) if by_gateway else {}
        return _live(found, {point.name: point for point in profile.points}, factors)

    return read


def place(config: Config) -> Place:
    """When and where the site is."""
    gateway = config.document.gateway
    return Place(datetime.now(config.zone), gateway.latitude, gateway.longitude)


def _live(found: Look, points: dict[str, Point], factors: dict[str, Fraction]) -> Live:
    values = {}
    for each in found.points:
        point = points.get(each.point)
        if point is not None and each.value is not None:
            values[each.point] = _live_value(each, point, factors)
    return Live(found.identity, values)


def _live_value(each: PointLook, point: Point, factors: dict[str, Fraction]) -> LiveValue:
    value: Shown | None = each.value
    assert value is not None
    for name in point.factor_from:
        if name in factors and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            value = _scaled(value, factors[name])
    return LiveValue(each.point, each.unit, value, point.kind == "counter", each.request, each.answer, each.at_ms)


def _factors(before: Meter, now: Meter) -> dict[str, Fraction]:
    """By which a value grows that the running gateway multiplied by the ratios of before."""
    old, new = before.factors, now.factors
    found = {name: Fraction(new[name]) / Fraction(old[name]) for name in new if name in old}
    return {name: factor for name, factor in found.items() if factor != 1}


def _scaled(value: int | float | Decimal, factor: Fraction) -> int | float | Decimal:
    if isinstance(value, float):
        return value * float(factor)
    exact = Fraction(value) * factor
    if exact.denominator == 1 and isinstance(value, int):
        return exact.numerator
    return Decimal(exact.numerator) / Decimal(exact.denominator)
