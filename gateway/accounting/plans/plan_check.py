"""Plan check: where a plan and the configuration contradict each other, and which status its hours can have (I2, I3).
Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gateway.accounting.plans.plan_file import plan_bytes
from gateway.config.field_types import duration_text
from gateway.config.model import Config
from gateway.devices.points import Point as DevicePoint
from gateway.devices.scaling import quantum
from gateway.messages.message import Message
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan, parse_plan
from ledger_client.accounting.formats.point import Point
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.statement import MOST_PAYLOAD
from ledger_client.formats import cbor

_REASONS = 6
"""Reasons of missed polls of each meter in the largest period that has to fit in an event."""
_STATUSES = 5
"""Statuses of each node in it."""


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
class Checked:
    """``problems``: what would make a plan useless; ``notes``: what somebody should know."""

    plan: Plan
    problems: list[Message]
    notes: list[Message]
    outlooks: list[Outlook]


def check_plan(config: Config, fields: Mapping[str, Any]) -> Checked:
    """A plan beside the configuration. Raises AccountingError: it is none."""
    plan = parse_plan(fields)
    demand_shipped(plan)
    problems, notes = list(_sizes(plan, fields)), list[Message]()
    if not plan.nodes:
        problems.append(Message("plan-no-nodes"))
    for point in plan.points.values():
        problems += _beside(config, point)
    for node in plan.nodes.values():
        for _, name in node.terms:
            notes += _notes(config, plan, node, plan.points[name])
        if node.regime.unconfirmed:
            notes.append(Message("plan-unconfirmed", profile=node.regime.id, what=tuple(node.regime.unconfirmed)))
    return Checked(
        plan, problems, list(dict.fromkeys(notes)), [o for n in plan.nodes.values() for o in _outlook(plan, n)]
    )


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
