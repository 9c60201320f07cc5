"""Time series for charts: a meter's points over any period, and the polls missed in it. Reads only.

Drawn from readings, minutes or hours, whichever gives enough and not too much. Nothing is interpolated: where there is
no reading there is None, and what is worth knowing about a value stands beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from itertools import pairwise
from statistics import median_low
from typing import Any

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.history.aggregates import Aggregate, PointStats
from gateway.history.rollup import kept_spans, resume
from gateway.local_calendar import DAY_MS, Stretch, days
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body
from gateway.storage.summary_tables import SLACK_MS
from gateway.verdicts import Verdict, verdict
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Number, Quality, Reading

MOST = 500
"""Steps of a course by default."""
MANY_MINUTES = 3_000
"""Rows of minutes that are read for one answer; a longer time is drawn from hours."""
STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 60), (1, 2, 3, 4, 6, 8, 12, 24)
"""How many minutes, or hours, a step may have; longer ones have whole days."""
APART = 2.5
"""Readings that are so many times as far apart as is usual have a gap between them."""
SLACK_RECORDS = 300


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """One point along the steps of a ``Series``: every list is as long as ``Series.times``, None where there is no
    value. ``first`` and ``last`` are the recorded values themselves (text too), the rest is for drawing; of text
    ``low``, ``high`` and ``mean`` are None. ``quality`` holds all bits of the step's entries, ``verdict`` the worst
    (None: no entry)."""

    name: str
    unit: str | None
    first: list[Number | str | None] = field(default_factory=list)
    last: list[Number | str | None] = field(default_factory=list)
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    verdict: list[Verdict | None] = field(default_factory=list)

    def step(self, figures: PointStats | None) -> None:
        """Add the next step."""
        f = figures or PointStats(None)
        self.first.append(f.first)
        self.last.append(f.last)
        self.low.append(None if f.low is None else float(f.low))
        self.high.append(None if f.high is None else float(f.high))
        self.mean.append(f.mean)
        self.count.append(f.count)
        self.quality.append(f.bits)
        self.verdict.append(verdict(Quality(f.bits)) if f.count or f.bits else None)


@dataclass(frozen=True, slots=True)
class Series:
    """Some points of one meter over [from_ms, to_ms).

    ``made_of``: reading, minute or hour. ``step_ms``: how long each step is (a day may have 23 or 25 hours); of
    readings 0, each step is one reading then, and where some are missing there is one without values. ``times`` are the
    beginnings of the steps in Unix ms; steps without a reading are there too. ``readings`` and ``missed`` (by reason)
    count polls of each step; missed polls are counted where the coverage record ends that tells of them, and are not
    known of readings one by one.
    """

    meter: str
    from_ms: int
    to_ms: int
    made_of: str
    step_ms: int
    times: list[int]
    readings: list[int]
    missed: list[Mapping[str, int]]
    courses: Mapping[str, TimeSeries]
    until_ms: int = 0
    """The end of the last step; of readings 0."""


def history(
    store: Database,
    meter: str,
    names: Sequence[str] | None,
    from_ms: int,
    to_ms: int,
    most: int = MOST,
    zone: tzinfo = UTC,
) -> Series:
    """The course of a meter's points.

    Args:
        store: the database.
        meter: name of the meter.
        names: points; None: all.
        from_ms: first moment, Unix time in ms.
        to_ms: the moment behind the last one.
        most: number of steps at most.
        zone: time zone of steps of a day and more.

    Raises:
        StoreError: the database cannot be read.
    """
    with store.snapshot():
        readings = _readings(store, meter, from_ms, to_ms, most)
        if readings is not None and (series := _of_readings(meter, names, from_ms, to_ms, readings, most)):
            return series
        spans = Spans(store, meter, names)
        if to_ms - from_ms <= MANY_MINUTES * MINUTE_MS and has_minutes(store, meter, from_ms):
            steps = _steps(from_ms, to_ms, MINUTE_MS, most, zone)
            series = _in_steps(meter, names, (from_ms, to_ms), MINUTE_MS, spans.minutes(from_ms, to_ms), steps)
            if any(series.readings):
                return series
        steps = _steps(from_ms, to_ms, HOUR_MS, most, zone)
        return _in_steps(meter, names, (from_ms, to_ms), HOUR_MS, spans.hours(from_ms, to_ms), steps)


def history_by(
    store: Database, meter: str, names: Sequence[str], steps: Sequence[Stretch], *, of_minutes: bool
) -> Series:
    """The course of a meter's points in steps that lie end to end, put together of minutes or of hours. A minute or an
    hour belongs to the step in which it begins. Raises StoreError."""
    span, (from_ms, to_ms) = MINUTE_MS if of_minutes else HOUR_MS, (steps[0][0], steps[-1][1])
    with store.snapshot():
        spans = Spans(store, meter, names)
        found = spans.minutes(from_ms, to_ms) if of_minutes else spans.hours(from_ms, to_ms)
        return _in_steps(meter, names, (from_ms, to_ms), span, found, steps)


@dataclass(frozen=True, slots=True)
class Covered:
    """How many polls were missed in [from_ms, to_ms), which is the time of the coverage records that end in a series:
    it may begin before the series, and polls behind its end are in no coverage record yet."""

    from_ms: int
    to_ms: int
    missed: int


def covered(store: Database, series: Series) -> Covered | None:
    """What the coverage records that end in the time of a series count; None where there is none. Raises StoreError."""
    meter, from_ms, to_ms = series.meter, series.from_ms, series.to_ms
    with store.snapshot():
        if series.step_ms:
            return _summed(store, series)
        story = store.summaries.story(
            meter, store.summaries.place_of(from_ms - SLACK_MS), store.summaries.place_of(to_ms + SLACK_MS)
        )
        bodies = [read_body(kind, time_ms, data) for kind, time_ms, data in story if kind == "coverage"]
    ended = [body for body in bodies if isinstance(body, Coverage) and from_ms < body.to_ms <= to_ms]
    if not ended:
        return None
    return Covered(ended[0].from_ms, ended[-1].to_ms, sum(sum(body.missed.values()) for body in ended))


def _summed(store: Database, series: Series) -> Covered | None:
    """The sum of the steps; its time begins with the record that ends first in them, and ends with the newest."""
    first_ms = series.times[0] if series.times else series.from_ms
    first, newest = _coverage_ending_after(store, series.meter, first_ms), store.records.coverage(series.meter, 1)
    if first is None or first.to_ms > series.to_ms or not newest:
        return None
    last = parse_record(newest[0].data).body
    assert isinstance(last, Coverage), "the table says so"
    begin_ms = first.from_ms if first.from_ms < first_ms else first_ms
    missed = sum(sum(reasons.values()) for reasons in series.missed)
    return Covered(begin_ms, min(last.to_ms, series.to_ms), missed)


def _coverage_ending_after(store: Database, meter: str, time_ms: int) -> Coverage | None:
    for row in store.records.coverage_from(meter, store.summaries.place_of(time_ms - SLACK_MS)):
        body = parse_record(row.data).body
        if isinstance(body, Coverage) and body.to_ms > time_ms:
            return body
    return None


class Spans:
    """A meter's minutes and hours, of the running ones as much as has been recorded."""

    def __init__(self, store: Database, meter: str, names: Collection[str] | None) -> None:
        self._store, self._meter, self._names = store, meter, names
        self._newest: tuple[list[Aggregate], list[Aggregate]] | None = None

    def minutes(self, from_ms: int, to_ms: int) -> Iterator[Aggregate]:
        """Those that overlap [from_ms, to_ms), in order."""
        return self._spans(MINUTE_MS, from_ms, to_ms)

    def hours(self, from_ms: int, to_ms: int) -> Iterator[Aggregate]:
        """Those that overlap [from_ms, to_ms), in order."""
        return self._spans(HOUR_MS, from_ms, to_ms)

    def _spans(self, span_ms: int, from_ms: int, to_ms: int) -> Iterator[Aggregate]:
        from_ms -= from_ms % span_ms
        yield from kept_spans(self._store.summaries, self._meter, span_ms, from_ms, to_ms, self._names)
        newest = self._store.summaries.newest(self._meter, span_ms)
        if newest is None or to_ms > newest + span_ms:
            yield from (span for span in self._running(span_ms) if from_ms <= span.start_ms < to_ms)

    def _running(self, asked_ms: int) -> list[Aggregate]:
        """What has no row yet."""
        if self._newest is None:
            opened, bodies = resume(self._store.summaries, self._meter)
            minutes: list[Aggregate] = []
            hours: list[Aggregate] = []
            complete = [pair for body in bodies for pair in opened.feed(body)]
            for span_ms, span in [*complete, *opened.close(opened.now_ms + MINUTE_MS)]:
                (minutes if span_ms == MINUTE_MS else hours).append(span)
            if opened.hour is not None:
                hours.append(opened.hour)
            self._newest = minutes, hours
        return self._newest[asked_ms == HOUR_MS]


def has_minutes(store: Database, meter: str, from_ms: int) -> bool:
    """Whether a meter's minutes from a moment on are kept as far back as its hours are."""
    return _goes_back(store, meter, from_ms, store.summaries.oldest(meter, MINUTE_MS))


def _goes_back(store: Database, meter: str, from_ms: int, oldest_ms: int | None) -> bool:
    """Whether something whose oldest is of then goes back to a moment, or as far as a meter's hours do."""
    hour_ms = store.summaries.oldest(meter, HOUR_MS)
    return hour_ms is None or (oldest_ms is not None and oldest_ms <= max(hour_ms + HOUR_MS, from_ms))


def _readings(store: Database, meter: str, from_ms: int, to_ms: int, most: int) -> list[Reading] | None:
    """The readings in [from_ms, to_ms); None if there are more than ``most``, or some of them may be pruned: then
    summaries know more."""
    summaries = store.summaries
    first_id, last_id = summaries.place_of(from_ms - SLACK_MS), summaries.place_of(to_ms + SLACK_MS)
    pruned_to, _ = store.records.pruned()
    if (pruned_to and first_id <= pruned_to) or not _goes_back(store, meter, from_ms, store.records.first_ms(meter)):
        return None
    if summaries.are_more(meter, first_id, last_id, 2 * most + SLACK_RECORDS):  # some of them are coverage records
        return None
    found: list[tuple[int, bytes]] = []
    for kind, time_ms, data in summaries.story(meter, first_id, last_id):
        if kind == "reading" and from_ms <= time_ms < to_ms:
            found.append((time_ms, data))
            if len(found) > most:
                return None
    bodies = (read_body("reading", time_ms, data) for time_ms, data in found)
    return [body for body in bodies if isinstance(body, Reading)]


def _of_readings(
    meter: str, names: Collection[str] | None, from_ms: int, to_ms: int, readings: Sequence[Reading], most: int
) -> Series | None:
    """Each reading is a step, and so is a gap between two; None where these are too many."""
    series = Series(meter, from_ms, to_ms, "reading", 0, [], [], [], {})
    spans = []
    for reading in readings:
        span = Aggregate(reading.time_ms)
        span.waiting.append(reading if names is None else _only(reading, names))
        spans.append(span.fold())
    between = [later.time_ms - earlier.time_ms for earlier, later in pairwise(readings)]
    usual_ms = median_low(between) if between else 0
    filled: list[Aggregate] = []
    for span in spans:
        if filled and span.start_ms - filled[-1].start_ms > APART * usual_ms:
            filled.append(Aggregate(filled[-1].start_ms + usual_ms))
        filled.append(span)
    if len(filled) > most:
        return None
    _fill(series, names, filled)
    return series


def _only(reading: Reading, names: Collection[str]) -> Reading:
    """The reading with the points asked for only: a chart shows one of dozens."""
    return Reading(reading.time_ms, tuple(value for value in reading.values if value.name in names))


def _steps(from_ms: int, to_ms: int, span_ms: int, most: int, zone: tzinfo) -> list[Stretch]:
    """Steps of equal length, or of whole days."""
    step_ms = _step_ms(to_ms - from_ms, span_ms, most)
    if step_ms % DAY_MS == 0:
        return list(days(from_ms, to_ms, zone, step_ms // DAY_MS))
    return [(ms, ms + step_ms) for ms in range(from_ms - from_ms % step_ms, to_ms, step_ms)]


def _in_steps(
    meter: str,
    names: Collection[str] | None,
    stretch: Stretch,
    span_ms: int,
    spans: Iterable[Aggregate],
    steps: Sequence[Stretch],
) -> Series:
    """Spans put together to steps, with the empty ones between them."""
    starts = [start_ms for start_ms, _ in steps]
    found: dict[int, Aggregate] = {}
    for span in spans:
        start_ms = starts[max(0, bisect_right(starts, span.start_ms) - 1)]
        if start_ms in found:
            found[start_ms].merge(span)
        else:
            span.start_ms, found[start_ms] = start_ms, span
    made_of, step_ms = "minute" if span_ms == MINUTE_MS else "hour", steps[0][1] - steps[0][0]
    series = Series(meter, *stretch, made_of, step_ms, [], [], [], {}, steps[-1][1])
    _fill(series, names, [found.get(at) or Aggregate(at) for at in starts])
    return series


def _step_ms(long_ms: int, span_ms: int, most: int) -> int:
    """The shortest step of which ``most`` cover this time, wherever it begins."""
    least = -(-long_ms // span_ms) / max(1, most - 1)
    for step in STEPS[span_ms == HOUR_MS]:
        if step >= least:
            return step * span_ms
    day = 24 * HOUR_MS // span_ms
    return -(-int(-(-least // 1)) // day) * day * span_ms


def _fill(series: Series, names: Collection[str] | None, spans: Sequence[Aggregate]) -> None:
    wanted: dict[str, Any] = {}
    for span in spans:
        for name, figures in span.points.items():
            if names is None or name in names:
                wanted[name] = figures.unit
    courses = {name: TimeSeries(name, unit) for name, unit in sorted(wanted.items())}
    for span in spans:
        series.times.append(span.start_ms)
        series.readings.append(span.readings)
        series.missed.append(dict(span.missed))
        for name, course in courses.items():
            course.step(span.points.get(name))
    assert isinstance(series.courses, dict)
    series.courses.update(courses)
