"""Interval of a source's messages, compared with the configured period. Pure: times are arguments, in ms."""

from __future__ import annotations

from collections import deque
from statistics import median

GAPS = 5
"""Gaps in a row that raise the alarm, if none of them is the configured period, and that end it, if all of them are."""
WITHIN = 4
"""A gap is the period within a quarter of it."""
TENTHS_BELOW_MS = 10_000


class Interval:
    """The gaps between a source's messages. Measured by the times that they bear, where they do: so neither a delay of
    the network nor an upload after an outage changes them; parts of one message have one time, and no gap."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._gaps_ms: deque[int] = deque(maxlen=GAPS)
        self._last: tuple[bool, int] | None = None
        self.instead_ms: int | None = None
        """The period that the source keeps in place of the configured one, rounded; None: it keeps that."""

    def heard(self, at_ms: int, label_ms: int | None) -> None:
        """A message came at ``at_ms``. ``label_ms``: the time that it bears (Unix ms)."""
        before, self._last = self._last, (label_ms is not None, at_ms if label_ms is None else label_ms)
        if before is None or before[0] != self._last[0]:
            return
        gap_ms = self._last[1] - before[1]
        if gap_ms < 0:
            self._last = before  # an older one, sent again or later
        elif gap_ms > 0:
            self._gaps_ms.append(gap_ms)
            self._judge()

    def _judge(self) -> None:
        if len(self._gaps_ms) < GAPS:
            return
        fitting = [WITHIN * abs(gap_ms - self._every_ms) <= self._every_ms for gap_ms in self._gaps_ms]
        if not any(fitting):
            self.instead_ms = _rounded(median(self._gaps_ms))
        elif all(fitting):
            self.instead_ms = None


def _rounded(ms: float) -> int:
    """To whole seconds, short ones to tenths: a period as one would write it."""
    step_ms = 100 if ms < TENTHS_BELOW_MS else 1000
    return max(step_ms, round(ms / step_ms) * step_ms)
