"""A long outage makes the database large. What is asked of it all the time must not take the longer for that.

Counted in steps of SQLite's virtual machine, which are the same on every machine and at every load.
"""

from __future__ import annotations

# not quick: a large database, 3 s of CPU
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.sealing import seal_next
from gateway.recording.rules import Rules
from gateway.status.collect import collect
from gateway.storage.capacity import pruning
from gateway.storage.database import Database
from tests.support.books import check_books
from tests.support.samples import finished, recorder, site

METER, LEDGER = "export-main", "demo-ledger"
STRETCH, MORE = 400, 1_200


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """Two sites with one batch and one cut each: the one has ``MORE`` records more in both."""
    return _site(tmp_path_factory.mktemp("small"), STRETCH), _site(tmp_path_factory.mktemp("large"), STRETCH + MORE)


def _site(folder: Path, stretch: int) -> Config:
    loaded, clock = site(folder / "site"), Clock()
    made, anchor_ms = recorder(loaded, clock, seal_count=1_000_000)
    made.start()
    for k in range(2 * stretch + STRETCH):
        if k in (stretch, 2 * stretch):
            made.call(_cut).result(timeout=30)
        if k == stretch:
            issuer = Rules.of(loaded).issuer(load_keys(loaded).statement)
            made.call(partial(seal_next, issuer=issuer, now_ms=0)).result(timeout=30)
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
        if k % made.room == 0:
            made.call(lambda _: None).result(timeout=30)
    made.stop()
    check_books(loaded)
    return loaded


def _cut(store: Database) -> None:
    with store.transaction():
        store.batches.cut()


def steps(loaded: Config, work: Callable[[Database], object], *, read_only: bool = True) -> int:
    """How many steps of the virtual machine some work on the database takes, in hundreds."""
    store, count = Database(loaded.database, read_only=read_only), [0]

    def tick() -> None:
        count[0] += 1

    store._db.set_progress_handler(tick, 100)
    work(store)
    store.close()
    return count[0]


QUESTIONS: dict[str, Callable[[Database], object]] = {
    "the last alarms": lambda store: store.records.epoch_events(),
    "what waits": lambda store: store.batches.waiting(),
    "what is not cut": lambda store: store.batches.count_unsealed(),
    "the totals": Database.totals,
    "where a meter was left": lambda store: store.records.tail(METER),
    "the latest time": lambda store: store.records.latest_ms(),
    "the next anchors": lambda store: store.anchors.pending(LEDGER, 64),
    "the anchors' states": lambda store: store.anchors.states(LEDGER),
    "a refused batch": lambda store: store.anchors.first_refused(LEDGER),
    "what may be pruned": lambda store: pruning.may_go(store, [LEDGER], 1 << 60),
    "the space in use": Database.used_bytes,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_costs_as_much_in_a_large_database(question: str, sites: tuple[Config, Config]) -> None:
    small, large = (steps(loaded, QUESTIONS[question]) for loaded in sites)
    assert abs(large - small) <= 1


def test_so_does_the_status(sites: tuple[Config, Config]) -> None:
    small, large = (steps(loaded, lambda store, x=loaded: collect(x, store, 0)) for loaded in sites)  # type: ignore[misc]
    assert abs(large - small) <= 3


def test_so_does_a_cut(sites: tuple[Config, Config]) -> None:
    def cut_and_forget(store: Database) -> None:
        store._db.execute("BEGIN IMMEDIATE")
        store.batches.cut()
        store._db.execute("ROLLBACK")

    small, large = (steps(loaded, cut_and_forget, read_only=False) for loaded in sites)
    assert abs(large - small) <= 1
