"""Completeness: which share of the due polls of a meter is recorded, and its longest gap, from polls by the hour.

Of whole hours, up to the last one that is over and counted for the meter. What is not known is None: of a meter that
was counted for less than a window, or of a window in which nothing but sleep was due, there is no share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.clock import HOUR_MS
from gateway.storage.database import Database
from gateway.storage.poll_tables import Counted

WINDOWS_H = (24, 7 * 24, 30 * 24)
"""How long the windows are, in hours."""
LATE_MS = 2 * HOUR_MS
"""An hour is counted with the next batch behind it. What is older than this, and two periods of the meter, and not
counted, is said to be."""


@dataclass(frozen=True, slots=True)
class Window:
    """The polls of a meter in the whole hours of [from_ms, to_ms), ``hours`` of them where nothing is late. ``whole``:
    they were counted from the beginning on, else the first ones are not known. ``asleep`` polls are among those due."""

    hours: int
    from_ms: int
    to_ms: int
    whole: bool
    due: int
    recorded: int
    asleep: int

    @property
    def awake(self) -> int:
        """The polls that were due while the meter was not asleep."""
        return self.due - self.asleep

    @property
    def share(self) -> float | None:
        """The recorded polls among those that were due and not asleep, 0…1; None: it is not known, or there were none.
        1 only where each of them is recorded."""
        return self.recorded / self.awake if self.whole and self.awake else None

    @property
    def percent(self) -> str | None:
        """The share in percent, with two places, rounded down: ``100.00`` only where each poll is recorded."""
        if self.share is None:
            return None
        whole, part = divmod(self.recorded * 10_000 // self.awake, 100)
        return f"{whole}.{part:02}"


@dataclass(frozen=True, slots=True)
class Completeness:
    """The completeness of one meter.

    ``from_ms``: since when its polls are counted; ``to_ms``: up to which whole hour (None: none is). ``late``: hours
    are over for long and not counted, as while nothing is recorded; they are in no sum of a window, whose share is one
    of the others. ``gap``: (from, to) of the longest time without a record that ended in the longest window, or goes
    on.
    """

    meter: str
    from_ms: int | None
    to_ms: int | None
    late: bool
    windows: tuple[Window, ...]
    gap: tuple[int, int] | None

    @property
    def around(self) -> tuple[int, int] | None:
        """The time of a chart that shows the gap, with half as much on either side, a minute at least."""
        if self.gap is None:
            return None
        margin_ms = max(60_000, (self.gap[1] - self.gap[0]) // 2)
        return self.gap[0] - margin_ms, self.gap[1] + margin_ms

    @property
    def rank(self) -> tuple[bool, bool, tuple[float, ...]]:
        """Sort key of a list, the worst first: what is not known, the least shares, those that only slept."""
        shares = tuple(2.0 if window.share is None else window.share for window in self.windows)
        least = min(shares, default=0.0)
        return not (self.late or self.to_ms is None), least > 1, (least, *shares)


def completeness(store: Database, periods_ms: Mapping[str, int], now_ms: int) -> list[Completeness]:
    """The completeness of these meters, the worst first. Reads a row an hour and meter, of 30 days at most.

    Args:
        store: the database.
        periods_ms: the meters, with their periods.
        now_ms: record time.

    Raises:
        StoreError: the database cannot be read.
    """
    with store.snapshot():
        counted = store.polls.counted()
        found = [_of_meter(store, meter, counted.get(meter), period, now_ms) for meter, period in periods_ms.items()]
    return sorted(found, key=lambda one: (one.rank, one.meter))


def _of_meter(store: Database, meter: str, counted: Counted | None, period_ms: int, now_ms: int) -> Completeness:
    if counted is None:
        return Completeness(meter, None, None, False, (), None)
    late = now_ms - counted.to_ms > LATE_MS + 2 * period_ms
    to_ms = counted.to_ms - counted.to_ms % HOUR_MS
    end_ms = now_ms - now_ms % HOUR_MS if late else to_ms
    windows, gap = list[Window](), None
    for hours in WINDOWS_H:
        from_ms = end_ms - hours * HOUR_MS
        sums = store.polls.sums(meter, from_ms, to_ms)
        whole = counted.from_ms <= from_ms
        windows.append(Window(hours, from_ms, to_ms, whole, sums.due, sums.recorded, sums.asleep))
        if sums.gap_from_ms is not None and sums.gap_to_ms is not None:
            gap = sums.gap_from_ms, sums.gap_to_ms
    has_hour = to_ms > counted.from_ms
    return Completeness(meter, counted.from_ms, to_ms if has_hour else None, late, tuple(windows), gap)
