"""Messages of a feed of records, made of what the database holds. Called in threads; every call may raise StoreError.

Signed bytes go out as they are stored: nothing is decoded. A reader's connection is opened for each call, so that the
writer is never waited for, and none of the writer's is held up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.evidence.prove import settled_so_far
from gateway.feeds.records.waiting import BatchRange, Wanted
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.errors import LedgerClientError
from ledger_client.formats.checks import MAX_RECORD
from ledger_client.formats.feed_messages import (
    BATCHES,
    FRAME,
    GONE,
    LOST,
    MAX_ASKED,
    PRUNED,
    RECORDS,
    TOGETHER,
    UNKNOWN,
    Asked,
    RecordRange,
    encode_batches,
    encode_gone,
    encode_records,
    record_size,
)

log = logging.getLogger("meterseal.feed")

PORTION_BYTES = 512 * 1024
"""Of records that are read at once, or one record more."""
CHANGES = 100
"""Changes of batches that are read at once."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is ready to go: its kind is the last level of its topic. Once it is acknowledged the cursor of its
    kind may move ``to`` there. ``data`` None: there is nothing to publish up to there."""

    kind: str
    data: bytes | None
    to: int = 0
    count: int = 0
    """Records in it."""


@dataclass(slots=True)
class Answer:
    """An answer to what was asked for again: its messages, what is left to be answered, and how much of the rate it
    takes: a record, a batch, and a range that is gone count one each."""

    messages: list[Outgoing] = field(default_factory=list)
    rest: list[Wanted] = field(default_factory=list)
    units: int = 0


class Source:
    """What a feed of records publishes, read from the database at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self, after: int) -> list[Outgoing]:
        """The records behind a place, in order, as messages; none: there are none."""
        with self._open() as store:
            rows = list(_portion(store.feeds.records(after)))
        found = list(_messages([row for row in rows if _usable(*row)]))
        if rows and (not found or found[-1].to < rows[-1][0]):
            found.append(Outgoing(RECORDS, None, rows[-1][0]))
        return found

    def batches(self, after: int, published: int) -> list[Outgoing]:
        """The batches that were sealed, or got a receipt, behind a change, each once; no further than their records
        are ``published`` up to this place: a statement follows its records."""
        with self._open() as store, store.snapshot():
            found: list[Outgoing] = []
            changes = store.feeds.changes(after, CHANGES)
            newest = {which: number for number, which in changes}
            for number, which in changes:
                batch = store.batches.numbered(which)
                if batch is not None and batch.last_id > published:
                    break
                again = newest[which] > number  # a later change of this portion publishes it with all receipts
                data = None if batch is None or again else _statement(store, batch)
                found.append(Outgoing(BATCHES, data, number))
            return found

    def answer(self, wanted: Sequence[Wanted], most: int, published: int) -> Answer:
        """Answer what was asked for again, up to ``most`` units and a portion of bytes. Records behind the place
        ``published`` are on their way already."""
        with self._open() as store, store.snapshot():
            return _Answering(store, most, published).of(wanted)

    @contextmanager
    def _open(self) -> Iterator[Database]:
        store = Database(self._path, read_only=True)
        try:
            yield store
        finally:
            store.close()


def _portion(rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    size = 0
    for place, data in rows:
        yield place, data
        size += len(data)
        if size >= PORTION_BYTES:
            return


def _usable(place: int, data: bytes) -> bool:
    """Whether it may be a record: nobody would take anything else, nor the others of its message."""
    usable = 0 < len(data) <= MAX_RECORD
    if not usable:
        log.warning("the row at place %d of the database has %d bytes and is no record", place, len(data))
    return usable


def _messages(rows: Iterable[tuple[int, bytes]]) -> Iterator[Outgoing]:
    """Rows in the order of their places as messages of 64 KiB, or of one record, at most."""
    places: list[int] = []
    records: list[bytes] = []
    size = FRAME
    for place, data in rows:
        more = record_size(place, data)
        if records and size + more > TOGETHER:
            yield Outgoing(RECORDS, encode_records(places, records), places[-1], len(places))
            places, records, size = [], [], FRAME
        places.append(place)
        records.append(data)
        size += more
    if records:
        yield Outgoing(RECORDS, encode_records(places, records), places[-1], len(places))


def _statement(store: Database, batch: Batch) -> bytes | None:
    receipts, places = settled_so_far(store.anchors, batch)
    try:
        return encode_batches(batch.entry, receipts, places)
    except LedgerClientError as error:
        log.warning("batch %d cannot be published: %s", batch.batch, error)
        return None


class _Answering:
    """One answer, from one moment of the database."""

    def __init__(self, store: Database, most: int, published: int) -> None:
        self._store, self._most, self._published = store, most, published
        self._rows: dict[int, bytes] = {}
        self._bytes = 0
        self._gone: dict[str, list[Wanted]] = {PRUNED: [], LOST: [], UNKNOWN: []}
        self._answer = Answer()

    def of(self, wanted: Sequence[Wanted]) -> Answer:
        answer = self._answer
        for one in wanted:
            if self._is_full:
                answer.rest.append(one)
            elif (rest := self._records(one) if isinstance(one, RecordRange) else self._batches(one)) is not None:
                answer.rest.append(rest)
        answer.messages += _messages(sorted(self._rows.items()))
        for why, ranges in self._gone.items():
            for begin in range(0, len(ranges), MAX_ASKED):
                answer.messages.append(Outgoing(GONE, encode_gone(why, _asked(ranges[begin : begin + MAX_ASKED]))))
        return answer

    @property
    def _is_full(self) -> bool:
        return self._answer.units >= self._most or self._bytes >= PORTION_BYTES

    def _records(self, one: RecordRange) -> RecordRange | None:
        """Answer a range of records, or its beginning; gives the rest of it."""
        meter, epoch, next_, last = one
        found = self._store.feeds.named(meter, epoch, one.first, last, self._most - self._answer.units)
        for seq, place, data in found:
            self._missing(RecordRange(meter, epoch, next_, seq - 1))
            next_ = seq + 1
            self._answer.units += 1
            if not _usable(place, data):
                self._say(LOST, RecordRange(meter, epoch, seq, seq))
            elif place <= self._published:
                self._rows[place] = data
                self._bytes += len(data)
            if self._is_full:
                return RecordRange(meter, epoch, next_, last) if next_ <= last else None
        self._missing(RecordRange(meter, epoch, next_, last))
        return None

    def _missing(self, gap: RecordRange) -> None:
        """Answer that a range is not there, part by part."""
        meter, epoch, next_, last = gap
        if next_ > last:
            return
        for first_lost, last_lost in self._store.repairs.lost_within(meter, epoch, next_, last):
            self._not_lost(RecordRange(meter, epoch, next_, first_lost - 1))
            self._say(LOST, RecordRange(meter, epoch, max(next_, first_lost), min(last, last_lost)))
            next_ = last_lost + 1
        self._not_lost(RecordRange(meter, epoch, next_, last))

    def _not_lost(self, gap: RecordRange) -> None:
        """The same of one that is not known to be lost."""
        if gap.first <= gap.last:
            pruned = self._store.epochs.is_pruned(gap.meter, gap.epoch, gap.first)
            self._say(PRUNED if pruned else UNKNOWN, gap)

    def _batches(self, one: BatchRange) -> BatchRange | None:
        """Answer a range of batches, or its beginning; gives the rest of it."""
        next_ = one.first
        for batch in self._store.batches.within(one, self._most - self._answer.units, oldest=True):
            self._no_batches(BatchRange(next_, batch.batch - 1))
            next_ = batch.batch + 1
            data = _statement(self._store, batch)
            if data is not None:
                self._answer.messages.append(Outgoing(BATCHES, data))
                self._bytes += len(data)
            self._answer.units += 1
            if self._is_full:
                return BatchRange(next_, one.last) if next_ <= one.last else None
        self._no_batches(BatchRange(next_, one.last))
        return None

    def _no_batches(self, gap: BatchRange) -> None:
        if gap.first > gap.last:
            return
        first, last = self._store.batches.first(), self._store.batches.last()
        if first is None or last is None or gap.first > last.batch:
            self._say(UNKNOWN, gap)
        elif gap.first < first.batch and self._store.feeds.count_pruned_batches():
            self._say(PRUNED, gap)
        else:
            self._say(LOST if self._store.repairs.all() else UNKNOWN, gap)

    def _say(self, why: str, gap: Wanted) -> None:
        self._gone[why].append(gap)
        self._answer.units += 1


def _asked(ranges: Sequence[Wanted]) -> Asked:
    return Asked(
        tuple(one for one in ranges if isinstance(one, RecordRange)),
        tuple((one.first, one.last) for one in ranges if isinstance(one, BatchRange)),
    )
