"""Event loop lag: lateness of timed calls, which delays every line and every page. Background task."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.process.background import BackgroundTask
from gateway.process.heartbeats import Heartbeats
from gateway.process.histogram import Durations

EVERY_S = 0.25
LAG_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0)


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """Whether the loops of one epoch turn, for the watchdog, `/healthz` and the figures."""

    heartbeats: Heartbeats = field(default_factory=Heartbeats)
    lag: Durations = field(default_factory=lambda: Durations(LAG_S))
    """How much later than it asked for the event loop called ``LoopLag``."""


class LoopLag(BackgroundTask):
    """Asks the event loop four times a second to be called, and counts how much later that happens."""

    def __init__(self, lag: Durations) -> None:
        self._lag = lag

    async def run(self) -> None:
        """Count until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._lag.count(max(0.0, loop.time() - due_s))
