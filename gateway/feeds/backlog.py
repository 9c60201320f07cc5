"""Backlog of a feed: its cursor and gaps, written by the writer thread, read by connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.errors import Damaged
from gateway.feeds.progress import Gap
from gateway.feeds.reading_message import FeedReading, reading_of_record
from gateway.messages.message import Message
from gateway.process.threads import in_thread
from gateway.storage.database import Database
from gateway.storage.writer import Writer
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import parse_record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portion:
    """Readings that are still to be published, in commit order, and the stretches that are done with once they are."""

    readings: list[FeedReading]
    stretches: list[tuple[int, int]]


class History:
    """What one feed has published and what it still owes. Every call may raise StoreError."""

    def __init__(self, feed: str, writer: Writer, path: Path) -> None:
        """Begins at once: what is recorded from now on is behind the cursor."""
        self._feed, self._writer, self._path = feed, writer, path
        self._began = self._begin()

    def _begin(self) -> Future[None]:
        return self._writer.call(lambda store: _change(store, lambda: store.feeds.start(self._feed)))

    async def begin(self) -> None:
        """Wait until the cursor is where this epoch begins."""
        if self._began.done() and self._began.exception() is not None:
            self._began = self._begin()
        await asyncio.shield(asyncio.wrap_future(self._began))

    async def write_gap(self, gap: Gap) -> None:
        """Note what an outage has left unpublished."""
        await self._write(lambda store: _write_gap(store, self._feed, gap))

    async def write_mark(self, mark: str) -> None:
        """Note that everything up to this record is published."""
        await self._write(partial(_write_mark, feed=self._feed, mark=mark))

    def write_last(self, gap: Gap) -> None:
        """The same at the end, without waiting for it."""
        self._writer.call(lambda store: _change(store, lambda: _write_gap(store, self._feed, gap)))

    async def write_published(self, portion: Portion) -> None:
        """Note that a portion has been published."""
        await self._write(lambda store: store.feeds.published(self._feed, portion.stretches))

    async def next(self, most: int) -> Portion | None:
        """The oldest readings that are still to be published; None: there are none."""
        return await in_thread(lambda: self._read(most), "feed reads")

    async def _write(self, function: Callable[[Database], None]) -> None:
        await asyncio.wrap_future(self._writer.call(lambda store: _change(store, lambda: function(store))))

    def _read(self, most: int) -> Portion | None:
        store = Database(self._path, read_only=True)
        try:
            portion = Portion([], [])
            for first, last in store.feeds.gaps(self._feed):
                _read_gap(store, first, last, most - len(portion.readings), portion)
                if len(portion.readings) >= most:
                    break
            return portion if portion.stretches else None
        finally:
            store.close()


def _read_gap(store: Database, first: int, last: int, most: int, portion: Portion) -> None:
    rows = list(store.feeds.rows(first, last, most))
    for _, row in rows:
        try:
            reading = reading_of_record(parse_record(row.data))
        except LedgerClientError as error:
            raise Damaged(Message("record-invalid", record=row.id, why=error.sentence)) from None
        if reading is not None:
            portion.readings.append(reading)
    portion.stretches.append((first, rows[-1][0] if len(rows) == most else last))


def _change(store: Database, function: Callable[[], T]) -> T:
    with store.transaction():
        return function()


def _place(store: Database, record: str) -> int | None:
    meter, epoch, seq = record.split("/")
    found = store.records.find(meter, bytes.fromhex(epoch), int(seq))
    return found[0] if found else None


def _write_mark(store: Database, feed: str, mark: str) -> None:
    place = _place(store, mark)
    if place is not None:
        store.feeds.reached(feed, place)


def _write_gap(store: Database, feed: str, gap: Gap) -> None:
    if gap.mark is not None:
        _write_mark(store, feed, gap.mark)
    if gap.tip is None:
        return
    place = _place(store, gap.tip)
    store.feeds.leave_behind(feed, store.records.last_place() if place is None else place)
    places = (_place(store, record) for record in gap.published)
    store.feeds.published(feed, [(place, place) for place in places if place is not None])
