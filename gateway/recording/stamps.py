"""Stamps of what waits for the writer: how far it is behind, and the time to sign with. Writer thread only."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.records import Timestamp

LAG_MS, LATE_MS = 1_000, 30_000


class StampQueue:
    """What is known of the items that wait for the writer, each with the stamp of the moment at which it was put. With
    no item reported, nothing waits. Not to be shared between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken_in: Timestamp | None = None

    def taken_in(self, stamp: Timestamp) -> None:
        """Take note that nothing that was stamped before waits any more."""
        self._taken_in = stamp

    def now(self) -> Timestamp:
        """Now, for what the writer itself has to say; while something may have waited for long, a moment before that:
        it is signed next, and must not seem to be signed much later than it was read."""
        if self._taken_in is not None and self._lag_ms() > LAG_MS:
            return self._taken_in
        return Timestamp.now(self._clock)

    def is_late(self, most_ms: int = LATE_MS) -> bool:
        """Something may have waited for so long that the writer had better take it in before anything that has to bear
        the present moment."""
        return self._lag_ms() > min(most_ms, LATE_MS)

    def _lag_ms(self) -> int:
        return 0 if self._taken_in is None else self._clock.up_ms() - self._taken_in.up_ms
