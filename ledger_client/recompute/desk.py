"""The desk of a recomputation: statements whose books are being kept, each judged when its last batch has passed.

Versions of a period are made of the same records, so their books are kept once as long as entries make no difference to
what is kept; what one of them still waits for is put aside before the other's next batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ledger_client.accounting.books import CONFIGURATION, Books
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row, Rows, by_node
from ledger_client.accounting.statement import Choice, Statement, state
from ledger_client.audit.records import Fact
from ledger_client.errors import VerificationError
from ledger_client.formats.record import Coverage, Event
from ledger_client.formats.statement import SignedStatement
from ledger_client.inputs.effects import Apart, put_aside
from ledger_client.inputs.review import Review, review
from ledger_client.recompute.compare import Difference, differences
from ledger_client.recompute.lacking import Lacking, lacking_of
from ledger_client.recompute.sources import SignedPeriod, Sources, files_read


class Given(NamedTuple):
    """The rows files that somebody gave, each with its root; ``broken``: why others are none."""

    files: list[tuple[bytes, Rows]]
    broken: list[str]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Given:
        """Raises FileError."""
        given = cls([], [])
        for data in files_read(paths):
            try:
                rows = Rows.parse(data)
            except VerificationError as error:
                given.broken.append(error.detail)
            else:
                given.files.append((rows.root, rows))
        return given

    def under(self, root: object) -> Rows | None:
        """Those under a root; None: nobody gave them."""
        return next((rows for files_root, rows in self.files if files_root == root), None)

    def of(self, size: object, root: object, *, others: Collection[bytes]) -> Rows | None:
        """What is meant for a statement of so many rows: those under its root, else of its size, else the only ones;
        never those under the root of another statement. ``others``: these roots."""
        left = [rows for files_root, rows in self.files if files_root not in others]
        sized = (rows for rows in left if len(rows.rows) == size)
        return self.under(root) or next(sized, left[0] if len(left) == 1 else None)


@dataclass(slots=True)
class Recomputed:
    """One statement: how it was signed, how it comes out, and every difference. ``rows``: how many it has; they are
    kept for other statements that use them, and for whoever asks for them. ``lacking``: by node why it is not complete,
    and what is missing besides; ``review``: of a last version, where it was asked for."""

    record: bytes
    fields: Mapping[str, Any]
    statement: Statement | None = None
    rows: int | None = None
    differences: list[Difference] = field(default_factory=list)
    rows_compared: bool = False
    lacking: tuple[Lacking, ...] = ()
    review: Review | None = None

    @property
    def equal(self) -> bool:
        """Whether the statement comes out as it was signed."""
        return self.statement is not None and not self.differences


@dataclass(slots=True)
class Opened:
    """A statement whose books are being kept."""

    period: SignedPeriod
    choice: Choice
    books: Books
    apart: Apart | None = None

    @property
    def order(self) -> tuple[int, int]:
        """By time, and the versions of one period as they follow each other."""
        return self.choice.from_ms, self.choice.version

    def cites(self, batch: int) -> bool:
        """Whether a batch is one of its own."""
        return self.choice.batches[0][0] <= batch <= self.choice.batches[1][0]


class Desk:
    """Judges each statement once its last batch has passed, and lets its books go then: there is room for those of a
    few, not of years."""

    def __init__(
        self, opened: list[Opened], done: dict[bytes, Recomputed], sources: Sources, given: Given, *, keep_rows: bool
    ) -> None:
        """``done``: by record, what is judged already."""
        self.opened = sorted(opened, key=lambda one: one.order)
        self._done, self._sources, self._given = done, sources, given
        self._used = {record for one in opened for record in one.choice.uses}
        if keep_rows:
            self._used |= {one.period.record for one in opened}
        self._choices = {one.period.record: one.choice for one in opened}
        self._batch, self._kept_in = -1, list[Books]()
        self.roles: dict[str, set[str]] = defaultdict(set)

    def take(self, signed: SignedStatement, fact: Fact) -> None:
        """What was kept of the next record."""
        assert fact.name is not None
        if signed.statement.batch != self._batch:
            self._batch = signed.statement.batch
            self._judge_passed()
            self._kept_in = [
                *{id(one.books.registers): one.books for one in self.opened if one.cites(self._batch)}.values()
            ]
        if isinstance(fact.kept, Event) and fact.kept.name == CONFIGURATION:
            for meter, role in _roles_in(fact.kept):
                self.roles[meter].add(role)
        for books in self._kept_in:
            _feed(books, fact.name.meter, fact.kept, fact.hash)

    def _judge_passed(self) -> None:
        """Those whose last batch has passed, unless they use one that waits."""
        waiting, still = set[bytes](), list[Opened]()
        for one in self.opened:
            if one.choice.batches[1][0] < self._batch and waiting.isdisjoint(one.choice.uses):
                self._judge(one)
            else:
                waiting.add(one.period.record)
                still.append(one)
                if one.choice.batches[1][0] < self._batch and self._shares(one):
                    one.books, one.apart = put_aside(one.books, one.apart)
        self.opened = still

    def _shares(self, one: Opened) -> bool:
        """Whether another statement's books are kept with this one's."""
        return any(one.books.keeps_the_same(other.books) for other in self.opened if other is not one)

    def _judge(self, one: Opened) -> None:
        history = _history(one.choice, self._sources, self._done, self._given)
        found = self._done[one.period.record] = _judged(one, self._given, history, self._sources)
        if one.apart is not None and found.statement is not None and not isinstance(history, bytes):
            record, statement = one.period.record, found.statement
            found.review = review(one.books, one.apart, record, one.choice, statement, history)
        if found.statement is not None:
            found.rows, found.lacking = len(found.statement.rows), lacking_of(found.statement)
            if one.period.record not in self._used:
                found.statement = replace(found.statement, rows=())

    def end(self, held: Mapping[int, bytes]) -> dict[bytes, Recomputed]:
        """All, when all batches have passed; ``held``: their statement ids."""
        for one in self.opened:
            self._judge(one)
        for record, choice in self._choices.items():
            if lacking := list(_lacking(choice, held)):
                self._done[record] = Recomputed(record, self._done[record].fields, differences=lacking)
        return self._done


def books_of(opened: Sequence[Opened], plan: Plan, choice: Choice, entries: Sequence[Entry]) -> Books:
    """Books for a statement, kept with those of another one of the same records, as versions of a period are."""
    for one in opened:
        same = one.books.plan is plan and one.choice.batches[0] == choice.batches[0]
        if same and (books := one.books.beside(entries)) is not None:
            return books
    return Books(plan, entries)


def refusal_of(error: AccountingError) -> Difference:
    return Difference(error.rule, error.where, None, error.problem)


def _roles_in(event: Event) -> Iterator[tuple[str, str]]:
    """Meters and their roles in a ``configuration`` event; one of another form is found by the audit."""
    meters = event.fields.get("meters")
    for meter, facts in meters.items() if isinstance(meters, Mapping) else ():
        if isinstance(facts, Mapping) and isinstance(role := facts.get("role"), str):
            yield meter, role


def _feed(books: Books, meter: str, kept: Any, record: bytes) -> None:
    if isinstance(kept, Event):
        books.event(meter, kept)
    elif isinstance(kept, Coverage):
        books.coverage(meter, kept)
    else:
        clock, reading = kept
        books.reading(meter, clock, reading, record)


def _history(
    choice: Choice, sources: Sources, done: Mapping[bytes, Recomputed], given: Given
) -> dict[str, list[Row]] | bytes:
    """By node, the rows of the statements that one uses: as recomputed here, or of a rows file under the root that was
    signed (T5). The record of a statement whose rows nobody gave."""
    used: list[Sequence[bytes]] = []
    for record in choice.uses:
        earlier, signed = done.get(record), sources.periods.get(record)
        if earlier and earlier.equal and earlier.statement:
            used.append(earlier.statement.rows)
        elif signed and (rows := given.under(signed.fields["rows"][1])) is not None:
            used.append(rows.rows)
        else:
            return record
    return by_node(used)


def _lacking(choice: Choice, held: Mapping[int, bytes]) -> Iterator[Difference]:
    """The batches that a statement cites and no file holds. ``held``: the statement ids of those that one does."""
    (first, _), (last, _) = choice.batches
    whole = True
    for batch, statement_id in choice.batches:
        if batch not in held:
            whole = False
            yield Difference("T2", "batches", f"batch {batch}", "no file holds it")
        elif held[batch] != statement_id:
            whole = False
            yield Difference("T2", "batches", f"batch {batch}", "the file's is another one")
    missing = next((batch for batch in range(first, last + 1) if batch not in held), None)
    if missing is not None and whole:
        yield Difference("T2", "batches", f"{first} to {last}", f"batch {missing} is missing")


def _no_rows(record: bytes) -> Difference:
    """The rows of a statement that another one uses are not there."""
    problem = f"no file holds the rows of {record.hex()}: give its batches, or .mrows and .mseal"
    return Difference("T5", "uses", None, problem)


def _judged(one: Opened, given: Given, history: dict[str, list[Row]] | bytes, sources: Sources) -> Recomputed:
    """A statement beside what its batches give."""
    found = Recomputed(one.period.record, one.period.fields)
    if isinstance(history, bytes):
        found.differences.append(_no_rows(history))
        return found
    try:
        found.statement = state(one.books, one.choice, None, history)
    except AccountingError as error:
        found.differences.append(refusal_of(error))
        return found
    found.differences += [Difference("T1", "rows", None, f"a .mrows file is none: {why}") for why in given.broken]
    others = {period.fields["rows"][1] for period in sources.periods.values() if period.record != one.period.record}
    rows_given = given.of(*found.fields["rows"], others=others)
    found.rows_compared = rows_given is not None
    found.differences += differences(one.period.fields, found.statement, rows_given)
    return found
