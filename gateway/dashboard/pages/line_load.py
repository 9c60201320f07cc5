"""Line load: the share of the last minute in which each line was in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from gateway.clock import Clock
from gateway.fieldbus.specs import FieldLine
from gateway.records import News

EVERY_S, SAMPLES = 5.0, 12


class Loads:
    """Looks at the lines every few seconds, when there is news. A listener of the hub."""

    def __init__(self, lines: Mapping[str, FieldLine], clock: Clock) -> None:
        self._lines, self._clock = lines, clock
        self._seen: deque[tuple[float, dict[str, tuple[FieldLine, float]]]] = deque(maxlen=SAMPLES + 1)
        """When, and of each line its worker, which is another one after a reload, with the time that it was in use."""

    def hear(self, news: Sequence[News]) -> None:
        """Something has happened."""
        now_s = self._clock.monotonic()
        if not self._seen or now_s - self._seen[-1][0] >= EVERY_S:
            self._seen.append((now_s, self._busy()))

    def of(self, line: str) -> float | None:
        """The share of the last minute during which the line was in use; None while that is not known."""
        now, now_s = self._lines[line], self._clock.monotonic()
        for then_s, lines in self._seen:
            worker, busy_s = lines.get(line, (None, 0.0))
            if worker is now and now_s - then_s >= EVERY_S:
                return min(1.0, (now.busy_s - busy_s) / (now_s - then_s))
        return None

    def _busy(self) -> dict[str, tuple[FieldLine, float]]:
        return {name: (line, line.busy_s) for name, line in self._lines.items()}
