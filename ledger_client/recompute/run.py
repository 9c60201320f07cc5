"""Recomputation of statements: an audit of the batches, then the same payload and rows from them, byte by byte.

Reads batch files, proofs and ``.mrows`` files; believes the trust file only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger_client.accounting.books import CONFIGURATION
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry, cited
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.statement import Choice, parse_choice
from ledger_client.audit.result import Audit
from ledger_client.audit.run import Wanted, audit
from ledger_client.formats.record import EXCHANGE, GATEWAY_ITSELF, Coverage, Event, Record
from ledger_client.formats.senml import Reading
from ledger_client.inputs.effects import Apart
from ledger_client.recompute.chain import chain, goes_on, links_of
from ledger_client.recompute.compare import Difference
from ledger_client.recompute.desk import Desk, Given, Opened, Recomputed, books_of, refusal_of
from ledger_client.recompute.gaps import SpanOf
from ledger_client.recompute.sources import Sources, scan
from ledger_client.verification.trust import Trust

__all__ = ["Given", "Keeper", "Recomputed", "Result", "recompute", "recompute_scanned"]


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
        values = tuple([value for value in body.values if value.name in names])
        return (record.claims.clock, Reading(body.time_ms, values)) if values else None


@dataclass(slots=True)
class Result:
    """Of all statements that were asked for, after the audit of the batches. ``roles``: those of each meter in the
    ``configuration`` events."""

    audit: Audit
    periods: list[Recomputed]
    sources: Sources
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether the audit is sound and every statement equal."""
        return self.audit.sound and bool(self.periods) and all(period.equal for period in self.periods)


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
    reviewed: bool = False,
) -> Result:
    """The same, of files that were scanned and of rows that were read; ``reviewed``: what people supplied to the last
    version of each statement, too."""
    asked = _asked(sources, period)
    superseded = {one.fields.get("supersedes") for one in sources.periods.values()}
    last = asked - superseded if reviewed else frozenset[bytes]()
    desk = Desk(*_opened(sources, _with_used(sources, asked, given), period, last), sources, given, keep_rows=keep_rows)
    keeper = Keeper(_wanted([one.books.plan for one in desk.opened]))
    whole = Wanted(allow_resume=True)
    result = audit(paths, trust, now, wanted=whole, processes=processes, keeper=keeper, take=desk.take)
    done = desk.end({batch.batch: batch.statement_id for batch in result.batches})
    _chained(done, sources)
    judged = [one for record, one in done.items() if record in asked or record not in sources.periods]
    order = sorted(judged, key=lambda r: (r.fields.get("from", 0), r.fields.get("version", 0)))
    return Result(result, order, sources, {meter: frozenset(roles) for meter, roles in desk.roles.items()})


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
    sources: Sources, wanted: frozenset[bytes], span_of: SpanOf | None, reviewed: frozenset[bytes]
) -> tuple[list[Opened], dict[bytes, Recomputed]]:
    opened, failed = list[Opened](), dict[bytes, Recomputed]()
    for record, refused in sources.refused.items():
        if refused.name == words.PERIOD and span_of is None:
            failed[record] = Recomputed(record, {}, differences=[refusal_of(refused.error)])
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
            books = books_of(opened, signed.plan, choice, _entries(sources, signed.plan, choice))
            opened.append(Opened(period, choice, books, Apart.of(books) if period.record in reviewed else None))
        except AccountingError as error:
            failed[period.record] = Recomputed(period.record, period.fields, differences=[refusal_of(error)])
    return opened, failed


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
