"""The plan of a line for people: what is read of each meter, how long it takes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.alarm_kinds import NOT_ASKED
from gateway.budget import LinePlan, PlannedMeter
from gateway.settings import duration_text


def with_found(plans: Iterable[LinePlan], alarms: Iterable[Mapping[str, Any]]) -> list[LinePlan]:
    """The plans with what the running gateway finds in its lines that no plan can know: points that another master
    keeps it from asking. ``alarms`` as it tells them (``Standing.as_json``)."""
    found = [alarm for alarm in alarms if alarm["code"] == NOT_ASKED]
    return [
        replace(plan, warnings=(*plan.warnings, *(str(a["text"]) for a in found if a["line"] == plan.line)))
        for plan in plans
    ]


def print_plan(out: Console, plan: LinePlan) -> None:
    """One line's plan."""
    out.print(Text(plan.line, "bold"), f" {plan.wire}")
    table = Table("meter", "address", "every", "points", "shapes", "time", "reads", box=None)
    for meter in plan.meters:
        head = meter.meter, str(meter.address), duration_text(meter.every_ms)
        for read in (r for r in plan.reads if r.meter == meter.meter):
            shapes = f"{len(read.reads)} of {read.needed}"
            shapes += f", for {read.sharing} reads" if read.sharing > 1 else ""
            table.add_row(*head, str(read.points), shapes, f"{read.time_ms:.0f} ms", _variants(read.reads))
            head = "", "", ""
    out.print(table)
    if plan.share is not None:
        polls = ", ".join(f"{m.meter} {m.poll_ms:.0f} ms a poll" for m in plan.meters)
        out.print(f"{plan.share:.0%} of the line's time is used: {polls}")
    if len(plan.meters) > 1:
        out.print(_when_dead(max(plan.meters, key=lambda m: m.probe_ms)))
    for warning in plan.warnings:
        out.print(Text("warning:", "bold"), warning)
    for note in plan.notes:
        out.print(Text("note:", "bold"), note)
    for problem in plan.problems:
        out.print(Text("error:", "bold"), f"{problem.key}: {problem.problem}")


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
    share = meter.probe_ms / meter.probe_every_ms
    return (
        f"when {meter.meter} is dead, the others wait {_seconds(meter.silence_ms)} for it at most until that is known, "
        f"then {_seconds(meter.probe_ms)} every {_seconds(meter.probe_every_ms)} ({share:.1%})"
    )


def _seconds(ms: float) -> str:
    return f"{ms / 1000:g} s"
