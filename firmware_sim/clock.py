"""Simulator time: milliseconds since the start on the monotonic clock; the wall clock is read once."""

from __future__ import annotations

import time
from collections.abc import Callable


class SimClock:
    """Starts at 0 when it is made. ``monotonic`` gives seconds and is passed in by tests that stop the time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic, self._start = monotonic, monotonic()
        self._start_unix_ms = time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        """The plant's time."""
        return int((self._monotonic() - self._start) * 1000)

    def unix_ms(self) -> int:
        """The same moment as Unix time."""
        return self.unix_at(self.now_ms())

    def unix_at(self, t_ms: int) -> int:
        """A moment of the plant's time as Unix time in ms."""
        return self._start_unix_ms + t_ms
