"""State of a running simulator as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(state: Mapping[str, Any]) -> Iterator[str]:
    """What ``meterseal-sim status`` prints.

    Args:
        state: the answer to ``status`` (docs/simulator.md).
    """
    yield f"{state['scenario']}: process {state['pid']}, {_seconds(state['at_ms'])} since the start"
    for bus in state["buses"]:
        yield f"bus {bus['name']}: {bus['type']} {where(bus)}"
        for meter in bus["meters"]:
            asked = "pushes" if meter["requests"] is None else f"{meter['requests']} requests"
            yield f"  {meter['name']}: {asked}, {meter['answers']} answers"
    for fault in state["faults"]:
        keys = "".join(f" {key}={value}" for key, value in fault["keys"].items())
        of = "" if fault["count"] is None else f" of {fault['count']}"
        yield f"{fault['id']} {fault['target']} {fault['kind']}{keys}: {fault['state']}, struck {fault['struck']}{of}"
    if not state["faults"]:
        yield "no faults"


def where(line: Mapping[str, Any]) -> str:
    """Where a bus is, as the ready file says it."""
    if "dials" in line:
        return f"dials {line['dials']}"
    return f"at {line.get('url') or ':'.join(str(line[key]) for key in ('host', 'port') if key in line)}"


def _seconds(t_ms: int) -> str:
    return f"{t_ms / 1000:.1f} s"
