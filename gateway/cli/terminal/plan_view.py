"""Line plan as text: the reads of each meter, their bus time, and problems and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.field_types import duration_text
from gateway.fieldbus.read_budget import NEARLY_FULL
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.startup.line_plan import LinePlan, PlannedMeter, PlannedRead


def with_found(plans: Iterable[LinePlan], health: Mapping[str, Any]) -> list[LinePlan]:
    """The plans with what the running gateway finds in its lines that no plan can know: points that another master
    keeps it from asking, and devices that close each connection. ``health``: its answer; of an older one with fewer
    fields."""
    closing = {entry["line"]: entry for entry in health.get("closing", ())}
    unasked = [alarm for alarm in health.get("alarms", ()) if alarm["code"] == AlarmCode.NOT_ASKED]
    return [_found(plan, closing.get(plan.line), unasked) for plan in plans]


def _found(plan: LinePlan, closing: Mapping[str, Any] | None, unasked: Iterable[Mapping[str, Any]]) -> LinePlan:
    if closing is not None:
        plan = _connecting(plan, closing["connect_ms"])
        share, closes = sum(meter.share for meter in plan.meters), sentence_in(closing, closing["text"])
        warning = Message("plan-connecting", closing=closes)
        if share > NEARLY_FULL:
            share_s = f"{share:.2f}"
            warning = Message("plan-connecting-full", closing=closes, share_s=share_s)
        plan = replace(plan, warnings=(*plan.warnings, warning))
    alarms = (sentence_in(alarm, alarm["text"]) for alarm in unasked if alarm["line"] == plan.line)
    return replace(plan, warnings=(*plan.warnings, *alarms))


def _connecting(plan: LinePlan, connect_ms: float) -> LinePlan:
    """The plan where each read needs a connection of its own."""
    count = Counter(read.meter for read in plan.reads)
    polls_ms = {meter.meter: meter.poll_ms + count[meter.meter] * connect_ms for meter in plan.meters}
    return replace(
        plan,
        reads=tuple(replace(read, time_ms=read.time_ms + connect_ms) for read in plan.reads),
        meters=tuple(
            replace(meter, poll_ms=polls_ms[meter.meter], share=polls_ms[meter.meter] / meter.every_ms)
            for meter in plan.meters
        ),
    )


def print_plan(out: Console, plan: LinePlan) -> None:
    """One line's plan."""
    out.print(Text(plan.line, "bold"), f" {plan.wire}")
    table = Table("meter", "address", "every", "points", "shapes", "time", "reads", box=None)
    for meter in plan.meters:
        head = meter.meter, str(meter.address), duration_text(meter.every_ms)
        for read in (r for r in plan.reads if r.meter == meter.meter):
            table.add_row(*head, str(read.points), *_cost(read), _variants(read.reads))
            head = "", "", ""
    out.print(table)
    if plan.share is not None:
        polls = ", ".join(f"{m.meter} {m.poll_ms:.0f} ms a poll" for m in plan.meters)
        out.print(f"{plan.share:.0%} of the line's time is used: {polls}")
    if len(plan.meters) > 1 and plan.meters[0].probe_ms:
        out.print(_when_dead(max(plan.meters, key=lambda m: m.probe_ms)))
    for warning in plan.warnings:
        out.print(Text("warning:", "bold"), str(warning))
    for note in plan.notes:
        out.print(Text("note:", "bold"), str(note))
    for problem in plan.problems:
        out.print(Text("error:", "bold"), f"{problem.key}: {problem.problem}")


def _cost(read: PlannedRead) -> tuple[str, str]:
    """Shapes and time of a read; nothing of what is not asked."""
    if not read.needed:
        return "", ""
    shapes = f"{len(read.reads)} of {read.needed}"
    shapes += f", for {read.sharing} reads" if read.sharing > 1 else ""
    return shapes, f"{read.time_ms:.0f} ms"


def _variants(reads: tuple[str, ...]) -> str:
    """The reads in one line: the first in full, of the others what differs."""
    first, *others = reads
    head, _, place = first.partition(" from ")
    function, _, length = head.partition(", ")
    short = []
    for read in others:
        other_function, _, rest = read.partition(", ")
        other_length, _, other_place = rest.partition(" from ")
        words = [] if other_function == function else [other_function]
        words.append(other_length.split()[0] if other_length != length or not words else "")
        words.append("" if other_place == place else f"from {other_place}")
        short.append(" ".join(word for word in words if word))
    return first + (f"; or {', '.join(short)}" if short else "")


def _when_dead(meter: PlannedMeter) -> str:
    share, silence = meter.probe_ms / meter.probe_every_ms, _seconds(meter.silence_ms)
    return (
        f"if {meter.meter} stops responding, the others wait up to {silence} until that is detected, "
        f"then {_seconds(meter.probe_ms)} every {_seconds(meter.probe_every_ms)} ({share:.1%})"
    )


def _seconds(ms: float) -> str:
    return f"{ms / 1000:g} s"
