"""Every due poll is a record or is counted under its reason: any polls, through poller and recorder to the disk.

The database is real and its commits fail when the test says so; afterwards all of it is read back and counted again.
"""

from __future__ import annotations

# not quick: polls by chance, 2 s of CPU
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock
from gateway.errors import DiskFull, StoreError
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from ledger_client.formats.record import MISSED_REASONS, Coverage, parse_record
from ledger_client.formats.senml import Reading
from tests.support.books import check_books
from tests.support.samples import Machine, site

METERS = ("export-main", "stack-co2")
NEVER_TRIED = sorted(MISSED_REASONS - {"disk-full", "disk-error"})


class FailingStore(Database):
    """A database whose commits fail, and keep nothing, as ``faults`` says: one entry a transaction."""

    def __init__(self, path: Path, faults: list[type[StoreError] | None]) -> None:
        super().__init__(path)
        self.faults = faults

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            if self.faults and (fault := self.faults.pop(0)):
                raise fault("the disk failed", "wait for the test")


@dataclass(frozen=True)
class Outcome:
    """How one poll of both meters ends: for each the share of its blocks that answer, or a reason."""

    ends: tuple[str | int, str | int]
    settle: bool
    """Whether the writer catches up before the next poll."""


@dataclass
class Tally:
    """What was handed over, by meter."""

    polls: Counter[str] = field(default_factory=Counter)
    missed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answered: Counter[str] = field(default_factory=Counter)


ends = st.sampled_from(NEVER_TRIED) | st.integers(0, 255)
outcomes = st.lists(st.builds(Outcome, st.tuples(ends, ends), st.booleans()), max_size=12)
faults = st.lists(st.sampled_from([None, None, StoreError, DiskFull]), max_size=8)
epochs = st.lists(st.tuples(outcomes, faults, st.integers(1, 12)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return site(tmp_path_factory.mktemp("every") / "site")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(epochs)
def test_every_due_poll_is_a_record_or_counted_under_its_reason(
    loaded: Config, runs: list[tuple[list[Outcome], list[type[StoreError] | None], int]]
) -> None:
    for old in loaded.data.glob("*"):
        old.unlink()
    machine, tally = Machine(), Tally()
    for number, (polls, bad, seal_count) in enumerate(runs):
        _epoch(loaded, machine, tally, bytes([number]) * 8, polls, bad, seal_count)
        check_books(loaded)
    for meter in METERS:
        due, recorded, missed = _covered(loaded, meter)
        lost = sum(missed[reason] for reason in ("disk-full", "disk-error"))
        assert due == tally.polls[meter] == recorded + sum(missed.values())
        assert recorded == _readings(loaded, meter) == tally.answered[meter] - lost
        assert {r: n for r, n in missed.items() if not r.startswith("disk")} == dict(tally.missed[meter])


def _epoch(
    loaded: Config,
    machine: Machine,
    tally: Tally,
    epoch: bytes,
    polls: list[Outcome],
    bad: list[type[StoreError] | None],
    seal_count: int,
) -> None:
    """One run of the gateway: both meters polled on their common grid, then stopped before the next is due."""
    store, clock = FailingStore(loaded.database, []), machine.clock()
    rules = Rules.of(loaded)
    periods = {m: p for m, p in rules.periods_ms.items() if m in METERS}
    assert set(periods.values()) == {10_000}
    recorder = Recorder(
        store, load_keys(loaded), replace(rules, periods_ms=periods, seal_count=seal_count), clock, epoch
    )
    anchor_ms = recorder.open()
    store.faults = bad
    recorder.start()
    poller = Poller(loaded.meters, clock, recorder.put, loaded.profiles)
    for k, outcome in enumerate(polls):
        machine.passes(0.1)
        for meter, end in zip(METERS, outcome.ends, strict=True):
            _tell(poller, tally, _poll(loaded, clock, meter, anchor_ms + 10_000 * k, end))
        if outcome.settle:
            recorder.call(lambda _: None).result(timeout=60)
        machine.passes(9.9)
    recorder.call(lambda _: None).result(timeout=60)
    store.faults = []
    recorder.stop()


def _poll(loaded: Config, clock: Clock, meter: str, due_ms: int, end: str | int) -> Poll:
    """A poll that ends with a reason, or with some of its blocks answered as the bits of a number say."""
    if isinstance(end, str):
        return Poll(meter, due_ms, missed=end)
    answers, failures = [], []
    for block, n in zip(_blocks(loaded, meter), count(), strict=False):
        if end >> n & 1:
            answers.append(BlockAnswer(block, (end * 257 % 65536,) * block.count, clock.now_ms()))
        else:
            failures.append(BlockFailure(block, "timeout", ""))
    return Poll(meter, due_ms, tuple(answers), tuple(failures), missed=None if answers else "timeout")


def _blocks(loaded: Config, meter: str) -> tuple[RegisterBlock, ...]:
    profile = loaded.profiles[meter]
    return plan(profile.select(), Limits.of(profile, request_cost=1.0))


def _tell(poller: Poller, tally: Tally, poll: Poll) -> None:
    tally.polls[poll.meter] += 1
    if poll.answers:
        tally.answered[poll.meter] += 1
    else:
        tally.missed[poll.meter][poll.missed or ""] += 1
    poller.poll(poll)


def _covered(loaded: Config, meter: str) -> tuple[int, int, Counter[str]]:
    """Due, recorded and missed over all coverage records of a meter."""
    due = recorded = 0
    missed: Counter[str] = Counter()
    for body in _bodies(loaded, meter):
        if isinstance(body, Coverage):
            due, recorded = due + body.due, recorded + body.recorded
            missed.update(body.missed)
    return due, recorded, missed


def _readings(loaded: Config, meter: str) -> int:
    return sum(isinstance(body, Reading) for body in _bodies(loaded, meter))


def _bodies(loaded: Config, meter: str) -> list[object]:
    store = Database(loaded.database, read_only=True)
    try:
        return [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == meter]
    finally:
        store.close()
