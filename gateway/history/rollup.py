"""Rollup: committed records → summaries of minutes and hours, in the commit that completes them.

A meter's open minute and hour are in memory; what they lack after a start, or a failed commit, is read from the records
when it is needed. Summaries are no evidence: what goes wrong here costs no record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.errors import StoreError
from gateway.history.aggregate_codec import Form, form_of, pack, unpack
from gateway.history.aggregates import FOLD_AT, Aggregate, Body, time_of
from gateway.records import SignedRecord
from gateway.storage.record_reader import read_body
from gateway.storage.summary_tables import Points, Summaries, SummaryRow
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading

log = logging.getLogger("meterseal.recorder")


@dataclass(slots=True)
class Open:
    """A meter's open minute, and its open hour without that minute; records before ``floor_ms`` are summarised."""

    minute: Aggregate | None = None
    hour: Aggregate | None = None
    floor_ms: int = 0
    now_ms: int = 0
    """The greatest time so far."""

    def feed(self, body: Body) -> Iterator[tuple[int, Aggregate]]:
        """Take in a record; gives the spans that it completes, folded: (how long, span)."""
        time_ms = time_of(body)
        if time_ms is None:
            return
        self.now_ms = max(self.now_ms, time_ms)
        if self.now_ms < self.floor_ms:
            return
        start_ms = self.now_ms - self.now_ms % MINUTE_MS
        if self.minute is None or self.minute.start_ms < start_ms:
            yield from self.close(start_ms)
            self.minute = Aggregate(start_ms)
        self.minute.waiting.append(body)

    def close(self, until_ms: int) -> Iterator[tuple[int, Aggregate]]:
        """Complete what ends before or at this time: first the minute, then its hour."""
        minute = self.minute
        if minute is not None and minute.start_ms < until_ms:
            yield MINUTE_MS, minute.fold()
            hour_ms = minute.start_ms - minute.start_ms % HOUR_MS
            yield from self._close_hour(hour_ms)
            if self.hour is None:
                self.hour = Aggregate(hour_ms)
            self.hour.merge(minute)
            self.minute = None
        yield from self._close_hour(until_ms - until_ms % HOUR_MS)

    def _close_hour(self, hour_ms: int) -> Iterator[tuple[int, Aggregate]]:
        if self.hour is not None and self.hour.start_ms < hour_ms:
            yield HOUR_MS, self.hour
            self.hour = None

    def fold(self) -> None:
        """Keep what waits small."""
        if self.minute is not None and len(self.minute.waiting) >= FOLD_AT:
            self.minute.fold()


class Forms:
    """The forms that the database knows; a new one is kept with the first row that needs it."""

    def __init__(self, summaries: Summaries) -> None:
        self._summaries = summaries
        self._numbers: dict[Points, int] | None = None

    def row(self, meter: str, span_ms: int, span: Aggregate) -> SummaryRow:
        """The row of a folded span. Call within ``transaction()``."""
        if self._numbers is None:
            self._numbers = {points: number for number, points in self._summaries.forms().items()}
        points = Form.of(span).points
        number = self._numbers.get(points)
        if number is None:
            number = self._numbers[points] = self._summaries.add_form(points)
        return SummaryRow(meter, span_ms, span.start_ms, pack(span, number, points))

    def forget(self) -> None:
        """The last transaction did not take place."""
        self._numbers = None


class Summariser:
    """Summarises what is committed. Belongs to the writer thread."""

    def __init__(self, summaries: Summaries, new: Iterable[str] = ()) -> None:
        """``new``: meters of which the database has no record, so that there is nothing to read of them."""
        self._summaries = summaries
        self._forms = Forms(summaries)
        self._open: dict[str, Open] = {}
        self._new = set(new)
        self._seen: dict[str, int] = {}
        self._late: list[tuple[str, int, Aggregate]] = []
        self._failed = False
        self.behind = False
        """Whether there is something for ``catch_up``."""

    def write(self, signed: Sequence[SignedRecord]) -> None:
        """Write what these records complete. Call within the ``transaction()`` that appends them, before they are.
        Raises StoreError."""
        self._excused(lambda: self._write(signed))

    def _excused(self, work: Callable[[], object]) -> None:
        """A mistake in summarising ends summarising, and nothing else."""
        if self._failed:
            return
        try:
            work()
        except StoreError:
            raise
        except Exception:
            log.exception("summaries of readings have stopped until the next start; recording continues")
            self._failed = True
            self.forget()

    def _write(self, signed: Sequence[SignedRecord]) -> None:
        bodies: dict[str, list[Body]] = {}
        for one in signed:
            if isinstance(one.body, Reading | Coverage):
                bodies.setdefault(one.row.meter, []).append(one.body)
        complete = self._late
        for meter, mine in bodies.items():
            opened = self._open.get(meter) or self._resumed(meter, mine)
            if opened is not None:
                for body in mine:
                    for span_ms, span in opened.feed(body):
                        complete.append((meter, span_ms, span))
        if complete:
            self._summaries.put([self._forms.row(*one) for one in complete])

    def _resumed(self, meter: str, bodies: Iterable[Body]) -> Open | None:
        """The state of a meter, from the records, once it is needed for a minute that these complete."""
        times = [time_ms for body in bodies if (time_ms := time_of(body)) is not None]
        if not times:
            return None
        if meter in self._new:
            self._new.remove(meter)
            self._open[meter] = opened = Open()
            opened.floor_ms = times[0] - times[0] % HOUR_MS
            return opened
        minute_ms, self.behind = max(times) // MINUTE_MS, True
        if minute_ms > self._seen.setdefault(meter, times[0] // MINUTE_MS):
            return self.resume(meter)
        return None

    def catch_up(self) -> None:
        """Read the state of one meter that still lacks it, while there is time. What is found to be complete is written
        with the next records. Raises StoreError."""
        meter = next((meter for meter in self._seen if meter not in self._open), None)
        self.behind = meter is not None and not self._failed
        if meter is not None:
            self._excused(partial(self.resume, meter))

    def resume(self, meter: str) -> Open:
        """Read the open minute and hour of a meter from its records and rows. Raises StoreError."""
        opened, bodies = resume(self._summaries, meter)
        for body in bodies:
            for span_ms, span in opened.feed(body):
                self._late.append((meter, span_ms, span))
        self._open[meter] = opened
        return opened

    def kept(self) -> None:
        """What was written is durable."""
        self._late = []
        self._excused(self._fold)

    def _fold(self) -> None:
        for opened in self._open.values():
            opened.fold()

    def forget(self) -> None:
        """The transaction failed: everything is read from the records again, once it is needed."""
        self._late, self._open, self._new, self.behind = [], {}, set(), True
        self._forms.forget()


def resume(summaries: Summaries, meter: str) -> tuple[Open, list[Body]]:
    """How the rows of a meter stand, and the records that they do not hold, oldest first."""
    minute_ms, hour_ms = summaries.newest(meter, MINUTE_MS), summaries.newest(meter, HOUR_MS)
    opened = Open()
    if minute_ms is not None:
        opened.floor_ms = minute_ms + MINUTE_MS
        begun_ms = minute_ms - minute_ms % HOUR_MS
        if hour_ms is None or hour_ms < begun_ms:
            opened.hour = hour_so_far(summaries, meter, begun_ms, opened.floor_ms)
    bodies: list[Body] = []
    for kind, time_ms, data in summaries.story_back(meter):
        if minute_ms is None and not opened.floor_ms:
            opened.floor_ms = time_ms - time_ms % HOUR_MS
        if time_ms < opened.floor_ms and (kind == "reading" or time_ms < opened.floor_ms - HOUR_MS):
            break
        bodies.append(read_body(kind, time_ms, data))
    return opened, bodies[::-1]


def kept_spans(
    summaries: Summaries, meter: str, span_ms: int, from_ms: int, to_ms: int, only: Collection[str] | None = None
) -> Iterator[Aggregate]:
    """The rows that begin in [from_ms, to_ms) as spans, in order; one that cannot be read is a gap."""
    forms = {number: Form(points) for number, points in summaries.forms().items()}
    for start_ms, data in summaries.between(meter, span_ms, from_ms, to_ms):
        with suppress(ValueError, LookupError):
            yield unpack(data, start_ms, forms[form_of(data)], only)


def hour_so_far(summaries: Summaries, meter: str, from_ms: int, to_ms: int) -> Aggregate | None:
    """The rows of minutes in [from_ms, to_ms) as one span; None if there are none."""
    hour: Aggregate | None = None
    for minute in kept_spans(summaries, meter, MINUTE_MS, from_ms, to_ms):
        hour = hour or Aggregate(from_ms)
        hour.merge(minute)
    return hour
