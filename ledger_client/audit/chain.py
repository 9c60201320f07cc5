"""Audit of order: the chain of statements, each meter's chain of seq and prev, and the epochs. No I/O.

What lies before the first batch is not known, and where a batch is missing everything begins anew. Numbers may be left
out, and a meter may go on from an older record, only in a batch that says ``resume``; that the numbers are lost must
stand in a signed event of any of the batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from ledger_client.audit.events import Lost
from ledger_client.audit.records import Fact, Name
from ledger_client.audit.result import CHAIN, Audit
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import SignedStatement
from ledger_client.verification.explain import clean


class Step(Enum):
    """How a record comes after the one before it."""

    FIRST = auto()  # nothing is known of what was before it
    NEXT = auto()
    OLDER = auto()  # it goes on from an older record: a database was put back
    GAP = auto()  # numbers are left out


@dataclass(slots=True)
class _Link:
    """Where one meter's chain stands: its last record, and the epochs that it left."""

    name: Name
    hash: bytes
    left: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Numbers that were left out, before which record; ``resume``: its batch says so; ``apart``: batches are, too."""

    place: tuple[str, int | None]
    name: Name
    first: int
    resume: bool
    apart: bool

    @property
    def numbers(self) -> str:
        first, last = self.first, self.name.seq - 1
        return f"number {first} is" if first == last else f"numbers {first} to {last} are"


@dataclass(frozen=True, slots=True)
class Missing:
    """Batches are missing before one that does not say ``resume``; ``known``: each meter's last record before them."""

    place: tuple[str, int | None]
    text: str
    known: Mapping[str, Name]


class Chains:
    """Batches in order, and within each its records in order."""

    def __init__(self, result: Audit, *, from_the_first: bool = False) -> None:
        """``from_the_first``: it is a finding where the files do not begin with batch 0."""
        self._result, self._from_the_first = result, from_the_first
        self._links: dict[str, _Link] = {}
        self._before: SignedStatement | None = None
        self._whole = False  # everything since batch 0 was seen
        self._running: set[bytes] = set()  # epochs that may have begun before what was seen
        self._breaks: set[str] = set()  # meters that may go on from an older record: a database was put back
        self._apart: set[str] = set()  # meters of which nothing was seen since batches that are missing, under resume
        self._resume = False
        self._gaps: list[_Gap] = []
        self._missing: list[Missing] = []
        self._lost: dict[tuple[str, bytes], list[tuple[int, int]]] = {}

    # — statements —

    def batch(self, signed: SignedStatement) -> bool:
        """The next batch, by its number; its records follow. True where everything begins anew with it."""
        statement, before = signed.statement, self._before
        follows = before is not None and statement.batch == before.statement.batch + 1
        if before is None:
            self._begin(signed)
        elif not follows and statement.resume is not None:
            self._result.resumed(
                None, f"{_missing(statement.batch, before.statement.batch)}; a lost database had what it tells"
            )
            self._apart = set(self._links)
            follows = True
        elif not follows:
            text = _missing(statement.batch, before.statement.batch)
            known = {meter: link.name for meter, link in self._links.items()}
            self._missing.append(Missing(self._result.place, text, known))
            self._begin(signed)
        elif statement.prev != before.id:
            self._result.found(
                CHAIN, None, f"it does not follow batch {before.statement.batch}: its prev is another one"
            )
        self._resume = statement.resume is not None
        if statement.resume is not None:
            self._result.resumed(None, f"goes on after a loss: {clean(statement.resume)}")
            self._breaks = set(self._links)
            self._whole = False
        self._before = signed
        return not follows

    def _begin(self, signed: SignedStatement) -> None:
        statement = signed.statement
        self._links, self._breaks = {}, set()
        self._whole = statement.batch == 0
        epochs = {r.epoch for ranges in statement.meters.values() for r in ranges}
        self._running = set() if self._whole else epochs
        if self._whole or self._before is not None:
            return
        begins = f"begins at batch {statement.batch}: nothing is said of what was before it"
        if self._from_the_first:
            self._result.found(CHAIN, None, f"{begins}; give the files of the batches before it, or say --from")
        else:
            self._result.noted(begins)

    # — records —

    def record(self, fact: Fact, name: Name) -> Step:
        """The next record of the batch."""
        link = self._links.get(name.meter)
        if link is None:
            step = self._first(fact, name)
            self._links[name.meter] = _Link(name, fact.hash)
        else:
            step = self._follow(fact, name, link)
            link.name, link.hash = name, fact.hash
            self._apart.discard(name.meter)
        return step

    def _first(self, fact: Fact, name: Name) -> Step:
        if self._whole and fact.prev is not None:
            self._result.found(CHAIN, name, "it says that it follows a record, and no batch holds that")
        early = name.epoch in self._running and fact.prev is not None
        if name.seq != 0 and not early:
            return self._gap(name, 0)
        return Step.FIRST

    def _follow(self, fact: Fact, name: Name, link: _Link) -> Step:
        last = link.name
        expected = last.seq + 1 if name.epoch == last.epoch else 0
        if name.epoch != last.epoch:
            link.left.add(last.epoch)
            if name.epoch in link.left:
                self._result.found(CHAIN, name, "its epoch was left, and has returned")
        if name.seq > expected:
            return self._gap(name, expected)
        if name.seq < expected:
            self._result.found(CHAIN, name, f"it comes after number {last.seq} of its epoch")
        if fact.prev == link.hash:
            return Step.NEXT
        if name.meter in self._breaks and name.epoch != last.epoch:
            self._breaks.discard(name.meter)
            self._result.resumed(name, f"it goes on from another record than {last}: the database had been put back")
            return Step.OLDER
        self._result.found(CHAIN, name, f"its prev is not the record before it, {last}")
        return Step.NEXT

    def _gap(self, name: Name, first: int) -> Step:
        self._gaps.append(_Gap(self._result.place, name, first, self._resume, name.meter in self._apart))
        return Step.GAP

    # — what is lost —

    def lost(self, stretches: Iterable[Lost]) -> None:
        """A signed event calls these numbers lost."""
        for meter, epoch, first, last in stretches:
            self._lost.setdefault((meter, epoch), []).append((first, last))

    def missing_before(self) -> Missing | None:
        """The batches that are missing before all that was seen since."""
        return self._missing[-1] if self._missing else None

    def is_lost(self, missing: Missing) -> bool:
        """Whether a signed event calls records lost that came behind what was known before the missing batches: a
        batch of which records are lost cannot be exported any more."""
        known = ((name.meter, name.epoch, name.seq) for name in missing.known.values())
        return any(last > seq for meter, epoch, seq in known for _, last in self._lost.get((meter, epoch), []))

    def end(self) -> None:
        """All batches were seen: what is missing is lost by a signed event, or it is left out."""
        for missing in self._missing:
            with self._result.speaking_of(missing.place):
                if self.is_lost(missing):
                    self._result.resumed(None, f"{missing.text}; a signed event calls records of them lost")
                else:
                    self._result.found(CHAIN, None, f"{missing.text}; give their files too")
        for gap in self._gaps:
            with self._result.speaking_of(gap.place):
                if gap.apart:
                    self._result.resumed(gap.name, f"{gap.numbers} missing before it, as batches are")
                elif gap.resume and self._is_lost(gap):
                    self._result.resumed(gap.name, f"{gap.numbers} lost before it, as a signed event says")
                elif gap.resume:
                    self._result.found(CHAIN, gap.name, f"{gap.numbers} left out before it, and no event calls it lost")
                else:
                    self._result.found(CHAIN, gap.name, f"{gap.numbers} left out before it")

    def _is_lost(self, gap: _Gap) -> bool:
        number = gap.first
        for first, last in sorted(self._lost.get((gap.name.meter, gap.name.epoch), [])):
            if first <= number <= last:
                number = last + 1
        return number >= gap.name.seq


def _missing(number: int, before: int) -> str:
    missing = f"batch {before + 1} is" if number == before + 2 else f"batches {before + 1} to {number - 1} are"
    return f"{missing} missing before it"


@dataclass(slots=True)
class Epochs:
    """The epochs of one gateway, in the order of its records: one at a time, each from the gateway's first record of it
    on.

    The gateway's events are the first records of an epoch, and behind them nothing is of an epoch before. An epoch that
    an announced loss has put back (a batch that says ``resume``) is of that step.
    """

    result: Audit
    _running: bytes | None = None
    """The epoch of the gateway's last record; None: not known."""
    _seen: set[bytes] = field(default_factory=set)
    """Epochs of meters while that is not known."""
    _over: dict[bytes, tuple[Name, int]] = field(default_factory=dict)
    """Those that are over: by the gateway's first record of the next, behind how many announced losses."""
    _found: set[tuple[str, bytes]] = field(default_factory=set)

    def begin_batch(self, *, resume: bool) -> None:
        """The records of the next batch follow; ``resume``: it goes on after a loss, maybe of a gateway's record."""
        if resume:
            self._forget()

    def begin_anew(self) -> None:
        """Batches are missing, and the beginning of an epoch may be with them."""
        self._forget()

    def _forget(self) -> None:
        self._seen |= {self._running} if self._running is not None else set()
        self._running = None

    def record(self, name: Name) -> None:
        """The next record."""
        if name.epoch == self._running:
            return
        if name.epoch in self._over:
            by, losses = self._over[name.epoch]
            self._find(name, f"its epoch was over: {by} has begun the next one before it", losses)
        elif name.meter == GATEWAY_ITSELF:
            ended = {*self._seen, self._running} - {None, name.epoch}
            self._over |= {epoch: (name, self.result.losses) for epoch in ended if epoch is not None}
            self._running, self._seen = name.epoch, set()
        elif self._running is None:
            self._seen.add(name.epoch)
        else:
            self._find(name, "its epoch begins without a record of the gateway", self.result.losses)

    def _find(self, name: Name, text: str, losses: int) -> None:
        """Once a meter and epoch."""
        key = name.meter, name.epoch
        if key not in self._found:
            self._found.add(key)
            self.result.contradicted(CHAIN, name, text, losses)
