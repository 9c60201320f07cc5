"""The part of an audit that runs over records and batches: chains of seq and prev, coverage, the chain of statements.

Says what does not hold in words, to ``found`` and ``noted``; what lies before the first batch is not known, and where a
batch is missing everything begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ledger_client.audit_records import Fact, Name
from ledger_client.record import Coverage
from ledger_client.report import clean
from ledger_client.statement import SignedStatement
from ledger_client.verify import rfc3339_ms

CHAIN, COVERAGE = "chain", "coverage"
Found = Callable[[str, Name | None, str], None]


@dataclass(slots=True)
class Told:
    """What the records of one meter tell: its readings, and by its coverage what was due and what became of it."""

    readings: int = 0
    due: int = 0
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Link:
    """Where one meter's story stands: its last record, the epochs that it left, the end of its coverage (None: not
    known) and the readings since that end (None: not known)."""

    name: Name
    hash: bytes
    left: set[bytes] = field(default_factory=set)
    covered_to_ms: int | None = None
    readings: int | None = None


class Story:
    """Batches in order, and within each its records in order."""

    def __init__(self, found: Found, noted: Callable[[str], None]) -> None:
        self._found, self._noted = found, noted
        self._links: dict[str, _Link] = {}
        self._before: SignedStatement | None = None
        self._whole = False  # everything since batch 0 was seen
        self._running: set[bytes] | None = None  # epochs that may have begun before what was seen; None: not known yet
        self._breaks: set[str] = set()  # meters whose story may go on from an older record: a database was put back
        self.told: dict[str, Told] = {}

    # — statements —

    def batch(self, signed: SignedStatement) -> None:
        """The next batch, by its number; its records follow."""
        statement, before = signed.statement, self._before
        if before is None:
            self._start(signed)
        elif statement.batch == before.statement.batch + 1:
            if statement.prev != before.id:
                self._found(CHAIN, None, f"it does not follow batch {before.statement.batch}: its prev is another one")
        else:
            self._gap(signed, before.statement.batch)
            self._start(signed)
        if statement.resume is not None:
            self._noted(f"batch {statement.batch} goes on after a loss: {clean(statement.resume)}")
            self._breaks = set(self._links)
            self._whole = False
        self._before = signed

    def _start(self, signed: SignedStatement) -> None:
        statement = signed.statement
        self._links, self._breaks = {}, set()
        self._whole = statement.batch == 0
        epochs = {r.epoch for ranges in statement.meters.values() for r in ranges}
        self._running = set() if self._whole else epochs
        if not self._whole and self._before is None:
            self._noted(f"begins at batch {statement.batch}: nothing is said of what was before it")

    def _gap(self, signed: SignedStatement, before: int) -> None:
        number = signed.statement.batch
        missing = f"batch {before + 1} is" if number == before + 2 else f"batches {before + 1} to {number - 1} are"
        self._found(CHAIN, None, f"{missing} missing before it; give their files too")

    # — records —

    def record(self, fact: Fact) -> None:
        """The next record of the batch."""
        name = fact.name
        if name is None:
            return
        told = self.told.setdefault(name.meter, Told())
        link = self._links.get(name.meter)
        if link is None:
            link = self._links[name.meter] = self._first(fact, name)
        else:
            self._follow(fact, name, link)
        link.name, link.hash = name, fact.hash
        if fact.coverage is not None:
            self._covered(fact.coverage, name, link, told)
        elif fact.kind == "reading":
            told.readings += 1
            link.readings = None if link.readings is None else link.readings + 1

    def _first(self, fact: Fact, name: Name) -> _Link:
        if self._whole and fact.prev is not None:
            self._found(CHAIN, name, "it says that it follows a record, and no batch holds that")
        early = self._running is not None and name.epoch in self._running and fact.prev is not None
        if name.seq != 0 and not early:
            self._found(CHAIN, name, "the first record of an epoch has the number 0")
        return _Link(name, fact.hash, readings=0 if fact.prev is None else None)

    def _follow(self, fact: Fact, name: Name, link: _Link) -> None:
        last = link.name
        if name.epoch == last.epoch:
            if name.seq != last.seq + 1:
                self._found(CHAIN, name, f"it comes after number {last.seq} of its epoch")
        else:
            link.left.add(last.epoch)
            if name.epoch in link.left:
                self._found(CHAIN, name, "its epoch was left, and has returned")
            if name.seq != 0:
                self._found(CHAIN, name, "the first record of an epoch has the number 0")
        if fact.prev == link.hash:
            return
        if name.meter in self._breaks and name.epoch != last.epoch:
            self._breaks.discard(name.meter)
            link.covered_to_ms = link.readings = None
            self._noted(f"{name} goes on from an older record than {last}: the database had been put back")
        else:
            self._found(CHAIN, name, f"its prev is not the record before it, {last}")

    def _covered(self, body: Coverage, name: Name, link: _Link, told: Told) -> None:
        if link.covered_to_ms is not None and body.from_ms != link.covered_to_ms:
            ended = rfc3339_ms(link.covered_to_ms)
            what = "a hole" if body.from_ms > link.covered_to_ms else "an overlap"
            self._found(
                COVERAGE, name, f"{what}: it begins at {rfc3339_ms(body.from_ms)}, the one before ends at {ended}"
            )
        if link.readings is not None and body.recorded != link.readings:
            self._found(
                COVERAGE, name, f"it counts {body.recorded} readings as recorded, and there are {link.readings}"
            )
        link.covered_to_ms, link.readings = body.to_ms, 0
        told.due += body.due
        told.recorded += body.recorded
        told.missed.update(body.missed)
