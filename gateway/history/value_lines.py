"""Recorded readings as lines, one a value: which are wanted, in the order of commits. Reads only, in constant memory.

The records are taken as the gateway wrote them: what is exported is its own word. Each line names the record that can
be proven (`meterseal prove`).

A ``Walk`` takes the readings portion by portion, each from a state of the database of its own, so that no list, however
long or slowly taken, keeps the write-ahead log from being emptied. Commits only add behind the newest place, so nothing
is taken twice and nothing is left out; but pruning may take away what is still ahead. Then the walk ends: a list with a
hole looks like a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from gateway.api.shapes.reading_lines import Line, ReadingLines, quality_of
from gateway.errors import Pruned
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.storage.record_reader import read_reading
from gateway.storage.summary_tables import SLACK_MS
from ledger_client.formats.senml import Reading

PORTION = 2_000  # records of one look at the database
FOR_EVER_MS = 1 << 53


@dataclass(slots=True)
class Tally:
    """What has been exported so far: readings, values, and between which times (ms)."""

    readings: int = 0
    values: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def count(self, reading: ReadingLines) -> ReadingLines:
        """Take in one more reading."""
        self.readings += 1
        self.values += len(reading.values)
        self.first_ms = reading.time_ms if self.first_ms is None else min(self.first_ms, reading.time_ms)
        self.last_ms = reading.time_ms if self.last_ms is None else max(self.last_ms, reading.time_ms)
        return reading


@dataclass(frozen=True, slots=True)
class Wanted:
    """Readings in [from_ms, to_ms) of these meters (None: of all that there are), and of them these points (None: all);
    a reading that has none of the points is not wanted."""

    meters: tuple[str, ...] | None = None
    from_ms: int = 0
    to_ms: int = FOR_EVER_MS
    points: frozenset[str] | None = None


class Walk:
    """The wanted readings, in the order of commits. Any database at each step, of the same gateway."""

    def __init__(self, wanted: Wanted, place: int | None = None, pruned_to: int = 0) -> None:
        """``place``, ``pruned_to``: go on behind where another walk of the same readings stood."""
        self.wanted = wanted
        self.place = place
        """Of the last reading looked at; None: at the beginning."""
        self.pruned_to = pruned_to
        """Up to where records were pruned when the walk began: what is missing there, it never had."""
        self.last = 0
        """The last place that may hold a wanted reading, as of when the walk began or went on."""
        self.over = False
        self._first = 0
        self.begun = False

    def begin(self, store: Database) -> None:
        """Find where the readings lie. Raises StoreError; Pruned: those behind ``place`` are gone."""
        summaries, wanted = store.summaries, self.wanted
        self.last = summaries.place_of(wanted.to_ms + SLACK_MS)
        if self.place is None:
            self.place = summaries.place_of(wanted.from_ms - SLACK_MS) - 1
            self.pruned_to = store.records.pruned()[0]
        self._first = self.place + 1
        self.begun = True
        self._demand_whole(store)

    def take(self, store: Database, most: int = PORTION) -> list[tuple[int, StoredRecord]]:
        """Up to ``most`` readings and their places; there may be none and ``over`` not yet be true. Raises StoreError;
        Pruned: what comes next has been pruned since the walk began."""
        with store.snapshot():
            if not self.begun:
                self.begin(store)
            else:
                self._demand_whole(store)
            assert self.place is not None
            found = store.readings.after(self.wanted.meters, self.place, self.last, most)
        if found:
            self.place = found[-1][0]
        self.over = len(found) < most
        return [(place, row) for place, row in found if self.wanted.from_ms <= row.time_ms < self.wanted.to_ms]

    @property
    def progress(self) -> tuple[int, int]:
        """How much has been looked at, of how much."""
        assert self.place is not None
        return (1, 1) if self.over else (self.place - self._first + 1, self.last - self._first + 1)

    def _demand_whole(self, store: Database) -> None:
        assert self.place is not None
        pruned_to = store.records.pruned()[0]
        if pruned_to > max(self.place, self.pruned_to):
            raise Pruned(Message("readings-pruned"))


def of_row(row: StoredRecord, points: Collection[str] | None = None) -> ReadingLines:
    """The values of one reading, of these points. Raises Damaged where it cannot be read."""
    reading, clock = read_reading(row)
    return lines_of(row.meter, reading, row.time_ms, row.id, clock, points)


def lines_of(
    meter: str, reading: Reading, time_ms: int, record: str, clock: str, points: Collection[str] | None = None
) -> ReadingLines:
    """The values of a reading of that time, of these points."""
    values = [
        Line(time_ms + offset, meter, name, value, unit, *quality_of(bits), record, clock)
        for name, value, unit, bits, offset in reading.values
        if points is None or name in points
    ]
    return ReadingLines(time_ms, meter, record, clock, values)


def readings(
    store: Database, wanted: Wanted, progress: Callable[[int, int], object] | None = None
) -> Iterator[ReadingLines]:
    """The wanted readings. ``progress`` hears how much is done, of how much. Raises StoreError; Damaged for a record
    that cannot be read; Pruned."""
    walk = Walk(wanted)
    while not walk.over:
        for _, row in walk.take(store):
            found = of_row(row, wanted.points)
            if found.values or wanted.points is None:
                yield found
        if progress:
            progress(*walk.progress)
