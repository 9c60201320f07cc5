"""Group commit: who comes while the disk is busy shares a transaction; nobody hears anything before it is durable."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.transparency.log import group_commit
from ledger_client.transparency.log.counters import Counts
from ledger_client.transparency.log.entries import Place, Writer
from ledger_client.transparency.log.group_commit import MOST, GroupCommit
from ledger_client.transparency.log.log import Log
from tests.support.ledger_site import PATIENCE_S
from tests.support.log_connection import writing_connection


class CountingLog(Log):
    """A log that counts its transactions."""

    transactions = 0

    @contextmanager
    def write(self) -> Iterator[Writer]:
        self.transactions += 1
        with super().write() as writing:
            yield writing


class Crowd:
    """Works that come while the disk is busy with a first one, which lasts until ``release``."""

    def __init__(self, folder: Path) -> None:
        Log.create(folder / "log.db", "demo").close()
        self.log = CountingLog.open(folder / "log.db")
        self.group = GroupCommit(self.log, Counts())
        self.pool = ThreadPoolExecutor(40)
        self.release = threading.Event()
        self._busy = threading.Event()
        self.first = self.pool.submit(self.group.run, self._slow)
        assert self._busy.wait(PATIENCE_S)

    def _slow(self, log: Writer) -> bytes:
        self._busy.set()
        assert self.release.wait(PATIENCE_S)
        return append(log, b"first")

    def add(self, entry: bytes) -> Future[bytes]:
        """Another work, which waits by the time this returns."""
        return self.add_work(lambda log: append(log, entry))

    def add_work(self, work: object) -> Future[bytes]:
        before = len(self.group._waiting)
        future = self.pool.submit(self.group.run, work)  # type: ignore[arg-type]
        pause = threading.Event()
        while len(self.group._waiting) == before:
            pause.wait(0.001)
        return future

    def held(self) -> list[bytes]:
        with self.log.read() as log:
            return [log.entry(number) or b"" for number in range(log.size())]


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path)
    try:
        yield crowd
    finally:
        crowd.release.set()
        crowd.pool.shutdown()
        crowd.log.close()


def append(log: Writer, entry: bytes) -> bytes:
    def sign(place: Place) -> bytes:
        return b"receipt " + entry

    receipt = log.append(entry, sign)
    assert receipt is not None
    return receipt


def refuse(log: Writer) -> bytes:
    raise Refused("No", "never")


def test_those_who_wait_share_one_transaction(crowd: Crowd) -> None:
    entries = [b"entry %d" % number for number in range(30)]
    futures = [crowd.add(entry) for entry in entries]
    assert not any(future.done() for future in [crowd.first, *futures])
    assert crowd.held() == []
    crowd.release.set()
    assert [future.result(PATIENCE_S) for future in futures] == [b"receipt " + entry for entry in entries]
    assert crowd.log.transactions == 2
    assert crowd.held() == [b"first", *entries]
    with crowd.log.read() as log:
        assert log.receipt(sha256(entries[7]).digest()) == b"receipt entry 7"


def test_a_group_has_a_bound(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST >= 40
    monkeypatch.setattr("ledger_client.transparency.log.group_commit.MOST", 4)
    futures = [crowd.add(b"entry %d" % number) for number in range(10)]
    crowd.release.set()
    for future in futures:
        future.result(PATIENCE_S)
    assert crowd.log.transactions == 1 + 3


def test_a_transaction_that_has_signed_for_long_leaves_the_rest_to_the_next(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_S", -1.0)  # as if each signature took a TPM longer than that
    futures = [crowd.add(bytes([n])) for n in range(5)]
    crowd.release.set()
    results = [future.result() for future in (crowd.first, *futures)]
    assert crowd.log.transactions == 6
    assert len(set(results)) == 6


def test_what_is_refused_costs_its_neighbours_nothing(crowd: Crowd) -> None:
    futures = [crowd.add(b"before"), crowd.add_work(refuse), crowd.add(b"after")]
    crowd.release.set()
    assert [futures[0].result(PATIENCE_S), futures[2].result(PATIENCE_S)] == [b"receipt before", b"receipt after"]
    with pytest.raises(Refused):
        futures[1].result(PATIENCE_S)
    assert crowd.log.transactions == 2
    assert crowd.held() == [b"first", b"before", b"after"]


def test_a_work_that_fails_fails_alone(crowd: Crowd) -> None:
    def fails(log: Writer) -> bytes:
        append(log, b"half")
        raise RuntimeError("a fault")

    futures = [crowd.add(b"before"), crowd.add_work(fails), crowd.add(b"after")]
    crowd.release.set()
    assert [futures[0].result(PATIENCE_S), futures[2].result(PATIENCE_S)] == [b"receipt before", b"receipt after"]
    with pytest.raises(RuntimeError, match="a fault"):
        futures[1].result(PATIENCE_S)
    assert crowd.held() == [b"first", b"before", b"after"]


def test_a_full_disk_is_told_to_all_of_a_group_and_to_no_more(crowd: Crowd) -> None:
    futures = [crowd.add(bytes([number]) * 100_000) for number in range(3)]
    refused = crowd.add_work(refuse)
    writing_connection(crowd.log).execute("PRAGMA max_page_count = 20")  # SQLite's own SQLITE_FULL
    crowd.release.set()
    crowd.first.result(PATIENCE_S)
    for future in [*futures, refused]:  # what was refused rests on what was to be written with it
        with pytest.raises(LedgerUnavailable, match="nothing was written"):
            future.result(PATIENCE_S)
    writing_connection(crowd.log).execute("PRAGMA max_page_count = 1000000")
    assert crowd.held() == [b"first"]
    assert crowd.group.run(lambda log: append(log, b"later")) == b"receipt later"
