"""What a gateway's database and its ledger's log ever showed, looked at again after each kill; what is wrong with it.

Reads records, batches and statements with the parsers alone; what was seen once is remembered, so that a record that
was there and is not any more is noticed, and pruning hides nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import Statement, parse_statement
from ledger_client.recording_grid import due_by


@dataclass(frozen=True, slots=True)
class Flaws:
    """How often each of the four promises was broken (see ``tests.campaigns.failures.crash``)."""

    lost: int = 0
    duplicated: int = 0
    forked: int = 0
    untiled: int = 0

    def worse(self, other: Flaws) -> Flaws:
        """The larger of both in every count."""
        return Flaws(*map(max, self._counts(), other._counts()))

    def plus(self, other: Flaws) -> Flaws:
        """Both together."""
        return Flaws(*map(sum, zip(self._counts(), other._counts(), strict=True)))

    def _counts(self) -> tuple[int, int, int, int]:
        return self.lost, self.duplicated, self.forked, self.untiled


class Record(NamedTuple):
    """One record as it was first seen."""

    meter: str
    epoch: str
    seq: int
    prev: bytes | None
    digest: bytes
    body: object
    clock: str


class Offered(NamedTuple):
    """One poll as the scripted meter wrote it down; ``missed`` is why it did not answer."""

    meter: str
    epoch: str
    due_ms: int
    number: int
    missed: str | None


def read_offered(log: Path) -> list[Offered]:
    """The whole log of the scripted meters."""
    return [Offered(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a copy of a database reaches: its last place in the commit order, and its last batch."""

    place: int
    batch: int

    @classmethod
    def of(cls, store: Database) -> Mark:
        """Where a database stands now."""
        ((place,),) = store.all("SELECT coalesce(max(id), 0) FROM records")
        last = store.batches.last()
        return cls(place, last.batch if last else -1)


@dataclass(slots=True)
class Books:
    """Everything that was ever seen of one gateway."""

    records: dict[int, Record] = field(default_factory=dict)
    """By their place in the commit order."""
    batches: dict[int, tuple[bytes, int, int]] = field(default_factory=dict)
    """Statement id, first and last place of each batch."""
    statements: list[tuple[int, bytes]] = field(default_factory=list)
    """Number and id of the ledger's own, in its order."""
    gone: set[int] = field(default_factory=set)
    """Places whose record was there once, is there no more, and was not pruned."""
    changed: int = 0
    """Records and batches that were seen again with other bytes."""
    sealed_twice: int = 0
    """Records that stand in two of the ledger's statements."""
    grids: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    left: set[tuple[int, bytes]] = field(default_factory=set)
    """Batches, by number and id, that were sealed after a copy was taken which was then put back."""
    forgotten: int = 0
    """Records that were made after such a copy was taken."""

    def put_back(self, mark: Mark) -> None:
        """A copy that reaches so far is the database from now on."""
        self.forgotten += sum(place > mark.place for place in self.records)
        self.records = {place: record for place, record in self.records.items() if place <= mark.place}
        self.left |= {(number, found[0]) for number, found in self.batches.items() if number > mark.batch}
        self.batches = {number: found for number, found in self.batches.items() if number <= mark.batch}

    def look(self, store: Database, statements: Iterable[bytes]) -> None:
        """Take in what is there now; ``statements``: every entry that the ledger holds of this gateway."""
        present = set()
        for place, meter, epoch, data in store.all("SELECT id, meter, epoch, data FROM records ORDER BY id"):
            present.add(place)
            digest = sha256(data).digest()
            if place in self.records:
                self.changed += self.records[place].digest != digest
            else:
                claims, body = (parsed := parse_record(data)).claims, parsed.body
                self.records[place] = Record(meter, epoch.hex(), claims.seq, claims.prev, digest, body, claims.clock)
        pruned_to, _ = store.records.pruned()
        self.gone |= {place for place in self.records if place > pruned_to and place not in present}
        for batch in store.batches.all():
            found = batch.statement_id, batch.first_id, batch.last_id
            self.changed += self.batches.setdefault(batch.batch, found) != found
        self.hear(statements)
        grids: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for meter, _, anchor_ms, period_ms in store.epochs.schedules():
            grids[meter].append((anchor_ms, period_ms))
        self.grids = dict(grids)

    def hear(self, statements: Iterable[bytes]) -> None:
        """What a ledger holds now."""
        signed = [parse_statement(entry) for entry in statements]
        self.statements = [(s.statement.batch, s.id) for s in signed]
        self.sealed_twice = _sealed_twice({s.id: s.statement for s in signed}.values())

    def duplicated(self) -> int:
        """Names, answers, places in batches and statements that stand there more than once."""
        records = list(self.records.values())
        names = Counter((r.meter, r.epoch, r.seq) for r in records)
        answers = Counter((r.meter, r.body.time_ms, r.body.values) for r in records if isinstance(r.body, Reading))
        stretches = [stretch for _, stretch in sorted((number, found[1:]) for number, found in self.batches.items())]
        twice_sealed = sum(max(0, last - first + 1) for (_, last), (first, _) in pairwise(stretches))
        numbers = Counter(number for number, _ in self.statements)
        return _extra(names) + _extra(answers) + twice_sealed + _extra(numbers) + self.sealed_twice

    def forked(self) -> int:
        """Two records that follow the same one, bytes that changed, statements that are not the gateway's own."""
        followers = Counter((r.meter, r.prev) for r in self.records.values())
        foreign = sum(not self._is_ours(number, id_) for number, id_ in self.statements)
        return _extra(followers) + self.changed + foreign

    def _is_ours(self, number: int, id_: bytes) -> bool:
        if number in self.batches:
            return self.batches[number][0] == id_
        return (number, id_) in self.left

    def untiled(self) -> int:
        """Coverage that does not go on where it ended, or does not count what the schedule says was due; without a
        clock nobody knows that of the time before."""
        flaws = 0
        for meter, grids in self.grids.items():
            records = [r for r in self.records.values() if r.meter == meter]
            covered = [r.body for r in records if isinstance(r.body, Coverage)]
            dated = [r.body for r in records if isinstance(r.body, Coverage) and r.clock != "U"]
            flaws += sum(before.to_ms != after.from_ms for before, after in pairwise(covered))
            flaws += sum(c.due != c.recorded + sum(c.missed.values()) for c in covered)
            flaws += sum(c.due != due_by(grids, c.from_ms, c.to_ms) for c in dated)
        return flaws

    def lost(self, offered: Sequence[Offered], *, ended: bool) -> int:
        """Polls of a scripted meter's log that neither a record nor coverage knows of, and records that are gone.

        ``ended``: the gateway has stopped in order, so that nothing may be outstanding.
        """
        by_meter: dict[str, list[Offered]] = defaultdict(list)
        for poll in offered:
            by_meter[poll.meter].append(poll)
        return len(self.gone) + sum(self._lost_of(meter, polls, ended) for meter, polls in by_meter.items())

    def _lost_of(self, meter: str, polls: Sequence[Offered], ended: bool) -> int:
        recorded: dict[str, set[int]] = defaultdict(set)
        stretches: list[tuple[Coverage, int]] = []
        since = 0
        for record in self.records.values():
            if record.meter != meter:
                continue
            if isinstance(record.body, Reading):
                recorded[record.epoch].add(int(str(record.body.values[0].value)))
                since += 1
            elif isinstance(record.body, Coverage):
                stretches.append((record.body, since))
                since = 0
        lost, open_ms = 0, []
        for poll in polls:
            if poll.number in recorded[poll.epoch]:
                continue
            if poll.missed is None and poll.number < max(recorded[poll.epoch], default=0):
                lost += 1  # a later poll of its epoch is there: it was passed over
            open_ms.append(poll.due_ms)
        for body, readings in stretches:
            missed = sum(body.missed.values())
            unrecorded = sum(body.from_ms <= due_ms < body.to_ms for due_ms in open_ms)
            lost += max(0, unrecorded - missed, body.due - readings - missed)
        covered_to = stretches[-1][0].to_ms if stretches else 0
        return lost + (sum(due_ms >= covered_to for due_ms in open_ms) if ended else 0)

    def flaws(self, offered: Sequence[Offered], *, ended: bool = False) -> Flaws:
        """All four counts, against a scripted meter's log."""
        return Flaws(self.lost(offered, ended=ended), self.duplicated(), self.forked(), self.untiled())


def _sealed_twice(statements: Iterable[Statement]) -> int:
    ends: dict[tuple[str, bytes], list[tuple[int, int]]] = defaultdict(list)
    for statement in statements:
        for meter, stretches in statement.meters.items():
            for stretch in stretches:
                ends[meter, stretch.epoch].append((stretch.first, stretch.last))
    return sum(max(0, last - first + 1) for found in ends.values() for (_, last), (first, _) in pairwise(sorted(found)))


def _extra(counts: Mapping[Any, int]) -> int:
    return sum(n - 1 for n in counts.values())
