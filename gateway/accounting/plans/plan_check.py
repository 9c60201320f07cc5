"""Plan check: where a plan and the configuration contradict each other, and which status its hours can have (I2, I3).
Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from gateway.accounting.plans.plan_file import plan_bytes
from gateway.config.model import Config
from gateway.devices.knowledge.direction import turned
from gateway.devices.knowledge.quantities import QUANTITIES
from gateway.devices.points import Point as DevicePoint
from gateway.devices.scaling import quantum
from gateway.field_types import duration_text
from gateway.messages.message import Message
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan, parse_plan
from ledger_client.accounting.formats.point import Point
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.statement import MOST_PAYLOAD
from ledger_client.formats import cbor
from ledger_client.inputs.judgement import meters_elsewhere, of_plan, year_of
from ledger_client.inputs.unusual import Unusual

_REASONS = 6
"""Reasons of missed polls of each meter in the largest period that has to fit in an event."""
_STATUSES = 5
"""Statuses of each node in it."""
_TAKEN, _GIVEN = "import", "export"
_DIRECTIONS: Final[Mapping[str, str]] = {
    words.PRODUCTION: _GIVEN, words.DISCHARGE: _GIVEN, words.EXPORT: _GIVEN,
    words.CONSUMPTION: _TAKEN, words.IMPORT: _TAKEN, words.AUXILIARY: _TAKEN, words.CHARGE: _TAKEN,
}  # fmt: skip
"""What a node of a role adds, as seen from the grid."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the intervals of a node can become at best. ``slowest``: the point that decides, polled every
    ``sample_ms``; ``measured_ms``: from which period on down they can be ``measured``."""

    node: str
    best: str
    slowest: str
    sample_ms: int
    measured_ms: int

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"node": self.node, "best": self.best, "slowest": self.slowest, "sample_ms": self.sample_ms,
                "measured_from_ms": self.measured_ms}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Direction:
    """A counter in a node: what it counts as seen from the grid, import or export, and whether its meter hangs the
    wrong way round, so that it calls that the other way."""

    node: str
    role: str
    sign: int
    point: str
    counts: str
    is_reversed: bool

    @property
    def is_against(self) -> bool:
        """Whether a node of the role takes it off, or its opposite."""
        return (self.counts == _DIRECTIONS[self.role]) != (self.sign > 0)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"node": self.node, "role": self.role, "sign": self.sign, "point": self.point, "counts": self.counts,
                "reversed": self.is_reversed, "against": self.is_against}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """``problems``: what would make a plan useless, and what a regulator would ask for and no reason is given for;
    ``notes``: what somebody should know; ``unusual``: what a recomputation will list."""

    plan: Plan
    problems: list[Message]
    notes: list[Message]
    outlooks: list[Outlook]
    directions: list[Direction]
    unusual: list[Unusual]


def check_plan(config: Config, fields: Mapping[str, Any], others: Sequence[Plan] = ()) -> Checked:
    """A plan beside the configuration. ``others``: plans of other names in force. Raises AccountingError."""
    plan = parse_plan(fields)
    demand_shipped(plan)
    roles = {name: (meter.role,) for name, meter in config.meters.items()}
    unusual = list(of_plan(plan, b"", roles, meters_elsewhere(others, plan), year_of(plan, plan.from_ms)))
    directions = list(_directions(config, plan))
    problems, notes = list(_sizes(plan, fields)), list[Message]()
    problems += [_without_reason(one) for one in unusual if one.code in _REASONED and "reason" not in one.facts]
    for one in directions:
        if one.is_against:
            notes.append(Message("plan-against", node=one.node, role=one.role, point=one.point, counts=one.counts))
    if not plan.nodes:
        problems.append(Message("plan-no-nodes"))
    for point in plan.points.values():
        problems += _beside(config, point)
    for node in plan.nodes.values():
        for _, name in node.terms:
            notes += _notes(config, plan, node, plan.points[name])
        if node.regime.unconfirmed:
            notes.append(Message("plan-unconfirmed", profile=node.regime.id, what=tuple(node.regime.unconfirmed)))
    outlooks = [one for node in plan.nodes.values() for one in _outlook(plan, node)]
    return Checked(plan, problems, list(dict.fromkeys(notes)), outlooks, directions, unusual)


_REASONED: Final = ("role", "negative-term", "meter-unused")
"""What is a problem unless the plan says why: at the node, or by meter in [site.unused]."""


def _without_reason(one: Unusual) -> Message:
    facts = one.facts
    if one.code == "role":
        return Message(
            "plan-role", node=facts["node"], meter=facts["meter"], role=facts["role"], needed=facts["needed"]
        )
    if one.code == "negative-term":
        return Message("plan-negative-term", node=facts["node"], role=facts["role"], point=facts["point"])
    return Message("plan-meter-unused", meter=facts["meter"])


def _directions(config: Config, plan: Plan) -> Iterator[Direction]:
    """Of each counter of a node of electricity whose quantity has a direction."""
    for node in plan.nodes.values():
        for sign, name in node.terms if node.role in _DIRECTIONS else ():
            meter, point = config.meters.get(plan.points[name].meter), plan.points[name].own_name
            if meter is None:
                continue
            quantity = QUANTITIES.get(turned(point).name if meter.reversed else point)
            if quantity is not None and quantity.direction:
                yield Direction(node.name, node.role, sign, name, quantity.direction, meter.reversed)


def _outlook(plan: Plan, node: Node) -> Iterator[Outlook]:
    """Two looks around an edge are one sample apart, at both edges: `measured` up to half of what the profile lets."""
    if not node.terms:
        return
    slowest = max((plan.points[name] for _, name in node.terms), key=lambda point: point.sample_ms)
    most_ms = int(node.regime.edge * plan.interval_ms / 2)
    best = words.MEASURED if slowest.sample_ms <= most_ms else words.SPLIT
    yield Outlook(node.name, best, slowest.name, slowest.sample_ms, most_ms)


def _sizes(plan: Plan, fields: Mapping[str, Any]) -> Iterator[Message]:
    if (size := plan_bytes(fields)) > MOST_PAYLOAD:
        yield Message("plan-too-large", size_bytes=size, limit_bytes=MOST_PAYLOAD)
    missed = {f"reason-of-a-miss-{n}": 1 << 20 for n in range(_REASONS)}
    capture = {meter: [1 << 24, 1 << 24, missed] for meter in plan.meters}
    totals = [[name, "implausible", 1 << 48] for name in plan.nodes] * _STATUSES if plan.disclosure == "full" else []
    if (size := len(cbor.encode({"capture": capture, "totals": totals})) + 1024) > MOST_PAYLOAD:
        yield Message("plan-period-too-large", size_bytes=size, limit_bytes=MOST_PAYLOAD)


def _beside(config: Config, point: Point) -> Iterator[Message]:
    """What a point is in the configuration."""
    device = device_point(config, point.name)
    if point.meter not in config.meters:
        yield Message("plan-no-meter", point=point.name)
    elif device is None:
        yield Message("plan-no-point", point=point.name, profile=config.profiles[point.meter].name)
    else:
        if device.unit != point.unit_name:
            yield Message("plan-other-unit", point=point.name, unit=point.unit_name, recorded=device.unit or "-")
        if (every_ms := config.meters[point.meter].every) != point.sample_ms:
            given, every = duration_text(point.sample_ms), duration_text(every_ms)
            yield Message("plan-other-sample", point=point.name, sample=given, every=every)
        if device.kind != point.kind:
            yield Message("plan-other-kind", point=point.name, kind=point.kind, recorded=device.kind)


def device_point(config: Config, name: str) -> DevicePoint | None:
    """A point METER/POINT of the configuration."""
    meter, _, point = name.partition("/")
    profile = config.profiles.get(meter)
    return next((p for p in profile.points if p.name == point), None) if profile else None


def _notes(config: Config, plan: Plan, node: Node, point: Point) -> Iterator[Message]:
    if point.wraps_milli is None:
        yield Message("plan-no-wraps", point=point.name)
    device = device_point(config, point.name)
    step = last_place(device, config.meters[point.meter].factors) if device else None
    if step is None or node.capacity_w is None or point.unit is None or point.unit.base != "Wh":
        return
    whole = Fraction(node.capacity_w * plan.interval_ms, HOUR_MS)
    if (share := step * point.unit.factor / whole) * 100 > 1:
        yield Message("plan-coarse", point=point.name, node=node.name, percent=round(share * 100))


def last_place(point: DevicePoint, factors: Mapping[str, Any]) -> Fraction | None:
    """Value of the last place of a whole number, in its recorded unit; None for other forms, and where the device
    decides it."""
    if point.at.form != "whole" or point.sum or point.scale_from or point.span:
        return None
    if any(name not in factors for name in point.factor_from):
        return None
    return math.prod((Fraction(factors[name]) for name in point.factor_from), start=quantum(point))
