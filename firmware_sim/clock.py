"""Simulator time: what the plant's time, the wall clock and the calendar of the plant's meters show at one moment.

The wall clock is read once, when the clock is made; from then on the monotonic clock counts. The plant's time runs
``speed`` times as fast as the wall clock. What a wire waits for (time-outs, pauses, the time of a byte) is never the
plant's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SimClock:
    """The plant's time is 0 at ``began_ms`` of the wall clock, by default the moment at which the clock is made.

    Args:
        monotonic: seconds; passed in by tests that stop the time.
        speed: seconds of the plant in a second of the wall clock.
        start_ms: Unix time in ms that the calendar of the plant shows at its start; None: that of the wall clock.
        began_ms: Unix time in ms at which the plant started, where it started before now.
        unix_ms: the wall clock now, Unix time in ms.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        speed: float = 1.0,
        start_ms: int | None = None,
        began_ms: int | None = None,
        unix_ms: int | None = None,
    ) -> None:
        self._monotonic, self._made, self.speed = monotonic, monotonic(), speed
        self._made_unix_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
        self.began_ms = self._made_unix_ms if began_ms is None else began_ms
        self._before_ms = self._made_unix_ms - self.began_ms
        self._start_ms = self.began_ms if start_ms is None else start_ms

    def now_ms(self) -> int:
        """The plant's time."""
        return int(((self._monotonic() - self._made) * 1000 + self._before_ms) * self.speed)

    def unix_ms(self) -> int:
        """The wall clock now, as Unix time."""
        return self._made_unix_ms + int((self._monotonic() - self._made) * 1000)

    def label_unix_at(self, t_ms: int) -> int:
        """What the plant's calendar shows at a moment of the plant's time, as Unix time in ms: the clocks of meters,
        and the labels of messages."""
        return self._start_ms + t_ms

    def plant_ms_at(self, label_unix_ms: int) -> int:
        """The moment of the plant's time at which its calendar shows this."""
        return label_unix_ms - self._start_ms

    def plant_ms_of(self, unix_ms: int) -> int:
        """The moment of the plant's time that was, or will be, at this one of the wall clock."""
        return int((unix_ms - self.began_ms) * self.speed)

    def wait_s(self, until_ms: int) -> float:
        """Seconds of the wall clock until a moment of the plant's time; 0: it is now, or past."""
        return max(0.0, (until_ms - self.now_ms()) / 1000 / self.speed)
