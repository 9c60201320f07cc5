"""Recomputation of statements: an audit of the batches, then the same payload and rows from them, byte by byte.

Reads batch files, proofs and ``.mrows`` files; believes the trust file only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ledger_client.accounting.books import CONFIGURATION, Books
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry, cited
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row, Rows, by_node
from ledger_client.accounting.statement import Choice, Statement, parse_choice, state
from ledger_client.audit.records import Fact
from ledger_client.audit.result import Audit
from ledger_client.audit.run import Wanted, audit
from ledger_client.errors import VerificationError
from ledger_client.formats.record import EXCHANGE, GATEWAY_ITSELF, Coverage, Event, Record
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import SignedStatement
from ledger_client.recompute.chain import chain, goes_on, links_of
from ledger_client.recompute.compare import Difference, differences
from ledger_client.recompute.gaps import SpanOf
from ledger_client.recompute.lacking import Lacking, lacking_of
from ledger_client.recompute.sources import SignedPeriod, Sources, files_read, scan
from ledger_client.verification.trust import Trust


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

    def of(self, size: object, root: object) -> Rows | None:
        """What is meant for a statement of so many rows: those under its root, else of its size, else the only ones."""
        sized = (rows for _, rows in self.files if len(rows.rows) == size)
        alone = self.files[0][1] if len(self.files) == 1 else None
        return self.under(root) or next(sized, alone)


class Keeper:
    """Keeps of a record what books are kept of; goes to other processes."""

    def __init__(self, wanted: Mapping[str, frozenset[str]]) -> None:
        self._wanted = wanted

    def __call__(self, record: Record) -> Any:
        meter, body = record.claims.meter, record.body
        if isinstance(body, Event):
            counts = body.name == EXCHANGE or (meter == GATEWAY_ITSELF and body.name == CONFIGURATION)
            return body if counts else None
        names = self._wanted.get(meter)
        if names is None or isinstance(body, Coverage):
            return body if names is not None else None
        values = tuple(value for value in body.values if value.name in names)
        return (record.claims.clock, Reading(body.time_ms, values)) if values else None


@dataclass(slots=True)
class Recomputed:
    """One statement: how it was signed, how it comes out, and every difference. ``rows``: how many it has; they are
    kept for other statements that use them, and for whoever asks for them. ``lacking``: by node why it is not complete,
    and what is missing besides."""

    record: bytes
    fields: Mapping[str, Any]
    statement: Statement | None = None
    rows: int | None = None
    differences: list[Difference] = field(default_factory=list)
    rows_compared: bool = False
    lacking: tuple[Lacking, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether the statement comes out as it was signed."""
        return self.statement is not None and not self.differences


@dataclass(slots=True)
class Result:
    """Of all statements that were asked for, after the audit of the batches."""

    audit: Audit
    periods: list[Recomputed]
    sources: Sources

    @property
    def equal(self) -> bool:
        """Whether the audit is sound and every statement equal."""
        return self.audit.sound and bool(self.periods) and all(period.equal for period in self.periods)


@dataclass(slots=True)
class _Open:
    """A statement whose books are being kept."""

    period: SignedPeriod
    choice: Choice
    books: Books

    @property
    def order(self) -> tuple[int, int]:
        """By time, and the versions of one period as they follow each other."""
        return self.choice.from_ms, self.choice.version

    def cites(self, batch: int) -> bool:
        """Whether a batch is one of its own."""
        return self.choice.batches[0][0] <= batch <= self.choice.batches[1][0]


class _Desk:
    """Judges each statement once its last batch has passed, and lets its books go then: there is room for those of a
    few, not of years."""

    def __init__(
        self, opened: list[_Open], done: dict[bytes, Recomputed], sources: Sources, given: Given, *, keep_rows: bool
    ) -> None:
        """``done``: by record, what is judged already."""
        self.opened = sorted(opened, key=lambda one: one.order)
        self._done, self._sources, self._given = done, sources, given
        self._used = {record for one in opened for record in one.choice.uses}
        if keep_rows:
            self._used |= {one.period.record for one in opened}
        self._choices = {one.period.record: one.choice for one in opened}
        self._batch = -1

    def take(self, signed: SignedStatement, fact: Fact) -> None:
        """What was kept of the next record."""
        assert fact.name is not None
        if signed.statement.batch != self._batch:
            self._batch = signed.statement.batch
            self._judge_passed()
        for one in self.opened:
            if one.cites(self._batch):
                _feed(one.books, fact.name.meter, fact.kept, fact.hash)

    def _judge_passed(self) -> None:
        """Those whose last batch has passed, unless they use one that waits."""
        waiting, still = set[bytes](), list[_Open]()
        for one in self.opened:
            if one.choice.batches[1][0] < self._batch and waiting.isdisjoint(one.choice.uses):
                self._judge(one)
            else:
                waiting.add(one.period.record)
                still.append(one)
        self.opened = still

    def _judge(self, one: _Open) -> None:
        history = _history(one.choice, self._sources, self._done, self._given)
        found = self._done[one.period.record] = _judged(one, self._given, history)
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


def recompute(
    paths: Sequence[Path],
    trust: Trust,
    now: int,
    *,
    rows: Sequence[Path] = (),
    period: SpanOf | None = None,
    processes: int | None = None,
    keep_rows: bool = False,
) -> Result:
    """Recompute the statements in batch files and proofs.

    Args:
        paths: ``.mbatch`` files of one gateway, and ``.mseal`` proofs of plans and statements from other batches.
        rows: ``.mrows`` files; without that of a statement all but the root of its rows is compared.
        period: only statements that have some of this time; what they use is recomputed for them, too.
        processes: how many check signatures (None: as many as are good).
        keep_rows: each statement of the result has its rows.

    Raises:
        FileError: a file cannot be read.
        VerificationError: a proof does not hold.
    """
    sources, given = scan(paths, trust, now), Given.read(rows)
    return recompute_scanned(sources, given, paths, trust, now, period=period, processes=processes, keep_rows=keep_rows)


def recompute_scanned(
    sources: Sources,
    given: Given,
    paths: Sequence[Path],
    trust: Trust,
    now: int,
    *,
    period: SpanOf | None = None,
    processes: int | None = None,
    keep_rows: bool = False,
) -> Result:
    """The same, of files that were scanned and of rows that were read."""
    asked = _asked(sources, period)
    desk = _Desk(*_opened(sources, _with_used(sources, asked, given), period), sources, given, keep_rows=keep_rows)
    keeper = Keeper(_wanted([one.books.plan for one in desk.opened]))
    whole = Wanted(allow_resume=True)
    result = audit(paths, trust, now, wanted=whole, processes=processes, keeper=keeper, take=desk.take)
    done = desk.end({batch.batch: batch.statement_id for batch in result.batches})
    _chained(done, sources)
    judged = [one for record, one in done.items() if record in asked or record not in sources.periods]
    order = sorted(judged, key=lambda r: (r.fields.get("from", 0), r.fields.get("version", 0)))
    return Result(result, order, sources)


def _chained(done: Mapping[bytes, Recomputed], sources: Sources) -> None:
    """What does not hold of statements beside each other."""
    for record, differences_ in chain(sources).items():
        if record in done:
            done[record].differences += differences_
    for link in links_of(sources):
        recomputed, before = done.get(link.record), done.get(link.choice.before or b"")
        if (
            recomputed
            and recomputed.statement
            and before
            and before.statement
            and before.fields["plan"] == link.choice.plan
        ):
            recomputed.differences += goes_on(link, recomputed.statement, before.statement)
        named = link.choice.before
        if (
            recomputed
            and named
            and named not in sources.periods
            and any(d.where == "entries" for d in recomputed.differences)
        ):
            problem = "no file holds it, and its entries may count: give its batch or proof"
            recomputed.differences.append(Difference("P9", "before", named.hex(), problem))


def _asked(sources: Sources, span_of: SpanOf | None) -> frozenset[bytes]:
    """The statements that have some of the time that is asked for, by the civil time of their plans."""
    if span_of is None:
        return frozenset(sources.periods)
    found = set[bytes]()
    for period in sources.periods.values():
        signed = sources.plans.get(period.fields["plan"])
        begin_ms, end_ms = span_of(signed.plan.civil_min if signed else 0)
        if period.fields["from"] < end_ms and begin_ms < period.fields["to"]:
            found.add(period.record)
    return frozenset(found)


def _with_used(sources: Sources, asked: frozenset[bytes], given: Given) -> frozenset[bytes]:
    """Those, and the statements that they use of which nobody gave the rows."""
    wanted, ahead = set(asked), list(asked)
    while ahead:
        for used in sources.periods[ahead.pop()].fields["uses"]:
            signed = sources.periods.get(used)
            if signed and used not in wanted and given.under(signed.fields["rows"][1]) is None:
                wanted.add(used)
                ahead.append(used)
    return frozenset(wanted)


def _opened(
    sources: Sources, wanted: frozenset[bytes], span_of: SpanOf | None
) -> tuple[list[_Open], dict[bytes, Recomputed]]:
    opened, failed = list[_Open](), dict[bytes, Recomputed]()
    for record, refused in sources.refused.items():
        if refused.name == words.PERIOD and span_of is None:
            failed[record] = Recomputed(record, {}, differences=[_refused(refused.error)])
    for period in sources.periods.values():
        if period.record not in wanted:
            continue
        try:
            signed = sources.plan_of(period)
            choice = parse_choice(period.fields, signed.iat_ms)
            for refused in sources.refused.values():
                (first, _), (last, _) = choice.batches
                if refused.name == words.ENTRY and first <= refused.batch <= last:
                    raise refused.error
            opened.append(_Open(period, choice, Books(signed.plan, _entries(sources, signed.plan, choice))))
        except AccountingError as error:
            failed[period.record] = Recomputed(period.record, period.fields, differences=[_refused(error)])
    return opened, failed


def _refused(error: AccountingError) -> Difference:
    return Difference(error.rule, error.where, None, error.problem)


def _entries(sources: Sources, plan: Plan, choice: Choice) -> list[Entry]:
    (first, _), (last, _) = choice.batches
    before = sources.periods.get(choice.before or b"")
    return cited(sources.entries, plan, first, last, before.fields if before else None)


def _wanted(plans: Sequence[Plan]) -> dict[str, frozenset[str]]:
    wanted: dict[str, frozenset[str]] = {}
    for plan in plans:
        for point in plan.points.values():
            wanted[point.meter] = wanted.get(point.meter, frozenset()) | {point.own_name}
    return wanted


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


def _judged(one: _Open, given: Given, history: dict[str, list[Row]] | bytes) -> Recomputed:
    """A statement beside what its batches give."""
    found = Recomputed(one.period.record, one.period.fields)
    if isinstance(history, bytes):
        found.differences.append(_no_rows(history))
        return found
    try:
        found.statement = state(one.books, one.choice, None, history)
    except AccountingError as error:
        found.differences.append(_refused(error))
        return found
    found.differences += [Difference("T1", "rows", None, f"a .mrows file is none: {why}") for why in given.broken]
    rows_given = given.of(*found.fields["rows"])
    found.rows_compared = rows_given is not None
    found.differences += differences(one.period.fields, found.statement, rows_given)
    return found
