"""Audit of single records: form, owner and signature. Reads batch files; may use several processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from ledger_client.audit.events import COUNTED, OF_DEVICE
from ledger_client.errors import FileError, OutOfRange, VerificationError, at_step
from ledger_client.formats.batch_file import BatchFile, read_records
from ledger_client.formats.merkle import leaf_hash
from ledger_client.formats.record import (
    GATEWAY_ITSELF,
    Claims,
    Coverage,
    Event,
    Record,
    parse_record,
    record_hash,
)
from ledger_client.formats.senml import Reading
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import record_key_of

PORTION: Final = 500  # records that one process takes at a time
UNKNOWN: Final = "U"  # the letter of a clock that is not known
ALONE: Final = 4_000  # records below which further processes cost more than they give


class Name(NamedTuple):
    """A record's place: its meter, its epoch, its number."""

    meter: str
    epoch: bytes
    seq: int

    def __str__(self) -> str:
        return f"{self.meter}/{self.epoch.hex()}/{self.seq}"


class Shape(NamedTuple):
    """The points of a reading, in order, and those of them that have no value."""

    names: tuple[str, ...]
    empty: tuple[str, ...]


@lru_cache(1024)
def _same(shape: Shape) -> Shape:
    """One object for all that are equal: comparing them, and sending them to another process, is then cheap."""
    return shape


def shape_of(reading: Reading) -> Shape:
    """What points a reading has."""
    names = tuple([value.name for value in reading.values])
    return _same(Shape(names, tuple([value.name for value in reading.values if value.value is None])))


class Fact(NamedTuple):
    """What an audit keeps of one record: its two hashes, and what it says where it can be read.

    ``problem`` is (step, words) where its form, its owner or its signature is not good. ``late``: every value of a
    reading says that it came late; ``shape``: its points. ``event``: the gateway's own, where an audit counts by it.
    ``device``: a meter's, which says what device it is. ``kept``: what a keeper took of it.
    """

    leaf: bytes
    hash: bytes
    problem: tuple[int, str] | None
    name: Name | None = None
    prev: bytes | None = None
    kind: str = ""
    time_ms: int = 0
    kid: bytes = b""
    coverage: Coverage | None = None
    iat: int = 0
    up_ms: int = 0
    clock: str = ""
    late: bool = False
    event: Event | None = None
    device: Event | None = None
    shape: Shape | None = None
    kept: Any = None


Keeper = Callable[[Record], Any]
"""What else is to be kept of a record (None: nothing): a function, or an object, that other processes can be given."""


def fact_of(data: bytes, gateway: str, trust: Trust, keeper: Keeper | None = None) -> Fact:
    """Look at one record of a batch of ``gateway``; ``keeper`` sees it where it is good."""
    leaf, hashed = leaf_hash(data), record_hash(data)
    try:
        record = parse_record(data)
    except VerificationError as error:
        return Fact(leaf, hashed, (error.step, error.detail))
    problem = None
    try:
        _check_owner(record.claims, gateway)
        key = record_key_of(record, trust)
        with at_step(2):
            record.sign1.verify(key.key)
    except VerificationError as error:
        problem = error.step, error.detail
    return _fact(leaf, hashed, problem, record, None if keeper is None or problem else keeper(record))


def _fact(leaf: bytes, hashed: bytes, problem: tuple[int, str] | None, record: Record, kept: Any) -> Fact:
    (_, meter, iat, up_ms, seq, epoch, prev, clock, *_), body = record.claims, record.body
    coverage = event = device = shape = None
    late = False
    if isinstance(body, Reading):
        late, shape = body.late, shape_of(body)
    elif isinstance(body, Coverage):
        coverage = body
    elif meter == GATEWAY_ITSELF and body.name in COUNTED:
        event = body
    elif meter != GATEWAY_ITSELF and body.name in OF_DEVICE:
        device = body
    place, time_ms, kid = Name(meter, epoch, seq), record.time_ms, record.kid
    return Fact(
        leaf, hashed, problem, place, prev, record.kind, time_ms, kid, coverage, iat, up_ms, clock, late, event, device,
        shape, kept,
    )  # fmt: skip


def _check_owner(claims: Claims, gateway: str) -> None:
    if claims.gateway != gateway:
        raise OutOfRange(f"the record is of gateway {claims.gateway}, its batch of {gateway}", step=4)


@dataclass(frozen=True, slots=True)
class _Portion:
    """A stretch of a file for one process: it reads the records itself, so that what it saw is what it hashed."""

    path: Path
    starts: Sequence[int]
    ends: Sequence[int]
    gateway: str


class Looker:
    """Looks at all records of files, in order, on as many processors as there are and as are worth while."""

    def __init__(self, trust: Trust, records: int, processes: int | None = None, keeper: Keeper | None = None) -> None:
        """``records``: how many there will be in all; ``processes``: how many to use (None: as many as are good)."""
        self._trust, self._keeper = trust, keeper
        count = processes or (len(os.sched_getaffinity(0)) if records >= ALONE else 1)
        self._pool = None
        if count > 1:
            from concurrent.futures import ProcessPoolExecutor  # 20 ms that verifying a reading need not pay
            from multiprocessing import get_context

            self._pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (trust, keeper))

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def facts(self, file: BatchFile, gateway: str) -> Iterator[Fact]:
        """What there is to say of every record of a file, in its order."""
        if self._pool is None:
            yield from (fact_of(data, gateway, self._trust, self._keeper) for data in file.records())
            return
        cuts = range(0, len(file), PORTION)
        portions = [
            _Portion(file.path, file.starts[i : i + PORTION], file.ends[i : i + PORTION], gateway) for i in cuts
        ]
        from concurrent.futures import BrokenExecutor

        try:
            for facts in self._pool.map(_look, portions):
                yield from facts
        except BrokenExecutor:
            way_out = "a process that checked it was ended from outside; try again with more memory free"
            raise FileError(f"{file.path}: {way_out}") from None


_given: list[tuple[Trust, Keeper | None]] = []  # to a process of the pool


def _begin(trust: Trust, keeper: Keeper | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    _given.append((trust, keeper))


def _look(portion: _Portion) -> list[Fact]:
    records = read_records(portion.path, portion.starts, portion.ends)
    trust, keeper = _given[0]
    return [fact_of(data, portion.gateway, trust, keeper) for data in records]
