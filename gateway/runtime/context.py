"""Gateway context: the parts of one running epoch, for dashboard, feeds, metrics, alarms and watchdog.

They hear the news, look at the parts and give orders; nothing of them stands between a meter and the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.alarms.board import AlarmBoard
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import Declined
from gateway.fieldbus.line import Line
from gateway.process.control_socket import Order
from gateway.process.heartbeats import Heartbeats
from gateway.process.histogram import Durations
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.recording.writer import Recorder

LAG_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0)


@dataclass(slots=True)
class GatewayContext:
    """One epoch's parts; ``config``, lines and uplinks follow a reload.

    Not to be used from other threads than the event loop's, but for ``recorder.call``.
    """

    config: Config
    clock: Clock
    epoch: bytes
    recorder: Recorder
    lines: dict[str, Line]
    """Each physical line by its name."""
    uplinks: dict[str, Uplink]
    """Each ledger's uplink by the ledger's name."""
    hub: Hub
    live: Live
    board: AlarmBoard
    pulses: Heartbeats = field(default_factory=Heartbeats)
    """Which of the loops turn."""
    lag: Durations = field(default_factory=lambda: Durations(LAG_S))
    """How much later than it asked for the event loop called somebody (runtime/loop_lag.py)."""
    orders: dict[str, Order] = field(default_factory=dict)
    """What can be ordered, by name: over the control socket, and by whoever may on the pages."""
    feeds: dict[str, Callable[[], Mapping[str, Any]]] = field(default_factory=dict)
    """How each feed stands, by its name: connected, its state in words, what waits and was told."""
    configured: Callable[[], Mapping[str, Any]] = dict
    """How it stands with the configuration in force: ``trial``, the meters that have to answer before it stays,
    ``reverted``, why the one before came back, and ``stuck``, why it cannot."""

    def line_of(self, meter: str) -> Line:
        """The line that a meter hangs on. Raises Declined: there is none."""
        for line in self.lines.values():
            if any(each.name == meter for each in line.spec.meters):
                return line
        problem = f"the running gateway has no meter {meter}"
        raise Declined(problem, f"if it is new: meterseal reload {self.config.path}")

    def closing_lines(self) -> list[dict[str, Any]]:
        """The lines whose device closes each connection behind an answer: ``line``, ``connect_ms``, ``text``."""
        habits = [(name, line.endpoint.connections.habit) for name, line in self.lines.items()]
        return [
            {"line": name, "connect_ms": habit.connect_s * 1000, "text": f"{name}: {habit}"}
            for name, habit in habits
            if habit.one_question
        ]

    async def order(self, name: str, **details: Any) -> dict[str, Any]:
        """Give an order as the control socket would. Raises GatewayError: why not, and the way out."""
        return await self.orders[name]({"order": name, **details})
