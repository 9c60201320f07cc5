"""Audit of series: how often a meter sends that is not polled. No I/O.

Of a series nothing is due but what comes, and one message a period (ledger_client/recording_series.py). So whoever
calls a polled meter a series, or a series one of a day, has polls that were never due. Each series is therefore noted,
with its period and the median interval between its messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ledger_client.audit.notes import Kind
from ledger_client.audit.records import Shape
from ledger_client.audit.result import Audit, SeriesAccount, median

PARTS_MS: Final = 60_000
"""A further part of a message comes at most this long after the first one, and at most half a period."""
_TENTH_MS: Final = 100


@dataclass(slots=True)
class _Message:
    """The first part's time, and the points that have a value in any part."""

    time_ms: int
    points: frozenset[str]


@dataclass(slots=True)
class _Line:
    period_ms: int = 0
    messages: int = 0
    last: _Message | None = None
    intervals: Counter[int] = field(default_factory=Counter)
    """How often so many tenths of a second lay between two messages."""

    @property
    def median_s(self) -> float | None:
        """None: there were no two messages."""
        return median(self.intervals) / 10 if self.intervals else None


@dataclass(slots=True)
class Intervals:
    """The series of one gateway. ``period_ms``: of a meter, by the configuration in force; None: it is no series."""

    result: Audit
    period_ms: Callable[[str], int | None]
    _lines: dict[str, _Line] = field(default_factory=dict)

    def reading(self, meter: str, time_ms: int, shape: Shape, *, late: bool) -> None:
        """The next reading of a meter. One that is LATE was sent again, and has no interval. A part of a message has
        values of no point that another part has values of."""
        period_ms = self.period_ms(meter)
        if period_ms is None:
            return
        line = self._lines.setdefault(meter, _Line())
        line.period_ms = period_ms
        if late:
            return
        points, last = frozenset(shape.names).difference(shape.empty), line.last
        if last is not None:
            if time_ms <= last.time_ms + min(PARTS_MS, period_ms // 2) and not points & last.points:
                last.points |= points
                return
            line.intervals[max(0, time_ms - last.time_ms) // _TENTH_MS] += 1
        line.messages += 1
        line.last = _Message(time_ms, points)

    def end(self) -> None:
        """All batches were seen."""
        for meter, line in sorted(self._lines.items()):
            median_s = line.median_s
            self.result.account(meter).series = SeriesAccount(line.period_ms, line.messages, median_s)
            often = f"one came every {median_s:g} s (median)" if median_s is not None else "no two came"
            every = f"one message is due each {line.period_ms / 1000:g} s; {often}"
            text = f"meter {meter} is a series, not polled: {every}"
            self.result.noted(text, Kind.SERIES, meter)
