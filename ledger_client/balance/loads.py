"""Loads and scope 1 of a party from its statements: which rows count, in which hour, and what is no load. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import HOUR_MS, MINUTE_MS, Node
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.formats.units import CONCENTRATION
from ledger_client.accounting.tables.stated import base_unit
from ledger_client.balance import result
from ledger_client.balance.given import Source, Terms
from ledger_client.balance.result import Emission, Finding, RowRef, Statement

_LOADS: Final = (words.CONSUMPTION, words.IMPORT, words.AUXILIARY, words.CHARGE)
_STATE_IT: Final = "state it again when what is lacking is entered, or set partial = true to look at it"


@dataclass(slots=True)
class Loads:
    """Load by hour, and beside it what no hour is known of."""

    hours: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    rows: dict[int, list[RowRef]] = field(default_factory=lambda: defaultdict(list))
    stretches: list[tuple[Row, RowRef]] = field(default_factory=list)
    emissions: list[Emission] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def hour_of(terms: Terms, time_ms: int) -> int:
    """When the hour of a moment begins, by civil time."""
    return time_ms - (time_ms + terms.civil_min * MINUTE_MS) % HOUR_MS


def loads_of(terms: Terms, sources: Sequence[Source]) -> Loads:
    """What the statements say of the party's loads and emissions. Raises AccountingError."""
    loads = Loads()
    _demand_once(sources)
    for source in sorted(sources, key=lambda one: (one.gateway, one.stated.plan.name, one.stated.span)):
        _check_nodes(terms, source)
        fields, (from_ms, to_ms) = source.stated.fields, source.stated.span
        if not terms.from_ms <= from_ms < to_ms <= terms.to_ms:
            problem = f"the statement of {utc_text(from_ms)} is not within the period of the balance"
            refuse("B4", source.gateway, problem, "give the statements of the period alone")
        version, complete = fields["version"], fields["complete"]
        name, record = source.stated.plan.name, source.stated.record
        loads.statements.append(Statement(source.gateway, name, record, from_ms, to_ms, version, complete))
        _take(terms, source, loads)
    for hour_ms, load in loads.hours.items():
        if load < 0:
            problem = f"the load of {utc_text(hour_ms)} is below 0"
            refuse("P5", "loads", problem, "give the node of the plan a `below`, for what falls below 0")
    loads.findings += _completeness(terms, sources)
    return loads


def _demand_once(sources: Sequence[Source]) -> None:
    seen = set[bytes]()
    for source in sources:
        if source.stated.record in seen:
            problem = f"the statement {source.stated.record.hex()} is given twice"
            refuse("B1", source.gateway, problem, "name each statement once, with all of its loads and emissions")
        seen.add(source.stated.record)


def _check_nodes(terms: Terms, source: Source) -> None:
    """Loads are electricity that was taken in the zone, emissions are direct ones; nothing counts twice."""
    plan, where = source.stated.plan, f"{source.gateway}: plan {source.stated.plan.name}"
    for name in (*source.loads, *source.emissions):
        if name not in plan.nodes:
            refuse("P4", where, f"it has no node {name}", f"its nodes are {', '.join(sorted(plan.nodes))}")
    for name in source.loads:
        node = plan.nodes[name]
        if node.role not in _LOADS or base_unit(plan, name) != "Wh":
            refuse("B1", where, f"{name} is no load: its role is {node.role}", f"name nodes of {', '.join(_LOADS)}")
        if node.zone is not None and node.zone != terms.zone:
            problem = f"{name} is in zone {node.zone}, the balance is of {terms.zone}"
            refuse("B1", where, problem, "make a balance for each zone")
    for name in source.emissions:
        node = plan.nodes[name]
        if node.role != words.EMISSION or node.method == words.BY_ELECTRICITY:
            problem = f"{name} is no emission of scope 1"
            refuse("B4", where, problem, "name nodes of role emission by cems or fuel; electricity is a load")
        if node.compare in source.emissions:
            problem = f"{name} and {node.compare} are of the same source"
            refuse("M7", where, problem, "name the measured one or those by fuel")
    _demand_apart(where, [plan.nodes[name] for name in source.loads])
    _demand_apart(where, [plan.nodes[name] for name in source.emissions])
    roles = {plan.nodes[name].role for name in source.loads}
    if (words.IMPORT in roles and len(roles) > 1) or (words.CHARGE in roles and words.CONSUMPTION in roles):
        problem = f"loads of {' and '.join(sorted(roles))} count energy twice"
        refuse(
            "B1", where, problem, "name what is imported, or what is consumed; what a battery gives is consumed already"
        )


def _demand_apart(where: str, nodes: Sequence[Node]) -> None:
    """No two count the same register, or the same stack (once for each profile)."""
    seen = dict[str, str]()
    for node in nodes:
        measured = [point for letter, point in node.inputs.items() if letter == CONCENTRATION]
        for point in (*(point for _, point in node.terms), *measured):
            if point in seen:
                problem = f"{seen[point]} and {node.name} both count {point}"
                refuse("B1", where, problem, "name nodes that share no point")
            seen[point] = node.name


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
