"""An honest gateway of a small site with fixed keys, whose time is moved by hand; and the files that it exports.

``Gateway`` writes what a gateway writes: configuration, coverage and grids as docs/evidence.cddl has them, times that
agree. ``usual()`` gives the records of a batch, ``write()`` its file. What does not hold is made by changing a record's
claims or body (``Chain.add``), a statement (``write(…)``), or by leaving records out. For real gateways' histories see
tests/campaigns/honest/honest_history.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ledger_client.audit.result import Audit
from ledger_client.audit.run import Wanted, audit
from ledger_client.formats.batch_file import BatchFile, write_batch
from ledger_client.formats.cose_key import ES256, PrivateKey
from ledger_client.formats.record import GATEWAY_ITSELF, Body, Coverage, Event, record_hash, sign_record
from ledger_client.formats.senml import Reading, Value
from ledger_client.formats.statement import sign_statement, statement_id
from ledger_client.recording_grid import Grid, due_by
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import key_entry
from tests.support.evidence import (
    EPOCH,
    GATEWAY,
    METER,
    NOW,
    T0,
    VALID_FROM,
    claims,
    key,
    receipt_for,
    statement_of,
    trust,
)

OTHER = "stack-co2"
EVERY_MS = 10_000
BEGIN_MS = (T0 - 6000) * 1000
CONFIG = hashlib.sha256(b"configuration").digest()


def trusted(**changes: Any) -> Trust:
    """A trust file that names both meters."""
    other = key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)
    return trust(extra=other + changes.pop("extra", ""), **changes)


def signer_of(meter: str) -> PrivateKey:
    return {METER: key("meter"), GATEWAY_ITSELF: key("statement", ES256)}.get(meter) or key(meter)


@dataclass
class Clock:
    """Record times and ``up`` of one epoch; ``slow``: record times run at nine tenths."""

    now_ms: int = BEGIN_MS
    up_ms: int = 0
    letter: str = "S"
    slow: bool = False

    def passes(self, ms: int) -> None:
        self.up_ms += ms
        self.now_ms += ms * 9 // 10 if self.slow else ms


@dataclass
class Chain:
    """One meter's records as a gateway signs them, and what was due of it."""

    meter: str
    clock: Clock
    period_ms: int = EVERY_MS
    epoch: bytes = EPOCH
    seq: int = 0
    prev: bytes | None = None
    covered_to_ms: int | None = None
    due_ms: int = 0
    since: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    grids: list[Grid] = field(default_factory=list)
    configured: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    """What its configuration says otherwise, or besides."""
    signer: PrivateKey | None = None
    """Another key than its meter's first."""

    @property
    def key(self) -> PrivateKey:
        return self.signer or signer_of(self.meter)

    def add(self, body: Body, signer: PrivateKey | None = None, **changes: Any) -> bytes:
        """Sign a body now; ``changes`` of its claims."""
        clock = self.clock
        facts = claims(self.seq, meter=self.meter, epoch=self.epoch, prev=self.prev, clock=clock.letter)
        facts = facts._replace(iat=clock.now_ms // 1000, up_ms=clock.up_ms)._replace(**changes)
        data = sign_record(facts, body, signer or self.key)
        self.seq, self.prev = facts.seq + 1, record_hash(data)
        return data

    def reading(self, value: int = 1, time_ms: int | None = None, **changes: Any) -> bytes:
        """A poll that is answered now, counted as due at its time."""
        self.since += 1
        return self.add(Reading(time_ms or self.clock.now_ms, (Value("count", value, "count"),)), **changes)

    def miss(self, reason: str = "timeout") -> None:
        self.missed[reason] += 1

    def coverage(self, **changes: Any) -> bytes:
        """What was due since the last one, until the last poll that is over."""
        begins = self.covered_to_ms if self.covered_to_ms is not None else self.clock.now_ms
        facts: dict[str, Any] = {
            "from_ms": begins,
            "to_ms": max(begins, self.due_ms),
            "due": self.since + self.missed.total(),
            "recorded": self.since,
            "missed": dict(self.missed),
        } | changes
        body = Coverage(**facts)
        self.covered_to_ms, self.since, self.missed = body.to_ms, 0, Counter()
        return self.add(body)

    def first_coverage(self) -> bytes:
        """The first of an epoch: the downtime by the grid left, 0 where the clock is not known."""
        anchor_ms = max(self.clock.now_ms, self.covered_to_ms or 0)
        begins = anchor_ms if self.covered_to_ms is None else self.covered_to_ms
        stopped = max(0, due_by(self.grids, begins, anchor_ms) - self.since)
        self.missed = Counter(stopped=stopped) if stopped and self.clock.letter != "U" else Counter()
        self.due_ms = anchor_ms
        return self.coverage()


@dataclass
class Gateway:
    """Batches one after the other; ``write`` gives the file of the next. All meters are polled at once, every
    ``EVERY_MS`` or a multiple of it."""

    folder: Path
    periods_ms: dict[str, int] = field(default_factory=lambda: {METER: EVERY_MS, OTHER: EVERY_MS})
    clock: Clock = field(default_factory=Clock)
    chains: dict[str, Chain] = field(default_factory=dict)
    behind_s: int = 0
    """So much its clock is behind the ledgers'."""
    batch: int = 0
    prev: bytes | None = None
    epoch: bytes = EPOCH
    config: bytes = CONFIG
    factor: int = 1
    began: bool = False
    seals: PrivateKey | None = None
    """Another statement key than its first."""

    def __post_init__(self) -> None:
        for name, period_ms in self.periods_ms.items():
            self.chains[name] = Chain(name, self.clock, period_ms)
        self.itself = Chain(GATEWAY_ITSELF, self.clock)

    @property
    def meters(self) -> list[Chain]:
        """Those that are configured."""
        return [chain for chain in self.chains.values() if chain.configured]

    # — what it writes —

    def start(self, *, letter: str = "S") -> list[bytes]:
        """The first records of an epoch."""
        self.clock.letter, self.factor, self.began = letter, 1, True
        rows = [chain.first_coverage() for chain in self.meters]
        for chain in self.meters:
            chain.grids.append((chain.due_ms, chain.period_ms))
        return [self.configuration("start"), *rows]

    def restart(self, number: int, *, stopped_ms: int = 0, letter: str = "S", jump_ms: int = 0) -> list[bytes]:
        """It was killed, and comes back as epoch ``number``; ``jump_ms``: by how much its clock is wrong then."""
        self.clock.passes(stopped_ms)
        self.clock.now_ms += jump_ms
        self.clock.up_ms, self.clock.slow = 0, False
        self.epoch = hashlib.sha256(bytes((number,))).digest()[:8]
        for chain in [*self.chains.values(), self.itself]:
            chain.epoch, chain.seq = self.epoch, 0
        return self.start(letter=letter)

    def event(self, name: str, **fields: Any) -> bytes:
        """An event of the gateway itself."""
        return self.itself.add(Event(name, fields))

    def configuration(self, at: str, only: Sequence[str] = (), /, **changes: Any) -> bytes:
        """What is configured, in one part; ``only``: of these meters."""
        meters = {
            chain.meter: {
                "key": chain.key.public.kid,
                "role": "main",
                "grids": [list(grid) for grid in chain.grids[-2:]],
                "period": chain.period_ms,
                "profile": "meter",
                "profile-hash": bytes(32),
                **chain.facts,
            }
            for chain in self.meters
            if chain.meter in (only or self.chains)
        }
        facts: dict[str, Any] = {"at": at, "part": [1, 1], "config": self.config, "meters": meters}
        facts["statement"] = self.itself.key.public.kid
        return self.event("configuration", **(facts | changes))

    def polls(self, count: int, *, answered: bool = True) -> list[bytes]:
        """``count`` rounds, each ``EVERY_MS`` behind the one before; a poll is due 20 ms before its answer."""
        rows = []
        for number in range(count):
            due_ms = self.clock.now_ms
            self.clock.passes(20)
            for chain in self.meters:
                begins, step = chain.grids[-1]
                if due_ms >= begins and (due_ms - begins) % step == 0:
                    if answered:
                        rows.append(chain.reading(number))
                    else:
                        chain.miss()
                    chain.due_ms = due_ms + 1
            self.clock.passes(EVERY_MS - 20)
        return rows

    def cut(self) -> list[bytes]:
        return [chain.coverage() for chain in self.meters]

    def usual(self, readings: int = 3) -> list[bytes]:
        """The records of a batch: so many readings of every meter, a time-out, then their coverage."""
        rows = [] if self.began else self.start()
        return [*rows, *self.polls(readings), *self.polls(1, answered=False), *self.cut()]

    def new_grids(self, factor: int | None = None, jump_ms: int = 0) -> dict[str, list[list[int]]]:
        """Each meter's from its next poll on; by record times that have jumped meanwhile."""
        self.factor = factor or self.factor
        announced = {}
        for chain in self.meters:
            every = chain.period_ms * self.factor
            grids = [(chain.due_ms, 0), (self.clock.now_ms, every * 9 // 10 if self.clock.slow else every)]
            chain.grids += grids
            announced[chain.meter] = [list(grid) for grid in grids]
        return announced

    def thin(self, factor: int) -> list[bytes]:
        """From the next poll on every nth is recorded."""
        rows = self.cut()
        return [*rows, self.event("recording-period", factor=factor, used=1, limit=1, grids=self.new_grids(factor))]

    def correct(self, jump_ms: int, *, slow: bool = False, **more: Any) -> list[bytes]:
        """Record times jump, or are slowed from now on."""
        rows, before_ms = self.cut(), self.clock.now_ms
        self.clock.now_ms += jump_ms
        self.clock.slow = slow
        facts: dict[str, Any] = {"before": before_ms, "after": self.clock.now_ms, "up": self.clock.up_ms, "clock": "S"}
        facts |= {"tenths": 9} if slow else {}
        return [*rows, self.event("clock", **facts, grids=self.new_grids(), **more)]

    def take_out(self, meter: str, config: bytes) -> list[bytes]:
        """A change by which a meter is no more configured."""
        chain, self.config = self.chains[meter], config
        chain.due_ms = self.clock.now_ms
        rows = self.cut()
        chain.configured = False
        ended = [chain.covered_to_ms, 0]
        chain.grids.append((ended[0] or 0, 0))
        return [*rows, self.configuration("change", removed=[meter], grids={meter: [ended]})]

    def put_in(self, meter: str, config: bytes) -> list[bytes]:
        """A change by which a meter is configured; it may have been before."""
        chain, self.config = self.chains.setdefault(meter, Chain(meter, self.clock, epoch=self.epoch)), config
        rows = self.cut()
        chain.configured = True
        rows.append(chain.first_coverage())
        chain.grids.append((chain.due_ms, chain.period_ms))
        return [*rows, self.configuration("change", added=[meter])]

    # — its batches —

    def entry(self, records: Sequence[bytes], **changes: Any) -> bytes:
        usual: dict[str, Any] = {"batch": self.batch, "prev": self.prev, "config": self.config}
        statement = statement_of(records)
        usual["iat"] = -(-max(self.clock.now_ms, statement.to_ms) // 1000)
        statement = replace(statement, **{**usual, **changes})
        entry = sign_statement(statement, self.seals or key("statement", ES256))
        self.batch, self.prev = statement.batch + 1, statement_id(entry)
        return entry

    def write(
        self, records: Sequence[bytes] | None = None, receipts: Sequence[bytes] | None = None, **changes: Any
    ) -> Path:
        """The file of a batch; ``changes`` of its statement."""
        records = self.usual() if records is None else records
        entry = self.entry(records, **changes)
        path = self.folder / f"{self.batch - 1}.mbatch"
        anchored = self.clock.now_ms // 1000 + 2 + self.behind_s
        with path.open("wb") as file:
            write_batch(file, records, entry, [receipt_for(entry, iat=anchored)] if receipts is None else receipts)
        return path


def proof_of(path: Path, event: str) -> Path:
    """The proof of a batch's last event of this name, beside it."""
    batch = BatchFile.open(path)
    found = {i: record for i in range(len(batch)) if (record := batch.prove(i))[0].kind == "event"}
    named = [bundle for record, bundle in found.values() if getattr(record.body, "name", "") == event]
    target = path.with_suffix(".mseal")
    target.write_bytes(named[-1])
    return target


def audited(*paths: Path, by: Trust | None = None, allow_resume: bool = False, **options: Any) -> Audit:
    """The audit of some files."""
    wanted = options.pop("wanted", Wanted(allow_resume=allow_resume))
    return audit(paths, by or trusted(), NOW, wanted=wanted, **options)


def findings(result: Audit) -> list[tuple[int | None, str | None, str]]:
    """(batch, record, step) of every finding."""
    assert result.findings_total == len(result.findings)
    return [(f.batch, f.record, f.step) for f in result.findings]
