"""Accounting of polls: coverage counters, the recording grids in force, and thinning. Reads the clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from gateway.clock import STEP_MS, Clock
from gateway.recording.announcements import NamedGrid
from gateway.recording.coverage import AnyCounter, CoverageCounter, RecordingGrid, SeriesCounter
from gateway.recording.stamps import LATE_MS
from gateway.records import SignedRecord
from ledger_client.formats.record import Coverage

SERIES_LAG = 10
"""Periods of which a tenth is less than the one and a half that a series may be silent."""


class Accounting:
    """What was due of each meter, and what became of it. Writer thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.counters: dict[str, AnyCounter] = {}
        self.factor = 1
        """Recording decimation: every ``factor``-th poll is recorded."""
        self.unnoted: list[NamedGrid] = []
        """Grids in force that no commit has noted yet."""

    def coverage(self, last: Mapping[str, AnyCounter] = MappingProxyType({})) -> list[tuple[str, Coverage]]:
        """Each meter's coverage up to now; ``last``: counters that stand for those of meters which end."""
        return [(meter, counter.coverage()) for meter, counter in {**self.counters, **last}.items()]

    def series_lag_ms(self) -> int:
        """How long messages of a series may wait for the writer, in ms, when the clock is corrected: they are taken in
        behind that, and where times are slowed the new grid begins a tenth of it behind the last that was taken in."""
        periods_ms = [each.period_ms for each in self.counters.values() if isinstance(each, SeriesCounter)]
        return SERIES_LAG * min(periods_ms) if periods_ms else LATE_MS

    def counted_to_ms(self) -> dict[str, int]:
        """The end of each meter's coverage, in record time."""
        return {meter: counter.to_ms for meter, counter in self.counters.items()}

    def grid(self, due_ms: int, every_ms: int, covered_to_ms: int, clock: Clock | None = None) -> RecordingGrid:
        """A grid by the clock's course (or that of ``clock``), for the polls from ``due_ms`` on; that has not gone by,
        for a course says nothing true of the time before it began."""
        clock = clock or self._clock
        time_ms = max(clock.record_ms(due_ms), covered_to_ms)
        return RecordingGrid(due_ms, every_ms, time_ms, clock.slowed(every_ms))

    def grids_from_now(self, clock: Clock | None = None) -> dict[str, RecordingGrid]:
        """Each meter's grid by the clock's course (or that of ``clock``), for the polls that are due from now on."""
        now = self._clock.schedule_ms()
        return {meter: self.grid(*counter.ahead(now), clock) for meter, counter in self.counters.items()}

    def grids_astray(self) -> dict[str, RecordingGrid]:
        """The grids from now on of meters whose grid in force has gone astray: nine tenths of most periods are no whole
        milliseconds, and a grid never begins before what is counted already."""
        return {meter: grid for meter, grid in self.grids_from_now().items() if self._is_off(meter, grid)}

    def _is_off(self, meter: str, grid: RecordingGrid) -> bool:
        counter = self.counters[meter]
        if isinstance(counter, SeriesCounter):  # the times of records are its grid
            return False
        return abs(grid.time_ms - counter.rulers[-1].time_of(grid.due_ms)) > STEP_MS

    def grids_thinned(self, factor: int) -> dict[str, RecordingGrid]:
        """Each meter's grid for recording every ``factor``-th poll from its next one on; series are not thinned."""
        from_ms = self._clock.schedule_ms()
        return {
            meter: self.grid(due_ms := counter.next_from(from_ms), counter.period_ms * factor, counter.ends_ms(due_ms))
            for meter, counter in self.counters.items()
            if isinstance(counter, CoverageCounter)
        }

    def begin(
        self, meter: str, grid: RecordingGrid, period_ms: int, *, series: bool, covered_to_ms: int | None = None
    ) -> None:
        """A meter is counted from the beginning of a grid on. ``covered_to_ms``: the end of its coverage; None: that
        ends where the grid begins."""
        covered_to_ms = grid.time_ms if covered_to_ms is None else covered_to_ms
        if series:
            self.counters[meter] = SeriesCounter.begin(grid, covered_to_ms)
        else:
            self.counters[meter] = CoverageCounter.begin(grid, period_ms, covered_to_ms)

    def named(self, grids: Mapping[str, RecordingGrid]) -> list[NamedGrid]:
        """How these grids follow those in force: (meter, beginning, period), as a commit notes them."""
        return [(meter, *grid) for meter, ruler in grids.items() for grid in self.counters[meter].grids(ruler)]

    def take(self, grids: Mapping[str, RecordingGrid]) -> None:
        """Bring these grids into force."""
        for meter, grid in grids.items():
            self.counters[meter].take(grid)

    def start_over(self) -> None:
        """The coverage so far is committed."""
        for counter in self.counters.values():
            counter.start_over()

    def lost(self, records: Iterable[SignedRecord], reason: str) -> None:
        """Readings that were counted as recorded are not, for this reason."""
        for one in records:
            if one.row.kind == "reading":
                counter = self.counters[one.row.meter]
                if isinstance(counter, SeriesCounter):
                    counter.undo(reason)
                else:
                    counter.lost_after_all(reason)

    def kept(self) -> None:
        """All that is counted as recorded is durable."""
        for counter in self.counters.values():
            if isinstance(counter, SeriesCounter):
                counter.keep()

    def skip(self, meters: Collection[str]) -> int:
        """Count what was due of these meters, which were not polled for a while, as stopped. Returns until when, in ms
        of the schedule's clock; their next polls are those that are due from then on."""
        until_ms = self._clock.schedule_ms()
        for meter in meters:
            self.counters[meter].skip(until_ms)
        return until_ms

    def to_note(self, grids: Sequence[NamedGrid]) -> list[NamedGrid]:
        """What a commit has to note: the grids that none has noted, and these."""
        return [*self.unnoted, *grids]
