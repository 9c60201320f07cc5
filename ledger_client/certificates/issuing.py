"""Issuing of certificates: for each interval of a node what an issuer may claim of it, or why not (C2). Pure.

Takes what ``recompute`` gives, never what a gateway says of itself. A certificate is one row of a statement: its leaf
names it, its units are the whole Wh of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row, Rows, parse_row, salt, salted_leaf
from ledger_client.audit.result import Audit
from ledger_client.claims.claim import DAY_MS, HOUR_MS, MAX_NUMBER, QUARTER_MS, Issue, Origin
from ledger_client.recompute.run import Recomputed, Result
from ledger_client.recompute.sources import SignedPlan
from ledger_client.times import rfc3339, rfc3339_ms, span_in_words

DAY_S: Final = 86_400
"""How long after its beginning and its signing a plan may reach the ledgers (P2)."""
_MILLI: Final = 1000
_ENERGY: Final = "Wh"
_OF_STATUS: Final[Mapping[str, tuple[str, str]]] = {
    words.SPLIT: ("I3", "poll at both of its ends, so that the gaps fit the profile's edge"),
    words.BRIDGED: ("I4", "an exchange within it was mended by an entry; the next interval is measured again"),
    words.IMPLAUSIBLE: ("I6", "compare the plan's capacity and max with the plant, and publish a plan that fits"),
    words.UNALLOCATED: ("I5", "a stretch whose edges are open has no intervals"),
    words.UNKNOWN: ("I4", "enter the registers of the reset or exchange, and state the period again"),
}
"""The rule of a status that is never certified, and the way out."""


class WhyNot(NamedTuple):
    """An objection: the rule, what is wrong, the way out."""

    rule: str
    problem: str
    fix: str


class Judged(NamedTuple):
    """An interval of a node: the claim to issue, or every objection to it."""

    from_ms: int
    to_ms: int
    deed: Issue | None
    why: tuple[WhyNot, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an issuer asks for: which node, who is to hold the certificates, at which registry (None: not judged). Of
    its own trust file how long after an interval its batches may reach the ledgers; until when they can be retired."""

    node: str
    holder: str
    registry: str | None
    max_delay_s: int | None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement that was recomputed, with all that is judged beside it: its plan, its rows as they were signed, its
    gateway, the audit, and the highest version of it. ``until``: when enough ledgers had a look (Unix s; None: too few
    have), by record hash; ``plan_until``: the plan."""

    gateway: str
    period: Recomputed
    signed: SignedPlan
    plan_until: int | None
    rows: Rows
    audit: Audit
    newest: int
    until: Mapping[bytes, int | None]


def stated(result: Result, rows: Rows) -> Stated:
    """The statement that rows belong to; of versions with the same rows the last. ``until`` is empty yet.

    Raises AccountingError: there is none, or no plan of it.
    """
    root = [len(rows.rows), rows.root]
    fitting = [one for one in result.periods if one.fields.get("rows") == root]
    if not fitting:
        refuse("T1", "STATEMENT.mrows", "no statement in the files has these rows", "give its batch, or its .mseal")
    period = max(fitting, key=lambda one: one.fields["version"])
    signed = result.sources.plan_of(result.sources.periods[period.record])
    same = [one.fields["version"] for one in result.periods if _of(result, one) == _of(result, period)]
    until = result.sources.proven | {one.batch: one.no_later_than for one in result.audit.batches}
    gateway, had = result.audit.gateway or "", until.get(signed.batch)
    return Stated(gateway, period, signed, had, rows, result.audit, max(same), {})


def _of(result: Result, period: Recomputed) -> tuple[str, int, int] | None:
    """Plan's name, from and to of a statement: what its versions have in common. None: it cannot be read."""
    signed = result.sources.plans.get(period.fields.get("plan", b""))
    return (signed.plan.name, period.fields["from"], period.fields["to"]) if signed is not None else None


def newest(result: Result) -> Iterator[tuple[Recomputed, SignedPlan]]:
    """Of each period the highest version that the files hold, with its plan; what cannot be recomputed is left out."""
    highest: dict[tuple[str, int, int], Recomputed] = {}
    for period in result.periods:
        key = _of(result, period)
        if key is not None and (key not in highest or highest[key].fields["version"] < period.fields["version"]):
            highest[key] = period
    for period in highest.values():
        if period.statement is not None:
            yield period, result.sources.plans[period.fields["plan"]]


def looks_of(statement: Stated, node: str) -> set[bytes]:
    """The record hashes of all looks at the edges of a node's rows."""
    rows = (parse_row(row) for row in statement.rows.rows)
    return {look for row in rows if row.node == node for look in _looks(row)}


def judge(statement: Stated, terms: Terms) -> tuple[list[WhyNot], list[Judged]]:
    """Objections to the statement as a whole, under which nothing is issued, and each interval of the node.

    Raises AccountingError: the plan has no such node.
    """
    plan = statement.signed.plan
    node = plan.nodes.get(terms.node)
    if node is None:
        refuse(
            "P4", "--node", f"the plan {plan.name} has no node {terms.node}", f"it is one of {', '.join(plan.nodes)}"
        )
    whole = [*_of_statement(statement), *_of_node(plan, node, terms.registry), *_of_plan(statement)]
    if terms.max_delay_s is None:
        fix = "set policy.max_delay in the trust file: how late batches may be at the ledgers"
        whole.append(WhyNot("C2", "the issuer's trust file has no max_delay", fix))
    hours = []
    for index, data in enumerate(statement.rows.rows):
        row = parse_row(data)
        if row.node != terms.node:
            continue
        why = [*why_not(plan, row), *_late(row, terms.max_delay_s, statement.until), *_expired(row, terms.expires_ms)]
        deed = None
        if not whole and not why:
            assert node.certificate is not None
            origin = Origin(statement.gateway, node.name, node.certificate["id"], row.from_ms, row.to_ms)
            leaf = salted_leaf(salt(statement.rows.secret, index), data)
            deed = Issue(origin, units_of(row), terms.holder, statement.period.record, leaf, terms.expires_ms)
        hours.append(Judged(row.from_ms, row.to_ms, deed, tuple(why)))
    return whole, hours


def units_of(row: Row) -> int:
    """The whole Wh of a row; no remainder is carried (N4)."""
    return max(row.amount or 0, 0) // _MILLI


def why_not(plan: Plan, row: Row) -> Iterator[WhyNot]:
    """Objections to a row by itself: what no issuer may certify of it, whoever asks."""
    if row.status != words.MEASURED:
        rule, fix = _OF_STATUS.get(row.status, ("C2", "certify a node whose rows are differences of registers"))
        yield WhyNot(rule, f"it is {row.status}, not measured", fix)
    if row.facts.get("retrospective"):
        yield WhyNot("P2", "it begins before the plan was signed", "later hours can be certified")
    if any(kind != words.WRAP for _, kind, _, _ in row.facts.get("jumps", ())):
        yield WhyNot("I4", "a jump lies in it that is no wrap", "hours without an exchange or a reset can be certified")
    if row.from_ms % QUARTER_MS or row.to_ms % QUARTER_MS:
        yield WhyNot("C2", "it does not begin and end with a quarter of an hour", "give the plan an interval of 900 s")
    if row.to_ms - row.from_ms > HOUR_MS:
        problem = f"it has {span_in_words(row.to_ms - row.from_ms)}, more than an hour"
        yield WhyNot("C2", problem, "hours between known edges can be certified")
    elif row.from_ms // DAY_MS != (row.to_ms - 1) // DAY_MS:
        yield WhyNot("C2", "it lies in two UTC days", "give the plan an interval of 900 s")
    if "edges" not in row.facts:
        yield WhyNot("P5", "it has no registers of its own", "certify a node with terms")
    if units_of(row) == 0:
        yield WhyNot("N4", "it has less than 1 Wh", "there is nothing to certify")
    elif units_of(row) > MAX_NUMBER:
        yield WhyNot("N4", f"it has more than {MAX_NUMBER} Wh", "give the plan the capacity of the plant")


def _of_statement(statement: Stated) -> Iterator[WhyNot]:
    period, audit = statement.period, statement.audit
    if not audit.sound:
        first = audit.findings[0].detail if audit.findings else "no batch was given"
        yield WhyNot("C2", f"the audit of the batches is not sound: {first}", "see meterseal-ledger audit")
    for rule, where, signed, recomputed in period.differences[:1]:
        problem = f"it is not what its batches give: {where}: stated {signed or 'nothing'}, recomputed {recomputed}"
        yield WhyNot(rule, problem, "see meterseal-ledger recompute; its owner states the period again")
    if period.statement is not None and not period.rows_compared:
        yield WhyNot("T1", "its rows were not compared", "give its .mrows")
    if statement.newest > period.fields["version"]:
        problem = (
            f"the files hold version {statement.newest} of the statement, this is version {period.fields['version']}"
        )
        yield WhyNot("T4", problem, "give the rows of the last version")


def _of_node(plan: Plan, node: Node, registry: str | None) -> Iterator[WhyNot]:
    if node.role != words.PRODUCTION:
        yield WhyNot("C2", f"{node.name} is of role {node.role}, not production", "name a node of production")
    elif any(unit.base != _ENERGY for _, name in node.terms if (unit := plan.points[name].unit) is not None):
        yield WhyNot("C2", f"{node.name} counts no energy", "name a node whose registers count energy")
    if node.certificate is None:
        fix = "publish a plan with nodes.NODE.certificate, and state later hours by it"
        yield WhyNot("P4", f"the plan says nothing of the device of {node.name}", fix)
    elif node.certificate["scheme"] == "offset":
        yield WhyNot("C4", f"{node.name} is of scheme offset: its energy makes offsets", "an hour has one scheme")
    if registry is not None and node.registry != registry:
        named = (
            f"the registry {node.registry} certifies" if node.registry else "the plan names no registry that certifies"
        )
        fix = f"issue at {node.registry}" if node.registry else "publish a plan with nodes.NODE.registry"
        yield WhyNot("P8", f"{named} {node.name}, this is {registry}", fix)


def _of_plan(statement: Stated) -> Iterator[WhyNot]:
    """The ledgers had the plan less than a day after its beginning and its signing (P2)."""
    plan, signed, until = statement.signed.plan, statement.signed, statement.plan_until
    fix = "publish a plan that begins later and seal it the same day; state later hours by it"
    if until is None:
        yield WhyNot("P2", "too few ledgers vouch for the batch of the plan", "give its batch with its receipts")
        return
    for what, time_ms in (("its beginning", plan.from_ms), ("its signing", signed.iat_ms)):
        if until - time_ms // 1000 >= DAY_S:
            late = span_in_words(until * 1000 - time_ms)
            yield WhyNot("P2", f"the ledgers had the plan {late} after {what}, a day or more", fix)


def _late(row: Row, max_delay_s: int | None, until: Mapping[bytes, int | None]) -> Iterator[WhyNot]:
    """The ledgers had the looks at the row's edges in time (C2)."""
    if max_delay_s is None:
        return
    times = [until.get(look) for look in _looks(row)]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        yield WhyNot("C2", "too few ledgers vouch for a register at its edges", "give the batches with their receipts")
    elif known and max(known) * 1000 > row.to_ms + max_delay_s * 1000:
        late, most = span_in_words(max(known) * 1000 - row.to_ms), span_in_words(max_delay_s * 1000)
        yield WhyNot(
            "C2",
            f"the ledgers had its registers at {rfc3339(max(known))}, {late} after its end; max_delay is {most}",
            "have batches anchored in time",
        )


def _expired(row: Row, expires_ms: int | None) -> Iterator[WhyNot]:
    if expires_ms is not None and expires_ms <= row.to_ms:
        yield WhyNot("R6", f"it ends at {rfc3339_ms(row.to_ms)}, and would expire by then", "give a later --expires")


def _looks(row: Row) -> Iterator[bytes]:
    for _, _, _, looks in row.facts.get("edges", ()):
        yield from looks
