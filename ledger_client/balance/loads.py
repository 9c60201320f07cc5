"""Loads and scope 1 of a party from its statements: which rows count, in which hour, and what is no load. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import HOUR_MS, MINUTE_MS
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.stated import written
from ledger_client.balance import result
from ledger_client.balance.given import Source, Terms
from ledger_client.balance.nodes import check_named, excluded
from ledger_client.balance.result import Emission, Finding, RowRef, Statement

_STATE_BELOW: Final = "it would take away from others: publish a plan whose node has a `below`, or no such term"
_STATE_IT: Final = "state it again when what is lacking is entered, or set partial = true to look at it"


@dataclass(slots=True)
class Loads:
    """Load by hour, and beside it what no hour is known of."""

    hours: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    rows: dict[int, list[RowRef]] = field(default_factory=lambda: defaultdict(list))
    stretches: list[tuple[Row, RowRef]] = field(default_factory=list)
    emissions: list[Emission] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    exclusions: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)


def hour_of(terms: Terms, time_ms: int) -> int:
    """When the hour of a moment begins, by civil time."""
    return time_ms - (time_ms + terms.civil_min * MINUTE_MS) % HOUR_MS


def loads_of(terms: Terms, sources: Sequence[Source]) -> Loads:
    """What the statements say of the party's loads and emissions. Raises AccountingError."""
    loads = Loads()
    _demand_once(sources)
    for source in sorted(sources, key=lambda one: (one.gateway, one.stated.plan.name, one.stated.span)):
        check_named(terms, source)
        fields, (from_ms, to_ms) = source.stated.fields, source.stated.span
        if not terms.from_ms <= from_ms < to_ms <= terms.to_ms:
            problem = f"the statement of {utc_text(from_ms)} is not within the period of the balance"
            refuse("B4", source.gateway, problem, "give the statements of the period alone")
        version, complete = fields["version"], fields["complete"]
        name, record = source.stated.plan.name, source.stated.record
        loads.statements.append(Statement(source.gateway, name, record, from_ms, to_ms, version, complete))
        _take(terms, source, loads)
    loads.exclusions = excluded(terms, sources)
    loads.findings += _completeness(terms, sources)
    return loads


def _demand_once(sources: Sequence[Source]) -> None:
    seen = set[bytes]()
    for source in sources:
        if source.stated.record in seen:
            problem = f"the statement {source.stated.record.hex()} is given twice"
            refuse("B1", source.gateway, problem, "name each statement once, with all of its loads and emissions")
        seen.add(source.stated.record)


def _take(terms: Terms, source: Source, loads: Loads) -> None:
    """The rows of one statement."""
    interval_ms, marked, open_rows = source.stated.plan.interval_ms, 0, 0
    by_node = defaultdict[str, list[tuple[int, RowRef]]](list)
    wanted, direct = frozenset(source.loads), frozenset(source.emissions)
    for place, row in enumerate(source.stated.rows):
        if row.node not in wanted and row.node not in direct:
            continue
        marked += "retrospective" in row.facts
        if row.amount is None:
            continue
        if row.amount < 0:
            what, unit = ("emission", "kg") if row.node in direct else ("load", "Wh")
            problem = f"the {what} of {utc_text(row.from_ms)} is below 0: {written(row.amount)} {unit}"
            refuse("P5", f"{source.gateway}: {row.node}", problem, _STATE_BELOW)
        ref = RowRef(source.stated.record, place)
        if row.node in direct:
            open_rows += row.facts.get("reason") == words.PROVISIONAL
            by_node[row.node].append((row.amount, ref))
        elif row.status == words.UNALLOCATED or row.to_ms - row.from_ms > interval_ms:
            loads.stretches.append((row, ref))
        else:
            hour_ms = hour_of(terms, row.from_ms)
            if row.to_ms > hour_ms + HOUR_MS:
                problem = f"the row of {utc_text(row.from_ms)} lies in two hours of civil time"
                refuse(
                    "N6",
                    f"{source.gateway}: {row.node}",
                    problem,
                    "state it by quarters of an hour, or give a whole hour",
                )
            loads.hours[hour_ms] += row.amount
            loads.rows[hour_ms].append(ref)
    for node in source.emissions:
        found = by_node[node]
        mass, rows = sum(amount for amount, _ in found), tuple(ref for _, ref in found)
        loads.emissions.append(Emission(source.gateway, node, source.stated.record, mass, rows))
    if marked:
        loads.findings.append(Finding("P2", result.RETROSPECTIVE, marked, source.stated.record.hex()))
    if open_rows:
        loads.findings.append(Finding("B4", result.PROVISIONAL, open_rows, source.stated.record.hex()))


def _completeness(terms: Terms, sources: Sequence[Source]) -> Iterator[Finding]:
    """Statements that are not complete (T7), and time that none of a plan is of (T2). Refuses both of loads."""
    plans = defaultdict[tuple[str, str], list[Source]](list)
    for source in sources:
        plans[source.gateway, source.stated.plan.name].append(source)
        if source.stated.fields["complete"]:
            continue
        if source.loads and not terms.partial:
            problem = f"the statement of {utc_text(source.stated.span[0])} is not complete"
            refuse("T7", f"{source.gateway}: {', '.join(source.loads)}", problem, _STATE_IT)
        yield Finding("T7", result.INCOMPLETE, 1, source.stated.record.hex())
    for (gateway, plan), several in plans.items():
        spans = sorted(source.stated.span for source in several)
        ends = [(0, terms.from_ms), *spans, (terms.to_ms, 0)]
        gaps = [(before[1], after[0]) for before, after in pairwise(ends) if before[1] != after[0]]
        if not gaps:
            continue
        if any(begin > end for begin, end in gaps):
            problem = f"two statements of plan {plan} are of {utc_text(gaps[0][1])}"
            refuse("T4", gateway, problem, "give the last version only")
        if any(source.loads for source in several) and not terms.partial:
            problem = f"no statement of plan {plan} is of {utc_text(gaps[0][0])} to {utc_text(gaps[0][1])}"
            refuse(
                "T2", gateway, problem, "give the statements of the whole period, or set partial = true to look at it"
            )
        yield Finding("T2", result.GAP, len(gaps), f"{gateway}: {plan}")
