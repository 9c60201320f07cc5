"""Fault kinds of a bus's power, port and connections. No I/O: whoever has the port looks at them.

``power-cut`` and ``port-gone`` last for a time and strike no single requests; a wire can have a kind or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from firmware_sim.meters.answer_faults import Fault, Ms, Strike
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.armed import Armed, When

TERMINAL, LISTENS, DIALS = "terminal", "listens", "dials"
"""The wires: a pseudo-terminal, a TCP port, and a connection that the simulator dials."""


@dataclass(kw_only=True)
class PowerCut(Fault):
    """Without power, and silent for ``boot_ms`` behind the end of its time. Counters are kept."""

    boot_ms: Ms = 3000

    @property
    def tail_ms(self) -> int:
        return round(self.boot_ms)

    def hears(self, t_ms: int) -> bool:
        return False


@dataclass(kw_only=True)
class PortGone(Fault):
    """The bus's port is gone for the time: the link to a pseudo-terminal, or the listener of a TCP port."""

    impossible: ClassVar = {
        "hj212": ("a logger dials, and has no port", "use offline"),
        DIALS: ("a DTU dials, and has no port", "use hangs-up, or power-cut of the bus"),
    }


@dataclass(kw_only=True)
class HangsUp(Fault):
    """The connection ends in place of an answer, or behind ``after_bytes`` of it."""

    impossible: ClassVar = {TERMINAL: ("a pseudo-terminal has no connection", "use port-gone, which hangs up on a tty")}
    after_bytes: Annotated[int, Field(ge=0, le=100_000)] = 0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, ends_after=self.after_bytes) for d in deliveries]


WIRE_KINDS: dict[str, type[Fault]] = {"power-cut": PowerCut, "port-gone": PortGone, "hangs-up": HangsUp}
"""The kinds that every type of bus can have, if its wire can."""


def refused_times(fault: Fault, when: When, count: int | None) -> tuple[str, str, str] | None:
    """Key, problem and fix where a fault that lasts for a time is to strike some requests only."""
    if not isinstance(fault, PowerCut | PortGone):
        return None
    often = {"every": when.every != 1, "share": when.share != 1, "above": when.above != 0, "count": count is not None}
    for key, is_set in often.items():
        if is_set:
            return key, "it lasts for a time, and strikes no single requests", "remove it, and set when it ends"
    return None


def has(faults: Sequence[Armed], kind: type[Fault], t_ms: int) -> bool:
    """Whether a fault of this kind is on."""
    return any(armed.is_on(t_ms) and any(isinstance(c.fault, kind) for c in armed.choices) for armed in faults)
