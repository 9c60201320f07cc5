"""Pace: the plant's steps are made before anybody needs them, in slices between which the lines are served."""

from __future__ import annotations

import asyncio

from firmware_sim.clock import SimClock
from firmware_sim.plant.model import Plant

EVERY_S, AHEAD_MS = 0.5, 1000
SLICE = 8
"""Steps at once: about a millisecond, the time of a character at 9600 baud."""


class Pace:
    """The plant goes along with the clock while this is open. Belongs to one event loop."""

    def __init__(self, plant: Plant, clock: SimClock) -> None:
        self._plant, self._clock = plant, clock
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin."""
        self._loop, self._every_s = asyncio.get_running_loop(), min(EVERY_S, SLICE / self._clock.speed)
        self._go_on()

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        """Make what is needed until a second after the next time."""
        until_ms = self._clock.now_ms() + round(1000 * self._every_s * self._clock.speed) + AHEAD_MS
        made = self._plant.step_to(until_ms // 1000, SLICE)
        self._timer = self._loop.call_later(self._every_s if made else 0, self._go_on)
