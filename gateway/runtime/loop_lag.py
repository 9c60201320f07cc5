"""Event loop lag: lateness of timed calls, which delays every line and every page. Background task."""

from __future__ import annotations

import asyncio

from gateway.process.background import BackgroundTask
from gateway.runtime.context import GatewayContext

EVERY_S = 0.25


class LoopLag(BackgroundTask):
    """Asks the event loop four times a second to be called, and counts how much later that happens."""

    def __init__(self, site: GatewayContext) -> None:
        self._lag = site.lag

    async def run(self) -> None:
        """Count until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._lag.count(max(0.0, loop.time() - due_s))
