"""Whatever happens in whatever order: live and history together tell every recorded reading, and each of them once
unless the process was killed between the broker's answer and the note of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.feeds.backlog import History
from gateway.feeds.progress import Progress
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.storage.writer import Direct

FEED, EPOCH = "scada", bytes(8)
METERS = ("a", "b", "c")


class Site:
    """A database that records, and a feed of it that a test plays."""

    def __init__(self, path: Path, seed: int) -> None:
        self.dice, self.store = random.Random(seed), Database(path)
        self.published: list[str] = []
        self._seqs = dict.fromkeys(METERS, 0)
        self.recorded: list[str] = []
        self.newest: dict[str, str] = {}
        self.flying: list[str] = []
        self.connected = False
        self.start()

    def start(self) -> None:
        """A feed begins."""
        self.progress, self.history = Progress(), History(FEED, Direct(self.store), self.store.path)
        self.newest, self.flying, self.connected = {}, [], False

    def record(self) -> None:
        """A commit of some readings, and of a record that is none."""
        rows = []
        for _ in range(self.dice.randint(1, 5)):
            meter, kind = self.dice.choice(METERS), self.dice.choice(("reading", "reading", "coverage"))
            rows.append(StoredRecord(meter, EPOCH, self._seqs[meter], kind, 1, b"-"))
            self._seqs[meter] += 1
        with self.store.transaction():
            self.store.records.append(rows)
        for row in rows:
            if row.kind == "reading":
                self.recorded.append(row.id)
                self.progress.heard(row.id)
                self.newest[row.meter] = row.id
                self.flying += [row.id] if self.connected else []

    def acknowledge(self) -> None:
        """The broker answers, in order, for some."""
        for _ in range(self.dice.randint(0, len(self.flying))):
            self.published.append(self.flying.pop(0))
            self.progress.acknowledged(self.published[-1])

    def lose(self) -> None:
        """The connection breaks, or the outbox overflows: what flies does not arrive."""
        self.flying, self.connected = [], False
        self.progress.fall_behind()

    def connect(self) -> None:
        """Each meter's newest is published, some of them before it breaks again; else the gap is written."""
        if self.connected:
            self.lose()
        gap, broken = self.progress.catch_up(), self.dice.random() < 0.3
        for record in list(self.newest.values()):
            if broken and self.dice.random() < 0.5:
                continue
            if record not in self.published:
                self.published.append(record)
                gap.published.add(record)
        if broken:
            self.progress.fall_behind()
            return
        self.newest, self.connected = {}, True
        if self.dice.random() < 0.5:
            self.write()

    def write(self) -> None:
        """The disk takes the note of a gap, sooner or later."""
        if (gap := self.progress.gap) is not None:
            self.history.write_last(gap)
            self.progress.written(gap)

    def mark(self) -> None:
        """The cursor is written."""
        if self.progress.mark is not None and self.progress.gap is None:
            place = self.store.records.find(*_name(self.progress.mark))
            assert place is not None
            with self.store.transaction():
                self.store.feeds.reached(FEED, place[0])

    def backfill(self) -> None:
        """A portion of history is published."""
        for first, last in self.store.feeds.gaps(FEED)[:2]:
            rows = list(self.store.feeds.rows(first, last, 3))
            self.published += [row.id for _, row in rows]
            with self.store.transaction():
                self.store.feeds.published(FEED, [(first, rows[-1][0] if len(rows) == 3 else last)])

    def stop(self) -> None:
        """An orderly end and a new start."""
        self.history.write_last(self.progress.catch_up())
        self.start()

    def drain(self) -> None:
        """An orderly end, a new start, and all the history."""
        self.stop()
        while self.store.feeds.gaps(FEED):
            self.backfill()


def _name(record: str) -> tuple[str, bytes, int]:
    meter, epoch, seq = record.split("/")
    return meter, bytes.fromhex(epoch), int(seq)


@pytest.mark.parametrize("seed", range(12))
def test_each_reading_is_told_once_in_whatever_order_things_happen(tmp_path: Path, seed: int) -> None:
    site = Site(tmp_path / "meterseal.db", seed)
    steps = (site.record, site.record, site.acknowledge, site.lose, site.connect, site.write, site.mark, site.backfill)
    for n in range(150):
        site.stop() if n % 50 == 49 else site.dice.choice(steps)()
    site.drain()
    assert sorted(site.published) == sorted(site.recorded)
    site.store.close()


def test_a_kill_may_double_and_never_loses(tmp_path: Path) -> None:
    site = Site(tmp_path / "meterseal.db", 99)
    steps = (site.record, site.record, site.acknowledge, site.connect, site.mark, site.backfill, site.start)
    for _ in range(200):
        site.dice.choice(steps)()
    site.drain()
    assert set(site.published) == set(site.recorded)
    site.store.close()


def test_a_feed_begins_with_what_is_recorded_after_it(tmp_path: Path) -> None:
    store = Database(tmp_path / "meterseal.db")
    with store.transaction():
        store.records.append([StoredRecord("a", EPOCH, n, "reading", 1, b"-") for n in range(5)])
        store.feeds.leave_behind(FEED, 5)
        store.feeds.start(FEED)
    assert (store.feeds.gaps(FEED), store.feeds.owed(FEED)) == ([], 0)
    with store.transaction():
        store.records.append([StoredRecord("a", EPOCH, n, "reading", 1, b"-") for n in range(5, 8)])
        store.feeds.start(FEED)
    assert (store.feeds.gaps(FEED), store.feeds.owed(FEED)) == ([(6, 8)], 3)
    store.close()
